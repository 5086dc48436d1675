//! HTTP/2: `http2` of a listener, and `protocol.http2` of a cluster.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{ByteSize, Duration};

/// `http2` of a listener: what one connection of HTTP/2 may ask, and how often it may do what costs its client nothing.
/// A connection that goes over one of the latter is closed with `ENHANCE_YOUR_CALM`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http2 {
    /// Streams under way at a time; over it they are refused. Range: `1` to `10000`. Default: `128`.
    pub streams: Option<Spanned<u32>>,
    /// Bytes of one request body that may come before they are wanted. Range: `1KiB` to `16MiB`. Default: `256KiB`.
    pub stream_window: Option<Spanned<ByteSize>>,
    /// The same, of all streams of a connection together. Range: `64KiB` to `64MiB`. Default: `1MiB`.
    pub connection_window: Option<Spanned<ByteSize>>,
    /// Table of compressed heads that the client may use. Range: `4KiB` to `64KiB`. Default: `4KiB`.
    pub header_table: Option<Spanned<ByteSize>>,
    /// Frames that may go on with one head. Range: `1` to `1024`. Default: `16`.
    pub continuations: Option<Spanned<u32>>,
    /// Unanswered streams that the client may reset in a second. Range: `1` to `1000000`. Default: `100`.
    pub resets: Option<Spanned<u32>>,
    /// Unanswered streams that it may reset in all, once they are more than half of its streams. Range: `1` to `1000000`. Default: `500`.
    pub resets_total: Option<Spanned<u32>>,
    /// Streams that it may make us reset by what it does wrong: in a second, and in all once they are more than half of its streams. Range: `1` to `1000000`. Default: `100`.
    pub faults: Option<Spanned<u32>>,
    /// PING in ten seconds, and answers to them, beyond one for each frame of an answer meanwhile. Range: `1` to `1000000`. Default: `100`.
    pub pings: Option<Spanned<u32>>,
    /// SETTINGS in ten seconds, answers to none of ours included. Range: `1` to `1000000`. Default: `50`.
    pub settings: Option<Spanned<u32>>,
    /// Frames that nothing comes of, in ten seconds: PRIORITY, unknown ones, GOAWAY, and heads on streams that we have ended; beyond one for each stream that is begun meanwhile. Range: `1` to `1000000`. Default: `1000`.
    pub priorities: Option<Spanned<u32>>,
    /// DATA frames without data that end nothing, in ten seconds. Range: `1` to `1000000`. Default: `100`.
    pub empty_data: Option<Spanned<u32>>,
    /// `WINDOW_UPDATE` beyond two for each stream and each DATA frame of ours, and one for each KiB in them. Range: `1` to `1000000`. Default: `1000`.
    pub window_updates: Option<Spanned<u32>>,
    /// Whether streams may be a WebSocket each, by a CONNECT that names the protocol (RFC 8441). Default: `false`.
    pub websockets: Option<Spanned<bool>>,
}

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
