//! `check` of `[clusters.NAME.health]` → [`Check`].

use std::path::PathBuf;

use super::probe::MAX_BODY;
use super::spec::{BodyRegex, Check, CommandCheck, GrpcCheck, HttpCheck, TcpCheck, UdpCheck};
use crate::config::pattern::{Extent, regex};
use crate::config::raw::health as raw;
use crate::config::types::StatusRange;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};
use crate::message::authority;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;

/// What fits into one datagram of IPv4.
const MAX_DATAGRAM: usize = 65_507;

/// What passes when no status is written.
const PASSING: StatusRange = StatusRange {
    first: 200,
    last: 299,
};

/// Fields that say how the request is framed or where it goes: they are written from other keys, or by us.
const OURS: [&str; 7] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "upgrade",
    "expect",
];

pub(super) fn http(raw: &raw::HttpCheck, diagnostics: &mut Diagnostics) -> Option<Check> {
    let method = match &raw.method {
        None => Some(Method::GET),
        Some(method) => self::method(method, diagnostics),
    };
    let path = match &raw.path {
        None => Some(PathAndQuery::from_static("/")),
        Some(path) => self::path(path, diagnostics),
    };
    let host = raw.host.as_ref().map(|host| self::host(host, diagnostics));
    let mut headers = Vec::new();
    let mut wrong = 0;
    for (name, value) in raw.headers.iter() {
        match header(name, value, diagnostics) {
            Some(pair) => headers.push(pair),
            None => wrong += 1,
        }
    }
    let statuses = match &raw.status {
        None => vec![PASSING],
        Some(list) => {
            if list.is_empty() {
                diagnostics.push(
                    Diagnostic::error(Code::Empty, list.span, "no status can ever pass")
                        .hint("write the statuses that pass, such as [\"200-299\"]"),
                );
            }
            list.iter().map(|range| range.value).collect()
        }
    };
    let body_contains = raw
        .body_contains
        .as_ref()
        .map(|text| body(text, diagnostics));
    let body_regex = raw
        .body_regex
        .as_ref()
        .map(|text| body_regex(text, diagnostics));
    let looks = raw.body_contains.as_ref().or(raw.body_regex.as_ref());
    if let (Some(Method::HEAD), Some(looks)) = (&method, looks) {
        let error = "the answer to a HEAD has no body to look at";
        diagnostics.push(
            Diagnostic::error(Code::Conflict, looks.span, error).hint("write method = \"GET\""),
        );
        return None;
    }
    if statuses.is_empty() || wrong > 0 {
        return None;
    }
    Some(Check::Http(HttpCheck {
        method: method?,
        path: path?,
        host: transpose(host)?,
        headers,
        statuses: statuses.into_iter().map(|r| r.first..=r.last).collect(),
        body_contains: transpose(body_contains)?,
        body_regex: transpose(body_regex)?,
    }))
}

pub(super) fn tcp(raw: &raw::TcpCheck, diagnostics: &mut Diagnostics) -> Option<Check> {
    let send = bytes(raw.send.as_ref(), raw.send_hex.as_ref(), diagnostics);
    let expect = bytes(raw.expect.as_ref(), raw.expect_hex.as_ref(), diagnostics);
    let (send, expect) = (send?, expect?);
    Some(Check::Tcp(TcpCheck { send, expect }))
}

/// Nothing but an answer shows that somebody takes datagrams, and nothing but a datagram brings one.
pub(super) fn udp(raw: &raw::UdpCheck, span: Span, diagnostics: &mut Diagnostics) -> Option<Check> {
    let send = bytes(raw.send.as_ref(), raw.send_hex.as_ref(), diagnostics);
    let expect = bytes(raw.expect.as_ref(), raw.expect_hex.as_ref(), diagnostics);
    let (send, expect) = (send?, expect?);
    if send.is_empty() {
        let message = "a udp probe has nothing to send";
        diagnostics.push(
            Diagnostic::error(Code::MissingKey, span, message)
                .label("which datagram is answered?")
                .hint("write `send` or `send_hex`"),
        );
        return None;
    }
    if send.len() > MAX_DATAGRAM {
        let given = raw.send.as_ref().or(raw.send_hex.as_ref());
        let message = format!("a datagram has {MAX_DATAGRAM} bytes at most");
        let span = given.map_or(span, |given| given.span);
        diagnostics.push(Diagnostic::error(Code::BadValue, span, message));
        return None;
    }
    Some(Check::Udp(UdpCheck { send, expect }))
}

pub(super) fn grpc(raw: &raw::GrpcCheck, diagnostics: &mut Diagnostics) -> Option<Check> {
    let host = raw.host.as_ref().map(|text| {
        let host = host(text, diagnostics)?;
        Some(host.to_str().ok()?.into())
    });
    let service = raw.service.as_ref().map(|service| service.as_str());
    Some(Check::Grpc(GrpcCheck {
        service: service.unwrap_or_default().into(),
        host: transpose(host)?,
    }))
}

pub(super) fn command(raw: &raw::CommandCheck, diagnostics: &mut Diagnostics) -> Option<Check> {
    let mut words = raw.argv.iter();
    let Some(program) = words.next() else {
        diagnostics.push(
            Diagnostic::error(Code::Empty, raw.argv.span, "there is no program to run")
                .hint("write its path and its arguments: [\"/usr/local/bin/probe\", \"--quick\"]"),
        );
        return None;
    };
    let zero = raw.argv.iter().find(|word| word.contains('\0'));
    if let Some(word) = zero {
        let text = "a program cannot be given a zero byte";
        diagnostics.push(Diagnostic::error(Code::BadValue, word.span, text));
        return None;
    }
    if !program.starts_with('/') {
        let shown = program.escape_debug();
        let text = format!("`{shown}` is not an absolute path");
        diagnostics.push(
            Diagnostic::error(Code::BadValue, program.span, text)
                .note("which program runs must not depend on where this one was started")
                .hint("write the whole path, such as \"/usr/local/bin/probe\""),
        );
        return None;
    }
    Some(Check::Command(CommandCheck {
        program: PathBuf::from(&program.value),
        arguments: words.map(|word| word.value.clone()).collect(),
    }))
}

/// Not written, written well, or (`None`) written wrong.
#[expect(clippy::option_option, reason = "the three cases are the point")]
fn transpose<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(None) => None,
        Some(some) => Some(some),
    }
}

fn method(raw: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<Method> {
    let shouted = !raw.is_empty() && raw.bytes().all(|byte| byte.is_ascii_uppercase());
    let parsed = Method::from_bytes(raw.as_bytes()).ok();
    let method = parsed.filter(|method| shouted && *method != Method::CONNECT);
    if method.is_none() {
        let shown = raw.escape_debug();
        let text = format!("`{shown}` is not a method to probe with");
        diagnostics.push(
            Diagnostic::error(Code::BadMethod, raw.span, text)
                .hint("write GET, HEAD, OPTIONS or another one, in capitals"),
        );
    }
    method
}

fn header(
    name: &Spanned<String>,
    value: &Spanned<String>,
    diagnostics: &mut Diagnostics,
) -> Option<(HeaderName, HeaderValue)> {
    let mut wrong = |span, text: String, hint: &str| {
        diagnostics.push(Diagnostic::error(Code::BadField, span, text).hint(hint));
    };
    let shown = name.escape_debug();
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
        let text = format!("`{shown}` is not the name of a field");
        wrong(name.span, text, "a name has letters, digits and -");
        return None;
    };
    if OURS.contains(&parsed.as_str()) {
        let text = format!("`{shown}` cannot be set here");
        let hint = "`host` has a key of its own, `connection` follows from keep_alive, and a probe has no body";
        wrong(name.span, text, hint);
        return None;
    }
    if let Ok(value) = HeaderValue::from_str(value) {
        return Some((parsed, value));
    }
    let shown = value.escape_debug();
    let text = format!("`{shown}` cannot be the value of a field");
    let hint = "a value has visible ASCII, spaces and tabs";
    wrong(value.span, text, hint);
    None
}

fn path(raw: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<PathAndQuery> {
    let sendable = raw.starts_with('/') && raw.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    let path = sendable.then(|| raw.parse().ok()).flatten();
    if path.is_none() {
        let text = raw.escape_debug();
        diagnostics.push(
            Diagnostic::error(
                Code::BadPath,
                raw.span,
                format!("`{text}` is not a path that can be asked for"),
            )
            .hint("a path begins with `/`; other than visible ASCII is written as %XX"),
        );
    }
    path
}

fn host(raw: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<HeaderValue> {
    let valid = authority::parse(raw.as_bytes()).is_ok();
    let host = valid.then(|| HeaderValue::from_str(raw).ok()).flatten();
    if host.is_none() {
        let text = raw.escape_debug();
        diagnostics.push(
            Diagnostic::error(Code::BadHost, raw.span, format!("`{text}` is not a host"))
                .hint("write a name or an address, with a port if the origin wants one"),
        );
    }
    host
}

fn body(raw: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<Box<str>> {
    if raw.is_empty() {
        diagnostics.push(
            Diagnostic::error(
                Code::BadValue,
                raw.span,
                "every body contains the empty text",
            )
            .hint("remove `body_contains` to accept any body"),
        );
        return None;
    }
    if raw.len() > MAX_BODY {
        diagnostics.push(Diagnostic::error(
            Code::BadValue,
            raw.span,
            "the text is longer than the 64 KiB of a body that are searched",
        ));
        return None;
    }
    Some(raw.as_str().into())
}

fn body_regex(raw: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<BodyRegex> {
    match regex(raw, Extent::Part) {
        Ok(regex) => Some(BodyRegex(regex)),
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            None
        }
    }
}

/// Bytes by text or by digits; not both.
fn bytes(
    text: Option<&Spanned<String>>,
    digits: Option<&Spanned<String>>,
    diagnostics: &mut Diagnostics,
) -> Option<Box<[u8]>> {
    let bytes: Vec<u8> = match (text, digits) {
        (None, None) => Vec::new(),
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, Some(digits)) => unhex(digits, diagnostics)?,
        (Some(text), Some(digits)) => {
            let error = "the same bytes cannot be written twice";
            diagnostics.push(
                Diagnostic::error(Code::Conflict, digits.span, error)
                    .also(text.span, "as text here")
                    .hint("keep one of the two"),
            );
            return None;
        }
    };
    if bytes.len() > MAX_BODY {
        let span = text.or(digits).map(|raw| raw.span).unwrap_or_default();
        let error = "no more than 64 KiB can be sent or expected";
        diagnostics.push(Diagnostic::error(Code::BadValue, span, error));
        return None;
    }
    Some(bytes.into())
}

fn unhex(raw: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = raw.as_bytes().chunks(2).map(pair).collect();
    if bytes.is_none() {
        let shown = raw.escape_debug();
        let text = format!("`{shown}` is not a row of bytes");
        diagnostics.push(
            Diagnostic::error(Code::BadValue, raw.span, text)
                .hint("write two hexadecimal digits for each, such as \"0d0a\""),
        );
    }
    bytes
}
