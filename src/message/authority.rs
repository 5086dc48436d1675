//! The authority: Host and absolute-form targets, made canonical.
//!
//! Accepted: a name (letters, digits, `-`, `_`, `.`), an IPv4 address or an IPv6 address in brackets, each
//! with or without a port from 1 to 65535. Refused is all else that RFC 3986 would allow here (user
//! information, escapes, an empty name, an empty port, future address forms, zones): no origin needs it, and
//! parsers differ on it (E-046). Canonical is: lower case, no trailing dot, an IPv6 address in its shortest
//! form (RFC 5952), a port without leading zeros.

use std::io::Write;
use std::net::Ipv6Addr;

use wide::u8x16;

use super::field::Span;
use crate::base::Detail;

/// Longest host, in bytes, without port: the longest name that DNS can hold.
pub const MAX_HOST: usize = 253;

/// Whether a text is canonical as it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// As it stands.
    Canonical,
    /// Only after [`Parsed::make`].
    Loose,
}

/// The parts of an authority, as offsets into the text that was parsed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parsed {
    /// Without port and without a trailing dot; an IPv6 address keeps its brackets.
    pub host: Span,
    /// 1-65535, if one was given.
    pub port: Option<u16>,
    /// Whether the text is canonical as it stands.
    pub form: Form,
}

/// A canonical authority in the buffer that it was written to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Made {
    /// Host and port.
    pub authority: Span,
    /// The host alone: the beginning of `authority`.
    pub host: Span,
}

/// Parses the value of Host or the authority of an absolute-form target.
pub fn parse(raw: &[u8]) -> Result<Parsed, Detail> {
    if is_canonical_name(raw) {
        return Ok(Parsed {
            host: Span::new(0, raw.len()),
            port: None,
            form: Form::Canonical,
        });
    }
    let (host_end, host, mut form) = match raw.first() {
        Some(b'[') => parse_ipv6(raw)?,
        _ => parse_name(raw)?,
    };
    let port = match raw.get(host_end..).unwrap_or_default() {
        [] => None,
        [b':', digits @ ..] => {
            let (port, port_form) = parse_port(digits)?;
            if port_form == Form::Loose {
                form = Form::Loose;
            }
            Some(port)
        }
        _ => return Err(Detail::Host),
    };
    Ok(Parsed { host, port, form })
}

/// Whether all of it is a name without a port that is canonical as it stands, as most are: sixteen bytes are looked at together. `false`:
/// look closer.
#[inline]
fn is_canonical_name(raw: &[u8]) -> bool {
    let len @ 1..=64 = raw.len() else {
        return false;
    };
    let (mut plain, mut dots) = (0u64, 0u64);
    let mut look = |bytes: &[u8; 16], at: usize| {
        let bytes = u8x16::new(*bytes);
        let within = |first: u8, last: u8| {
            let above = bytes - u8x16::splat(first);
            above.min(u8x16::splat(last - first)).simd_eq(above)
        };
        let is_plain = within(b'a', b'z')
            | within(b'0', b'9')
            | bytes.simd_eq(u8x16::splat(b'-'))
            | bytes.simd_eq(u8x16::splat(b'_'));
        plain |= u64::from(is_plain.to_bitmask()) << at;
        dots |= u64::from(bytes.simd_eq(u8x16::splat(b'.')).to_bitmask()) << at;
    };
    if let Some(last) = raw.last_chunk() {
        let (whole, _) = raw.as_chunks();
        for (part, at) in whole.iter().zip([0, 16, 32, 48]) {
            look(part, at);
        }
        // It overlaps the one before.
        look(last, len - 16);
    } else {
        let mut part = [0; 16];
        for (to, from) in part.iter_mut().zip(raw) {
            *to = *from;
        }
        look(&part, 0);
    }
    let all = u64::MAX >> (64 - len);
    let ends = 1 | 1 << (len - 1);
    // No label is empty.
    plain | dots == all && dots & ends == 0 && dots & dots << 1 == 0
}

/// Up to `:` or the end: where the text ends, the host, its form.
fn parse_name(raw: &[u8]) -> Result<(usize, Span, Form), Detail> {
    let mut form = Form::Canonical;
    let mut label = 0usize;
    let mut end = raw.len();
    for (at, &byte) in raw.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            b'A'..=b'Z' => {
                form = Form::Loose;
                label += 1;
            }
            b'.' if label > 0 => label = 0,
            b':' => {
                end = at;
                break;
            }
            _ => return Err(Detail::Host),
        }
    }
    let mut host_end = end;
    if label == 0 {
        // An empty last label is the trailing dot, or there is no name at all.
        form = Form::Loose;
        host_end = end.checked_sub(1).ok_or(Detail::Host)?;
    }
    if host_end == 0 || host_end > MAX_HOST {
        return Err(Detail::Host);
    }
    Ok((end, Span::new(0, host_end), form))
}

fn parse_ipv6(raw: &[u8]) -> Result<(usize, Span, Form), Detail> {
    let close = memchr::memchr(b']', raw).ok_or(Detail::Host)?;
    let inside = raw.get(1..close).unwrap_or_default();
    let addr = ipv6(inside).ok_or(Detail::Host)?;
    let mut shortest = [0; MAX_IPV6];
    let mut free = shortest.as_mut_slice();
    write_ipv6(addr, &mut free);
    let len = MAX_IPV6 - free.len();
    let form = if shortest.get(..len) == Some(inside) {
        Form::Canonical
    } else {
        Form::Loose
    };
    Ok((close + 1, Span::new(0, close + 1), form))
}

/// Longest text of an IPv6 address, in bytes (`INET6_ADDRSTRLEN` without the NUL).
const MAX_IPV6: usize = 45;

fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    str::from_utf8(text).ok()?.parse().ok()
}

fn write_ipv6(addr: Ipv6Addr, out: &mut impl Write) {
    // Neither a Vec nor a slice of MAX_IPV6 bytes runs out.
    let _ = write!(out, "{addr}");
}

fn parse_port(digits: &[u8]) -> Result<(u16, Form), Detail> {
    if digits.is_empty() || digits.len() > 5 {
        return Err(Detail::Host);
    }
    let mut port = 0u32;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return Err(Detail::Host);
        }
        port = port * 10 + u32::from(byte - b'0');
    }
    let form = match digits.first() {
        Some(b'0') => Form::Loose,
        _ => Form::Canonical,
    };
    match u16::try_from(port) {
        Ok(port @ 1..) => Ok((port, form)),
        _ => Err(Detail::Host),
    }
}

impl Parsed {
    /// Appends the canonical authority to `out`. `raw` is the text that was parsed.
    pub fn make(&self, raw: &[u8], out: &mut Vec<u8>) -> Made {
        let start = out.len();
        let host = self.host.of(raw);
        match host {
            [b'[', inside @ .., b']'] => {
                out.push(b'[');
                if let Some(addr) = ipv6(inside) {
                    write_ipv6(addr, out);
                }
                out.push(b']');
            }
            name => out.extend(name.iter().map(u8::to_ascii_lowercase)),
        }
        let host_end = out.len();
        if let Some(port) = self.port {
            out.push(b':');
            out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
        }
        Made {
            authority: Span::new(start, out.len()),
            host: Span::new(start, host_end),
        }
    }
}

/// Whether two authorities name the same place, where a port that was not given is `default_port`. A text
/// that is not an authority is the same as nothing.
pub fn same_authority(a: &[u8], b: &[u8], default_port: u16) -> bool {
    let (Ok(parsed_a), Ok(parsed_b)) = (parse(a), parse(b)) else {
        return false;
    };
    if parsed_a.port.unwrap_or(default_port) != parsed_b.port.unwrap_or(default_port) {
        return false;
    }
    match (parsed_a.host.of(a), parsed_b.host.of(b)) {
        ([b'[', a @ .., b']'], [b'[', b @ .., b']']) => ipv6(a) == ipv6(b),
        (a, b) => a.eq_ignore_ascii_case(b),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(raw: &str) -> Option<(String, String)> {
        let parsed = parse(raw.as_bytes()).ok()?;
        let mut out = b"kept".to_vec();
        let made = parsed.make(raw.as_bytes(), &mut out);
        let text = |span: Span| String::from_utf8(span.of(&out).to_vec()).unwrap();
        let (authority, host) = (text(made.authority), text(made.host));
        assert_eq!(parsed.form == Form::Canonical, authority == raw, "{raw}");
        if parsed.form == Form::Canonical {
            assert_eq!(parsed.host.of(raw.as_bytes()), host.as_bytes());
        }
        Some((authority, host))
    }

    #[test]
    fn makes_authorities_canonical() {
        for (raw, authority, host) in [
            ("example.com", "example.com", "example.com"),
            ("Example.COM.:8080", "example.com:8080", "example.com"),
            ("a_b:080", "a_b:80", "a_b"),
            ("127.0.0.1:1", "127.0.0.1:1", "127.0.0.1"),
            ("[::1]", "[::1]", "[::1]"),
            ("[0:0:0:0:0:0:0:1]:443", "[::1]:443", "[::1]"),
            (
                "[2001:DB8::1]:65535",
                "[2001:db8::1]:65535",
                "[2001:db8::1]",
            ),
        ] {
            assert_eq!(made(raw), Some((authority.into(), host.into())), "{raw}");
        }
    }

    /// What is looked at together is told as byte by byte, wherever it stands.
    #[test]
    fn names_are_told_alike() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut canonical = 0;
        for _ in 0..50_000 {
            let mut name: Vec<u8> = (0..rng.usize(..70))
                .map(|_| *rng.choice(b"abyz09-_abcdefghijk.").unwrap())
                .collect();
            if rng.u8(..3) == 0 && !name.is_empty() {
                let at = rng.usize(..name.len());
                name[at] = *rng.choice(b"AZ:.@[`{/^\x00\x7f\x80\xff ").unwrap();
            }
            let whole = (name.len(), Span::new(0, name.len()), Form::Canonical);
            let told = parse_name(&name) == Ok(whole);
            assert_eq!(
                is_canonical_name(&name),
                told && name.len() <= 64,
                "{name:?}"
            );
            canonical += usize::from(told);
        }
        assert!(canonical > 5_000, "{canonical}");
    }

    #[test]
    fn refuses_what_parsers_differ_on() {
        let long = "a".repeat(MAX_HOST + 1);
        for raw in [
            "",
            ".",
            ":",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:99999",
            "a:000080",
            "a:8o",
            "a:80:80",
            "a b",
            " a",
            "a@b",
            "a,b",
            "a/",
            "a/b",
            "a..b",
            ".a",
            "a..",
            "a%41",
            "a\\b",
            "é",
            "a\0",
            "a\tb",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[]",
            "[::1%eth0]",
            "[::1%25eth0]",
            "[v1.x]",
            "[127.0.0.1]",
            "a?b",
            "a#b",
            "a;b",
            "*.a",
            &long,
        ] {
            assert_eq!(parse(raw.as_bytes()), Err(Detail::Host), "{raw}");
        }
    }

    #[test]
    fn compares_after_case_and_default_port() {
        for (a, b, same) in [
            ("a.example", "A.example.:80", true),
            ("a.example:81", "a.example", false),
            ("[::1]:80", "[0::1]", true),
            ("a", "b", false),
            ("a@b", "a@b", false),
        ] {
            assert_eq!(
                same_authority(a.as_bytes(), b.as_bytes(), 80),
                same,
                "{a} {b}"
            );
        }
    }

    proptest! {
        #[test]
        fn canonical_authorities_stay_as_they_are(raw in "[a-cA-C.:0-9\\[\\]_-]{0,12}") {
            if let Some((authority, _)) = made(&raw) {
                let parsed = parse(authority.as_bytes()).unwrap();
                prop_assert_eq!(parsed.form, Form::Canonical);
                prop_assert!(same_authority(raw.as_bytes(), authority.as_bytes(), 80));
            }
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(raw in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(parsed) = parse(&raw) {
                prop_assert!(!parsed.host.is_empty());
            }
        }
    }
}
