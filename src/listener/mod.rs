//! Listeners: a bound address and how to speak on it.
//!
//! Turns `[[listeners]]` into [`ListenerSpec`]s: everything that a worker needs to bind, accept and read heads, and where the
//! connections of layer 4 go.
//!
//! **Invariants.** No two addresses of one configuration overlap, that of the admin interface included. Time
//! limits are above zero and size limits have a ceiling: nothing that a client sends is waited for or kept
//! without a bound.
//!
//! **Not here.** Sockets (`net`), which routes serve a listener (`route`), the connection (`downstream`).

pub mod admin;

mod address;
mod compile;
mod heads;
mod http2;
mod names;
mod protocol;
mod serves;
mod unix;

use std::sync::Arc;
use std::time::Duration;

use crate::base::{CidrSet, ListenAddr, ListenerName};
use crate::filter::{PagesIx, SessionFilters};
use crate::http1::limits::BodyLimits;
use crate::http1::request::{HeadLimits, MAX_NAME};
use crate::http2::Limits;
use crate::message::forwarded;
use crate::message::forwarded::Proto;
use crate::message::path;
use crate::net::unix::Access;
use crate::net::{Liveness, UNSENT};
use crate::tls::ServerTls;

pub use address::overlaps;
pub use admin::AdminSpec;
pub use compile::compile;
pub use names::ServerNames;
pub use serves::{Found, Serves, Target, TcpSpec, UdpSpec, Way};

/// One listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerSpec {
    /// The name in logs and metrics.
    pub name: ListenerName,
    /// Where to listen, at least one. Port 0: any that is free.
    pub binds: Vec<ListenAddr>,
    /// Who may connect to those that are unix sockets.
    pub access: Access,
    /// What the kernel is asked to watch of its connections.
    pub liveness: Liveness,
    /// What is done with its connections.
    pub serves: Serves,
    /// What sessions of layer 4 go through before that.
    pub filters: SessionFilters,
    /// Whether a PROXY protocol header comes first.
    pub proxy_protocol: ProxyProtocol,
    /// Whose words about the client are believed.
    pub trusted: CidrSet,
    /// What endpoints are told of the client.
    pub forwarding: forwarded::Headers,
    /// Names of further fields that only trusted proxies may send.
    pub identity: Arc<[Box<str>]>,
    /// What is done with unusual paths.
    pub path: path::Policy,
    /// How long is waited for a client.
    pub timeouts: ListenerTimeouts,
    /// How much is taken from a client.
    pub limits: ListenerLimits,
    /// Whether a client may speak HTTP/2 without TLS.
    pub h2c: H2c,
    /// What a connection of HTTP/2 may ask of us.
    pub http2: Limits,
    /// What the end of a client's sending side means while its request is served.
    pub half_close: HalfClose,
    /// What clients are shown when something failed.
    pub pages: Option<PagesIx>,
    /// TLS, where it is spoken.
    pub tls: Option<Arc<ServerTls>>,
}

/// A client closes its sending side while its request is served.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HalfClose {
    /// It may still read: the answer is sent.
    #[default]
    Continue,
    /// It is gone.
    Abort,
}

/// Whether a PROXY protocol header comes first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ProxyProtocol {
    /// None is expected: whatever comes belongs to the client.
    #[default]
    Off,
    /// Trusted peers may send one.
    Accept,
    /// A connection without one from a trusted peer is closed.
    Require,
}

/// HTTP/2 without TLS.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum H2c {
    /// A client that begins with its preface is served.
    #[default]
    PriorKnowledge,
    /// HTTP/1 only.
    Off,
}

/// Time limits of a listener, all but `age` above zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListenerTimeouts {
    /// From accepting a connection to the end of its PROXY protocol header.
    pub preface: Duration,
    /// From accepting a connection to its first byte.
    pub first_byte: Duration,
    /// From accepting a connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request to its complete head.
    pub header: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Between two reads of a request body.
    pub body: Duration,
    /// Between two writes to a client.
    pub write: Duration,
    /// Age at which a connection ends with its next answer; 0: none.
    pub age: Duration,
    /// How long a client that still sends is listened to after the last answer.
    pub linger: Duration,
}

/// Size limits of a listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListenerLimits {
    /// Longest request line, in bytes.
    pub request_line: usize,
    /// All field lines of a head together, in bytes.
    pub headers: usize,
    /// Most fields in a head.
    pub header_count: usize,
    /// Longest name of a field, in bytes.
    pub header_name: usize,
    /// What of a chunked body is no data.
    pub body: BodyLimits,
    /// Connections of one client; 0: no limit.
    pub connections_per_client: u32,
    /// TLS handshakes under way at a time; 0: no limit.
    pub handshakes: usize,
    /// Requests of one connection; 0: no limit. See [`ListenerLimits::requests`].
    pub requests_per_connection: Option<u32>,
    /// Least bytes a second of a request body; 0: no limit.
    pub body_rate: u64,
    /// Least bytes a second that a client takes of an answer; 0: no limit.
    pub write_rate: u64,
    /// Bytes that the kernel holds for a client beyond those on their way.
    pub unsent: u32,
    /// Unread bytes of a request that are skipped for the sake of the connection.
    pub skip: u64,
    /// Bytes that are thrown away after the last answer.
    pub linger: u64,
}

impl ListenerSpec {
    /// What its clients speak.
    pub const fn proto(&self) -> Proto {
        match self.tls {
            None => Proto::Http,
            Some(_) => Proto::Https,
        }
    }

    /// What the codec must know of it.
    pub const fn head(&self) -> HeadLimits {
        HeadLimits {
            request_line: self.limits.request_line,
            headers: self.limits.headers,
            count: self.limits.header_count,
            name: self.limits.header_name,
            path: self.path,
            own: self.proto(),
        }
    }
}

impl Default for ListenerTimeouts {
    fn default() -> Self {
        Self {
            preface: Duration::from_secs(5),
            first_byte: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
            age: Duration::from_hours(1),
            linger: Duration::from_secs(2),
        }
    }
}

impl ListenerLimits {
    /// Requests of one connection of HTTP/1.
    pub fn requests(&self) -> u32 {
        unless_zero(self.requests_per_connection.unwrap_or(10_000))
    }

    /// The same of HTTP/2. Without a word from the operator there is no limit but the connection's age: what a client has
    /// on its way when it is told to leave comes back unprocessed, and not all of them repeat that.
    pub fn streams(&self) -> u32 {
        unless_zero(self.requests_per_connection.unwrap_or(0))
    }
}

/// A limit; 0 is none.
const fn unless_zero(most: u32) -> u32 {
    if most == 0 { u32::MAX } else { most }
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            request_line: 8 << 10,
            headers: 32 << 10,
            header_count: 100,
            header_name: MAX_NAME,
            body: BodyLimits::DEFAULT,
            connections_per_client: 1024,
            handshakes: 4096,
            requests_per_connection: None,
            body_rate: 256,
            write_rate: 512,
            unsent: UNSENT,
            skip: 64 << 10,
            linger: 16 << 20,
        }
    }
}

#[cfg(test)]
mod tests;
