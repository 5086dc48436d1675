//! The one writer of heads.
//!
//! What is decided here and never copied: request line, Host, framing, hop-by-hop fields, forwarding fields.
//! All other field lines were validated byte by byte and are copied as they stand, in runs.

use std::net::IpAddr;

use super::told;
use crate::message::forwarded::{Header, Headers, Trust};
use crate::message::{
    BodyLength, Edits, Field, Hops, Known, Method, RequestHead, ResponseHead, Upgrade, Version,
    alias, hops,
};

/// What the proxy says of the client to the endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// Whether the peer's own words are kept.
    pub trust: Trust,
    /// The peer's address as text.
    pub peer: &'a str,
    /// The client's address: the peer's, or what trusted proxies said.
    pub client: IpAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Which fields are written.
    pub headers: Headers,
    /// Names of further fields that only a trusted peer may send.
    pub identity: &'a [Box<str>],
    /// Whole lines that tell of the certificate that the client showed.
    pub certificate: &'a [u8],
}

impl Forwarding<'_> {
    /// Whether a received field of this kind is dropped, because only we may say it or because we say it anew.
    fn drops(&self, known: Known) -> bool {
        let own = match known {
            Known::XForwardedFor => Header::XForwardedFor,
            Known::XRealIp => Header::XRealIp,
            Known::Forwarded => Header::Forwarded,
            known if known.is_client_certificate() => {
                // Who forgets to remove them lets anybody be anyone: they are believed only of trusted peers, only
                // where the listener names them, and only where the client showed nothing here.
                let named = self.is_identity(known.name().as_bytes(), <[u8]>::eq_ignore_ascii_case);
                return self.trust == Trust::Stranger || !named || !self.certificate.is_empty();
            }
            _ => return self.trust == Trust::Stranger,
        };
        self.trust == Trust::Stranger || self.headers.has(own)
    }

    fn is_identity(&self, name: &[u8], same: fn(&[u8], &[u8]) -> bool) -> bool {
        self.identity.iter().any(|own| same(own.as_bytes(), name))
    }

    /// Whether a field is dropped that only a trusted peer may send. From a trusted one it passes under its own
    /// name, not under one that an origin could take for it.
    fn drops_identity(&self, name: &[u8]) -> bool {
        match self.trust {
            Trust::Stranger => self.is_identity(name, alias::same),
            Trust::Proxy => {
                self.is_identity(name, alias::same)
                    && !self.is_identity(name, <[u8]>::eq_ignore_ascii_case)
            }
        }
    }

    /// Whether the Connection field takes this one away. Never one that says who the client is (E-115).
    fn hop_by_hop(&self, head: &RequestHead, name: &[u8]) -> bool {
        hops::names(head.bytes(), head.fields(), name)
            && !self.is_identity(name, <[u8]>::eq_ignore_ascii_case)
    }
}

/// Appends the head that an endpoint gets.
pub fn request(head: &RequestHead, edits: &Edits, forwarding: &Forwarding<'_>, out: &mut Vec<u8>) {
    out.reserve(head.bytes().len() + 192);
    out.extend_from_slice(head.method_token());
    out.push(b' ');
    out.extend_from_slice(edits.path().unwrap_or_else(|| head.path()));
    if let Some(query) = edits.query(head.query()) {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !edits.drops(b"host") {
        let authority = edits.authority().unwrap_or_else(|| head.authority());
        line(b"Host", authority, out);
    }
    fields(head, edits, forwarding, out);
    if head.body() == BodyLength::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if head.upgrade() == Upgrade::WebSocket {
        out.extend_from_slice(b"Connection: upgrade\r\nUpgrade: websocket\r\n");
    }
    out.extend_from_slice(edits.added());
    out.extend_from_slice(b"\r\n");
}

/// Appends the field lines that an endpoint gets in any protocol: without those of one hop, the target's Host, and what
/// `edits` add.
pub fn fields(head: &RequestHead, edits: &Edits, forwarding: &Forwarding<'_>, out: &mut Vec<u8>) {
    let keep_length = plain_length(head.bytes(), head.fields(), head.body());
    copy_runs(
        head.bytes(),
        head.fields(),
        out,
        |field| match field.known {
            Known::Other => false,
            Known::Host | Known::Expect => true,
            Known::ContentLength => !keep_length,
            known if known.is_forwarding() => forwarding.drops(known),
            known => known.is_hop_by_hop(),
        },
        |field| {
            let name = head.name(field);
            (head.hops().named && forwarding.hop_by_hop(head, name))
                || (field.known == Known::Other && alias::is_alias(name))
                || (!forwarding.identity.is_empty() && forwarding.drops_identity(name))
                || edits.drops_alias(name)
        },
    );
    told::write(head, forwarding, out);
    match head.body() {
        // What a filter makes of a body has a length that nobody knows beforehand.
        _ if edits.drops(b"content-length") => {}
        BodyLength::Exact(length) if !keep_length => {
            line(
                b"Content-Length",
                itoa::Buffer::new().format(length).as_bytes(),
                out,
            );
        }
        // A length of 0 is stated where a body is expected: some origins wait for one (RFC 9110, 8.6).
        BodyLength::None if matches!(head.method(), Method::Post | Method::Put | Method::Patch) => {
            out.extend_from_slice(b"Content-Length: 0\r\n");
        }
        _ => {}
    }
}

/// How the response leaves for an HTTP/1 client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ResponsePlan {
    /// The body's framing towards the client.
    pub body: BodyLength,
    /// Version that the client spoke.
    pub version: Version,
    /// Whether the connection goes on after this response.
    pub persist: super::response::Persist,
    /// Whether this is the 101 that opens a tunnel.
    pub switching: Upgrade,
}

/// Appends the head that a client gets.
pub fn response(head: &ResponseHead<'_>, edits: &Edits, plan: &ResponsePlan, out: &mut Vec<u8>) {
    use super::response::Persist;
    out.reserve(head.bytes.len() + 64);
    status_line(head.status, head.phrase.of(head.bytes), out);
    let keep_length = match plan.body {
        BodyLength::Exact(_) => plain_length(head.bytes, head.fields, plan.body),
        // HEAD and 304 say how long the body would be; 1xx and 204 have none (RFC 9110, 8.6).
        BodyLength::None => !matches!(head.status, 100..=199 | 204),
        _ => false,
    };
    copy_runs(
        head.bytes,
        head.fields,
        out,
        |field| match field.known {
            Known::Other => false,
            Known::ContentLength => !keep_length,
            known => known.is_hop_by_hop(),
        },
        |field| {
            let name = head.name(field);
            named(head.hops, head.bytes, head.fields, name) || edits.drops(name)
        },
    );
    match plan.body {
        BodyLength::Exact(length) if !keep_length => {
            line(
                b"Content-Length",
                itoa::Buffer::new().format(length).as_bytes(),
                out,
            );
        }
        BodyLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        _ => {}
    }
    if plan.switching == Upgrade::WebSocket {
        out.extend_from_slice(b"Connection: upgrade\r\nUpgrade: websocket\r\n");
    } else if head.status >= 200 {
        persistence(plan.version, plan.persist == Persist::Reuse, out);
    }
    out.extend_from_slice(edits.added());
    out.extend_from_slice(b"\r\n");
}

fn named(hops: Hops, bytes: &[u8], fields: &[Field], name: &[u8]) -> bool {
    hops.named && hops::names(bytes, fields, name)
}

/// What to say about the connection: only what the version does not imply.
fn persistence(version: Version, reuse: bool, out: &mut Vec<u8>) {
    match (version, reuse) {
        (Version::Http11 | Version::Http2, true) | (Version::Http10, false) => {}
        (Version::Http11 | Version::Http2, false) => {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
    }
}

fn status_line(status: u16, phrase: &[u8], out: &mut Vec<u8>) {
    if status == 200 && phrase == b"OK" {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(if phrase.is_empty() {
        phrase_of(status).as_bytes()
    } else {
        phrase
    });
    out.extend_from_slice(b"\r\n");
}

/// The standard phrase; empty for a status without one.
pub fn phrase_of(status: u16) -> &'static str {
    hyper::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("")
}

#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "most names are constants: their copy is a store, not a call"
)]
pub(super) fn line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether the received Content-Length line is already the number's plain decimal form.
fn plain_length(bytes: &[u8], fields: &[Field], body: BodyLength) -> bool {
    let BodyLength::Exact(length) = body else {
        return false;
    };
    fields
        .iter()
        .find(|field| field.known == Known::ContentLength)
        .is_some_and(|field| match field.value.of(bytes) {
            [b'0', _, ..] => false,
            value => !value.is_empty() && length > 0 || value == b"0",
        })
}

/// Copies the lines of all fields that neither test drops, in runs as long as possible. Lines of fields that are no longer in the list
/// stand between two runs.
#[inline]
fn copy_runs(
    bytes: &[u8],
    fields: &[Field],
    out: &mut Vec<u8>,
    by_kind: impl Fn(&Field) -> bool,
    by_name: impl Fn(&Field) -> bool,
) {
    let mut run: Option<(usize, usize)> = None;
    for field in fields {
        let (start, end) = (field.name.start as usize, field.line_end as usize);
        let dropped = by_kind(field) || by_name(field);
        run = match run {
            Some((from, to)) if !dropped && to == start => Some((from, end)),
            ended => {
                if let Some((from, to)) = ended {
                    out.extend_from_slice(bytes.get(from..to).unwrap_or_default());
                }
                (!dropped).then_some((start, end))
            }
        };
    }
    if let Some((from, to)) = run {
        out.extend_from_slice(bytes.get(from..to).unwrap_or_default());
    }
}
