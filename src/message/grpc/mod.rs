//! What of gRPC a proxy must know: whether a request is one, how long it may take, and how it is told that it failed.
//!
//! Source: "gRPC over HTTP2" (`PROTOCOL-HTTP2.md` of the gRPC project), for the grammar of `grpc-timeout` and of the
//! content type; its "HTTP to gRPC Status Code Mapping" is what clients make of an answer that is not gRPC.

mod code;

use std::time::Duration;

use super::field::Known;
use super::head::RequestHead;
use super::hops;
use super::method::Method;

pub use code::{Code, Codes};

const KIND: &[u8] = b"application/grpc";
const WEB: &[u8] = b"application/grpc-web";
const WEB_TEXT: &[u8] = b"application/grpc-web-text";

/// What of gRPC a request expects in its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Speaks {
    /// A status behind the answer, in its trailers.
    Grpc,
    /// The same in the body: scripts in browsers see no trailers. Bodies of the request stand in this form.
    Web(Form),
    /// Nothing: it is plain HTTP.
    Http,
}

/// How the body of gRPC-Web is written ("gRPC Web", `PROTOCOL-WEB.md` of the gRPC project).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// As it is.
    Binary,
    /// In base64.
    Text,
}

impl Form {
    /// Its content type, but for the format of messages.
    pub const fn kind(self) -> &'static [u8] {
        match self {
            Self::Binary => WEB,
            Self::Text => WEB_TEXT,
        }
    }
}

/// By method and content type of the request.
pub fn speaks(head: &RequestHead) -> Speaks {
    if head.method() != Method::Post {
        return Speaks::Http;
    }
    let kind = head.first(Known::ContentType).unwrap_or_default();
    if behind(kind, KIND).is_some() {
        Speaks::Grpc
    } else {
        form(kind).map_or(Speaks::Http, Speaks::Web)
    }
}

/// How long a call may take, as its caller says; no time at all is the shortest there is.
pub fn deadline(head: &RequestHead) -> Option<Duration> {
    if speaks(head) == Speaks::Http {
        return None;
    }
    let told = head.values(b"grpc-timeout").next();
    told.and_then(timeout)
        .map(|time| time.max(Duration::from_millis(1)))
}

/// What stands behind a content type of gRPC: the format of messages (`+proto`) and parameters.
pub fn format(kind: &[u8]) -> Option<&[u8]> {
    behind(kind, KIND)
}

/// The same of gRPC-Web.
pub fn web_format(kind: &[u8]) -> Option<&[u8]> {
    behind(kind, WEB).or_else(|| behind(kind, WEB_TEXT))
}

/// How an answer is written for who sent this: as it asks for it, else as the request is.
pub fn wanted(head: &RequestHead, sent: Form) -> Form {
    let mut accepted = head.values(b"accept").flat_map(hops::tokens);
    accepted.find_map(form).unwrap_or(sent)
}

fn form(kind: &[u8]) -> Option<Form> {
    let is = |form: Form| behind(kind, form.kind()).map(|_| form);
    is(Form::Binary).or_else(|| is(Form::Text))
}

fn behind<'k>(kind: &'k [u8], name: &[u8]) -> Option<&'k [u8]> {
    let (start, rest) = kind.split_at_checked(name.len())?;
    let ends = matches!(rest.first(), None | Some(b'+' | b';' | b' '));
    (ends && start.eq_ignore_ascii_case(name)).then_some(rest)
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
        for (kind, spoken) in [
            ("application/grpc", Speaks::Grpc),
            ("application/grpc+proto", Speaks::Grpc),
            ("Application/gRPC; charset=x", Speaks::Grpc),
            ("application/grpc-web", Speaks::Web(Form::Binary)),
            ("application/gRPC-Web+proto", Speaks::Web(Form::Binary)),
            ("application/grpc-web-text", Speaks::Web(Form::Text)),
            ("application/grpc-web-text+proto", Speaks::Web(Form::Text)),
            ("application/grpc-website", Speaks::Http),
            ("application/grpcx", Speaks::Http),
            ("text/plain", Speaks::Http),
        ] {
            let mut head = RequestHead::default().with_field("content-type", kind);
            assert_eq!(speaks(&head), Speaks::Http, "GET {kind}");
            head.method = Method::Post;
            assert_eq!(speaks(&head), spoken, "{kind}");
        }
        assert_eq!(speaks(&RequestHead::default()), Speaks::Http);
    }

    #[test]
    fn an_answer_has_the_form_that_is_asked_for() {
        for (accept, form) in [
            ("application/grpc-web-text", Form::Text),
            ("*/*, application/grpc-web-text+proto", Form::Text),
            (
                "application/grpc-web, application/grpc-web-text",
                Form::Binary,
            ),
            ("*/*", Form::Binary),
        ] {
            let head = RequestHead::default().with_field("accept", accept);
            assert_eq!(wanted(&head, Form::Binary), form, "{accept}");
        }
        assert_eq!(wanted(&RequestHead::default(), Form::Text), Form::Text);
    }

    #[test]
    fn formats_stand_behind() {
        assert_eq!(
            format(b"application/grpc+proto;a=b"),
            Some(&b"+proto;a=b"[..])
        );
        assert_eq!(format(b"application/grpc-web"), None);
        assert_eq!(
            web_format(b"application/grpc-web-text+json"),
            Some(&b"+json"[..])
        );
        assert_eq!(web_format(b"application/grpc"), None);
    }
}
