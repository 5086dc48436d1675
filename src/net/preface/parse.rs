//! Reading: bytes → [`Preface`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::crc::crc32c;
use super::{Ends, Preface, SIGNATURE, WORD, tlv};

/// The longest header: version 2 with 4 KiB of addresses and further values. The length is said before anything is
/// kept, so that a longer one is refused at once (E-220).
pub const MAX: usize = HEAD + MAX_LENGTH;

/// Signature, command, family and length of version 2.
const HEAD: usize = 16;
const MAX_LENGTH: usize = 4096;

/// The longest line of version 1, its end included (2.1).
const MAX_LINE: usize = 107;

/// What the connection that the header stands in is made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Carrier {
    /// A byte stream.
    Stream,
    /// A datagram; version 1 has no word for it.
    Datagram,
}

/// How far the header has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// It may be one; more bytes are needed.
    Partial,
    /// It is not one: the first byte that differs is there.
    Other,
    /// It is one, and so long.
    Whole(Preface, usize),
}

/// It begins like a header and is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed;

/// Looks at the beginning of a connection. Whatever stands behind the header does not matter.
pub fn parse(bytes: &[u8], carrier: Carrier) -> Result<Progress, Malformed> {
    if begins(bytes, &SIGNATURE) {
        return version_2(bytes, carrier);
    }
    if begins(bytes, WORD) && carrier == Carrier::Stream {
        return version_1(bytes);
    }
    Ok(Progress::Other)
}

/// Whether what is there of `bytes` is what is there of `start`.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(a, b)| a == b)
}

fn version_1(bytes: &[u8]) -> Result<Progress, Malformed> {
    let most = bytes.get(..MAX_LINE.min(bytes.len())).unwrap_or_default();
    let Some(end) = memchr::memchr(b'\n', most) else {
        return if most.len() < MAX_LINE {
            Ok(Progress::Partial)
        } else {
            Err(Malformed)
        };
    };
    let line = most.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = std::str::from_utf8(line.ok_or(Malformed)?).map_err(|_| Malformed)?;
    let ends = line_of(line)?;
    Ok(Progress::Whole(Preface { ends }, end + 1))
}

fn line_of(line: &str) -> Result<Option<Ends>, Malformed> {
    let rest = line.strip_prefix("PROXY ").ok_or(Malformed)?;
    // What follows it must be ignored up to the end of the line (2.1).
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Ok(None);
    }
    let mut words = rest.split(' ');
    let mut word = || words.next().ok_or(Malformed);
    let family = word()?;
    let (source, destination) = (ip(family, word()?)?, ip(family, word()?)?);
    let (from, to) = (port(word()?)?, port(word()?)?);
    if words.next().is_some() {
        return Err(Malformed);
    }
    Ok(Some(Ends {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    }))
}

fn ip(family: &str, text: &str) -> Result<IpAddr, Malformed> {
    match family {
        "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4),
        "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::V6),
        _ => return Err(Malformed),
    }
    .map_err(|_| Malformed)
}

/// Decimal, without sign and leading zeros.
fn port(text: &str) -> Result<u16, Malformed> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(Malformed);
    }
    text.parse().map_err(|_| Malformed)
}

fn version_2(bytes: &[u8], carrier: Carrier) -> Result<Progress, Malformed> {
    // What is there is judged before the rest is waited for.
    let command = match bytes.get(12).copied() {
        None => return Ok(Progress::Partial),
        Some(0x20) => Command::Local,
        Some(0x21) => Command::Proxy,
        Some(_) => return Err(Malformed),
    };
    let Some(family) = bytes.get(13).copied() else {
        return Ok(Progress::Partial);
    };
    let kind = Kind::of(family).ok_or(Malformed)?;
    let Some(&[high, low]) = bytes.get(14..HEAD) else {
        return Ok(Progress::Partial);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_LENGTH {
        return Err(Malformed);
    }
    let used = HEAD + length;
    let Some(payload) = bytes.get(HEAD..used) else {
        return Ok(Progress::Partial);
    };
    if command == Command::Local {
        // Its addresses, and whatever follows them, must be ignored (2.2).
        return Ok(Progress::Whole(Preface { ends: None }, used));
    }
    let fits = match kind.carrier {
        None => true,
        Some(said) => said == carrier,
    };
    let (addresses, values) = payload.split_at_checked(kind.length).ok_or(Malformed)?;
    let header = bytes.get(..used).unwrap_or_default();
    check_values(values, header, HEAD + kind.length)?;
    if !fits {
        return Err(Malformed);
    }
    let ends = match kind.family {
        Family::Inet => ends(addresses, |octets: [u8; 4]| IpAddr::from(octets)),
        Family::Inet6 => ends(addresses, |octets: [u8; 16]| IpAddr::from(octets)),
        Family::Unix | Family::None => None,
    };
    Ok(Progress::Whole(Preface { ends }, used))
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Command {
    Local,
    Proxy,
}

enum Family {
    None,
    Inet,
    Inet6,
    Unix,
}

/// What the fourteenth byte says (2.2).
struct Kind {
    family: Family,
    carrier: Option<Carrier>,
    /// Of the addresses.
    length: usize,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        let (family, length) = match byte >> 4 {
            0 => (Family::None, 0),
            1 => (Family::Inet, 12),
            2 => (Family::Inet6, 36),
            3 => (Family::Unix, 216),
            _ => return None,
        };
        let carrier = match byte & 0x0F {
            0 => None,
            1 => Some(Carrier::Stream),
            2 => Some(Carrier::Datagram),
            _ => return None,
        };
        // Without the one there is nothing to be said of the other.
        let family = if carrier.is_none() {
            Family::None
        } else {
            family
        };
        Some(Self {
            family,
            carrier,
            length,
        })
    }
}

/// Both addresses, then both ports.
fn ends<const N: usize>(bytes: &[u8], ip: impl Fn([u8; N]) -> IpAddr) -> Option<Ends> {
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (from, rest) = rest.split_first_chunk::<2>()?;
    let (to, _) = rest.split_first_chunk::<2>()?;
    Some(Ends {
        source: SocketAddr::new(ip(*source), u16::from_be_bytes(*from)),
        destination: SocketAddr::new(ip(*destination), u16::from_be_bytes(*to)),
    })
}

/// Walks what follows the addresses: lengths must fill it exactly, the checksum must be right where there is one. All
/// other types are passed over. `at` is where the values begin in the `header`.
fn check_values(mut values: &[u8], header: &[u8], mut at: usize) -> Result<(), Malformed> {
    while let Some((&[kind, high, low], rest)) = values.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, next) = rest.split_at_checked(length).ok_or(Malformed)?;
        if kind == tlv::CRC32C {
            // Over the whole header with zeros in its place (2.2.3).
            let said = u32::from_be_bytes(value.try_into().map_err(|_| Malformed)?);
            let before = header.get(..at + 3).ok_or(Malformed)?;
            let behind = header.get(at + 7..).ok_or(Malformed)?;
            if crc32c([before, &[0; 4], behind]) != said {
                return Err(Malformed);
            }
        }
        at += 3 + length;
        values = next;
    }
    if values.is_empty() {
        Ok(())
    } else {
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outgoing, Version};
    use super::*;

    fn ends_of(source: &str, destination: &str) -> Ends {
        Ends {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0, 80];

    /// F-40: every header at every split point, with something behind it.
    #[test]
    fn nothing_is_decided_too_early_and_nothing_too_late() {
        let v4 = ends_of("192.0.2.1:12345", "198.51.100.2:80");
        let v6 = ends_of("[2001:db8::1]:1", "[2001:db8::2]:65535");
        let mut headers = vec![
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 80\r\n".to_vec(),
                Some(v4),
            ),
            (
                b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n".to_vec(),
                Some(v6),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN whatever 1 2 3\r\n".to_vec(), None),
            (v2(0x21, 0x11, &V4), Some(v4)),
            (v2(0x20, 0x11, &V4), None),
            (v2(0x20, 0x00, b"\xff\xff\xff ignored"), None),
            (v2(0x21, 0x00, b""), None),
            (v2(0x21, 0x00, b"\x05\0\x01x"), None),
            (v2(0x21, 0x31, &[0; 216]), None),
            (
                v2(0x21, 0x11, &[&V4[..], b"\xea\0\x03abc\x04\0\0"].concat()),
                Some(v4),
            ),
        ];
        for (version, told) in [
            (Version::V1, v4),
            (Version::V2, v4),
            (Version::V1, v6),
            (Version::V2, v6),
        ] {
            let outgoing = Outgoing {
                version,
                ends: Some(told),
                server_name: Some(b"db.example.com"),
                alpn: Some(b"h2"),
                unique_id: Some(b"0123456789abcdef"),
            };
            headers.push((outgoing.bytes(Carrier::Stream), Some(told)));
        }
        for (header, ends) in headers {
            for split in 0..header.len() {
                let seen = parse(&header[..split], Carrier::Stream);
                assert_eq!(
                    seen,
                    Ok(Progress::Partial),
                    "{split} of {}",
                    header.escape_ascii()
                );
            }
            for tail in ["", "G", "GET / HTTP/1.1\r\n\r\n", "\r\n"] {
                let bytes = [&header[..], tail.as_bytes()].concat();
                let whole = Progress::Whole(Preface { ends }, header.len());
                assert_eq!(
                    parse(&bytes, Carrier::Stream),
                    Ok(whole),
                    "{}",
                    header.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn what_differs_at_its_first_bytes_is_something_else() {
        for other in [
            "GET / HTTP/1.1",
            "\x16\x03\x01",
            "P",
            "PROX",
            "PUT /",
            "\r\n\r\nX",
            "proxy TCP4",
        ] {
            let seen = parse(other.as_bytes(), Carrier::Stream);
            let expected = if b"PROXY ".starts_with(other.as_bytes()) {
                Progress::Partial
            } else {
                Progress::Other
            };
            assert_eq!(seen, Ok(expected), "{other:?}");
        }
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 80\r\n";
        assert_eq!(parse(line, Carrier::Datagram), Ok(Progress::Other));
    }

    #[test]
    fn what_begins_like_one_and_is_none_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for line in [
            "PROXY\t",
            "PROXY TCP4 192.0.2.1 198.51.100.2 12345 80\n",
            "PROXY  TCP4 192.0.2.1 198.51.100.2 12345 80\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 12345 80 \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 12345\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 12345 65536\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 012 80\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +1 80\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.2 1 80\r\n",
            "PROXY TCP4 ::1 ::1 1 80\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.2 1 80\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.2 1 80\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY \r\n",
            "PROXY TCP4 192.0.2.1 \u{e9} 1 80\r\n",
            &long,
        ] {
            let seen = parse(line.as_bytes(), Carrier::Stream);
            assert!(
                matches!(seen, Err(Malformed) | Ok(Progress::Other)),
                "{line:?}: {seen:?}"
            );
        }
        // 107 bytes without an end: nothing more is waited for.
        assert_eq!(
            parse(&long.as_bytes()[..107], Carrier::Stream),
            Err(Malformed)
        );
        let value = |bytes: &[u8]| v2(0x21, 0x11, &[&V4[..], bytes].concat());
        for bytes in [
            v2(0x22, 0x11, &V4),
            v2(0x11, 0x11, &V4),
            v2(0x31, 0x11, &V4),
            v2(0x21, 0x41, &V4),
            v2(0x21, 0x13, &V4),
            v2(0x21, 0x12, &V4),
            v2(0x21, 0x11, &V4[..11]),
            v2(0x21, 0x21, &[0; 35]),
            value(b"\x05"),
            value(b"\x05\0"),
            value(b"\x05\0\x02x"),
            value(b"\x05\xff\xffx"),
            value(b"\x03\0\x04\0\0\0\0"),
            value(b"\x03\0\x03\0\0\0"),
        ] {
            let seen = parse(&bytes, Carrier::Stream);
            assert_eq!(seen, Err(Malformed), "{}", bytes.escape_ascii());
        }
        // The declared length is enough to refuse it.
        let declared = [&SIGNATURE[..], b"\x21\x11\x10\x01"].concat();
        assert_eq!(parse(&declared, Carrier::Stream), Err(Malformed));
    }

    #[test]
    fn a_checksum_is_checked() {
        let mut bytes = v2(
            0x21,
            0x11,
            &[&V4[..], b"\x05\0\x02id\x03\0\x04\0\0\0\0\x04\0\0"].concat(),
        );
        let sum = crc32c([&bytes[..]]);
        let at = HEAD + 12 + 5 + 3;
        bytes[at..at + 4].copy_from_slice(&sum.to_be_bytes());
        assert!(matches!(
            parse(&bytes, Carrier::Stream),
            Ok(Progress::Whole(..))
        ));
        bytes[HEAD] ^= 1;
        assert_eq!(parse(&bytes, Carrier::Stream), Err(Malformed));
    }
}
