//! A response's head into lines. The same fields go no further as over HTTP/1, and those that filters change are
//! changed; names are written in lower case.

use super::hpack::Encoder;
use crate::message::{BodyLength, Edits, Known, ResponseHead, Upgrade, hops};

/// Longest name that is made lower-case in place.
const USUAL_NAME: usize = 64;

/// Writes a head.
pub fn write(
    head: &ResponseHead<'_>,
    edits: &Edits,
    body: BodyLength,
    switching: Upgrade,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) {
    // A tunnel over HTTP/2 begins with a 200 (RFC 8441, 5).
    let status = match switching {
        Upgrade::WebSocket => 200,
        Upgrade::None => head.status,
    };
    encoder.status(status, out);
    // HEAD and 304 say how long the body would be; 1xx and 204 have none (RFC 9110, 8.6).
    let keep_length = match body {
        BodyLength::None => !matches!(head.status, 100..=199 | 204),
        _ => false,
    };
    let mut length = match body {
        BodyLength::Exact(length) => Some(length),
        _ => None,
    };
    for field in head.fields {
        let name = head.name(field);
        match field.known {
            Known::ContentLength if !keep_length => {
                if let Some(length) = length.take() {
                    declare(length, encoder, out);
                }
                continue;
            }
            known if known.is_hop_by_hop() => continue,
            Known::Other
                if switching == Upgrade::WebSocket
                    && name.eq_ignore_ascii_case(b"sec-websocket-accept") =>
            {
                continue;
            }
            _ => {}
        }
        let named = head.hops.named && hops::names(head.bytes, head.fields, name);
        if named || (!edits.is_empty() && edits.drops(name)) {
            continue;
        }
        match field.known {
            Known::Other | Known::XForwarded => {
                lower(name, |name| encoder.field(name, head.value(field), out));
            }
            known => encoder.field(known.name().as_bytes(), head.value(field), out),
        }
    }
    if let Some(length) = length {
        declare(length, encoder, out);
    }
    for line in edits.lines() {
        self::line(line, encoder, out);
    }
}

fn declare(length: u64, encoder: &mut Encoder, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    encoder.field(b"content-length", digits.format(length).as_bytes(), out);
}

/// Writes field lines as HTTP/1 has them: trailers.
pub fn lines(section: &[u8], encoder: &mut Encoder, out: &mut Vec<u8>) {
    for line in section.split_inclusive(|&byte| byte == b'\n') {
        self::line(line, encoder, out);
    }
}

fn line(line: &[u8], encoder: &mut Encoder, out: &mut Vec<u8>) {
    let Some(colon) = memchr::memchr(b':', line) else {
        return;
    };
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    lower(name, |name| encoder.field(name, value, out));
}

fn lower(name: &[u8], then: impl FnOnce(&[u8])) {
    let mut usual = [0; USUAL_NAME];
    if let Some(place) = usual.get_mut(..name.len()) {
        place.copy_from_slice(name);
        place.make_ascii_lowercase();
        then(place);
    } else {
        then(&name.to_ascii_lowercase());
    }
}
