//! What of gRPC a proxy must know: whether a request is one, how long it may take, and how it is told that it failed.
//!
//! Source: "gRPC over HTTP2" (`PROTOCOL-HTTP2.md` of the gRPC project), for the grammar of `grpc-timeout` and of the
//! content type; its "HTTP to gRPC Status Code Mapping" is what clients make of an answer that is not gRPC.

use std::time::Duration;

use super::field::Known;
use super::head::RequestHead;
use super::method::Method;

const KIND: &[u8] = b"application/grpc";

/// Whether a request expects an answer of gRPC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Speaks {
    /// It does.
    Grpc,
    /// It is plain HTTP, or something that is carried by it (gRPC-Web).
    Http,
}

/// By method and content type of the request.
pub fn speaks(head: &RequestHead) -> Speaks {
    if head.method() != Method::Post {
        return Speaks::Http;
    }
    let kind = head.first(Known::ContentType).unwrap_or_default();
    let (start, rest) = kind.split_at_checked(KIND.len()).unwrap_or_default();
    if start.eq_ignore_ascii_case(KIND) && matches!(rest.first(), None | Some(b'+' | b';' | b' ')) {
        Speaks::Grpc
    } else {
        Speaks::Http
    }
}

/// Most digits of a time.
const MAX_DIGITS: usize = 8;

/// What `grpc-timeout` says: at most eight digits and a unit. Anything else is no limit: servers read it by the same
/// grammar, and refuse what they must.
pub fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |number: u64, digit| {
        number * 10 + u64::from(digit - b'0')
    });
    Some(match unit {
        b'H' => Duration::from_hours(number),
        b'M' => Duration::from_mins(number),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_eight_digits_and_a_unit() {
        for (text, time) in [
            ("1S", Some(Duration::from_secs(1))),
            ("100m", Some(Duration::from_millis(100))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("2M", Some(Duration::from_mins(2))),
            ("5u", Some(Duration::from_micros(5))),
            ("7n", Some(Duration::from_nanos(7))),
            ("0S", Some(Duration::ZERO)),
            ("100000000S", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("1 S", None),
            ("", None),
        ] {
            assert_eq!(timeout(text.as_bytes()), time, "{text}");
        }
    }

    #[test]
    fn a_request_is_grpc_by_its_content_type() {
        for (kind, speaks_grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; charset=x", true),
            ("application/grpc-web", false),
            ("application/grpc-web-text+proto", false),
            ("application/grpcx", false),
            ("text/plain", false),
        ] {
            let mut head = RequestHead::default().with_field("content-type", kind);
            assert_eq!(speaks(&head), Speaks::Http, "GET {kind}");
            head.method = Method::Post;
            assert_eq!(speaks(&head) == Speaks::Grpc, speaks_grpc, "{kind}");
        }
        assert_eq!(speaks(&RequestHead::default()), Speaks::Http);
    }
}
