//! A request on its way out in HTTP/2: its head, and how much of its body may follow.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use http::Request;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};

use super::fields::{self, Read};
use crate::base::{Detail, Error, Reason};
use crate::endpoint::Endpoint;
use crate::exchange::{Exchange, outgoing};
use crate::http1::write;
use crate::message::{Known, RequestHead, Upgrade, hops, websocket};
use crate::upstream::shared::Seat;
use crate::upstream::shared::failure::Stage;

/// The head of the exchange's request.
pub(super) fn request(x: &mut Exchange, endpoint: &Endpoint) -> Result<Request<()>, Detail> {
    let mut lines = std::mem::take(&mut x.kit.partial);
    lines.clear();
    let kit = &*x.kit;
    let head = x.record.head();
    let forwarding = outgoing::forwarding(x);
    write::fields(head, &kit.request_edits, &forwarding, &mut lines);
    lines.extend_from_slice(kit.request_edits.added());
    // Trailers are carried; gRPC servers insist on hearing it.
    let te = head.first(Known::Te).unwrap_or_default();
    let asked = hops::tokens(te).any(|token| token.eq_ignore_ascii_case(b"trailers"));
    if asked && kit.request_edits.values(b"te").next().is_none() {
        lines.extend_from_slice(b"te: trailers\r\n");
    }
    let websocket = head.upgrade() == Upgrade::WebSocket;
    // The endpoint gets no key that it could look at (RFC 6455, 4.2.1).
    if websocket && !websocket::is_opening(head) {
        return Err(Detail::Upgrade);
    }
    let guarded = head.has_guarded();
    let read = fields::read(&Bytes::copy_from_slice(&lines), |name| {
        guarded && head.guards(name)
    });
    let method = if websocket {
        b"CONNECT"
    } else {
        head.method_token()
    };
    let edits = &kit.request_edits;
    let authority = edits.authority().unwrap_or_else(|| head.authority());
    let path_now = edits.path().unwrap_or_else(|| head.path());
    let mut target = Vec::with_capacity(path_now.len() + 64);
    target.extend_from_slice(path_now);
    if let Some(query) = edits.query(head.query()) {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    let Read { mut fields, host } = read?;
    let authority = match host {
        Some(host) => host,
        None if authority.is_empty() => Bytes::copy_from_slice(endpoint.text.as_bytes()),
        None => Bytes::copy_from_slice(authority),
    };
    // Servers refuse what does not agree with the connection (RFC 9113, 8.3.1).
    let scheme = match endpoint.spec.tls {
        Some(_) => Scheme::HTTPS,
        None => Scheme::HTTP,
    };
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(Authority::from_maybe_shared(authority).map_err(|_| Detail::Host)?)
        .path_and_query(path(target)?)
        .build()
        .map_err(|_| Detail::Target)?;
    let mut request = Request::new(());
    *request.method_mut() = http::Method::from_bytes(method).map_err(|_| Detail::Method)?;
    *request.uri_mut() = uri;
    if websocket {
        // The key is HTTP/1's (RFC 8441, 5).
        fields.remove("sec-websocket-key");
        let protocol = h2::ext::Protocol::from_static("websocket");
        request.extensions_mut().insert(protocol);
    }
    *request.headers_mut() = fields;
    lines.clear();
    x.kit.partial = lines;
    Ok(request)
}

/// Of a WebSocket: what its key is answered with over HTTP/1.
pub(super) fn accept(head: &RequestHead) -> Option<String> {
    if head.upgrade() != Upgrade::WebSocket {
        return None;
    }
    let key = head.values(websocket::KEY).next().unwrap_or_default();
    Some(websocket::accept(key))
}

/// Ends a body, with the last of its bytes and these lines of trailers. Without bytes there is no frame for them: endpoints put up with few that are
/// empty, and many clients share a connection.
pub(super) fn end(
    seat: &Seat,
    sends: &mut SendStream<Bytes>,
    last: Bytes,
    trailers: Vec<u8>,
) -> Result<(), Error> {
    let fault = |error| seat.fault(error, Stage::Head);
    if trailers.is_empty() {
        return sends.send_data(last, true).map_err(fault);
    }
    let Read { fields, .. } = fields::read(&Bytes::from(trailers), |_| false)
        .map_err(|detail| Error::new(Reason::Internal, detail))?;
    if !last.is_empty() {
        sends.send_data(last, false).map_err(fault)?;
    }
    sends.send_trailers(fields).map_err(fault)
}

/// How much of so many bytes the endpoint lets through now.
pub(super) fn poll_capacity(
    cx: &mut Context<'_>,
    seat: &Seat,
    sends: &mut SendStream<Bytes>,
    wanted: usize,
) -> Poll<Result<usize, Error>> {
    sends.reserve_capacity(wanted);
    loop {
        let capacity = sends.capacity();
        if capacity > 0 {
            return Poll::Ready(Ok(capacity.min(wanted)));
        }
        match ready!(sends.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Poll::Ready(Err(seat.fault(error, Stage::Head))),
            None => {
                let error = Error::new(Reason::UpstreamReset, Detail::StreamReset);
                return Poll::Ready(Err(error));
            }
        }
    }
}

/// A target as the `http` crate has it. It takes fewer bytes as they are than we do: the others are escaped, which
/// means the same (RFC 3986, 2.1).
fn path(target: Vec<u8>) -> Result<PathAndQuery, Detail> {
    if let Ok(path) = PathAndQuery::try_from(target.as_slice()) {
        return Ok(path);
    }
    let mut escaped = Vec::with_capacity(target.len() + 32);
    for byte in target {
        if byte.is_ascii_alphanumeric() || b"%-._~!$&'()*+,;=:@/?".contains(&byte) {
            escaped.push(byte);
        } else {
            let digits = b"0123456789ABCDEF";
            let digit = |at: u8| digits.get(usize::from(at)).copied().unwrap_or(b'0');
            escaped.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    PathAndQuery::try_from(escaped).map_err(|_| Detail::Target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_that_the_crate_refuses_are_escaped() {
        for (given, sent) in [
            ("/a?b=c", "/a?b=c"),
            ("*", "*"),
            ("/a%2Fb?<x>", "/a%2Fb?%3Cx%3E"),
            ("/`", "/%60"),
        ] {
            let path = path(given.as_bytes().to_vec()).unwrap();
            assert_eq!(path.as_str(), sent);
        }
    }
}
