//! `[clusters.NAME.outlier]` and `breaker`: what follows from what real traffic shows.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{Duration, Percent, Ratio};

/// `[clusters.NAME.outlier]`: ejection of endpoints. On without being written; `max_ejected = 0` turns it off.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outlier {
    /// Failures in a row that eject: no connection, a reset, a timeout, 502, 503, 504; 0: any number is borne.
    /// Default: `5`.
    pub consecutive_failures: Option<Spanned<u32>>,
    /// Share of failures that ejects.
    pub failure_rate: Option<Spanned<FailureRate>>,
    /// Time to the response's head, beside that of the peers, that ejects. Default: any is borne.
    pub latency: Option<Spanned<LatencyRule>>,
    /// First ejection; the second takes twice as long, and so on. Range: above `0s`. Default: `10s`.
    pub ejection: Option<Spanned<Duration>>,
    /// Longest ejection; not shorter than `ejection`. Default: `5m`.
    pub max_ejection: Option<Spanned<Duration>>,
    /// Share by which an ejection may be shorter, by chance. Default: `0.1`.
    pub jitter: Option<Spanned<Ratio>>,
    /// Most of the cluster that may be ejected; rounded down, but one of two or more at least; 0: nobody ever is.
    /// Default: `50`.
    pub max_ejected: Option<Spanned<Percent>>,
    /// Good answers, one request at a time, after which an ejected endpoint is back. Range: `1` to `100`. Default: `1`.
    pub successes: Option<Spanned<u32>>,
}

/// `failure_rate`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureRate {
    /// Share of failures; 0.0: any is borne. Default: `0.5`.
    pub threshold: Option<Spanned<Ratio>>,
    /// Over this time, which slides by an eighth of it. Range: at least `8ms`. Default: `10s`.
    pub window: Option<Spanned<Duration>>,
    /// With at least that many requests. Range: at least `1`. Default: `20`.
    pub min_requests: Option<Spanned<u32>>,
}

/// `latency` of `[clusters.NAME.outlier]`; of three endpoints or more.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyRule {
    /// Standard deviations above the median of all endpoints, estimated from the median absolute deviation; that
    /// is taken as a tenth of the median at least. Range: at least `1`. Default: `5`.
    pub deviations: Option<Spanned<u32>>,
    /// Over this time, which slides by an eighth of it. Range: at least `8ms`. Default: `10s`.
    pub window: Option<Spanned<Duration>>,
    /// With at least that many requests. Range: at least `1`. Default: `20`.
    pub min_requests: Option<Spanned<u32>>,
    /// And at least so much above the median. Default: `25ms`.
    pub min_excess: Option<Spanned<Duration>>,
}

/// `breaker`: the circuit breaker of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// Exchanges that failed within the window, after all tries, and open it. Range: at least `1`. Default: `5`.
    pub failures: Option<Spanned<u32>>,
    /// If they are at least this share of all. Default: `0.5`.
    pub threshold: Option<Spanned<Ratio>>,
    /// The window, which slides by an eighth of it. Range: at least `8ms`. Default: `60s`.
    pub window: Option<Spanned<Duration>>,
    /// How long it stays open: 503 at once. Range: above `0s`. Default: `30s`.
    pub open: Option<Spanned<Duration>>,
    /// Good answers, one exchange at a time, that close it again. Range: `1` to `100`. Default: `3`.
    pub successes: Option<Spanned<u32>>,
}
