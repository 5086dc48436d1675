//! E-005, E-020, E-029, E-030: each of the 256 bytes in each place of a head.

use super::{BAD, Row, get, passes, row};

fn every_byte(make: fn(u8) -> Row) -> Vec<Row> {
    (0..=255).map(make).collect()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub fn names() -> Vec<Row> {
    every_byte(|byte| {
        let name = format!("E-020 name 0x{byte:02x}");
        let bytes = get(&[b"X-".as_slice(), &[byte], b"Name: y\r\n"].concat());
        let line = "GET /refused HTTP/1.1";
        match byte {
            // The name ends there.
            b':' => passes(name, bytes, line).field("x-", "Name: y"),
            byte if is_token(byte) => {
                passes(name, bytes, line).field(&format!("x-{}name", char::from(byte)), "y")
            }
            b'\r' | b'\n' => row(name, bytes, BAD),
            _ => row(name, bytes, BAD).detail("field_name"),
        }
    })
}

pub fn values() -> Vec<Row> {
    every_byte(|byte| {
        let name = format!("E-020 value 0x{byte:02x}");
        let bytes = get(&[b"X-Value: a".as_slice(), &[byte], b"b\r\n"].concat());
        match byte {
            b'\r' | b'\n' => row(name, bytes, BAD),
            b'\t' | b' '..=b'~' | 0x80.. => passes(name, bytes, "GET /refused HTTP/1.1")
                .field("x-value", format!("a{}b", char::from(byte))),
            _ => row(name, bytes, BAD).detail("field_value"),
        }
    })
}

pub fn methods() -> Vec<Row> {
    every_byte(|byte| {
        let name = format!("E-029 method 0x{byte:02x}");
        let bytes = [
            b"G".as_slice(),
            &[byte],
            b"T /refused HTTP/1.1\r\nHost: test.example\r\n\r\n",
        ]
        .concat();
        match byte {
            byte if is_token(byte) => {
                let line = format!("G{}T /refused HTTP/1.1", char::from(byte));
                passes(name, bytes, &line)
            }
            // `T` is no target, and what follows is no version.
            b' ' => row(name, bytes, &[400, 505]),
            _ => row(name, bytes, BAD),
        }
    })
}

fn target(before: &str, byte: u8) -> Vec<u8> {
    [
        b"GET /refused".as_slice(),
        before.as_bytes(),
        &[byte],
        b"b HTTP/1.1\r\nHost: test.example\r\n\r\n",
    ]
    .concat()
}

pub fn paths() -> Vec<Row> {
    every_byte(|byte| {
        let name = format!("E-030 path 0x{byte:02x}");
        let bytes = target("/a", byte);
        let c = char::from(byte);
        match byte {
            b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                passes(name, bytes, &format!("GET /refused/a%{byte:02X}b HTTP/1.1"))
            }
            b'%' | b'#' | b'\\' => row(name, bytes, BAD),
            b'!'..=b'~' => passes(name, bytes, &format!("GET /refused/a{c}b HTTP/1.1")),
            b' ' => row(name, bytes, &[400, 505]),
            _ => row(name, bytes, BAD),
        }
    })
}

pub fn queries() -> Vec<Row> {
    every_byte(|byte| {
        let name = format!("E-030 query 0x{byte:02x}");
        let bytes = target("?a", byte);
        match byte {
            b'#' => row(name, bytes, BAD),
            b'!'..=b'~' => {
                let line = format!("GET /refused?a{}b HTTP/1.1", char::from(byte));
                passes(name, bytes, &line)
            }
            b' ' => row(name, bytes, &[400, 505]),
            _ => row(name, bytes, BAD),
        }
    })
}
