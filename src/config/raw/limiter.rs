//! `[limiters.NAME]`.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{Choice, Duration, OneOrMany};

/// `[limiters.NAME]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limiter {
    /// How is counted. Default: `token_bucket`.
    pub algorithm: Option<Spanned<Algorithm>>,
    /// What is counted apart.
    pub key: Spanned<OneOrMany<String>>,
    /// How many …
    pub rate: Spanned<u64>,
    /// … in this time. Default: `1s`.
    pub per: Option<Spanned<Duration>>,
    /// How many at once. Default: `rate`.
    pub burst: Option<Spanned<u64>>,
    /// Which fields tell the client. Default: `draft`.
    pub headers: Option<Spanned<LimitHeaders>>,
    /// What happens over the limit. Default: `reject`.
    pub on_limit: Option<Spanned<Choice<OnLimit>>>,
    /// Other rates for some.
    pub tiers: Option<Spanned<Vec<Spanned<LimitTier>>>>,
    /// Where counters live. Default: `local`.
    pub store: Option<Spanned<LimitStore>>,
}

/// How a limiter counts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Tokens that refill.
    TokenBucket,
    /// A queue that drains.
    LeakyBucket,
    /// Windows one after the other.
    FixedWindow,
    /// Two windows, weighted.
    SlidingWindow,
    /// Every request in the last period.
    SlidingLog,
}

/// Which fields tell the client its limits.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitHeaders {
    /// `RateLimit` and `RateLimit`-Policy.
    Draft,
    /// X-`RateLimit`-*.
    XRatelimit,
    /// None.
    Off,
}

/// What happens over the limit.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLimit {
    /// 429.
    Reject,
    /// Wait for a token.
    Delay(LimitDelay),
    /// Counted only.
    Shadow,
}

/// `{ delay = … }`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitDelay {
    /// Longest wait.
    pub max: Option<Spanned<Duration>>,
}

/// One of `tiers`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitTier {
    /// Field to look at; default: the key.
    pub header: Option<Spanned<String>>,
    /// Its value.
    pub value: Spanned<String>,
    /// The rate.
    pub rate: Spanned<u64>,
}

/// Where counters live.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitStore {
    /// In the process.
    Local,
    /// Shared by several instances.
    Redis,
}
