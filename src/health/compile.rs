//! `[clusters.NAME.health]` → [`HealthSpec`].

use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;

use super::cell::{HealthPolicy, Status};
use super::probe::MAX_BODY;
use super::spec::{Check, HealthSpec, HttpCheck};
use crate::config::raw::health as raw;
use crate::config::types::{self, StatusRange};
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};
use crate::message::authority;

/// What is meant when a key is not written.
const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(2);
const RISE: u32 = 2;
const FALL: u32 = 3;
const JITTER: f64 = 0.1;
const PASSING: StatusRange = StatusRange {
    first: 200,
    last: 299,
};

/// Compiles a cluster's probes. All that is wrong is reported before it fails.
pub fn compile(raw: &raw::Health, diagnostics: &mut Diagnostics) -> Option<HealthSpec> {
    let check = check(&raw.check, diagnostics);
    let interval = positive(raw.interval.as_ref(), INTERVAL, "interval", diagnostics);
    let timeout = positive(raw.timeout.as_ref(), TIMEOUT, "timeout", diagnostics);
    let rise = at_least_one(raw.rise.as_ref(), RISE, "rise", diagnostics);
    let fall = at_least_one(raw.fall.as_ref(), FALL, "fall", diagnostics);
    let initial = match raw.initial.as_ref().map(|initial| &initial.value) {
        None | Some(raw::InitialHealth::Healthy) => Status::Healthy,
        Some(raw::InitialHealth::Unhealthy) => Status::Unhealthy,
    };
    let policy = HealthPolicy {
        interval: interval?,
        timeout: timeout?,
        max_response_time: raw
            .max_response_time
            .map_or(Duration::ZERO, |time| time.get()),
        rise: rise?,
        fall: fall?,
        jitter: raw.jitter.map_or(JITTER, |jitter| jitter.0),
        initial,
    };
    Some(HealthSpec {
        check: check?,
        policy,
    })
}

fn check(raw: &Spanned<types::Choice<raw::Check>>, diagnostics: &mut Diagnostics) -> Option<Check> {
    match &raw.value.0 {
        raw::Check::Tcp(_) => Some(Check::Tcp),
        raw::Check::Http(raw) => http(raw, diagnostics),
        raw::Check::Grpc(_) => {
            diagnostics.unsupported(raw.span, "health checks by gRPC");
            None
        }
        raw::Check::Command(_) => {
            diagnostics.unsupported(raw.span, "health checks by a program");
            None
        }
    }
}

fn http(raw: &raw::HttpCheck, diagnostics: &mut Diagnostics) -> Option<Check> {
    let path = match &raw.path {
        None => Some(PathAndQuery::from_static("/")),
        Some(path) => self::path(path, diagnostics),
    };
    let host = raw.host.as_ref().map(|host| self::host(host, diagnostics));
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
    if statuses.is_empty() {
        return None;
    }
    Some(Check::Http(HttpCheck {
        path: path?,
        host: transpose(host)?,
        statuses: statuses.into_iter().map(|r| r.first..=r.last).collect(),
        body_contains: transpose(body_contains)?,
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

fn positive(
    raw: Option<&Spanned<types::Duration>>,
    default: Duration,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Duration> {
    let Some(raw) = raw else {
        return Some(default);
    };
    if raw.is_zero() {
        diagnostics.push(Diagnostic::error(
            Code::BadValue,
            raw.span,
            format!("`{key}` must be longer than 0s"),
        ));
        return None;
    }
    Some(raw.get())
}

fn at_least_one(
    raw: Option<&Spanned<u32>>,
    default: u32,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> Option<u32> {
    let Some(raw) = raw else {
        return Some(default);
    };
    if raw.value == 0 {
        diagnostics.push(
            Diagnostic::error(
                Code::BadValue,
                raw.span,
                format!("`{key}` must be at least 1"),
            )
            .note("it is the number of probes in a row that change the state"),
        );
        return None;
    }
    Some(raw.value)
}
