//! Takes what a key was read from out of what the endpoint gets.

use super::encoded::is_named;
use super::{KeySource, split_cookie};
use crate::message::edits::Edits;
use crate::message::field::Known;
use crate::message::head::RequestHead;

impl KeySource {
    /// Removes every field, cookie or parameter of its name: an endpoint may read another of them than we did. What is no part
    /// of the request as it was written stays.
    pub fn strip(&self, head: &RequestHead, edits: &mut Edits) {
        match self {
            Self::Header(name) => edits.spend(name.as_bytes()),
            Self::Cookie(name) => strip_cookie(name.as_bytes(), head, edits),
            Self::Query(name) => edits.remake_query(head.query(), |query, out| {
                let others = query
                    .split(|&byte| byte == b'&')
                    .filter(|pair| !is_named(pair, name.as_bytes()));
                join(others, b"&", out);
            }),
            Self::ClientIp(_)
            | Self::Global
            | Self::Route
            | Self::Host
            | Self::Path
            | Self::Claim(_) => {}
        }
    }
}

/// The fields become one, as HTTP/1 wants it (RFC 9113, 8.2.3), or none.
fn strip_cookie(name: &[u8], head: &RequestHead, edits: &mut Edits) {
    const COOKIE: &[u8] = b"cookie";
    let received = head
        .fields()
        .iter()
        .filter(|field| field.known == Known::Cookie && !edits.drops(COOKIE))
        .map(|field| head.value(field));
    let mut left = Vec::new();
    let pairs = received
        .chain(edits.values(COOKIE))
        .flat_map(|value| value.split(|&byte| byte == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty() && split_cookie(pair).is_none_or(|(key, _)| key != name));
    join(pairs, b"; ", &mut left);
    edits.remove(COOKIE);
    if !left.is_empty() {
        edits.add(COOKIE, &left);
    }
}

fn join<'p>(parts: impl Iterator<Item = &'p [u8]>, between: &[u8], out: &mut Vec<u8>) {
    for part in parts {
        if !out.is_empty() {
            out.extend_from_slice(between);
        }
        out.extend_from_slice(part);
    }
}
