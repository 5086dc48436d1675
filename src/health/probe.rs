//! One probe: connect, ask, judge.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::spec::{Check, Connections, HealthSpec, TcpCheck, UdpCheck};
use super::{command, grpc, http};
use crate::base::{ClusterName, EndpointAddr, Error, Reason};
use crate::net::Stream;
use crate::upstream::{self, ConnectSpec};

/// How much of a body is searched, in bytes.
pub(super) const MAX_BODY: usize = 64 << 10;

/// Why a probe failed.
#[derive(Debug)]
pub enum Failure {
    /// Not done within the timeout.
    Timeout,
    /// The connection could not be made.
    Connect(Error),
    /// The connection broke, or what came back is not HTTP.
    Protocol(hyper::Error),
    /// A status that does not pass.
    Status(u16),
    /// The body does not contain what it must.
    Body,
    /// The connection broke before it brought what it must.
    Broken(io::Error),
    /// What came does not contain what it must.
    Unexpected,
    /// The gRPC call ended with this status; `None`: it is no gRPC answer.
    Grpc(Option<u32>),
    /// The service is not serving; the number is the protocol's.
    NotServing(u64),
    /// The program could not be started.
    Start(io::Error),
    /// It ended with this code; `None`: by a signal.
    Exit(Option<i32>),
    /// The answer was right and too late.
    Slow,
}

impl Failure {
    /// Whether it says something of the endpoint. What we lack ourselves (a source, a port, a descriptor) does not (E-150).
    pub(super) fn is_telling(&self) -> bool {
        !matches!(self, Self::Connect(error) if error.reason() == Reason::Overloaded)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::Connect(error) => match std::error::Error::source(error) {
                Some(cause) => write!(f, "cannot connect: {cause}"),
                None => write!(f, "cannot connect: {error}"),
            },
            Self::Protocol(error) => write!(f, "no valid answer: {error}"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Body => f.write_str("the body does not contain what it must"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Unexpected => f.write_str("what came does not contain what it must"),
            Self::Grpc(Some(status)) => write!(f, "grpc-status {status}"),
            Self::Grpc(None) => f.write_str("not an answer of gRPC"),
            Self::NotServing(state) => match state {
                0 => f.write_str("the service does not know its state"),
                2 => f.write_str("the service is not serving"),
                3 => f.write_str("the service is unknown"),
                other => write!(f, "serving status {other}"),
            },
            Self::Start(error) => write!(f, "cannot start the program: {error}"),
            Self::Exit(Some(code)) => write!(f, "exit code {code}"),
            Self::Exit(None) => f.write_str("the program was killed"),
            Self::Slow => f.write_str("the answer took longer than max_response_time"),
        }
    }
}

/// A connection that a probe has left for the next one.
pub(super) enum Kept {
    Http(http::Connection),
    Grpc(grpc::Connection),
}

/// What a probe is about.
pub(super) struct Subject<'p> {
    pub(super) cluster: &'p ClusterName,
    /// The endpoint.
    pub(super) endpoint: &'p EndpointAddr,
    /// Where it is probed.
    pub(super) at: &'p ConnectSpec,
}

/// Runs a check. It has no time limit of its own. A connection that was kept and turns out dead says nothing: a new one
/// is made.
pub(super) async fn run(
    spec: &HealthSpec,
    subject: &Subject<'_>,
    kept: &mut Option<Kept>,
) -> Result<(), Failure> {
    let before = kept.take();
    let at = subject.at;
    let header = spec.header();
    match &spec.check {
        Check::Tcp(check) => converse(check, connect(at, &header).await?).await,
        Check::Udp(check) => exchange(check, at, &header).await,
        Check::Http(check) => {
            let before = match before {
                Some(Kept::Http(connection)) => Some(connection),
                _ => None,
            };
            let (verdict, connection) =
                http::probe(check, at, &header, spec.connections, before).await?;
            *kept = keep(spec, connection).map(Kept::Http);
            verdict
        }
        Check::Grpc(check) => {
            let before = match before {
                Some(Kept::Grpc(connection)) => Some(connection),
                _ => None,
            };
            let (verdict, connection) = grpc::probe(check, at, &header, before).await?;
            *kept = keep(spec, connection).map(Kept::Grpc);
            verdict
        }
        Check::Command(check) => command::probe(check, subject).await,
    }
}

fn keep<C>(spec: &HealthSpec, connection: Option<C>) -> Option<C> {
    connection.filter(|_| spec.connections == Connections::Kept)
}

/// A connection to where an endpoint is probed, with this header in front.
pub(super) async fn connect(at: &ConnectSpec, header: &[u8]) -> Result<Stream, Failure> {
    upstream::connect(at, header)
        .await
        .map_err(Failure::Connect)
}

/// The authority of an address, where none is configured.
pub(super) fn authority(addr: &EndpointAddr) -> String {
    match addr {
        EndpointAddr::Inet(addr) => addr.to_string(),
        EndpointAddr::Unix(_) => "localhost".to_owned(),
    }
}

async fn converse<S>(check: &TcpCheck, mut stream: S) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if !check.send.is_empty() {
        stream
            .write_all(&check.send)
            .await
            .map_err(Failure::Broken)?;
    }
    if check.expect.is_empty() {
        return Ok(());
    }
    let mut search = Search::new(&check.expect);
    let mut piece = [0; 2048];
    loop {
        let len = stream.read(&mut piece).await.map_err(Failure::Broken)?;
        match search.look(piece.get(..len).unwrap_or_default()) {
            Looked::Found => return Ok(()),
            Looked::Full => return Err(Failure::Unexpected),
            Looked::NotYet if len == 0 => return Err(Failure::Unexpected),
            Looked::NotYet => {}
        }
    }
}

/// Sends a datagram and looks at the one that comes back. A port that nobody listens on says so (ICMP), which the connected
/// socket is told; silence is the timeout's.
async fn exchange(check: &UdpCheck, at: &ConnectSpec, header: &[u8]) -> Result<(), Failure> {
    // Traffic may be encrypted; whoever asks by datagrams says what they are.
    let at = ConnectSpec {
        tls: None,
        ..at.clone()
    };
    let socket = upstream::datagrams(&at, None).map_err(Failure::Connect)?;
    let datagram = [header, &check.send].concat();
    socket.send(&datagram).await.map_err(Failure::Broken)?;
    let mut answer = vec![0; MAX_BODY];
    let len = socket.recv(&mut answer).await.map_err(Failure::Broken)?;
    let mut search = Search::new(&check.expect);
    match search.look(answer.get(..len).unwrap_or_default()) {
        Looked::Found => Ok(()),
        Looked::NotYet | Looked::Full => Err(Failure::Unexpected),
    }
}

/// A search in the first [`MAX_BODY`] bytes, as they come: what was searched is not searched again, however small the
/// pieces are.
pub(super) struct Search<'w> {
    finder: memchr::memmem::Finder<'w>,
    seen: Vec<u8>,
}

/// What a look at a piece gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Looked {
    Found,
    NotYet,
    /// All that is searched has been.
    Full,
}

impl<'w> Search<'w> {
    pub(super) fn new(wanted: &'w [u8]) -> Self {
        Self {
            finder: memchr::memmem::Finder::new(wanted),
            seen: Vec::new(),
        }
    }

    pub(super) fn look(&mut self, piece: &[u8]) -> Looked {
        let from = self.seen.len().saturating_sub(self.finder.needle().len());
        let room = MAX_BODY.saturating_sub(self.seen.len()).min(piece.len());
        self.seen
            .extend_from_slice(piece.get(..room).unwrap_or_default());
        if self
            .finder
            .find(self.seen.get(from..).unwrap_or_default())
            .is_some()
        {
            Looked::Found
        } else if self.seen.len() >= MAX_BODY {
            Looked::Full
        } else {
            Looked::NotYet
        }
    }
}
