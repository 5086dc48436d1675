//! `protocol.http2` of a cluster: how HTTP/2 is spoken to endpoints.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{ByteSize, Duration};

/// `protocol = { http2 = … }` of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterHttp2 {
    /// Most requests at once over one connection; an endpoint may allow fewer. With more, each worker makes another.
    /// Range: `1` to `1000`. Default: `100`.
    pub streams: Option<Spanned<u32>>,
    /// What of one answer an endpoint may send before a client took it. Range: `16KiB` to `16MiB`. Default: `64KiB`.
    pub window: Option<Spanned<ByteSize>>,
    /// After so much silence on a connection that an answer is awaited on, the endpoint is asked by a PING whether it
    /// still lives; 0s: never. Default: `20s`.
    pub ping_interval: Option<Spanned<Duration>>,
    /// How long it may take to answer that; then the connection is given up. Range: above `0s`. Default: `10s`.
    pub ping_timeout: Option<Spanned<Duration>>,
}
