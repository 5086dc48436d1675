//! The control thread's work: one reload at a time, whoever asks for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::journal::Level;
use super::loads::Loads;
use super::orders::{self, Order};
use super::signal::{Asked, Signals};
use super::swaps::{Event, Swaps};
use super::{notify, pages, watchdog};
use crate::admin::{
    self, Bound, Context, Listening, Loaded, Readiness, Reload, Reloaded, Running, Swap,
};
use crate::base::clock;
use crate::config::Diagnostics;
use crate::dns::Keeper;
use crate::metrics::ReloadResult;
use crate::reload::watch::Watch;
use crate::reload::{Applied, Attempt, Plan, Prepared, Serving, Trigger};
use crate::snapshot::{Live, ProcessSettings};
use crate::task;
use crate::worker::Command;

/// Pause between two attempts at an address that this process is giving up.
const SETTLE: Duration = Duration::from_millis(50);

/// Why serving is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Over {
    /// By this signal.
    Asked(&'static str),
    /// A worker ended that was not told to: a fault of this program.
    WorkerGone,
}

/// Everything that the control thread holds.
pub(super) struct Control {
    live: Arc<Live>,
    keeper: Arc<Keeper>,
    loads: Loads,
    swaps: Swaps,
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
        live: Arc<Live>,
        keeper: Arc<Keeper>,
        loads: Loads,
        serving: Serving,
        level: Level,
        orders: mpsc::Sender<Order>,
    ) -> Self {
        Self {
            swaps: Swaps::new(Arc::clone(&live), keeper.changed()),
            live,
            keeper,
            loads,
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
        admin::register(
            self.serving.hub(),
            receiver,
            Arc::clone(&self.live),
            Arc::clone(self.serving.ledger()),
        );
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
        pages::give_back();
        notify::ready("serving");
    }

    /// Carries out orders until it is over; why.
    pub(super) async fn run(
        &mut self,
        mut inbox: mpsc::Receiver<Order>,
        signals: &mut Signals,
    ) -> Over {
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::End(signal) => return Over::Asked(signal),
                    Asked::Reopen => self.serving.reopen_log(),
                    Asked::Reload => self.loads.ask(Trigger::Signal, None, self.serving.snapshot()),
                },
                Some(order) = inbox.recv() => match order {
                    Order::Reload(answer) => {
                        self.loads.ask(Trigger::Api, Some(answer), self.serving.snapshot());
                    }
                    Order::Swap(heard) => self.swaps.ask(Some(heard), self.serving.snapshot()),
                },
                event = self.swaps.next() => self.swap(event).await,
                () = self.watch.changed() => {
                    self.loads.ask(Trigger::File, None, self.serving.snapshot());
                }
                () = self.serving.loss() => return Over::WorkerGone,
                (batch, attempt) = self.loads.next() => {
                    match &attempt {
                        Ok(Attempt::Wrong(diagnostics)) => self.watch.also(diagnostics.files().watch()),
                        Ok(Attempt::Same(paths)) => self.watch.widen(paths),
                        Ok(Attempt::Right(_)) | Err(_) => {}
                    }
                    let outcome = self.reload(batch.trigger, attempt).await;
                    batch.answer(&outcome);
                    self.loads.begin(self.serving.snapshot());
                }
            }
        }
    }

    /// Puts endpoints into effect that were made anew.
    async fn swap(&mut self, event: Event) {
        match event {
            Event::Stale => self.swaps.ask(None, self.serving.snapshot()),
            Event::Made(remade, heard) => {
                self.serving.swap(remade).await;
                let clusters = &self.serving.snapshot().clusters;
                if let Some(running) = &self.running {
                    running.send_modify(|running| {
                        *running = Arc::new(Running {
                            clusters: clusters.clone(),
                            ..Running::clone(running)
                        });
                    });
                }
                for heard in heard {
                    let _ = heard.send(());
                }
                self.swaps.begin(self.serving.snapshot());
            }
        }
    }

    /// Puts into effect what was loaded; or changes nothing and says why.
    async fn reload(&mut self, trigger: Trigger, attempt: Result<Attempt, String>) -> Reloaded {
        let attempt = match attempt {
            Ok(Attempt::Same(_)) => {
                return Reloaded::Applied {
                    epoch: self.serving.epoch(),
                    changes: Vec::new(),
                    warnings: Diagnostics::default(),
                };
            }
            Ok(Attempt::Right(plan)) => Ok(plan),
            Ok(Attempt::Wrong(diagnostics)) => Err(Reloaded::Invalid(diagnostics)),
            Err(why) => Err(Reloaded::Failed(why)),
        };
        notify::reloading();
        let prepared = match attempt {
            Ok(plan) => self.prepare(plan).await,
            Err(refused) => Err(refused),
        };
        let outcome = match prepared {
            Ok((prepared, admin)) => self.commit(prepared, admin).await,
            Err(refused) => refused,
        };
        self.tell(trigger, &outcome);
        outcome
    }

    /// Says how a load ended: in the log, in the metrics, to the admin interface, to the service manager.
    fn tell(&self, trigger: Trigger, outcome: &Reloaded) {
        let result = outcome.result();
        let message = match outcome {
            Reloaded::Applied {
                epoch,
                changes,
                warnings,
            } => {
                for line in warnings.lines() {
                    tracing::warn!("{line}");
                }
                tracing::info!(
                    %trigger,
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
                tracing::error!(%trigger, "configuration refused; the one before goes on");
                Some(diagnostics.lines().collect::<Vec<_>>().join("\n"))
            }
            Reloaded::Failed(why) => {
                tracing::error!(
                    %trigger,
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
        notify::ready(if result == ReloadResult::Ok {
            "serving"
        } else {
            "serving; the last reload was refused"
        });
    }

    async fn prepare(&self, plan: Plan) -> Result<(Prepared, Option<Bound>), Reloaded> {
        let now = &self.serving.snapshot().process;
        let wanted = plan.snapshot.process.admin.as_ref();
        let moved = wanted.map(|spec| &spec.bind) != now.admin.as_ref().map(|spec| &spec.bind);
        let admin = match wanted {
            Some(spec) if moved => Some(Bound::bind(&spec.bind).map_err(|error| {
                Reloaded::Failed(format!(
                    "cannot listen on {} (the admin interface): {error}",
                    spec.bind
                ))
            })?),
            _ => None,
        };
        loop {
            match plan.clone().prepare(&self.serving) {
                Ok(prepared) => return Ok((prepared, admin)),
                Err(unready) if self.serving.settles(&unready) => tokio::time::sleep(SETTLE).await,
                Err(unready) => return Err(Reloaded::Failed(unready.to_string())),
            }
        }
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
            // Requests under way are tasks of their own, so the order that is answered now is answered.
            served.abort();
        }
        if let Some(bound) = admin {
            self.serve_admin(bound);
        }
        self.watch.follow(&watch);
        self.loads.sweep();
        self.swaps.settle(self.serving.snapshot());
        self.keeper.follow(&self.serving.snapshot().process.dns);
        // What was said while the configuration was compiled is not in it.
        self.swaps.ask(None, self.serving.snapshot());
        Reloaded::Applied {
            epoch,
            changes,
            warnings,
        }
    }

    fn serve_admin(&mut self, bound: Bound) {
        let Some(running) = &self.running else { return };
        let (reloads, swaps) = (self.orders.clone(), self.orders.clone());
        let context = Context {
            hub: Arc::clone(self.serving.hub()),
            live: Arc::clone(&self.live),
            running: running.subscribe(),
            reload: Reload::new(move || orders::reload(reloads.clone())),
            swap: Swap::new(move || orders::swap(swaps.clone())),
            readiness: Arc::clone(&self.readiness),
            ledger: Arc::clone(self.serving.ledger()),
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
                    serves: listener.serves.clone(),
                    tls: listener.tls.clone(),
                })
                .collect(),
            clusters: snapshot.clusters.clone(),
            limiters: snapshot.limiters.clone(),
            routes: Arc::clone(&snapshot.routes),
            last_load,
            token: snapshot
                .process
                .admin
                .as_ref()
                .and_then(|spec| spec.token.clone()),
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

    /// Looks after the workers from now on.
    pub(super) fn watch_workers(&self, workers: Vec<mpsc::Sender<Command>>) {
        task::spawn(
            "watchdog",
            watchdog::run(workers, Arc::clone(&self.readiness)),
        );
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

/// Diagnostics travel between tasks of one thread, but the admin interface asks for `Send`.
const _: () = {
    const fn sends<T: Send>() {}
    sends::<Diagnostics>();
};
