//! What an endpoint is told of the client, after everything that the client said.
//!
//! A stranger's own words are gone by now, so these lines stand alone. A trusted proxy's chain is kept and goes on
//! with the peer; what it says of scheme and host stays, because it was nearer to the client.

use std::io::Write as _;

use super::write::{Forwarding, line};
use crate::message::forwarded::{Header, Trust};
use crate::message::hops::is_token;
use crate::message::{Known, RequestHead};

/// Appends the lines.
pub(super) fn write(head: &RequestHead, forwarding: &Forwarding<'_>, out: &mut Vec<u8>) {
    let keeps = |known| forwarding.trust == Trust::Proxy && head.first(known).is_some();
    let writes = |header| forwarding.headers.has(header);
    if writes(Header::XForwardedFor) {
        out.extend_from_slice(b"X-Forwarded-For: ");
        chain(head, forwarding.trust, Known::XForwardedFor, out);
        out.extend_from_slice(forwarding.peer.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if writes(Header::XForwardedProto) && !keeps(Known::XForwardedProto) {
        line(b"X-Forwarded-Proto", forwarding.scheme.as_bytes(), out);
    }
    if writes(Header::XForwardedHost)
        && !keeps(Known::XForwardedHost)
        && !head.authority().is_empty()
    {
        line(b"X-Forwarded-Host", head.authority(), out);
    }
    if writes(Header::XRealIp) {
        // A Vec takes everything.
        let _ = write!(out, "X-Real-IP: {}\r\n", forwarding.client);
    }
    if writes(Header::Forwarded) {
        forwarded(head, forwarding, out);
    }
    out.extend_from_slice(forwarding.certificate);
}

/// What a trusted proxy sent in this list, each value followed by a comma.
fn chain(head: &RequestHead, trust: Trust, known: Known, out: &mut Vec<u8>) {
    if trust == Trust::Stranger {
        return;
    }
    let values = head.fields().iter().filter(|field| field.known == known);
    for value in values.map(|field| head.value(field)) {
        if !value.is_empty() {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
    }
}

/// RFC 7239: what is not a token stands in quotes; an IPv6 address in brackets too (section 6).
fn forwarded(head: &RequestHead, forwarding: &Forwarding<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Forwarded: ");
    chain(head, forwarding.trust, Known::Forwarded, out);
    let peer = forwarding.peer;
    let _ = if peer.contains(':') {
        write!(out, "for=\"[{peer}]\"")
    } else {
        write!(out, "for={peer}")
    };
    let host = head.authority();
    if !host.is_empty() {
        let quote: &[u8] = if host.iter().all(|&byte| is_token(byte)) {
            b""
        } else {
            b"\""
        };
        for part in [b";host=", quote, host, quote] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(forwarding.scheme.as_bytes());
    out.extend_from_slice(b"\r\n");
}
