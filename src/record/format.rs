//! One record as one line, without the formatting machinery: bytes are appended to the journal's buffer.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::escape;
use super::plan::{AccessLog, Column, Format, Show};

/// The value of one field.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// Not known, or not there.
    Absent,
    /// Anything a peer sent: escaped and cut.
    Text(&'a [u8]),
    /// Names and labels of ours: nothing in them needs an escape.
    Plain(&'a [u8]),
    Number(u64),
    /// Milliseconds with three decimals.
    Millis(Duration),
    Address(IpAddr),
}

/// Appends one line, its line feed included.
pub(super) fn line<'a>(plan: &AccessLog, out: &mut Vec<u8>, value: impl Fn(&Column) -> Value<'a>) {
    for column in plan.columns() {
        out.extend_from_slice(column.prefix.as_bytes());
        let value = match column.show {
            Show::Value => value(column),
            Show::Redacted => Value::Plain(b"-"),
        };
        match plan.format() {
            Format::Json => json(out, &value),
            Format::Text => text(out, &value),
        }
    }
    if plan.format() == Format::Json {
        out.push(b'}');
    }
    out.push(b'\n');
}

fn json(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Absent => out.extend_from_slice(b"null"),
        Value::Text(bytes) => escape::quoted(out, escape::cut(bytes)),
        Value::Plain(bytes) => {
            out.push(b'"');
            out.extend_from_slice(bytes);
            out.push(b'"');
        }
        Value::Number(number) => integer(out, *number),
        Value::Millis(duration) => millis(out, *duration),
        Value::Address(address) => {
            out.push(b'"');
            ip(out, *address);
            out.push(b'"');
        }
    }
}

fn text(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Absent => out.push(b'-'),
        Value::Text(bytes) => {
            let bytes = escape::cut(bytes);
            if escape::is_bare(bytes) {
                out.extend_from_slice(bytes);
            } else {
                escape::quoted(out, bytes);
            }
        }
        Value::Plain(bytes) => out.extend_from_slice(bytes),
        Value::Number(number) => integer(out, *number),
        Value::Millis(duration) => millis(out, *duration),
        Value::Address(address) => ip(out, *address),
    }
}

fn integer(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn millis(out: &mut Vec<u8>, duration: Duration) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    integer(out, micros / 1000);
    let digit = |power: u64| b'0' + u8::try_from(micros / power % 10).unwrap_or_default();
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

fn ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => dotted(out, v4),
        // Behind proxies only, and with zeros to compress: the standard library's writer knows how.
        // Writing to a Vec cannot fail.
        IpAddr::V6(v6) => _ = write!(out, "{v6}"),
    }
}

fn dotted(out: &mut Vec<u8>, address: Ipv4Addr) {
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        integer(out, u64::from(octet));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are_read() {
        let mut out = Vec::new();
        millis(&mut out, Duration::from_micros(1_234_056));
        out.push(b' ');
        millis(&mut out, Duration::from_nanos(999));
        out.push(b' ');
        ip(&mut out, "10.0.200.1".parse().unwrap());
        out.push(b' ');
        ip(&mut out, "2001:db8::1".parse().unwrap());
        assert_eq!(out, b"1234.056 0.000 10.0.200.1 2001:db8::1");
    }
}
