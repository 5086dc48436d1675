//! The process's own log: what happens to it, not to requests.

mod queue;

use std::io;
use std::sync::Arc;

use queue::{MAX_QUEUED, Pen, Queue};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::metrics::{Hub, names};
use crate::snapshot::{LogFormat, LogLevel, ProcessSettings};

/// A handle on the level, for reloads. With `RUST_LOG` set the configuration's level has no say.
#[derive(Debug)]
pub(super) struct Level {
    handle: Option<reload::Handle<EnvFilter, tracing_subscriber::Registry>>,
}

/// What was said and is not written yet. Dropping it waits for that, but not for a reader who stalls.
#[derive(Debug)]
pub(super) struct Journal(Arc<Queue>);

impl Journal {
    /// Text that is no line of the log, behind those that are said already.
    pub(super) fn tell(&self, text: &str) {
        self.0.submit(text.as_bytes());
    }

    /// Says to whoever scrapes how many lines were dropped.
    pub(super) fn register(&self, hub: &Hub) {
        let queue = Arc::clone(&self.0);
        hub.register(Box::new(move |scrape| {
            scrape.add(&names::LOG_DROPPED, &[], queue.dropped());
        }));
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Starts logging to standard error, by a thread of its own: whoever reads there may stall.
pub(super) fn start(settings: &ProcessSettings) -> io::Result<(Journal, Level)> {
    let queue = Queue::new(settings.log_format, MAX_QUEUED);
    queue.start_writer()?;
    let journal = Journal(Arc::clone(&queue));
    let from_env = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.is_empty());
    let filter = match &from_env {
        Some(text) => EnvFilter::new(text),
        None => filter(settings.log_level),
    };
    let (filter, handle) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(move || Pen(Arc::clone(&queue)))
        .with_target(false);
    let started = match settings.log_format {
        LogFormat::Text => registry
            .with(layer.with_ansi(io::IsTerminal::is_terminal(&io::stderr())))
            .try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    if let Err(error) = started {
        journal.tell(&format!("logging was set up before: {error}\n"));
    }
    let level = Level {
        handle: from_env.is_none().then_some(handle),
    };
    Ok((journal, level))
}

/// Libraries speak up at `info` and above only: their details are theirs.
fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "info,tidegate=debug",
        LogLevel::Trace => "info,tidegate=trace",
    })
}

impl Level {
    /// Takes on the level of a new configuration.
    pub(super) fn set(&self, level: LogLevel) {
        if let Some(handle) = &self.handle
            && let Err(error) = handle.reload(filter(level))
        {
            tracing::warn!(%error, "cannot change the log level");
        }
    }
}
