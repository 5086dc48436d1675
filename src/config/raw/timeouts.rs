//! `timeouts` and `limits` of listeners, routes and clusters.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{ByteSize, Duration};

/// `timeouts` of a listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTimeouts {
    /// From accepting a connection to the end of its PROXY protocol header. Range: above `0s`. Default: `5s`.
    pub preface: Option<Spanned<Duration>>,
    /// From accepting a connection to its first byte. Range: above `0s`. Default: `10s`.
    pub first_byte: Option<Spanned<Duration>>,
    /// From accepting a connection to the end of the TLS handshake. Range: above `0s`. Default: `10s`.
    pub handshake: Option<Spanned<Duration>>,
    /// First byte of a request to its complete head. Range: above `0s`. Default: `10s`.
    pub header: Option<Spanned<Duration>>,
    /// Between two requests of a connection. Range: above `0s`. Default: `75s`.
    pub idle: Option<Spanned<Duration>>,
    /// Between two reads of a request body. Range: above `0s`. Default: `30s`.
    pub body: Option<Spanned<Duration>>,
    /// Between two writes to a client that does not read. Range: above `0s`. Default: `30s`.
    pub write: Option<Spanned<Duration>>,
    /// Age at which a connection ends with its next answer, a tenth more or less; tunnels are exempt; 0s: no limit. Default: `1h`.
    pub age: Option<Spanned<Duration>>,
    /// How long a client that still sends is listened to after the last answer, so that it reads it, and how long the end of a TLS connection waits for room. Range: above `0s`. Default: `2s`.
    pub linger: Option<Spanned<Duration>>,
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
    /// Longest name of a field. Range: `1B` to `8KiB`. Default: `256B`.
    pub header_name: Option<Spanned<ByteSize>>,
    /// Largest trailer section of a chunked body. Range: `0B` to `64KiB`. Default: `4KiB`.
    pub trailers: Option<Spanned<ByteSize>>,
    /// Most fields of a trailer section. Range: `0` to `256`. Default: `16`.
    pub trailer_count: Option<Spanned<u32>>,
    /// Longest extension of a chunk; extensions are read over. Range: `0B` to `64KiB`. Default: `256B`.
    pub chunk_extension: Option<Spanned<ByteSize>>,
    /// All extensions of a body together. Range: `0B` to `1MiB`. Default: `16KiB`.
    pub chunk_extensions: Option<Spanned<ByteSize>>,
    /// Connections of one client address; trusted proxies are exempt; 0: no limit. Default: `1024`.
    pub connections_per_client: Option<Spanned<u32>>,
    /// TLS handshakes under way at a time, over all workers; over it one that has said nothing for a second makes way, or the new one is closed; 0: no limit. Default: `4096`.
    pub handshakes: Option<Spanned<u32>>,
    /// Requests of one connection; 0: no limit. Default: `10000`, of HTTP/2 no limit.
    pub requests_per_connection: Option<Spanned<u32>>,
    /// Least bytes a second of a request body, with ten seconds of grace; 0B: no limit. Default: `256B`.
    pub body_rate: Option<Spanned<ByteSize>>,
    /// Least bytes a second that a client takes of an answer while some wait, with ten seconds of grace, or the time
    /// that 64 KiB take at this rate if that is longer; 0B: no limit. Default: `512B`.
    pub write_rate: Option<Spanned<ByteSize>>,
    /// Bytes that the kernel holds for a client beyond those that are on their way to it: what a slow reader costs in
    /// memory. Range: `16KiB` to `64MiB`. Default: `64KiB`.
    pub unsent: Option<Spanned<ByteSize>>,
    /// Unread bytes of a request that are skipped so that its connection goes on after an answer of ours. Range: `0B` to `1MiB`. Default: `64KiB`.
    pub skip: Option<Spanned<ByteSize>>,
    /// Most bytes that are read and thrown away after the last answer of a connection. Range: `0B` to `1GiB`. Default: `16MiB`.
    pub linger: Option<Spanned<ByteSize>>,
}

/// `timeouts` of a route; `response`, `response_idle` and `tunnel` win over those of the cluster; its `connect` cannot be
/// set here.
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
    /// Largest header section, else 431; beyond what its listeners refuse. 0B: no limit of its own. Default: `0B`.
    pub headers: Option<Spanned<ByteSize>>,
    /// Most header fields, else 431; 0: no limit of its own. Default: `0`.
    pub header_count: Option<Spanned<u32>>,
}

/// `limits` of a cluster: what is taken of an endpoint's answer; over it the answer is refused with 502.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterLimits {
    /// Largest head of an answer. Range: `256B` to `1MiB`. Default: `64KiB`.
    pub headers: Option<Spanned<ByteSize>>,
    /// Most fields in it. Range: `1` to `256`. Default: `200`.
    pub header_count: Option<Spanned<u32>>,
    /// Longest name of a field. Range: `1B` to `8KiB`. Default: `256B`.
    pub header_name: Option<Spanned<ByteSize>>,
    /// Most informational heads (1xx) before the final one. Range: `0` to `256`. Default: `16`.
    pub interim: Option<Spanned<u32>>,
    /// Largest trailer section of a chunked body. Range: `0B` to `64KiB`. Default: `4KiB`.
    pub trailers: Option<Spanned<ByteSize>>,
    /// Most fields of a trailer section. Range: `0` to `256`. Default: `16`.
    pub trailer_count: Option<Spanned<u32>>,
    /// Longest extension of a chunk; extensions are read over. Range: `0B` to `64KiB`. Default: `256B`.
    pub chunk_extension: Option<Spanned<ByteSize>>,
    /// All extensions of a body together. Range: `0B` to `1MiB`. Default: `16KiB`.
    pub chunk_extensions: Option<Spanned<ByteSize>>,
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
