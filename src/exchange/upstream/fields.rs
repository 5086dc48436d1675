//! Fields as the `http` crate has them, made of lines and made into a flat head: our rules hold for both ways.

use bytes::Bytes;
use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};

use crate::base::Detail;
use crate::http1::limits::ResponseLimits;
use crate::http1::request::content_length;
use crate::http1::response::Start;
use crate::http1::trailers::Trailers;
use crate::message::{Care, Field, Known, Span};

/// Most pieces that a cookie is taken apart into.
const MAX_CRUMBS: usize = 32;

/// A short cookie could be guessed from how well it compresses; as nghttp2 has it.
const GUESSABLE: usize = 20;

/// What stands in lines, each `name: value CRLF`, that were validated or are ours.
pub(super) struct Read {
    pub(super) fields: HeaderMap,
    /// Host does not stand among them: it is the authority.
    pub(super) host: Option<Bytes>,
}

/// Reads lines. Values share the buffer; names become lower-case. `guarded` says of a name whether its sender wants the field remembered by
/// nobody.
pub(super) fn read(lines: &Bytes, guarded: impl Fn(&[u8]) -> bool) -> Result<Read, Detail> {
    let mut fields = HeaderMap::with_capacity(16);
    let mut host = None;
    let mut at = 0;
    for end in memchr::memchr_iter(b'\n', lines) {
        let line = lines.get(at..end).unwrap_or_default();
        let start = std::mem::replace(&mut at, end + 1);
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let name = line.get(..colon).unwrap_or_default();
        let value = line.get(colon + 1..).unwrap_or_default();
        let before = value.len() - value.trim_ascii_start().len();
        let from = start + colon + 1 + before;
        let value = lines.slice(from..from + value.trim_ascii().len());
        if name.eq_ignore_ascii_case(b"host") {
            host = Some(value);
            continue;
        }
        let name = HeaderName::from_bytes(name).map_err(|_| Detail::FieldName)?;
        if name == COOKIE {
            crumbs(&value, guarded(b"cookie"), &mut fields)?;
            continue;
        }
        let known = Known::of(name.as_str().as_bytes());
        let mut value = HeaderValue::from_maybe_shared(value).map_err(|_| Detail::FieldValue)?;
        // One connection carries many clients' requests: what is secret must not be found in its table. Nor what gRPC's C core
        // cannot read: it remembers that with the entry, and then of every value that is written behind the entry's name.
        let secret = matches!(known, Known::Authorization | Known::ProxyAuthorization);
        value.set_sensitive(secret || name == DEADLINE || guarded(name.as_str().as_bytes()));
        fields.append(name, value);
    }
    Ok(Read { fields, host })
}

/// The field by which a call of gRPC says how long it may take: another for nearly every call, so the table has nothing to win.
const DEADLINE: &str = "grpc-timeout";

/// Takes a cookie apart, so that its parts compress (RFC 9113, 8.2.3).
fn crumbs(value: &Bytes, guarded: bool, fields: &mut HeaderMap) -> Result<(), Detail> {
    let many = memchr::memchr_iter(b';', value).count() >= MAX_CRUMBS;
    let mut at = 0;
    while at <= value.len() {
        let rest = value.get(at..).unwrap_or_default();
        let end = match memchr::memmem::find(rest, b"; ") {
            Some(end) if !many => end,
            _ => rest.len(),
        };
        let crumb = value.slice(at..at + end);
        let short = crumb.len() < GUESSABLE;
        let mut crumb = HeaderValue::from_maybe_shared(crumb).map_err(|_| Detail::FieldValue)?;
        crumb.set_sensitive(short || guarded);
        fields.append(COOKIE, crumb);
        at += end + 2;
    }
    Ok(())
}

/// Writes a response's fields as lines behind each other, and what they say of the body's length. What an endpoint
/// sends is refused where we would refuse it of HTTP/1, too.
pub(super) fn flatten(
    headers: &HeaderMap,
    limits: &ResponseLimits,
    bytes: &mut Vec<u8>,
    fields: &mut Vec<Field>,
) -> Result<Option<u64>, Detail> {
    bytes.clear();
    fields.clear();
    let mut length = None;
    for (name, value) in headers {
        // What a message of gRPC ends with may be a space: it is the endpoint's client who chose it.
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes().trim_ascii());
        let len = bytes.len() + name.len() + value.len() + 4;
        if fields.len() == limits.header_count || len > limits.headers {
            return Err(Detail::ResponseHead);
        }
        if name.len() > limits.header_name {
            return Err(Detail::FieldName);
        }
        let known = Known::of(name);
        if known == Known::ContentLength {
            let number = content_length(value).ok_or(Detail::ContentLength)?;
            if length.replace(number).is_some() {
                return Err(Detail::ContentLength);
            }
        }
        push((name, value), known, bytes, fields);
    }
    Ok(length)
}

/// Writes a field as HTTP/1 has it, and notes where.
fn push((name, value): (&[u8], &[u8]), known: Known, bytes: &mut Vec<u8>, fields: &mut Vec<Field>) {
    let start = bytes.len();
    bytes.extend_from_slice(name);
    let name_end = bytes.len();
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value);
    let value_end = bytes.len();
    bytes.extend_from_slice(b"\r\n");
    fields.push(Field {
        name: Span::new(start, name_end),
        value: Span::new(name_end + 2, value_end),
        line_end: Span::new(0, bytes.len()).end,
        known,
        // The crate does not tell whether the endpoint wants it remembered by nobody.
        care: Care::Usual,
    });
}

/// The head behind which an endpoint speaks WebSocket, as HTTP/1 has it.
pub(super) fn switched(accept: &str, bytes: &mut Vec<u8>, fields: &mut Vec<Field>) -> Start {
    for (name, value) in [("upgrade", "websocket"), ("sec-websocket-accept", accept)] {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        push((name, value), Known::of(name), bytes, fields);
    }
    Start::switched(bytes.len())
}

/// The trailers of an answer, half as long as a head may be: a call that fails at once has the same in its head, and the crate leaves away without a word
/// what goes beyond that. A tunnel is bytes and has none (RFC 9113, 8.5).
pub(super) fn trailers(
    headers: &HeaderMap,
    tunnel: bool,
    limits: &ResponseLimits,
) -> Result<Trailers, Detail> {
    let mut read = Trailers::default();
    let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let bytes: usize = headers.iter().map(size).sum();
    let most = (limits.headers / 2).max(limits.body.trailers as usize);
    if tunnel || headers.len() > limits.header_count || bytes > most {
        return Err(Detail::Trailers);
    }
    for (name, value) in headers {
        read.take(name.as_str().as_bytes(), value.as_bytes().trim_ascii());
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static str) -> Read {
        read(&Bytes::from_static(text.as_bytes()), |_| false).unwrap()
    }

    #[test]
    fn lines_become_fields() {
        let got = lines("X-A:  1 \r\nHost: shop.example\r\nx-a: 2\r\nAuthorization: secret\r\n");
        assert_eq!(got.host.as_deref(), Some(&b"shop.example"[..]));
        let all: Vec<_> = got.fields.get_all("x-a").iter().collect();
        assert_eq!(all, ["1", "2"]);
        assert!(got.fields["authorization"].is_sensitive());
        assert!(!got.fields["x-a"].is_sensitive());
    }

    #[test]
    fn a_deadline_is_of_its_own_call_alone() {
        let got = lines("grpc-timeout: 5x\r\n");
        assert!(got.fields["grpc-timeout"].is_sensitive());
    }

    #[test]
    fn a_cookie_is_taken_apart() {
        let got = lines("Cookie: a=1; b=2;c=3; session=0123456789abcdef0123\r\n");
        let crumbs: Vec<_> = got.fields.get_all(COOKIE).iter().collect();
        assert_eq!(crumbs, ["a=1", "b=2;c=3", "session=0123456789abcdef0123"]);
        assert!(crumbs[0].is_sensitive() && !crumbs[2].is_sensitive());
        let many = format!("Cookie: {}\r\n", vec!["a=1"; 40].join("; "));
        let got = read(&Bytes::from(many), |_| false).unwrap();
        assert_eq!(got.fields.get_all(COOKIE).iter().count(), 1);
    }

    #[test]
    fn fields_become_a_flat_head() {
        let mut headers = HeaderMap::new();
        headers.append("content-length", HeaderValue::from_static("5"));
        headers.append("set-cookie", HeaderValue::from_static("a"));
        headers.append("set-cookie", HeaderValue::from_static("b"));
        let (mut bytes, mut fields) = (Vec::new(), Vec::new());
        assert_eq!(
            flatten(&headers, &ResponseLimits::DEFAULT, &mut bytes, &mut fields),
            Ok(Some(5))
        );
        let text = str::from_utf8(&bytes).unwrap();
        assert_eq!(
            text,
            "content-length: 5\r\nset-cookie: a\r\nset-cookie: b\r\n"
        );
        assert_eq!(fields[2].value.of(&bytes), b"b");
        assert_eq!(fields[2].line_end as usize, bytes.len());
    }

    #[test]
    fn white_space_at_the_ends_of_a_value_goes_no_further() {
        let mut headers = HeaderMap::new();
        headers.append("x", HeaderValue::from_static(" a b\t "));
        let (mut bytes, mut fields) = (Vec::new(), Vec::new());
        let read = flatten(&headers, &ResponseLimits::DEFAULT, &mut bytes, &mut fields);
        assert_eq!((read, &*bytes), (Ok(None), &b"x: a b\r\n"[..]));
    }

    #[test]
    fn what_is_to_be_remembered_by_nobody_stays_so() {
        let lines = Bytes::from_static(b"x-a: 1\r\nx-b: 2\r\ncookie: id=0123456789abcdef0123\r\n");
        let read = read(&lines, |name| matches!(name, b"x-b" | b"cookie")).unwrap();
        let sensitive = |name| read.fields[name].is_sensitive();
        assert!(!sensitive("x-a") && sensitive("x-b") && sensitive("cookie"));
    }

    #[test]
    fn what_is_refused_of_http1_is_refused_of_http2() {
        let one = |name: &'static str, values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(name, HeaderValue::from_static(value));
            }
            flatten(
                &headers,
                &ResponseLimits::DEFAULT,
                &mut Vec::new(),
                &mut Vec::new(),
            )
        };
        assert_eq!(
            one("content-length", &["5", "5"]),
            Err(Detail::ContentLength)
        );
        assert_eq!(one("content-length", &["+5"]), Err(Detail::ContentLength));
        assert_eq!(one("x", &["a"; 201]), Err(Detail::ResponseHead));
    }
}
