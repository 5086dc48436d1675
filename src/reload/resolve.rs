//! The first resolution of names, before a configuration takes effect.

use std::sync::Arc;
use std::time::Duration;

use super::{Plan, remake};
use crate::base::clock;
use crate::dns::Keeper;
use crate::snapshot::Live;
use crate::task;

/// How long is waited for names that were never asked for before. A start or a reload serves what it can serve within
/// a second (F-43); what comes later is swapped in.
const PATIENCE: Duration = Duration::from_millis(500);

impl Plan {
    /// Has the names of this configuration kept from now on, and makes its endpoints of what is known by then.
    #[must_use]
    pub async fn resolve(mut self, keeper: &Keeper, live: &Arc<Live>) -> Self {
        let names: Vec<_> = self.snapshot.names().map(Arc::clone).collect();
        if names.is_empty() {
            return self;
        }
        keeper.keep(&names, &self.snapshot.process.dns);
        let deadline = clock::now() + PATIENCE;
        for name in &names {
            let attempted = tokio::time::timeout_at(deadline.into(), name.attempted()).await;
            if attempted.is_err() || name.good().is_none() {
                tracing::warn!(name = %name.query, "not resolved yet; its endpoints come when it is");
            }
        }
        let (snapshot, live) = (Arc::clone(&self.snapshot), Arc::clone(live));
        let remade = task::blocking(move || remake(&snapshot, &live.clusters)).await;
        // An error: the process stops, or the endpoints stay as they were compiled; the next swap makes up for it.
        let remade = remade.unwrap_or_default();
        if !remade.is_empty() {
            let clusters = remade.into_iter().map(|one| one.to);
            self.snapshot = Arc::new(self.snapshot.with(clusters));
        }
        self
    }
}
