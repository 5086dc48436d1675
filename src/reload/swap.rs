//! The swap of single clusters: other endpoints, weights or states while the configuration stays.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Serving, heard};
use crate::cluster::{self, Cluster};
use crate::endpoint::Admin;
use crate::metrics::{HealthCells, TransitionCause};
use crate::snapshot::Snapshot;
use crate::worker::Command;

/// A cluster that is to take the place of another.
#[derive(Debug)]
pub struct Remade {
    /// The one that it was made from.
    pub from: Arc<Cluster>,
    /// The one that takes its place.
    pub to: Arc<Cluster>,
}

impl Remade {
    /// Counts the endpoints that names lead to now, and those that they no longer do: nothing else comes or goes in a
    /// swap. What an operator keeps away could not be used before or after.
    fn count(&self, cells: &HealthCells) {
        let keys = |cluster: &Cluster| -> HashSet<_> {
            let ready = cluster.set.iter().filter(|it| it.admin == Admin::Ready);
            ready.map(|endpoint| endpoint.key.clone()).collect()
        };
        let (before, now) = (keys(&self.from), keys(&self.to));
        for _ in now.difference(&before) {
            cells.became_healthy(TransitionCause::Dns);
        }
        for _ in before.difference(&now) {
            cells.became_unhealthy(TransitionCause::Dns);
        }
    }
}

/// Makes the clusters of `running` anew whose endpoints would be others now. Takes as long as they have endpoints:
/// not for a thread that must answer soon.
pub fn remake(running: &Snapshot, live: &cluster::Live) -> Vec<Remade> {
    let stale = running.clusters.iter().filter(|one| one.is_stale(live));
    let remade = stale.map(|from| Remade {
        to: Arc::new(from.remade(live)),
        from: Arc::clone(from),
    });
    remade.collect()
}

impl Serving {
    /// Puts each cluster in the place of the one that it was made from, on every worker. One whose place another
    /// configuration has taken meanwhile is left out: it was made from what no longer runs.
    pub async fn swap(&mut self, remade: Vec<Remade>) {
        let is_there = |one: &Remade| {
            let there = self.snapshot.cluster(&one.from.name);
            there.is_some_and(|(_, cluster)| Arc::ptr_eq(cluster, &one.from))
        };
        let next: Vec<_> = remade.into_iter().filter(is_there).collect();
        if next.is_empty() {
            return;
        }
        for one in &next {
            let cells = self.process.hub.process().health(one.to.name.as_str());
            one.to.enforce(&cells);
            one.count(&cells);
        }
        let clusters = next.iter().map(|one| Arc::clone(&one.to));
        let snapshot = Arc::new(self.snapshot.with(clusters));
        let mut answers = Vec::with_capacity(self.workers.len());
        for (id, worker) in self.workers.iter().enumerate() {
            let (done, told) = oneshot::channel();
            let command = Command::Swap {
                snapshot: Arc::clone(&snapshot),
                done,
            };
            // A worker that is gone has nothing to switch; the control thread notices its loss.
            if worker.send(command).await.is_ok() {
                answers.push((id, told));
            }
        }
        heard(answers).await;
        for Remade { to, .. } in &next {
            self.prober.apply_to(&to.name, to.targets().collect());
        }
        self.sweeper.apply(&snapshot.clusters);
        self.snapshot = snapshot;
    }
}
