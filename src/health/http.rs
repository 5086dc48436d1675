//! The probe that is an HTTP/1.1 request.

use std::future::{Future, pending};
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Method;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::probe::{Failure, Looked, MAX_BODY, Search, authority, connect};
use super::spec::{BodyRegex, Connections, HttpCheck};
use crate::base::EndpointAddr;
use crate::upstream::ConnectSpec;

/// Largest response head that is read, in bytes.
const MAX_HEAD: usize = 64 << 10;

pub(super) const AGENT: &str = concat!("tidegate-health/", env!("CARGO_PKG_VERSION"));

/// A connection and what drives it. Nobody drives it between two probes, so it costs nothing then; that the other side
/// has closed it is found by the next probe.
pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    driver: Pin<Box<dyn Future<Output = ()>>>,
}

type Asked = (Result<(), Failure>, Option<Connection>);

/// Asks, over the connection `before` if it still works. The verdict, and the connection where it can be used again.
pub(super) async fn probe(
    check: &HttpCheck,
    at: &ConnectSpec,
    header: &[u8],
    connections: Connections,
    before: Option<Connection>,
) -> Result<Asked, Failure> {
    if let Some(connection) = before {
        match ask(check, &at.addr, connections, connection).await {
            (Err(Failure::Protocol(_)), _) => {}
            asked => return Ok(asked),
        }
    }
    // Whatever traffic speaks, this is HTTP/1.1.
    let connection = handshake(connect(&at.in_http1(), header).await?).await?;
    Ok(ask(check, &at.addr, connections, connection).await)
}

async fn handshake<S>(stream: S) -> Result<Connection, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(Failure::Protocol)?;
    // The connection may end before its last bytes have been looked at: its end decides nothing.
    let driver = Box::pin(async {
        let _ = connection.await;
        pending::<()>().await;
    });
    Ok(Connection { sender, driver })
}

async fn ask(
    check: &HttpCheck,
    addr: &EndpointAddr,
    connections: Connections,
    mut connection: Connection,
) -> Asked {
    let request = request(check, addr, connections);
    let Connection { sender, driver } = &mut connection;
    let exchange = async {
        let response = sender.send_request(request).await;
        judge(check, response.map_err(Failure::Protocol)?).await
    };
    let verdict = tokio::select! {
        biased;
        verdict = exchange => verdict,
        () = driver => Ok(End::Dirty),
    };
    match verdict {
        Ok(End::Clean) => (Ok(()), Some(connection)),
        Ok(End::Dirty) => (Ok(()), None),
        Err(failure) => (Err(failure), None),
    }
}

/// Whether the answer was read to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Clean,
    Dirty,
}

fn request(
    check: &HttpCheck,
    addr: &EndpointAddr,
    connections: Connections,
) -> hyper::Request<Empty<Bytes>> {
    let own = || HeaderValue::from_str(&authority(addr)).ok();
    let host = check.host.clone().or_else(own);
    let host = host.unwrap_or(HeaderValue::from_static("localhost"));
    let mut request = hyper::Request::new(Empty::new());
    *request.method_mut() = check.method.clone();
    *request.uri_mut() = check.path.clone().into();
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    for (name, value) in &check.headers {
        headers.insert(name.clone(), value.clone());
    }
    if connections == Connections::Fresh {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    request
}

async fn judge(check: &HttpCheck, response: hyper::Response<Incoming>) -> Result<End, Failure> {
    let status = response.status().as_u16();
    if !check.statuses.iter().any(|range| range.contains(&status)) {
        return Err(Failure::Status(status));
    }
    let mut body = response.into_body();
    if check.method == Method::HEAD {
        return Ok(End::Clean);
    }
    if let Some(wanted) = &check.body_contains
        && check.body_regex.is_none()
    {
        return search(body, wanted.as_bytes()).await;
    }
    let wanted = check.body_contains.as_deref().unwrap_or_default();
    let mut seen = Vec::new();
    let mut end = End::Clean;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Failure::Protocol)?;
        let Some(piece) = frame.data_ref() else {
            continue;
        };
        let room = MAX_BODY.saturating_sub(seen.len());
        seen.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        if piece.len() > room {
            end = End::Dirty;
            break;
        }
    }
    let contains = memchr::memmem::find(&seen, wanted.as_bytes()).is_some();
    let matches = |regex: &BodyRegex| regex.0.is_match(&seen);
    if contains && check.body_regex.as_ref().is_none_or(matches) {
        Ok(end)
    } else {
        Err(Failure::Body)
    }
}

/// Looks for `wanted` and stops reading once it is found.
async fn search(mut body: Incoming, wanted: &[u8]) -> Result<End, Failure> {
    let mut search = Search::new(wanted);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Failure::Protocol)?;
        let Some(piece) = frame.data_ref() else {
            continue;
        };
        match search.look(piece) {
            Looked::Found if body.is_end_stream() => return Ok(End::Clean),
            Looked::Found => return Ok(End::Dirty),
            Looked::Full => break,
            Looked::NotYet => {}
        }
    }
    Err(Failure::Body)
}
