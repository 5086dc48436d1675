//! The process's own log: what happens to it, not to requests.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::snapshot::{LogFormat, LogLevel, ProcessSettings};

/// A handle on the level, for reloads. With `RUST_LOG` set the configuration's level has no say.
#[derive(Debug)]
pub(super) struct Level {
    handle: Option<reload::Handle<EnvFilter, tracing_subscriber::Registry>>,
}

/// Starts logging to standard error.
pub(super) fn start(settings: &ProcessSettings) -> Level {
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
        .with_writer(std::io::stderr)
        .with_target(false);
    let started = match settings.log_format {
        LogFormat::Text => registry
            .with(layer.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())))
            .try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    if let Err(error) = started {
        super::tell(&format!("logging was set up before: {error}\n"));
    }
    Level {
        handle: from_env.is_none().then_some(handle),
    }
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
