//! One probe: connect, ask, judge.

use std::fmt;
use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use memchr::memmem::Finder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::spec::{Check, HttpCheck};
use crate::base::EndpointAddr;

/// How much of a body is searched, in bytes.
pub(super) const MAX_BODY: usize = 64 << 10;

/// Largest response head that is read, in bytes.
const MAX_HEAD: usize = 64 << 10;

const AGENT: &str = concat!("tidegate-health/", env!("CARGO_PKG_VERSION"));

/// Why a probe failed.
#[derive(Debug)]
pub enum Failure {
    /// Not done within the timeout.
    Timeout,
    /// The connection could not be made.
    Connect(io::Error),
    /// The connection broke, or what came back is not HTTP.
    Protocol(hyper::Error),
    /// A status that does not pass.
    Status(u16),
    /// The body does not contain what it must.
    Body,
    /// The answer was right and too late.
    Slow,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Protocol(error) => write!(f, "no valid answer: {error}"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Body => f.write_str("the body does not contain what it must"),
            Self::Slow => f.write_str("the answer took longer than max_response_time"),
        }
    }
}

/// Runs a check against an address. It has no time limit of its own.
pub(super) async fn run(check: &Check, addr: &EndpointAddr) -> Result<(), Failure> {
    match addr {
        EndpointAddr::Inet(inet) => {
            let stream = TcpStream::connect(inet).await.map_err(Failure::Connect)?;
            over(check, addr, stream).await
        }
        EndpointAddr::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(Failure::Connect)?;
            over(check, addr, stream).await
        }
    }
}

async fn over<S>(check: &Check, addr: &EndpointAddr, stream: S) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match check {
        Check::Tcp => Ok(()),
        Check::Http(check) => ask(check, addr, stream).await,
    }
}

async fn ask<S>(check: &HttpCheck, addr: &EndpointAddr, stream: S) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(Failure::Protocol)?;
    let request = request(check, addr);
    let exchange = async {
        let response = sender.send_request(request).await;
        judge(check, response.map_err(Failure::Protocol)?).await
    };
    // The connection may end before its last bytes have been looked at: its end decides nothing.
    let drive = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        biased;
        verdict = exchange => verdict,
        verdict = drive => verdict,
    }
}

fn request(check: &HttpCheck, addr: &EndpointAddr) -> hyper::Request<Empty<Bytes>> {
    let own = || match addr {
        EndpointAddr::Inet(addr) => HeaderValue::from_str(&addr.to_string()).ok(),
        EndpointAddr::Unix(_) => None,
    };
    let host = check.host.clone().or_else(own);
    let host = host.unwrap_or(HeaderValue::from_static("localhost"));
    let mut request = hyper::Request::new(Empty::new());
    *request.uri_mut() = check.path.clone().into();
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    request
}

async fn judge(check: &HttpCheck, response: hyper::Response<Incoming>) -> Result<(), Failure> {
    let status = response.status().as_u16();
    if !check.statuses.iter().any(|range| range.contains(&status)) {
        return Err(Failure::Status(status));
    }
    match &check.body_contains {
        None => Ok(()),
        Some(wanted) => search(response.into_body(), wanted.as_bytes()).await,
    }
}

/// Looks for `wanted` in the first [`MAX_BODY`] bytes, as they come: what was searched is not searched
/// again, however small the pieces are.
async fn search(mut body: Incoming, wanted: &[u8]) -> Result<(), Failure> {
    let finder = Finder::new(wanted);
    let mut seen: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Failure::Protocol)?;
        let Some(bytes) = frame.data_ref() else {
            continue;
        };
        let from = seen.len().saturating_sub(wanted.len());
        let room = MAX_BODY.saturating_sub(seen.len()).min(bytes.len());
        seen.extend_from_slice(bytes.get(..room).unwrap_or_default());
        if finder.find(seen.get(from..).unwrap_or_default()).is_some() {
            return Ok(());
        }
        if seen.len() >= MAX_BODY {
            break;
        }
    }
    Err(Failure::Body)
}
