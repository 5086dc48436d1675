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
pub mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::base::{ListenerName, clock};
use crate::config::{self, Diagnostics};
use crate::health::Prober;
use crate::metrics::Hub;
use crate::net::bind::Group;
use crate::record::{LogWriter, Sink};
use crate::snapshot::{self, Live, Purpose, Snapshot};
use crate::worker::{Command, Listening, Process};

/// How long it may take until all workers have closed a socket that was given up.
const GIVING_UP: Duration = Duration::from_secs(2);

/// A configuration that was loaded and compiled. Nothing has been done for it yet.
#[derive(Debug)]
pub struct Plan {
    /// What would run.
    pub snapshot: Arc<Snapshot>,
    /// What is suspicious in it.
    pub warnings: Diagnostics,
    /// Tells one text from another, secrets included.
    pub digest: u64,
    /// Files and directories whose change may change it.
    pub watch: Vec<PathBuf>,
}

/// Loads and compiles.
pub fn plan(path: &Path, live: &Live, purpose: Purpose<'_>) -> Result<Plan, Diagnostics> {
    let mut loaded = config::load(path)?;
    let compiled = snapshot::compile(
        &loaded.raw,
        &loaded.files,
        live,
        purpose,
        &mut loaded.diagnostics,
    );
    match compiled {
        Some(snapshot) if !loaded.diagnostics.has_errors() => Ok(Plan {
            snapshot: Arc::new(snapshot),
            digest: loaded.files.digest(),
            watch: loaded.watch,
            warnings: loaded.diagnostics,
        }),
        _ => Err(loaded.diagnostics),
    }
}

/// Why a right configuration could not take effect.
#[derive(Debug)]
pub enum Unready {
    /// An address cannot be listened on.
    Bind(SocketAddr, io::Error),
    /// The access log cannot be opened.
    AccessLog(io::Error),
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(addr, error) => write!(f, "cannot listen on {addr}: {error}"),
            Self::AccessLog(error) => write!(f, "cannot open the access log: {error}"),
        }
    }
}

impl std::error::Error for Unready {}

/// A configuration with everything that it needs: only [`Serving::commit`] is left.
#[derive(Debug)]
pub struct Prepared {
    plan: Plan,
    /// By the address in the configuration: where it is really bound, and a socket for each worker.
    bound: BTreeMap<SocketAddr, (SocketAddr, Vec<TcpListener>)>,
    sink: Option<Sink>,
}

impl Plan {
    /// Binds what is not bound yet and opens what must be open. Listening is the last step: only then does
    /// the kernel take connections for us.
    pub fn prepare(self, serving: &Serving) -> Result<Prepared, Unready> {
        let output = self.snapshot.access_log.output();
        let sink = if serving.epoch > 0 && serving.snapshot.access_log.output() == output {
            None
        } else {
            Some(Sink::open(output).map_err(Unready::AccessLog)?)
        };
        let mut groups = Vec::new();
        for (_, addr) in self.snapshot.binds() {
            if !serving.sockets.contains_key(&addr) {
                let group = Group::bind(addr, serving.process.workers)
                    .map_err(|error| Unready::Bind(addr, error))?;
                groups.push((addr, group));
            }
        }
        let mut bound = BTreeMap::new();
        for (addr, group) in groups {
            let real = group.addr;
            let sockets = group.listen().map_err(|error| Unready::Bind(addr, error))?;
            bound.insert(addr, (real, sockets));
        }
        Ok(Prepared {
            plan: self,
            bound,
            sink,
        })
    }
}

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
    /// Addresses as configured, and as they are bound.
    sockets: BTreeMap<SocketAddr, SocketAddr>,
    /// Addresses that were given up, and when: workers take a moment to empty their queues.
    given_up: Vec<(SocketAddr, Instant)>,
    snapshot: Arc<Snapshot>,
    epoch: u64,
    digest: u64,
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
        Self {
            process,
            workers,
            log,
            prober,
            sockets: BTreeMap::new(),
            given_up: Vec::new(),
            snapshot,
            epoch: 0,
            digest: 0,
        }
    }

    /// Where everything is counted.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.process.hub
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

    /// Tells its text from another.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Where a listener really listens.
    pub fn addrs(&self, listener: &ListenerName) -> Vec<SocketAddr> {
        self.snapshot
            .binds()
            .filter(|(ix, _)| {
                self.snapshot
                    .listeners
                    .get(*ix)
                    .is_some_and(|one| one.name == *listener)
            })
            .filter_map(|(_, addr)| self.sockets.get(&addr).copied())
            .collect()
    }

    /// Opens the access log's file by its name again.
    pub fn reopen_log(&self) {
        self.log.reopen();
    }

    /// Whether what could not be made ready may be in a moment: the address is one that we are giving up ourselves.
    pub fn settles(&self, unready: &Unready) -> bool {
        let Unready::Bind(addr, error) = unready else {
            return false;
        };
        let now = clock::now();
        error.kind() == io::ErrorKind::AddrInUse
            && self
                .given_up
                .iter()
                .any(|(gone, since)| gone == addr && clock::between(*since, now) < GIVING_UP)
    }

    /// Makes a prepared configuration the one that runs, on every worker. Cannot fail.
    pub async fn commit(&mut self, prepared: Prepared) -> Applied {
        let Prepared {
            plan,
            mut bound,
            sink,
        } = prepared;
        let changes = changes::describe(&self.snapshot, &plan.snapshot, self.epoch);
        self.epoch += 1;
        if let Some(sink) = sink {
            self.log.switch(sink);
        }
        let settings = &plan.snapshot.process;
        self.process
            .max_connections
            .store(settings.max_connections, Ordering::Relaxed);
        let wanted: Vec<(SocketAddr, ListenerName)> = plan
            .snapshot
            .binds()
            .filter_map(|(ix, addr)| Some((addr, plan.snapshot.listeners.get(ix)?.name.clone())))
            .collect();
        let mut effective = Vec::new();
        for worker in &self.workers {
            let mut open = Vec::new();
            let mut keep = Vec::new();
            for (addr, listener) in &wanted {
                let listener = listener.clone();
                if let Some((real, sockets)) = bound.get_mut(addr) {
                    if let Some(socket) = sockets.pop() {
                        open.push((
                            Listening {
                                addr: *real,
                                listener,
                            },
                            socket,
                        ));
                    }
                } else if let Some(&addr) = self.sockets.get(addr) {
                    keep.push(Listening { addr, listener });
                }
            }
            let (done, told) = oneshot::channel();
            let snapshot = Arc::clone(&plan.snapshot);
            let command = Command::Commit {
                snapshot,
                epoch: self.epoch,
                open,
                keep,
                done,
            };
            // A worker that is gone has nothing to switch; its loss is reported by the watchdog.
            if worker.send(command).await.is_ok() {
                effective.push(told);
            }
        }
        for told in effective {
            let _ = told.await;
        }
        let now = clock::now();
        let gone = self
            .sockets
            .iter()
            .filter(|(addr, _)| !wanted.iter().any(|(kept, _)| kept == *addr));
        self.given_up
            .retain(|(_, since)| clock::between(*since, now) < GIVING_UP);
        self.given_up.extend(gone.map(|(_, real)| (*real, now)));
        self.sockets = wanted
            .into_iter()
            .filter_map(|(addr, _)| {
                let real = bound
                    .get(&addr)
                    .map(|(real, _)| *real)
                    .or_else(|| self.sockets.get(&addr).copied());
                Some((addr, real?))
            })
            .collect();
        self.snapshot = plan.snapshot;
        self.digest = plan.digest;
        let targets = self
            .snapshot
            .clusters
            .iter()
            .flat_map(|cluster| cluster.targets())
            .collect();
        self.prober.apply(targets);
        Applied {
            epoch: self.epoch,
            changes,
            warnings: plan.warnings,
            watch: plan.watch,
        }
    }
}
