//! `[log]` and `[log.access]`.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{Choice, FilePath, Ratio};

/// `[log]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Least level that is written. `RUST_LOG` wins over it. Default: `info`.
    pub level: Option<Spanned<Level>>,
    /// How a line looks. Default: `text`. Read at start.
    pub format: Option<Spanned<Format>>,
    /// `[log.access]`.
    #[serde(default)]
    pub access: AccessLog,
}

/// `level`: how much is said.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Only what failed.
    Error,
    /// And what is suspicious.
    Warn,
    /// And what an operator wants to know.
    Info,
    /// And what a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// `format`: how a line looks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people.
    Text,
    /// For programs, one object a line.
    Json,
}

/// `[log.access]`: one line an exchange.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    /// Where the lines go. Default: `stdout`.
    pub output: Option<Spanned<Choice<AccessOutput>>>,
    /// How a line looks. Default: `json`.
    pub format: Option<Spanned<Format>>,
    /// Share of successful exchanges that are written. Default: `1.0`.
    pub sample: Option<Spanned<Ratio>>,
    /// Which fields, in this order. Default: all but those of TLS, user agent and referer.
    pub fields: Option<Spanned<Vec<Spanned<String>>>>,
    /// Fields whose value is replaced by `-`. Default: none.
    pub redact: Option<Spanned<Vec<Spanned<String>>>>,
}

/// `output`: where access lines go.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessOutput {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// A file; SIGUSR1 opens it again.
    File(AccessFile),
}

/// `{ file = … }` of `output`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessFile {
    /// The file; it is made when it is not there.
    pub path: Spanned<FilePath>,
}
