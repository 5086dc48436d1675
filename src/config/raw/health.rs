//! `[clusters.NAME.health]`: active probes.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{Choice, Duration, Ratio, StatusRange};

/// `[clusters.NAME.health]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// What a probe does.
    pub check: Spanned<Choice<Check>>,
    /// Between two probes of an endpoint. Range: above `0s`. Default: `5s`.
    pub interval: Option<Spanned<Duration>>,
    /// For the whole probe. Range: above `0s`. Default: `2s`.
    pub timeout: Option<Spanned<Duration>>,
    /// Slower answers count as failures; 0s: only `timeout`. Default: `0s`.
    pub max_response_time: Option<Spanned<Duration>>,
    /// Good probes in a row to become healthy. Range: at least `1`. Default: `2`.
    pub rise: Option<Spanned<u32>>,
    /// Bad probes in a row to become unhealthy. Range: at least `1`. Default: `3`.
    pub fall: Option<Spanned<u32>>,
    /// Share of the interval that is left to chance. Default: `0.1`.
    pub jitter: Option<Spanned<Ratio>>,
    /// What an endpoint is until its first probe. Default: `healthy`.
    pub initial: Option<Spanned<InitialHealth>>,
}

/// `check`: what a probe does.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Sends a GET.
    Http(HttpCheck),
    /// Connects.
    Tcp(TcpCheck),
    /// Asks the gRPC health service. Not in this build.
    Grpc(GrpcCheck),
    /// Runs a program. Not in this build.
    Command(CommandCheck),
}

/// `{ http = … }` of `check`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// Path, with a query if need be. Default: `/`.
    pub path: Option<Spanned<String>>,
    /// Host of the request. Default: the endpoint's address.
    pub host: Option<Spanned<String>>,
    /// Good statuses. Default: `200-299`.
    pub status: Option<Spanned<Vec<Spanned<StatusRange>>>>,
    /// What the first 64 KiB of the body must contain.
    pub body_contains: Option<Spanned<String>>,
}

/// `{ tcp = {} }`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpCheck {}

/// `{ grpc = … }`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcCheck {
    /// Name of the service. Default: empty: the whole server.
    pub service: Option<Spanned<String>>,
}

/// `{ command = … }`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandCheck {
    /// Program and arguments; exit code 0 is good.
    pub argv: Spanned<Vec<Spanned<String>>>,
}

/// `initial`: what an endpoint is until its first probe.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitialHealth {
    /// It gets traffic until its first probe has failed.
    Healthy,
    /// It gets none until its first probe has passed.
    Unhealthy,
}
