//! What a probe asks for, as configured.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use regex::bytes::Regex;

use super::cell::HealthPolicy;
use crate::base::EndpointAddr;
use crate::net::preface::{Carrier, Outgoing, Version};

/// What a probe does.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Check {
    /// Connects, sends a request and looks at the answer.
    Http(HttpCheck),
    /// Connects, and may send and expect bytes.
    Tcp(TcpCheck),
    /// Sends a datagram and waits for one.
    Udp(UdpCheck),
    /// Asks `grpc.health.v1.Health/Check`.
    Grpc(GrpcCheck),
    /// Runs a program.
    Command(CommandCheck),
}

/// A request and what its answer must be.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HttpCheck {
    /// Method of the request.
    pub method: Method,
    /// Path and query of the request.
    pub path: PathAndQuery,
    /// Host of the request; `None`: the address that is probed.
    pub host: Option<HeaderValue>,
    /// Further fields of the request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Statuses that pass.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Bytes that must stand in the first 64 KiB of the body.
    pub body_contains: Option<Box<str>>,
    /// What they must match.
    pub body_regex: Option<BodyRegex>,
}

/// A regular expression, compared by its text.
#[derive(Clone, Debug)]
pub struct BodyRegex(pub Regex);

impl PartialEq for BodyRegex {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for BodyRegex {}

impl Hash for BodyRegex {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

/// Bytes to send and bytes to expect; empty: none.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct TcpCheck {
    /// What is sent.
    pub send: Box<[u8]>,
    /// What must stand in the first 64 KiB that come.
    pub expect: Box<[u8]>,
}

/// A datagram to send, and bytes to expect in the answer; empty: any.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct UdpCheck {
    /// What is sent; never empty.
    pub send: Box<[u8]>,
    /// What must stand in the answer.
    pub expect: Box<[u8]>,
}

/// A question to the gRPC health service.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct GrpcCheck {
    /// The service that is asked for; empty: the server as a whole.
    pub service: Box<str>,
    /// Authority of the request; `None`: the address that is probed.
    pub host: Option<Box<str>>,
}

/// A program and its arguments.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CommandCheck {
    /// Its absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// Where to probe, where that is not the endpoint's own address.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Elsewhere {
    /// Another address.
    pub address: Option<IpAddr>,
    /// Another port.
    pub port: Option<u16>,
}

impl Elsewhere {
    /// Where an endpoint is probed; `None`: there is no such place, as a unix socket has no ports.
    pub fn of(&self, endpoint: &EndpointAddr) -> Option<EndpointAddr> {
        match (endpoint, self.address, self.port) {
            (_, None, None) => Some(endpoint.clone()),
            (EndpointAddr::Inet(own), address, port) => {
                let address = address.unwrap_or_else(|| own.ip());
                let port = port.unwrap_or_else(|| own.port());
                Some(EndpointAddr::Inet(SocketAddr::new(address, port)))
            }
            (EndpointAddr::Unix(_), Some(address), Some(port)) => {
                Some(EndpointAddr::Inet(SocketAddr::new(address, port)))
            }
            (EndpointAddr::Unix(_), _, _) => None,
        }
    }
}

/// Whether a probe goes over the connection of the one before.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Connections {
    /// Each probe makes its own.
    #[default]
    Fresh,
    /// It is kept while both sides want.
    Kept,
}

/// Whether probes speak TLS.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum ProbeTls {
    /// Where the traffic of the cluster does.
    #[default]
    AsTraffic,
    /// Never.
    Off,
}

/// What to probe with, and what to make of it.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthSpec {
    /// What is done.
    pub check: Check,
    /// Where.
    pub elsewhere: Elsewhere,
    /// What goes first, where endpoints are told of clients by the PROXY protocol.
    pub preface: Option<Version>,
    /// Whether under TLS.
    pub tls: ProbeTls,
    /// Over which connections.
    pub connections: Connections,
    /// When, and what results mean.
    pub policy: HealthPolicy,
}

impl HealthSpec {
    /// What a connection begins with: a word that it is our own. Elsewhere than at the endpoint's own address
    /// something else may listen, which does not expect it.
    pub fn header(&self) -> Vec<u8> {
        match self.preface {
            // Version 1 has no word for datagrams.
            Some(Version::V1) if matches!(self.check, Check::Udp(_)) => Vec::new(),
            Some(version) if self.elsewhere == Elsewhere::default() => {
                Outgoing::local(version).bytes(Carrier::Stream)
            }
            _ => Vec::new(),
        }
    }

    /// Identity of the check within this process. The policy has no part in it: under new thresholds
    /// the old observations stand.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.check, &self.elsewhere, self.preface, self.tls).hash(&mut hasher);
        hasher.finish()
    }
}
