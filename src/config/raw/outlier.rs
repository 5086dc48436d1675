//! `[clusters.NAME.outlier]`: ejection from what real traffic shows.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{Duration, Percent, Ratio};

/// `[clusters.NAME.outlier]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outlier {
    /// Failures in a row that eject.
    pub consecutive_failures: Option<Spanned<u32>>,
    /// Share of failures that ejects.
    pub failure_rate: Option<Spanned<FailureRate>>,
    /// First ejection; grows with their number.
    pub ejection: Option<Spanned<Duration>>,
    /// Longest ejection.
    pub max_ejection: Option<Spanned<Duration>>,
    /// Most of the cluster that may be ejected.
    pub max_ejected: Option<Spanned<Percent>>,
}

/// `failure_rate`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureRate {
    /// Share of failures.
    pub threshold: Option<Spanned<Ratio>>,
    /// Over this time.
    pub window: Option<Spanned<Duration>>,
    /// With at least that many requests.
    pub min_requests: Option<Spanned<u32>>,
}
