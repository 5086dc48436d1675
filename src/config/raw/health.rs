//! `[clusters.NAME.health]`: active probes.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{Choice, Duration, Named, Ratio, StatusRange};

/// `[clusters.NAME.health]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// What a probe does.
    pub check: Spanned<Choice<Check>>,
    /// Where to probe instead of the endpoint's own address: an IP address, without a port. Default: the endpoint's.
    pub address: Option<Spanned<String>>,
    /// And on which port. Range: `1` to `65535`. Default: the endpoint's.
    pub port: Option<Spanned<u16>>,
    /// Between two probes of an endpoint. Range: above `0s`. Default: `5s`.
    pub interval: Option<Spanned<Duration>>,
    /// The same while the endpoint is unhealthy or its last probe failed; never longer than `interval`. Range: above
    /// `0s`. Default: `1s`.
    pub failing_interval: Option<Spanned<Duration>>,
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
    /// Whether probes speak TLS where the traffic of the cluster does. Default: `true`.
    pub tls: Option<Spanned<bool>>,
    /// Whether an http or grpc probe uses the connection of the one before; without it each probe also shows that
    /// connections can be made. Default: `false`.
    pub keep_alive: Option<Spanned<bool>>,
    /// What an endpoint is until its first probe. Default: `healthy`.
    pub initial: Option<Spanned<InitialHealth>>,
}

/// `check`: what a probe does.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Sends a request.
    Http(HttpCheck),
    /// Connects, and may send and expect bytes.
    Tcp(TcpCheck),
    /// Sends a datagram and waits for one.
    Udp(UdpCheck),
    /// Asks the gRPC health service, over HTTP/2 with prior knowledge.
    Grpc(GrpcCheck),
    /// Runs a program.
    Command(CommandCheck),
}

/// `{ http = … }` of `check`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// Method; of the answer to a HEAD no body can be looked at. Default: `GET`.
    pub method: Option<Spanned<String>>,
    /// Path, with a query if need be. Default: `/`.
    pub path: Option<Spanned<String>>,
    /// Host of the request. Default: the address that is probed.
    pub host: Option<Spanned<String>>,
    /// Further fields of the request.
    #[serde(default)]
    pub headers: Named<Spanned<String>>,
    /// Good statuses. Default: `200-299`.
    pub status: Option<Spanned<Vec<Spanned<StatusRange>>>>,
    /// What the first 64 KiB of the body must contain.
    pub body_contains: Option<Spanned<String>>,
    /// The regular expression that the first 64 KiB of the body must match somewhere.
    pub body_regex: Option<Spanned<String>>,
}

/// `{ tcp = … }`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpCheck {
    /// Text that is sent. Default: nothing is.
    pub send: Option<Spanned<String>>,
    /// The same as bytes, two hexadecimal digits each.
    pub send_hex: Option<Spanned<String>>,
    /// Text that must stand in the first 64 KiB that come. Default: nothing is waited for.
    pub expect: Option<Spanned<String>>,
    /// The same as bytes, two hexadecimal digits each.
    pub expect_hex: Option<Spanned<String>>,
}

/// `{ udp = … }`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UdpCheck {
    /// Text of the datagram that is sent; this or `send_hex` must be there.
    pub send: Option<Spanned<String>>,
    /// The same as bytes, two hexadecimal digits each.
    pub send_hex: Option<Spanned<String>>,
    /// Text that must stand in the datagram that comes back. Default: any will do.
    pub expect: Option<Spanned<String>>,
    /// The same as bytes, two hexadecimal digits each.
    pub expect_hex: Option<Spanned<String>>,
}

/// `{ grpc = … }`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcCheck {
    /// Name of the service. Default: empty: the whole server.
    pub service: Option<Spanned<String>>,
    /// Authority of the request. Default: the address that is probed.
    pub host: Option<Spanned<String>>,
}

/// `{ command = … }`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandCheck {
    /// Program, by its absolute path, and arguments; exit code 0 is good. No shell is between. The environment has
    /// PATH, `TIDEGATE_CLUSTER`, `TIDEGATE_ENDPOINT` and, but for a unix socket, `TIDEGATE_HOST` and `TIDEGATE_PORT`.
    /// At the timeout the program is killed, with all that it started in its process group.
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
