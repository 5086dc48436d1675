//! `[clusters.NAME.outlier]` → [`OutlierPolicy`], `breaker` → [`BreakerPolicy`].

use std::time::Duration;

use super::{BreakerPolicy, FailureRate, LatencyRule, OutlierPolicy, Timing};
use crate::config::raw::outlier as raw;
use crate::config::types;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};

/// What is meant when a key is not written.
const CONSECUTIVE: u32 = 5;
const THRESHOLD: f64 = 0.5;
const WINDOW: Duration = Duration::from_secs(10);
const MIN_REQUESTS: u32 = 20;
const DEVIATIONS: u32 = 5;
const MIN_EXCESS: Duration = Duration::from_millis(25);
const EJECTION: Duration = Duration::from_secs(10);
const MAX_EJECTION: Duration = Duration::from_mins(5);
const JITTER: f64 = 0.1;
const MAX_EJECTED: u8 = 50;
const SUCCESSES: u8 = 1;

const FAILURES: u32 = 5;
const BREAKER_WINDOW: Duration = Duration::from_mins(1);
const OPEN: Duration = Duration::from_secs(30);
const BREAKER_SUCCESSES: u8 = 3;

/// A window has eight slots of a millisecond at least.
const LEAST_WINDOW: Duration = Duration::from_millis(8);
const MOST_SUCCESSES: u8 = 100;

/// Compiles a cluster's outlier detection, which is on where nothing is written.
pub fn outlier(raw: Option<&raw::Outlier>, diagnostics: &mut Diagnostics) -> Option<OutlierPolicy> {
    let default = raw::Outlier::default();
    let raw = raw.unwrap_or(&default);
    let rate = rate(
        raw.failure_rate.as_ref().map(|rate| &rate.value),
        diagnostics,
    );
    let latency = match &raw.latency {
        None => Some(None),
        Some(raw) => latency(raw, diagnostics).map(Some),
    };
    let timing = timing(raw, diagnostics);
    let successes = successes(raw.successes, SUCCESSES, diagnostics);
    let consecutive = raw
        .consecutive_failures
        .map_or(CONSECUTIVE, |raw| raw.value);
    Some(OutlierPolicy {
        consecutive: (consecutive > 0).then_some(consecutive),
        rate: rate?,
        latency: latency?,
        timing: timing?,
        max_ejected: raw.max_ejected.map_or(MAX_EJECTED, |percent| percent.0),
        successes: successes?,
    })
}

/// Compiles a cluster's breaker.
pub fn breaker(raw: &raw::Breaker, diagnostics: &mut Diagnostics) -> Option<BreakerPolicy> {
    let failures = at_least_one(raw.failures, FAILURES, "failures", diagnostics);
    let window = window(raw.window, BREAKER_WINDOW, diagnostics);
    let open = positive(raw.open, OPEN, "open", diagnostics);
    let successes = successes(raw.successes, BREAKER_SUCCESSES, diagnostics);
    let open = open?;
    Some(BreakerPolicy {
        failures: failures?,
        threshold: raw.threshold.map_or(THRESHOLD, |share| share.0),
        window: window?,
        timing: Timing {
            base: open,
            max: open,
            jitter: 0.0,
        },
        successes: successes?,
    })
}

#[expect(clippy::option_option, reason = "wrong, or right and off, or right")]
fn rate(
    raw: Option<&raw::FailureRate>,
    diagnostics: &mut Diagnostics,
) -> Option<Option<FailureRate>> {
    let default = raw::FailureRate::default();
    let raw = raw.unwrap_or(&default);
    let threshold = raw.threshold.map_or(THRESHOLD, |share| share.0);
    let window = window(raw.window, WINDOW, diagnostics);
    let requests = at_least_one(raw.min_requests, MIN_REQUESTS, "min_requests", diagnostics);
    let rate = FailureRate {
        threshold,
        window: window?,
        min_requests: requests?,
    };
    Some((threshold > 0.0).then_some(rate))
}

fn latency(raw: &raw::LatencyRule, diagnostics: &mut Diagnostics) -> Option<LatencyRule> {
    let deviations = at_least_one(raw.deviations, DEVIATIONS, "deviations", diagnostics);
    let window = window(raw.window, WINDOW, diagnostics);
    let requests = at_least_one(raw.min_requests, MIN_REQUESTS, "min_requests", diagnostics);
    Some(LatencyRule {
        deviations: deviations?,
        window: window?,
        min_requests: requests?,
        min_excess: raw.min_excess.map_or(MIN_EXCESS, |time| time.get()),
    })
}

fn timing(raw: &raw::Outlier, diagnostics: &mut Diagnostics) -> Option<Timing> {
    let base = positive(raw.ejection, EJECTION, "ejection", diagnostics)?;
    let max = match raw.max_ejection {
        None => MAX_EJECTION.max(base),
        Some(max) if max.get() < base => {
            let mut error = Diagnostic::error(
                Code::BadValue,
                max.span,
                "`max_ejection` is shorter than the first ejection",
            );
            error = match raw.ejection {
                Some(first) => error.also(first.span, "this long"),
                None => error.note("`ejection` is 10s where it is not written"),
            };
            diagnostics.push(error.hint("write a longer `max_ejection` or a shorter `ejection`"));
            return None;
        }
        Some(max) => max.get(),
    };
    Some(Timing {
        base,
        max,
        jitter: raw.jitter.map_or(JITTER, |share| share.0),
    })
}

fn window(
    raw: Option<Spanned<types::Duration>>,
    default: Duration,
    diagnostics: &mut Diagnostics,
) -> Option<Duration> {
    let window = raw.map_or(default, |raw| raw.get());
    if window >= LEAST_WINDOW {
        return Some(window);
    }
    let span = raw.map(|raw| raw.span).unwrap_or_default();
    let text = "`window` must be at least 8ms";
    let error = Diagnostic::error(Code::BadValue, span, text);
    diagnostics.push(error.hint("a window of seconds tells a fault from a hiccup"));
    None
}

fn positive(
    raw: Option<Spanned<types::Duration>>,
    default: Duration,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Duration> {
    match raw {
        None => Some(default),
        Some(raw) if raw.is_zero() => {
            let text = format!("`{key}` must be longer than 0s");
            diagnostics.push(Diagnostic::error(Code::BadValue, raw.span, text));
            None
        }
        Some(raw) => Some(raw.get()),
    }
}

fn at_least_one(
    raw: Option<Spanned<u32>>,
    default: u32,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> Option<u32> {
    match raw {
        None => Some(default),
        Some(raw) if raw.value == 0 => {
            let text = format!("`{key}` must be at least 1");
            diagnostics.push(Diagnostic::error(Code::BadValue, raw.span, text));
            None
        }
        Some(raw) => Some(raw.value),
    }
}

fn successes(raw: Option<Spanned<u32>>, default: u8, diagnostics: &mut Diagnostics) -> Option<u8> {
    let Some(raw) = raw else {
        return Some(default);
    };
    let number = u8::try_from(raw.value).ok();
    let allowed = number.filter(|number| (1..=MOST_SUCCESSES).contains(number));
    if allowed.is_none() {
        let text = format!("`successes` is {}: allowed are 1 to 100", raw.value);
        let error = Diagnostic::error(Code::BadValue, raw.span, text);
        diagnostics.push(error.note("while they are waited for, one request at a time goes there"));
    }
    allowed
}
