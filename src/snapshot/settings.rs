//! `[runtime]`, `[admin]` and `[log]` → [`ProcessSettings`].

use std::io::Read;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use super::compile::Purpose;
use super::machine;
use crate::base::secret::{MIN_SECRET, Secret};
use crate::cluster::{self, Site};
use crate::config::raw::log::{Format, Level};
use crate::config::raw::runtime::Workers;
use crate::config::types::ByteSize;
use crate::config::types::{self, FilePath, SecretError};
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned, raw};
use crate::dns;
use crate::listener::AdminSpec;
use crate::net::files;
use crate::tls::KeyLogFile;

/// Settings of the process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProcessSettings {
    /// Number of workers; fixed for the life of the process.
    pub workers: usize,
    /// Whether that number was written or found.
    pub workers_by: WorkersBy,
    /// Whether sends leave together where the kernel has that; fixed for the life of the process.
    pub io_uring: bool,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// How long `/ready` says 503 while still serving, before a drain begins.
    pub shutdown_delay: Duration,
    /// Most connections from clients, over all listeners.
    pub max_connections: usize,
    /// Bytes that peers may make us hold.
    pub memory: usize,
    /// Where the admin interface listens.
    pub admin: Option<AdminSpec>,
    /// How names of endpoints are resolved.
    pub dns: Arc<dns::Settings>,
    /// Level of the process's own log.
    pub log_level: LogLevel,
    /// Format of the process's own log; fixed for the life of the process.
    pub log_format: LogFormat,
}

/// Where the number of workers comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WorkersBy {
    /// One for each core that the process may use.
    Cores,
    /// The configuration.
    Number,
}

/// Level of the process's own log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// Format of the process's own log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl LogLevel {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl LogFormat {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Descriptors that are not connections: log, listeners, admin, probes, libraries.
const RESERVED_FILES: u64 = 200;
/// A process that may hardly open files still takes a few connections.
const FEWEST_CONNECTIONS: usize = 16;
/// Where there is no limit of open files.
const MANY_FILES: u64 = 1 << 20;

pub(super) fn compile(
    raw: &raw::Config,
    purpose: Purpose<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<ProcessSettings> {
    let runtime = &raw.runtime;
    let admin = match &raw.admin {
        None => None,
        Some(raw) => Some(AdminSpec::compile(raw, diagnostics)?),
    };
    let dns = Arc::new(dns::compile(&raw.dns, diagnostics)?);
    let duration =
        |raw: Option<Spanned<types::Duration>>, default| raw.map_or(default, |raw| raw.value.get());
    let (workers, workers_by) = workers(runtime.workers, purpose, diagnostics);
    Some(ProcessSettings {
        workers,
        workers_by,
        io_uring: io_uring(runtime.io_uring, purpose, diagnostics),
        drain_timeout: duration(runtime.drain_timeout, DRAIN_TIMEOUT),
        shutdown_delay: duration(runtime.shutdown_delay, Duration::ZERO),
        max_connections: max_connections(runtime.max_connections),
        memory: memory(runtime.memory, diagnostics),
        admin,
        dns,
        log_level: raw
            .log
            .level
            .as_ref()
            .map_or_else(LogLevel::default, |level| match level.value {
                Level::Error => LogLevel::Error,
                Level::Warn => LogLevel::Warn,
                Level::Info => LogLevel::Info,
                Level::Debug => LogLevel::Debug,
                Level::Trace => LogLevel::Trace,
            }),
        log_format: log_format(raw.log.format.as_ref(), purpose, diagnostics),
    })
}

/// What this instance is among its like.
pub(super) fn site(raw: &raw::Config, live: &cluster::Live, diagnostics: &mut Diagnostics) -> Site {
    let seed = raw.runtime.hash_seed.as_ref();
    let mut site = Site::new(seed.map(|seed| seed.as_str()));
    site.zone = raw
        .runtime
        .zone
        .as_ref()
        .and_then(|raw| zone(raw, diagnostics));
    site.secret = match &raw.runtime.secret_file {
        Some(file) => Some(secret(file, diagnostics)),
        None => live.secret().cloned(),
    };
    site
}

/// Where secrets of connections go, if an operator wants that.
pub(super) fn key_log(raw: &raw::Config, diagnostics: &mut Diagnostics) -> Option<KeyLogFile> {
    let path = raw.runtime.danger_tls_key_log.as_ref()?;
    let shown = path.value.0.display();
    match KeyLogFile::at(&path.value.0) {
        Ok(file) => {
            let text = format!("secrets of TLS connections are written to `{shown}`");
            diagnostics.push(
                Diagnostic::warning(Code::KeyLog, path.span, text)
                    .note("whoever has that file can read what was recorded")
                    .hint("remove this when the fault is found, and the file with it"),
            );
            Some(file)
        }
        Err(error) => {
            let text = format!("cannot write to `{shown}`: {error}");
            diagnostics.push(Diagnostic::error(Code::FileUnreadable, path.span, text));
            None
        }
    }
}

fn zone(raw: &Spanned<types::Secret>, diagnostics: &mut Diagnostics) -> Option<Arc<str>> {
    match raw.value.resolve() {
        Ok(name) => Some(name.into()),
        Err(error) => {
            let message = match error {
                SecretError::Empty => "a zone has a name".to_owned(),
                error => error.to_string(),
            };
            let hint =
                "write the name, or { env = \"NAME\" } where it is different on every instance";
            diagnostics.push(Diagnostic::error(Code::BadValue, raw.span, message).hint(hint));
            None
        }
    }
}

/// Longest secret that is read, in bytes.
const MAX_SECRET: u64 = 4096;

/// The secret that stands in a file. Where it cannot be had that is told, and an empty one stands in: the configuration is
/// refused, and nothing else need be said of it.
fn secret(file: &Spanned<FilePath>, diagnostics: &mut Diagnostics) -> Secret {
    let hint = "make one: head -c 32 /dev/urandom | base64 > tidegate.key; chmod 600 tidegate.key";
    let mut text = Vec::new();
    let read = std::fs::File::open(&file.value.0)
        .and_then(|opened| opened.take(MAX_SECRET).read_to_end(&mut text));
    let problem = match read {
        Ok(_) if text.trim_ascii().len() >= MIN_SECRET => {
            return Secret::from_text(text.trim_ascii());
        }
        Ok(_) => format!("the secret is shorter than {MIN_SECRET} bytes"),
        Err(error) => format!("cannot read `{}`: {error}", file.value.0.display()),
    };
    diagnostics.push(Diagnostic::error(Code::SecretUnavailable, file.span, problem).hint(hint));
    Secret::from_text(b"")
}

fn workers(
    raw: Option<Spanned<Workers>>,
    purpose: Purpose<'_>,
    diagnostics: &mut Diagnostics,
) -> (usize, WorkersBy) {
    let found = match raw.map(|raw| raw.value) {
        Some(Workers::Count(count)) => (count as usize, WorkersBy::Number),
        // Honours affinity and the limits of control groups.
        None | Some(Workers::Auto) => {
            let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
            (cores, WorkersBy::Cores)
        }
    };
    let Purpose::Follow(running) = purpose else {
        return found;
    };
    let kept = (running.workers, running.workers_by);
    if found.1 == WorkersBy::Cores && kept.1 == WorkersBy::Cores {
        // The limits of a control group may have changed since; that is no change of the configuration.
        return kept;
    }
    if found.0 != kept.0 {
        let span = raw.map(|raw| raw.span).unwrap_or_default();
        let (now, then) = (found.0.to_string(), kept.0.to_string());
        diagnostics.push(restart_only("runtime.workers", span, &now, &then));
    }
    found
}

fn io_uring(
    raw: Option<Spanned<bool>>,
    purpose: Purpose<'_>,
    diagnostics: &mut Diagnostics,
) -> bool {
    let wanted = raw.is_none_or(|raw| raw.value);
    if let Purpose::Follow(running) = purpose
        && running.io_uring != wanted
    {
        let span = raw.map(|raw| raw.span).unwrap_or_default();
        let (now, then) = (wanted.to_string(), running.io_uring.to_string());
        diagnostics.push(restart_only("runtime.io_uring", span, &now, &then));
    }
    wanted
}

fn log_format(
    raw: Option<&Spanned<Format>>,
    purpose: Purpose<'_>,
    diagnostics: &mut Diagnostics,
) -> LogFormat {
    let format = match raw.map(|raw| &raw.value) {
        None | Some(Format::Text) => LogFormat::Text,
        Some(Format::Json) => LogFormat::Json,
    };
    if let Purpose::Follow(running) = purpose
        && running.log_format != format
    {
        let span = raw.map(|raw| raw.span).unwrap_or_default();
        let (now, then) = (format.as_str(), running.log_format.as_str());
        diagnostics.push(restart_only("log.format", span, now, then));
    }
    format
}

fn restart_only(key: &str, span: Span, now: &str, then: &str) -> Diagnostic {
    Diagnostic::error(
        Code::RestartOnly,
        span,
        format!("`{key}` takes effect only at the start of the process: it runs with `{then}`, the file now gives `{now}`"),
    )
    .label("cannot be changed by a reload")
    .hint(format!("restart, or keep `{then}` to reload the rest"))
}

/// An exchange takes two descriptors: the client's and the endpoint's.
fn max_connections(raw: Option<Spanned<u32>>) -> usize {
    match raw {
        Some(raw) if raw.value > 0 => raw.value as usize,
        _ => {
            let files = files::limit().unwrap_or(MANY_FILES);
            let half = files.saturating_sub(RESERVED_FILES) / 2;
            usize::try_from(half)
                .unwrap_or(usize::MAX)
                .max(FEWEST_CONNECTIONS)
        }
    }
}

/// Less than this is spent on a handful of connections.
const LEAST_MEMORY: u64 = 16 << 20;

fn memory(raw: Option<Spanned<ByteSize>>, diagnostics: &mut Diagnostics) -> usize {
    let bytes = match raw {
        Some(raw) if raw.bytes() > 0 => {
            if raw.bytes() < LEAST_MEMORY {
                diagnostics.push(
                    Diagnostic::error(Code::BadValue, raw.span, "too little memory to serve with")
                        .label("allowed are 16MiB and more; or 0B, to be found"),
                );
            }
            raw.bytes()
        }
        // The rest is for code, configuration, the log's queue and what the allocator wastes.
        _ => (machine::memory() / 4 * 3).max(LEAST_MEMORY),
    };
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
