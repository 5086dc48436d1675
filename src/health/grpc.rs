//! The probe that is a call of `grpc.health.v1.Health/Check`.
//!
//! Source: the gRPC health checking protocol, and gRPC over HTTP/2 for the framing. Two messages of one field each
//! are written and read here; a code generator and a gRPC library would be the larger part of the dependencies.

use std::future::Future;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE, USER_AGENT};
use hyper::rt::Executor;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::http::AGENT;
use super::probe::{Failure, authority, connect};
use super::spec::GrpcCheck;
use crate::task;
use crate::upstream::ConnectSpec;

/// Where the call goes.
const PATH: &str = "/grpc.health.v1.Health/Check";

/// Largest message that is read: the answer is two bytes.
const MAX_MESSAGE: usize = 4 << 10;

/// `ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// A connection, driven by a task of its own: pings and settings are answered between two probes, too.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What hyper runs for itself while a request is under way.
#[derive(Clone, Copy)]
struct Tasks;

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        task::spawn("probe stream", future);
    }
}

type Asked = (Result<(), Failure>, Option<Connection>);

/// Asks, over the connection `before` if it still works. The verdict, and the connection.
pub(super) async fn probe(
    check: &GrpcCheck,
    at: &ConnectSpec,
    header: &[u8],
    before: Option<Connection>,
) -> Result<Asked, Failure> {
    if let Some(mut connection) = before {
        match ask(check, at, &mut connection.sender).await {
            Err(Failure::Protocol(_)) => {}
            verdict => return Ok((verdict, Some(connection))),
        }
    }
    // Without TLS the other side knows by the preface.
    let at = ConnectSpec {
        tls: at.tls.as_ref().map(|tls| tls.offering(&[b"h2"])),
        ..at.clone()
    };
    let mut connection = handshake(connect(&at, header).await?).await?;
    let verdict = ask(check, &at, &mut connection.sender).await;
    Ok((verdict, Some(connection)))
}

async fn handshake<S>(stream: S) -> Result<Connection, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = Builder::new(Tasks)
        .timer(TokioTimer::new())
        .max_header_list_size(16 << 10)
        .initial_stream_window_size(64 << 10)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(Failure::Protocol)?;
    let driver = task::spawn("probe connection", async {
        // How it ended is told to whoever waits for an answer.
        let _ = connection.await;
    });
    Ok(Connection { sender, driver })
}

async fn ask(
    check: &GrpcCheck,
    at: &ConnectSpec,
    sender: &mut SendRequest<Full<Bytes>>,
) -> Result<(), Failure> {
    sender.ready().await.map_err(Failure::Protocol)?;
    let response = sender.send_request(request(check, at)).await;
    judge(response.map_err(Failure::Protocol)?).await
}

fn request(check: &GrpcCheck, at: &ConnectSpec) -> Request<Full<Bytes>> {
    let host = match &check.host {
        Some(host) => host.to_string(),
        None => authority(&at.addr),
    };
    let mut request = Request::new(Full::new(question(&check.service)));
    *request.method_mut() = Method::POST;
    // Endpoints hold it against the connection (RFC 9113, 8.3.1).
    let scheme = if at.tls.is_some() { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(host);
    *request.uri_mut() = uri.path_and_query(PATH).build().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    request
}

/// `HealthCheckRequest { string service = 1; }`, in one frame.
fn question(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = BytesMut::from(&[0][..]);
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&message);
    frame.freeze()
}

async fn judge(response: Response<Incoming>) -> Result<(), Failure> {
    let status = response.status().as_u16();
    if status != 200 {
        return Err(Failure::Status(status));
    }
    let is_grpc = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return Err(Failure::Grpc(None));
    }
    // An error without a message has its status in the head.
    settle(response.headers(), Absent::Allowed)?;
    let mut body = response.into_body();
    let mut seen = Vec::new();
    let mut ended = Err(Failure::Grpc(None));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Failure::Protocol)?;
        if let Some(trailers) = frame.trailers_ref() {
            ended = settle(trailers, Absent::Wrong);
        } else if let Some(piece) = frame.data_ref() {
            if seen.len() + piece.len() > MAX_MESSAGE {
                return Err(Failure::Grpc(None));
            }
            seen.extend_from_slice(piece);
        }
    }
    ended?;
    match answer(&seen) {
        Some(SERVING) => Ok(()),
        Some(other) => Err(Failure::NotServing(other)),
        None => Err(Failure::Grpc(None)),
    }
}

/// Whether `grpc-status` may be missing.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Absent {
    Allowed,
    Wrong,
}

fn settle(fields: &HeaderMap, absent: Absent) -> Result<(), Failure> {
    let Some(value) = fields.get("grpc-status") else {
        return match absent {
            Absent::Allowed => Ok(()),
            Absent::Wrong => Err(Failure::Grpc(None)),
        };
    };
    let status = value.to_str().ok().and_then(|text| text.parse().ok());
    match status {
        Some(0) => Ok(()),
        other => Err(Failure::Grpc(other)),
    }
}

/// `HealthCheckResponse { ServingStatus status = 1; }` out of its frame: the status. Fields that are not known are
/// skipped.
fn answer(frame: &[u8]) -> Option<u64> {
    let (head, message) = frame.split_at_checked(5)?;
    let [0, length @ ..] = head else {
        // Compressed, and we did not offer that.
        return None;
    };
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let mut rest = message.get(..usize::try_from(length).ok()?)?;
    let mut status = 0;
    while !rest.is_empty() {
        let tag = read_varint(&mut rest)?;
        match tag & 7 {
            0 => {
                let value = read_varint(&mut rest)?;
                if tag >> 3 == 1 {
                    status = value;
                }
            }
            1 => rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(read_varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_framed() {
        assert_eq!(&question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&question("a.B")[..], b"\x00\x00\x00\x00\x05\x0a\x03a.B");
        let long = "x".repeat(300);
        assert_eq!(&question(&long)[..8], b"\x00\x00\x00\x01\x2f\x0a\xac\x02");
    }

    #[test]
    fn answers_are_read_and_nonsense_is_not() {
        for (frame, status) in [
            (&b"\x00\x00\x00\x00\x02\x08\x01"[..], Some(1)),
            (b"\x00\x00\x00\x00\x02\x08\x02", Some(2)),
            (b"\x00\x00\x00\x00\x00", Some(0)),
            (b"\x00\x00\x00\x00\x06\x12\x02hi\x08\x01", Some(1)),
            (b"\x01\x00\x00\x00\x02\x08\x01", None),
            (b"\x00\x00\x00\x00\x03\x08\x01", None),
            (b"\x00\x00\x00\x00\x02\x12\x7f", None),
            (b"\x00\x00\x00\x00\x02\x0b\x01", None),
            (b"\x00\x00\x00\x00", None),
            (b"", None),
        ] {
            assert_eq!(answer(frame), status, "{frame:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_answer_can_break_it(frame in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let _ = answer(&frame);
        }
    }
}
