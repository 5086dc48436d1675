//! What decides whether a connection to an endpoint may be shared: the value that is connected from.

use std::time::Duration;

use crate::base::EndpointAddr;
use crate::net::preface::Version;
use crate::net::{Liveness, Source};
use crate::tls::TlsSpec;

/// Everything that goes into a connection to an endpoint. It is the only input to `connect` and the key
/// of the pool; `Eq` and `Hash` are derived, so a field that matters cannot be forgotten.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ConnectSpec {
    /// Where to.
    pub addr: EndpointAddr,
    /// What is spoken.
    pub protocol: Protocol,
    /// Whether a PROXY protocol header goes first: a connection speaks for one client then, and serves no other.
    pub preface: Option<Version>,
    /// TLS, where it is spoken.
    pub tls: Option<TlsSpec>,
    /// What the kernel is asked for.
    pub socket: SocketSpec,
}

/// Options of a connection.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct SocketSpec {
    /// How it finds out that the endpoint is gone.
    pub liveness: Liveness,
    /// Where it comes from; `None`: what the kernel finds best.
    pub source: Option<Source>,
}

impl SocketSpec {
    /// Whether it comes from the client's address.
    pub fn is_clients(&self) -> bool {
        self.source.as_ref().is_some_and(Source::is_clients)
    }
}

/// What is spoken to an endpoint.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, known beforehand.
    Http2(Http2),
    /// What the endpoint agrees to by ALPN: HTTP/2 so, or HTTP/1.1.
    Either(Http2),
}

impl ConnectSpec {
    /// The same endpoint, spoken to in HTTP/1.1 alone.
    #[must_use]
    pub fn in_http1(&self) -> Self {
        let offer = |tls: &TlsSpec| match self.protocol {
            Protocol::Http1 => tls.clone(),
            Protocol::Http2(_) | Protocol::Either(_) => tls.offering(&[b"http/1.1"]),
        };
        Self {
            protocol: Protocol::Http1,
            tls: self.tls.as_ref().map(offer),
            ..self.clone()
        }
    }
}

/// How HTTP/2 is spoken to an endpoint.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Http2 {
    /// Most exchanges at once over one connection.
    pub streams: u32,
    /// What of one answer may be on its way to us, in bytes.
    pub window: u32,
    /// Largest head of an answer, as HTTP/2 counts it: 32 bytes more for each field.
    pub head: u32,
    /// After so much silence it is asked whether it still lives; zero: never.
    pub ping_interval: Duration,
    /// How long the answer may take.
    pub ping_timeout: Duration,
}
