//! The control thread's work: one reload at a time, whoever asks for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::journal::Level;
use super::signal::{Asked, Signals};
use super::watchdog;
use crate::admin::{self, Bound, Context, Listening, Loaded, Readiness, Reload, Reloaded, Running};
use crate::base::clock;
use crate::config::Diagnostics;
use crate::metrics::ReloadResult;
use crate::reload::watch::Watch;
use crate::reload::{self, Applied, Prepared, Serving};
use crate::snapshot::{Live, ProcessSettings, Purpose};
use crate::task;

/// Why a configuration could not be made ready.
enum Refusal {
    /// For a moment only.
    Settles,
    /// For good.
    Final(Reloaded),
}

/// An order to reload, and where its outcome is told.
pub(super) type Order = oneshot::Sender<Reloaded>;

/// Everything that the control thread holds.
pub(super) struct Control {
    path: PathBuf,
    live: Live,
    serving: Serving,
    level: Level,
    orders: mpsc::Sender<Order>,
    running: Option<watch::Sender<Arc<Running>>>,
    readiness: Arc<Readiness>,
    admin: Option<JoinHandle<()>>,
    watch: Watch,
}

impl Control {
    pub(super) fn new(
        path: PathBuf,
        live: Live,
        serving: Serving,
        level: Level,
        orders: mpsc::Sender<Order>,
    ) -> Self {
        Self {
            path,
            live,
            serving,
            level,
            orders,
            running: None,
            readiness: Arc::new(Readiness::new()),
            admin: None,
            watch: Watch::new(),
        }
    }

    /// Puts the first configuration into effect.
    pub(super) async fn start(&mut self, prepared: Prepared, admin: Option<Bound>) {
        let applied = self.serving.commit(prepared).await;
        let loaded = Loaded {
            result: ReloadResult::Ok,
            at: clock::wall(),
            message: None,
        };
        let (sender, receiver) = watch::channel(Arc::new(self.shown(loaded)));
        admin::register(self.serving.hub(), receiver);
        self.running = Some(sender);
        self.count(ReloadResult::Ok);
        self.watch.follow(&applied.watch);
        if let Some(bound) = admin {
            self.serve_admin(bound);
        }
        self.readiness.unblock(Readiness::STARTING);
        for listener in &self.serving.snapshot().listeners {
            for addr in self.serving.addrs(&listener.name) {
                tracing::info!(listener = %listener.name, %addr, "listening");
            }
        }
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            workers = self.serving.snapshot().process.workers,
            hash = self.serving.snapshot().fingerprint,
            "serving"
        );
        watchdog::ready("serving");
    }

    /// Carries out orders until a signal asks to end; which one.
    pub(super) async fn run(
        &mut self,
        mut inbox: mpsc::Receiver<Order>,
        signals: &mut Signals,
    ) -> &'static str {
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::End(signal) => return signal,
                    Asked::Reopen => self.serving.reopen_log(),
                    Asked::Reload => {
                        self.reload("SIGHUP").await;
                    }
                },
                Some(order) = inbox.recv() => {
                    let outcome = self.reload("api").await;
                    let _ = order.send(outcome);
                }
                () = self.watch.changed() => {
                    if self.changed() {
                        self.reload("file").await;
                    }
                }
            }
        }
    }

    /// Whether the text is another than the one that runs. A text that cannot be read is: the reload says why.
    fn changed(&self) -> bool {
        crate::config::load(&self.path).map_or(true, |loaded| {
            loaded.files.digest() != self.serving.digest()
        })
    }

    /// Loads, compiles, prepares and commits; or changes nothing and says why.
    async fn reload(&mut self, trigger: &'static str) -> Reloaded {
        watchdog::reloading();
        let outcome = loop {
            match self.prepare() {
                Ok((prepared, admin)) => break self.commit(prepared, admin).await,
                Err(Refusal::Settles) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(Refusal::Final(refused)) => break refused,
            }
        };
        let result = outcome.result();
        let message = match &outcome {
            Reloaded::Applied {
                epoch,
                changes,
                warnings,
            } => {
                for line in warnings.lines() {
                    tracing::warn!("{line}");
                }
                tracing::info!(
                    trigger,
                    epoch,
                    changes = changes.join(", "),
                    "configuration reloaded"
                );
                None
            }
            Reloaded::Invalid(diagnostics) => {
                for line in diagnostics.lines() {
                    tracing::error!("{line}");
                }
                tracing::error!(trigger, "configuration refused; the one before goes on");
                Some(diagnostics.lines().collect::<Vec<_>>().join("\n"))
            }
            Reloaded::Failed(why) => {
                tracing::error!(
                    trigger,
                    why,
                    "configuration not in effect; the one before goes on"
                );
                Some(why.clone())
            }
        };
        self.count(result);
        let shown = self.shown(Loaded {
            result,
            at: clock::wall(),
            message,
        });
        if let Some(running) = &self.running {
            running.send_replace(Arc::new(shown));
        }
        watchdog::ready(if result == ReloadResult::Ok {
            "serving"
        } else {
            "serving; the last reload was refused"
        });
        outcome
    }

    fn prepare(&self) -> Result<(Prepared, Option<Bound>), Refusal> {
        let now = &self.serving.snapshot().process;
        let plan = reload::plan(&self.path, &self.live, Purpose::Follow(now))
            .map_err(|wrong| Refusal::Final(Reloaded::Invalid(wrong)))?;
        let wanted = plan.snapshot.process.admin.as_ref();
        let moved = wanted.map(|spec| &spec.bind) != now.admin.as_ref().map(|spec| &spec.bind);
        let admin = match wanted {
            Some(spec) if moved => Some(Bound::bind(&spec.bind).map_err(|error| {
                Refusal::Final(Reloaded::Failed(format!(
                    "cannot listen on {}: {error}",
                    spec.bind
                )))
            })?),
            _ => None,
        };
        let prepared = plan.prepare(&self.serving).map_err(|unready| {
            if self.serving.settles(&unready) {
                Refusal::Settles
            } else {
                Refusal::Final(Reloaded::Failed(unready.to_string()))
            }
        })?;
        Ok((prepared, admin))
    }

    async fn commit(&mut self, prepared: Prepared, admin: Option<Bound>) -> Reloaded {
        let before = self.serving.snapshot().process.clone();
        let Applied {
            epoch,
            changes,
            warnings,
            watch,
        } = self.serving.commit(prepared).await;
        let settings = &self.serving.snapshot().process;
        self.level.set(settings.log_level);
        let gone = settings.admin.is_none() && before.admin.is_some();
        if (gone || admin.is_some())
            && let Some(served) = self.admin.take()
        {
            // The order that is answered now may have come through it: let the answer leave first.
            task::spawn("admin-end", async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                served.abort();
            });
        }
        if let Some(bound) = admin {
            self.serve_admin(bound);
        }
        self.watch.follow(&watch);
        self.live.clusters.sweep();
        Reloaded::Applied {
            epoch,
            changes,
            warnings,
        }
    }

    fn serve_admin(&mut self, bound: Bound) {
        let Some(running) = &self.running else { return };
        let orders = self.orders.clone();
        let token = self.settings().admin.and_then(|spec| spec.token);
        let context = Context {
            hub: Arc::clone(self.serving.hub()),
            running: running.subscribe(),
            reload: Reload::new(move || order(orders.clone())),
            readiness: Arc::clone(&self.readiness),
            token,
        };
        tracing::info!(addr = %bound.addr(), "admin");
        self.admin = Some(task::spawn("admin", async move {
            let Err(error) = admin::serve(bound, context).await;
            tracing::error!(%error, "the admin interface ended");
        }));
    }

    fn shown(&self, last_load: Loaded) -> Running {
        let snapshot = self.serving.snapshot();
        Running {
            epoch: self.serving.epoch(),
            hash: snapshot.fingerprint.clone(),
            listeners: snapshot
                .listeners
                .iter()
                .map(|listener| Listening {
                    name: listener.name.clone(),
                    addrs: self.serving.addrs(&listener.name),
                })
                .collect(),
            clusters: snapshot.clusters.clone(),
            last_load,
        }
    }

    fn count(&self, result: ReloadResult) {
        let cells = self.serving.hub().process();
        cells.reloaded(result);
        cells.config_hash(&self.serving.snapshot().fingerprint);
    }

    /// The settings in effect.
    pub(super) fn settings(&self) -> ProcessSettings {
        self.serving.snapshot().process.clone()
    }

    /// From now on `/ready` says no.
    pub(super) fn unready(&self) {
        self.readiness.block(Readiness::DRAINING);
    }

    /// Connections from clients that are open.
    pub(super) fn connections(&self) -> usize {
        self.serving.connections()
    }

    /// Writes out what is left of the log.
    pub(super) fn close(self) {
        if let Some(admin) = self.admin {
            admin.abort();
        }
        drop(self.serving);
    }
}

/// Passes an order on to the control thread's loop and waits for its outcome.
async fn order(orders: mpsc::Sender<Order>) -> Reloaded {
    let (outcome, told) = oneshot::channel();
    let stopped = || Reloaded::Failed("the process is stopping".to_owned());
    if orders.send(outcome).await.is_err() {
        return stopped();
    }
    told.await.unwrap_or_else(|_| stopped())
}

/// Diagnostics travel between tasks of one thread, but the admin interface asks for `Send`.
const _: () = {
    const fn sends<T: Send>() {}
    sends::<Diagnostics>();
};
