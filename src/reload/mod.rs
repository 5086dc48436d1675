//! How a configuration comes into effect: load → compile → prepare → commit.
//!
//! The same four steps serve the start, `check` (which stops after compile) and every reload. [`plan`] loads and
//! compiles; [`Plan::prepare`] does everything that can still fail (binding, opening); [`Serving::commit`] cannot
//! fail. The types make the order a fact: nothing can be committed that was not prepared.
//!
//! **Invariants.** Until commit nothing that runs has changed; a plan or a preparation that is dropped leaves no
//! trace. A socket that stays bound is never closed on the way, whatever listener it belongs to.
//!
//! **Not here.** Who asks for it (`server`), and what a worker does with it (`worker`).
//!
//! **Cancel safety.** [`Serving::commit`] must run to its end: it is awaited by the control thread alone.

mod changes;
mod debounce;
mod eyes;
mod load;
mod prepare;
mod resolve;
mod sockets;
mod swap;
pub mod watch;

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::base::clock::{self, Instant};
use crate::base::{ListenAddr, ListenerName};
use crate::cluster::Sweeper;
use crate::config::Diagnostics;
use crate::health::Prober;
use crate::limit::Ledger;
use crate::listener::overlaps;
use crate::metrics::Hub;
use crate::net::bind::{Opened, Transport};
use crate::record::LogWriter;
use crate::snapshot::Snapshot;
use crate::worker::{Command, Listening, Process};

use sockets::Open;

pub use load::{Attempt, Effort, Plan, Tried, Trigger, attempt, plan};
pub use prepare::{Prepared, Unready};
pub use swap::{Remade, remake};

/// How long it may take until all workers have closed a socket that was given up.
const GIVING_UP: Duration = Duration::from_secs(2);

/// How long is waited for a worker to say that it runs a new configuration. It takes it on in any case.
const PATIENCE: Duration = Duration::from_secs(5);

/// What took effect.
#[derive(Debug)]
pub struct Applied {
    /// Number of the configuration; the first is 1.
    pub epoch: u64,
    /// What is different now, a line each.
    pub changes: Vec<String>,
    /// What is suspicious in it.
    pub warnings: Diagnostics,
    /// Files and directories whose change may change it.
    pub watch: Vec<PathBuf>,
}

/// What runs, as the control thread sees it.
#[derive(Debug)]
pub struct Serving {
    process: Arc<Process>,
    workers: Vec<mpsc::Sender<Command>>,
    log: LogWriter,
    prober: Prober,
    sweeper: Sweeper,
    open: Vec<Open>,
    /// Addresses that were given up, and when: workers take a moment to empty their queues.
    given_up: Vec<(ListenAddr, Transport, Instant)>,
    snapshot: Arc<Snapshot>,
    epoch: u64,
}

impl Serving {
    /// Workers that run with `snapshot` but listen on nothing yet.
    pub fn new(
        process: Arc<Process>,
        workers: Vec<mpsc::Sender<Command>>,
        log: LogWriter,
        snapshot: Arc<Snapshot>,
    ) -> Self {
        let prober = Prober::new(Arc::clone(&process.hub));
        let sweeper = Sweeper::new(Arc::clone(&process.hub));
        Self {
            process,
            workers,
            log,
            prober,
            sweeper,
            open: Vec::new(),
            given_up: Vec::new(),
            snapshot,
            epoch: 0,
        }
    }

    /// Where everything is counted.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.process.hub
    }

    /// Memory for what peers make us hold.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.process.ledger
    }

    /// Connections from clients that are open.
    pub fn connections(&self) -> usize {
        self.process.connections.load(Ordering::Relaxed)
    }

    /// The configuration in effect.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Its number.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Where a listener really listens.
    pub fn addrs(&self, listener: &ListenerName) -> Vec<ListenAddr> {
        let open = self.open.iter();
        open.filter(|open| open.what.listener == *listener)
            .map(|open| open.what.addr.clone())
            .collect()
    }

    /// Waits until a worker is gone. Cancel safe.
    pub async fn loss(&self) {
        let mut closed: Vec<_> = self
            .workers
            .iter()
            .map(|worker| Box::pin(worker.closed()))
            .collect();
        poll_fn(|context| {
            let mut closed = closed.iter_mut();
            if closed.any(|one| one.as_mut().poll(context).is_ready()) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Opens the access log's file by its name again.
    pub fn reopen_log(&self) {
        self.log.reopen();
    }

    /// Whether what could not be made ready may be in a moment: the address is one that we are giving up ourselves.
    pub fn settles(&self, unready: &Unready) -> bool {
        let Unready::Bind {
            addr,
            transport,
            error,
            ..
        } = unready
        else {
            return false;
        };
        let now = clock::now();
        error.kind() == io::ErrorKind::AddrInUse
            && self.given_up.iter().any(|(gone, of, since)| {
                of == transport && overlaps(gone, addr) && clock::between(*since, now) < GIVING_UP
            })
    }

    /// Makes a prepared configuration the one that runs, on every worker. Cannot fail.
    pub async fn commit(&mut self, prepared: Prepared) -> Applied {
        let Prepared {
            plan,
            keep,
            bound,
            grants,
            sink,
        } = prepared;
        grants.settle();
        let changes = match self.epoch {
            0 => Vec::new(),
            _ => changes::between(&self.snapshot, &plan.snapshot),
        };
        self.epoch += 1;
        if let Some(sink) = sink {
            self.log.switch(sink);
        }
        let settings = &plan.snapshot.process;
        self.process
            .max_connections
            .store(settings.max_connections, Ordering::Relaxed);
        self.process.ledger.retune(settings.memory);
        for cluster in &plan.snapshot.clusters {
            cluster.enforce(&self.process.hub.process().health(cluster.name.as_str()));
        }
        let open = self.tell_workers(&plan.snapshot, keep, bound).await;
        self.give_up(&open);
        self.open = open;
        self.snapshot = plan.snapshot;
        for limiter in &self.snapshot.limiters {
            limiter.settle();
        }
        for route in self.snapshot.routes.routes() {
            route.filters.settle();
        }
        let clusters = self.snapshot.clusters.iter();
        let targets = clusters.flat_map(|cluster| cluster.targets());
        self.prober.apply(targets.collect());
        self.sweeper.apply(&self.snapshot.clusters);
        Applied {
            epoch: self.epoch,
            changes,
            warnings: plan.warnings,
            watch: plan.watch,
        }
    }

    /// Writes down what is open no more.
    fn give_up(&mut self, open: &[Open]) {
        let now = clock::now();
        let stays = |old: &&Open| {
            let is_it = |new: &Open| {
                new.what.addr == old.what.addr && new.what.transport == old.what.transport
            };
            open.iter().any(is_it)
        };
        let gone = self.open.iter().filter(|old| !stays(old));
        self.given_up
            .retain(|(_, _, since)| clock::between(*since, now) < GIVING_UP);
        self.given_up
            .extend(gone.map(|it| (it.what.addr.clone(), it.what.transport, now)));
    }

    /// Gives each worker the configuration and its sockets, and waits until all run it. What is open then.
    async fn tell_workers(
        &self,
        snapshot: &Arc<Snapshot>,
        keep: Vec<Open>,
        bound: Vec<(Open, Vec<Opened>)>,
    ) -> Vec<Open> {
        let kept: Vec<Listening> = keep.iter().map(|open| open.what.clone()).collect();
        let mut columns: Vec<_> = bound
            .into_iter()
            .map(|(open, sockets)| (open, sockets.into_iter()))
            .collect();
        let mut answers = Vec::with_capacity(self.workers.len());
        for (id, worker) in self.workers.iter().enumerate() {
            let open = columns
                .iter_mut()
                .filter_map(|(open, sockets)| Some((open.what.clone(), sockets.next()?)));
            let (done, told) = oneshot::channel();
            let command = Command::Commit {
                snapshot: Arc::clone(snapshot),
                epoch: self.epoch,
                open: open.collect(),
                keep: kept.clone(),
                done,
            };
            // A worker that is gone has nothing to switch; the control thread notices its loss.
            if worker.send(command).await.is_ok() {
                answers.push((id, told));
            }
        }
        heard(answers).await;
        let added = columns.into_iter().map(|(open, _)| open);
        keep.into_iter().chain(added).collect()
    }
}

/// Waits until every worker has said that it runs what it was sent.
async fn heard(answers: Vec<(usize, oneshot::Receiver<()>)>) {
    let deadline = clock::now() + PATIENCE;
    for (worker, told) in answers {
        if tokio::time::timeout_at(deadline.into(), told)
            .await
            .is_err()
        {
            tracing::warn!(
                worker,
                "a worker is busy; it takes on the configuration later"
            );
        }
    }
}
