//! The process: start, run, drain, stop.
//!
//! Turns a configuration file into running workers, and signals into reloads and drains. The thread that calls
//! [`run`] becomes the control thread: admin, probes, reloads and signals live there, none of which a request
//! waits for.
//!
//! **Invariants.** Nothing listens before everything that can fail has succeeded. A drain ends within its timeout
//! and a second, whatever the connections do.
//!
//! **Not here.** How a configuration takes effect (`reload`), what a worker does (`worker`).

mod control;
pub mod demo;
mod journal;
mod loads;
mod notify;
mod orders;
mod pages;
mod signal;
mod swaps;
mod watchdog;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::admin::Bound;
use crate::config::Color;
use crate::dns::Keeper;
use crate::downstream;
use crate::limit::Ledger;
use crate::metrics::Hub;
use crate::net::{files, socket};
use crate::record::LogWriter;
use crate::reload::{self, Plan, Serving};
use crate::snapshot::{Live, LogFormat};
use crate::state::Registry;
use crate::worker::local::Clients;
use crate::worker::thread::{self, Start};
use crate::worker::{Process, Worker};
use control::{Control, Over};
use journal::Journal;
use loads::Loads;

/// Exit code of a wrong configuration.
const REFUSED: u8 = 2;

/// How long workers may take to end after they were forced to.
const LAST_GRACE: Duration = Duration::from_millis(500);

/// How long jobs on other threads (a configuration that is being read) may hold up the end.
const LEFTOVERS: Duration = Duration::from_millis(100);

/// Fewer connections than these are hardly meant.
const FEW_CONNECTIONS: usize = 1000;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// How diagnostics are shown.
    pub color: Color,
}

/// Runs until a signal ends it: 0 after a drain, 1 when it could not start, 2 when the configuration is wrong.
pub fn run(options: &Options) -> ExitCode {
    // Before the configuration is read: caps are derived from it.
    let (before, files) = files::raise();
    let live = Arc::new(Live::default());
    let (plan, tried) = match reload::plan(&options.config, &live) {
        Ok(planned) => planned,
        Err(diagnostics) => {
            tell(&diagnostics.render_text(options.color));
            return ExitCode::from(REFUSED);
        }
    };
    let format = plan.snapshot.process.log_format;
    if format == LogFormat::Text && !plan.warnings.is_empty() {
        tell(&plan.warnings.render_text(options.color));
    }
    let (journal, level) = match journal::start(&plan.snapshot.process) {
        Ok(started) => started,
        Err(error) => {
            tell(&format!("error: cannot start the log's writer: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    // Whoever reads the log by its lines of JSON must be able to read all of them.
    if format == LogFormat::Json {
        for line in plan.warnings.lines() {
            tracing::warn!("{line}");
        }
    }
    if files != before {
        tracing::info!(?before, ?files, "the limit of open files is raised");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default());
    let ended = match runtime {
        Ok(runtime) => {
            let config = options.config.clone();
            let ended = runtime.block_on(serve(config, live, plan, tried, &journal, level));
            runtime.shutdown_timeout(LEFTOVERS);
            ended
        }
        Err(error) => Err(format!("cannot build the control runtime: {error}")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            match format {
                LogFormat::Text => journal.tell(&format!("error: {message}\n")),
                LogFormat::Json => tracing::error!("{message}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// Standard error, before anything serves; that it is closed ends nothing.
fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

async fn serve(
    config: PathBuf,
    live: Arc<Live>,
    plan: Plan,
    tried: reload::Tried,
    journal: &Journal,
    level: journal::Level,
) -> Result<(), String> {
    let settings = plan.snapshot.process.clone();
    let mut signals =
        signal::Signals::new().map_err(|error| format!("cannot take signals: {error}"))?;
    let hub = Hub::new(settings.workers);
    journal.register(&hub);
    let process = Arc::new(Process {
        hub: Arc::clone(&hub),
        connections: AtomicUsize::new(0),
        max_connections: AtomicUsize::new(settings.max_connections),
        clients: Clients::default(),
        ledger: Ledger::new(settings.memory),
        ids: Registry::default(),
        workers: settings.workers,
    });
    let log =
        LogWriter::start(&hub).map_err(|error| format!("cannot start the log writer: {error}"))?;
    let admin = match &settings.admin {
        Some(spec) => Some(Bound::bind(&spec.bind).map_err(|error| {
            format!(
                "cannot listen on {} (the admin interface): {error}",
                spec.bind
            )
        })?),
        None => None,
    };
    warn_of_limits(settings.max_connections);
    let keeper = Arc::new(Keeper::new(Arc::clone(&hub)));
    let plan = plan.resolve(&keeper, &live).await;
    let loads = Loads::new(config, Arc::clone(&live), Arc::clone(&keeper), tried);
    let workers = start_workers(&process, &log, &plan)?;
    let commands: Vec<_> = workers
        .iter()
        .map(|worker| worker.commands.clone())
        .collect();
    let serving = Serving::new(process, commands.clone(), log, Arc::clone(&plan.snapshot));
    let prepared = plan.prepare(&serving).map_err(|error| error.to_string())?;
    let (orders, inbox) = mpsc::channel(16);
    let mut control = Control::new(live, keeper, loads, serving, level, orders);
    control.start(prepared, admin).await;
    control.watch_workers(commands.clone());
    let over = control.run(inbox, &mut signals).await;
    drain(control, workers, &commands, &mut signals, over).await;
    match over {
        Over::Asked(_) => Ok(()),
        Over::WorkerGone => Err("a worker ended by itself".to_owned()),
    }
}

fn start_workers(
    process: &Arc<Process>,
    log: &LogWriter,
    plan: &Plan,
) -> Result<Vec<Worker>, String> {
    (0..process.workers)
        .map(|id| {
            let start = Start {
                id,
                io_uring: plan.snapshot.process.io_uring,
                process: Arc::clone(process),
                log: log.handle(),
                snapshot: Arc::clone(&plan.snapshot),
                epoch: 0,
            };
            thread::spawn(start, downstream::serve, downstream::serve_datagrams)
                .map_err(|error| format!("cannot start worker {id}: {error}"))
        })
        .collect()
}

/// Says now what will be in the way under load. The kernel shortens accept queues without a word (E-149).
fn warn_of_limits(max_connections: usize) {
    if max_connections < FEW_CONNECTIONS {
        tracing::warn!(
            max_connections,
            "few connections are allowed: raise the limit of open files, or runtime.max_connections"
        );
    }
    if let Some(most) = socket::somaxconn()
        && most < socket::BACKLOG
    {
        tracing::warn!(
            somaxconn = most,
            wanted = socket::BACKLOG,
            "net.core.somaxconn shortens the accept queues; raise it"
        );
    }
}

/// Drains: unready, then gentle, then forced.
async fn drain(
    control: Control,
    workers: Vec<Worker>,
    commands: &[mpsc::Sender<crate::worker::Command>],
    signals: &mut signal::Signals,
    over: Over,
) {
    use crate::drain::Phase;
    use crate::worker::Command;
    let settings = control.settings();
    control.unready();
    notify::stopping();
    let why = match over {
        Over::Asked(signal) => signal,
        Over::WorkerGone => "a worker ended by itself",
    };
    tracing::info!(
        why,
        connections = control.connections(),
        delay_ms = settings.shutdown_delay.as_millis(),
        timeout_ms = settings.drain_timeout.as_millis(),
        "draining"
    );
    let forced = tokio::select! {
        () = tokio::time::sleep(settings.shutdown_delay) => false,
        _ = signals.end() => true,
    };
    let tell = |phase| {
        for worker in commands {
            // One that does not take it is gone, or stuck: then it is cut with the process.
            let _ = worker.try_send(Command::Drain(phase));
        }
    };
    tell(Phase::Draining);
    let left = if forced {
        "a second signal"
    } else {
        tokio::select! {
            () = ended(&workers) => "",
            () = tokio::time::sleep(settings.drain_timeout) => "the drain timeout",
            _ = signals.end() => "a second signal",
        }
    };
    if !left.is_empty() {
        let open = control.connections();
        tracing::warn!(connections = open, "{left} ends what is left");
        tell(Phase::Forced);
        let _ = tokio::time::timeout(LAST_GRACE, ended(&workers)).await;
    }
    for worker in workers {
        if worker.thread.is_finished() && worker.thread.join().is_err() {
            tracing::error!("a worker had panicked");
        }
    }
    control.close();
    tracing::info!("stopped");
}

/// Waits until the last worker's thread has ended.
async fn ended(workers: &[Worker]) {
    while !workers.iter().all(|worker| worker.thread.is_finished()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Directories for temporary files belong to everybody: what is there already is not ours to follow.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// `tidegate demo`: origins in this process and a proxy in front of them.
pub fn demo(ports: demo::Ports, color: Color) -> ExitCode {
    let origins = match demo::start_origins() {
        Ok(origins) => origins,
        Err(error) => {
            tell(&format!(
                "error: cannot start the demo's origins: {error}\n"
            ));
            return ExitCode::FAILURE;
        }
    };
    let config = std::env::temp_dir().join(format!("tidegate-demo-{}.toml", std::process::id()));
    if let Err(error) = write_new(&config, &origins.config(ports)) {
        tell(&format!(
            "error: cannot write {}: {error}\n",
            config.display()
        ));
        return ExitCode::FAILURE;
    }
    for line in origins.moved() {
        tell(&format!("{line}\n"));
    }
    tell(&origins.what_to_try(ports));
    tell(&format!(
        "The configuration is {}: edit it and see it reload.\n\n",
        config.display()
    ));
    let code = run(&Options {
        config: config.clone(),
        color,
    });
    let _ = std::fs::remove_file(config);
    code
}
