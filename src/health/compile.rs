//! `[clusters.NAME.health]` → [`HealthSpec`].

use std::net::IpAddr;
use std::time::Duration;

use super::cell::{HealthPolicy, Status};
use super::checks;
use super::spec::{Check, Connections, Elsewhere, HealthSpec, ProbeTls};
use crate::config::raw::health as raw;
use crate::config::types;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};

/// What is meant when a key is not written.
const INTERVAL: Duration = Duration::from_secs(5);
const FAILING: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);
const RISE: u32 = 2;
const FALL: u32 = 3;
const JITTER: f64 = 0.1;

/// Compiles a cluster's probes. All that is wrong is reported before it fails.
pub fn compile(raw: &raw::Health, diagnostics: &mut Diagnostics) -> Option<HealthSpec> {
    let check = check(&raw.check, diagnostics);
    let elsewhere = elsewhere(raw, diagnostics);
    let keeps = raw.keep_alive.is_some_and(|keep| keep.value);
    let connections = if keeps {
        kept(raw, diagnostics)
    } else {
        Some(Connections::Fresh)
    };
    let interval = positive(raw.interval.as_ref(), INTERVAL, "interval", diagnostics);
    let failing = raw.failing_interval.as_ref();
    let failing = positive(failing, FAILING, "failing_interval", diagnostics);
    let timeout = positive(raw.timeout.as_ref(), TIMEOUT, "timeout", diagnostics);
    let rise = at_least_one(raw.rise.as_ref(), RISE, "rise", diagnostics);
    let fall = at_least_one(raw.fall.as_ref(), FALL, "fall", diagnostics);
    let initial = match raw.initial.as_ref().map(|initial| &initial.value) {
        None | Some(raw::InitialHealth::Healthy) => Status::Healthy,
        Some(raw::InitialHealth::Unhealthy) => Status::Unhealthy,
    };
    let interval = interval?;
    let policy = HealthPolicy {
        interval,
        failing_interval: failing?.min(interval),
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
        preface: None,
        check: check?,
        elsewhere: elsewhere?,
        tls: match raw.tls.map(|tls| tls.value) {
            None | Some(true) => ProbeTls::AsTraffic,
            Some(false) => ProbeTls::Off,
        },
        connections: connections?,
        policy,
    })
}

fn check(raw: &Spanned<types::Choice<raw::Check>>, diagnostics: &mut Diagnostics) -> Option<Check> {
    match &raw.value.0 {
        raw::Check::Tcp(raw) => checks::tcp(raw, diagnostics),
        raw::Check::Udp(check) => checks::udp(check, raw.span, diagnostics),
        raw::Check::Http(raw) => checks::http(raw, diagnostics),
        raw::Check::Grpc(raw) => checks::grpc(raw, diagnostics),
        raw::Check::Command(raw) => checks::command(raw, diagnostics),
    }
}

/// Where there is a connection to keep.
fn kept(raw: &raw::Health, diagnostics: &mut Diagnostics) -> Option<Connections> {
    if matches!(raw.check.value.0, raw::Check::Http(_) | raw::Check::Grpc(_)) {
        return Some(Connections::Kept);
    }
    let span = raw.keep_alive.map(|keep| keep.span).unwrap_or_default();
    let text = "this check has no connection that could be kept";
    let error = Diagnostic::error(Code::Conflict, span, text);
    diagnostics.push(error.hint("`keep_alive` is for http and grpc"));
    None
}

fn elsewhere(raw: &raw::Health, diagnostics: &mut Diagnostics) -> Option<Elsewhere> {
    let address = match &raw.address {
        None => Some(None),
        Some(text) => address(text, diagnostics).map(Some),
    };
    if let Some(port) = raw.port.filter(|port| port.value == 0) {
        let error = Diagnostic::error(Code::BadAddress, port.span, "nobody listens on port 0");
        diagnostics.push(error.hint("allowed are 1 to 65535"));
        return None;
    }
    Some(Elsewhere {
        address: address?,
        port: raw.port.map(|port| port.value),
    })
}

fn address(raw: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<IpAddr> {
    let address = raw.parse().ok();
    if address.is_none() {
        let shown = raw.escape_debug();
        let text = format!("`{shown}` is not an IP address");
        diagnostics.push(
            Diagnostic::error(Code::BadAddress, raw.span, text)
                .hint("write the address alone, such as \"127.0.0.1\"; the port is `port`"),
        );
    }
    address
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
