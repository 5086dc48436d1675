//! `timeouts` and `limits` of listeners, routes and clusters.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{ByteSize, Duration};

/// `timeouts` of a listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTimeouts {
    /// First byte of a request to its complete head. Range: above `0s`. Default: `10s`.
    pub header: Option<Spanned<Duration>>,
    /// Between two requests of a connection. Range: above `0s`. Default: `75s`.
    pub idle: Option<Spanned<Duration>>,
    /// Between two reads of a request body. Range: above `0s`. Default: `30s`.
    pub body: Option<Spanned<Duration>>,
}

/// `limits` of a listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerLimits {
    /// Longest request line. Range: `64B` to `256KiB`. Default: `8KiB`.
    pub request_line: Option<Spanned<ByteSize>>,
    /// Largest head. Range: `256B` to `1MiB`. Default: `32KiB`.
    pub headers: Option<Spanned<ByteSize>>,
    /// Most fields in a head. Range: `1` to `256`. Default: `100`.
    pub header_count: Option<Spanned<u32>>,
    /// Connections of one client address; trusted proxies are exempt; 0: no limit. Default: `1024`.
    pub connections_per_client: Option<Spanned<u32>>,
}

/// `timeouts` of a route; those of clusters may be set here too and win.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTimeouts {
    /// The whole exchange, retries included; 0s: no limit. Default: `0s`.
    pub request: Option<Spanned<Duration>>,
    /// Request sent to response head. Range: above `0s`.
    pub response: Option<Spanned<Duration>>,
    /// Between two reads of a response body. Range: above `0s`.
    pub response_idle: Option<Spanned<Duration>>,
    /// Idle time of WebSocket and other long streams. Range: above `0s`.
    pub tunnel: Option<Spanned<Duration>>,
    /// Between two reads of a request body. Range: above `0s`.
    pub body: Option<Spanned<Duration>>,
}

/// `limits` of a route.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteLimits {
    /// Largest request body, else 413; 0B: no limit. Default: `0B`.
    pub body: Option<Spanned<ByteSize>>,
}

/// `timeouts` of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterTimeouts {
    /// To open a connection. Range: above `0s`. Default: `3s`.
    pub connect: Option<Spanned<Duration>>,
    /// Request sent to response head. Range: above `0s`. Default: `60s`.
    pub response: Option<Spanned<Duration>>,
    /// Between two reads of a response body. Range: above `0s`. Default: `5m`.
    pub response_idle: Option<Spanned<Duration>>,
    /// Idle time of WebSocket, TCP, SSE and gRPC streams. Range: above `0s`. Default: `1h`.
    pub tunnel: Option<Spanned<Duration>>,
}
