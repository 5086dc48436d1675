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
    /// What is counted apart: `client_ip` (an IPv6 client is its /64, or `client_ip/N`), `global`, `route`, `host`,
    /// `path`, `header:NAME`, `cookie:NAME`, `query:NAME`, `claim:NAME` (of a token that a `jwt` before has found sound), or several of them joined.
    pub key: Spanned<OneOrMany<String>>,
    /// How many (in a `sliding_log` 10000 at most) … Range: `1` to `1000000000`.
    pub rate: Spanned<u64>,
    /// … in this time. Range: above `0s`. Default: `1s`.
    pub per: Option<Spanned<Duration>>,
    /// How many at once (`token_bucket`), or how many wait in the queue (`leaky_bucket`); the others have none.
    /// Without it as many as `rate`. Range: `1` to `1000000000`.
    pub burst: Option<Spanned<u64>>,
    /// Which fields tell the client. Default: `draft`.
    pub headers: Option<Spanned<LimitHeaders>>,
    /// What happens over the limit. Default: `reject`.
    pub on_limit: Option<Spanned<Choice<OnLimit>>>,
    /// Other rates for some; the first that a request is of counts.
    pub tiers: Option<Spanned<Vec<Spanned<LimitTier>>>>,
    /// Where counters live. Default: `local`.
    pub store: Option<Spanned<LimitStore>>,
    /// How many keys are known at once in this process; over it one that is least over its limit is forgotten. Without it a
    /// `sliding_log` has so many that their times fit into 64 MiB. Range: `1` to `16777216`. Default: `1000000`.
    pub max_keys: Option<Spanned<u32>>,
}

/// How a limiter counts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Tokens that refill: `burst` at once, `rate` on average.
    TokenBucket,
    /// A queue that drains: evenly at `rate`, with up to `burst` waiting.
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
    /// `RateLimit` and `RateLimit-Policy` of the IETF draft.
    Draft,
    /// `X-RateLimit-Limit`, -Remaining and -Reset.
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
    /// Wait for its turn; 429 when that would take too long.
    Delay(LimitDelay),
    /// Counted only.
    Shadow,
}

/// `{ delay = … }`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitDelay {
    /// Longest wait. Range: above `0s`. Default: `1s`.
    pub max: Option<Spanned<Duration>>,
}

/// One of `tiers`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitTier {
    /// Field to look at. Without it and `claim` the first part of the key is; where that is `client_ip`, `value` is a network.
    pub header: Option<Spanned<String>>,
    /// Claim of a token to look at, which a `jwt` before the limiter has found sound.
    pub claim: Option<Spanned<String>>,
    /// Its value.
    pub value: Spanned<String>,
    /// The rate. Range: `1` to `1000000000`.
    pub rate: Spanned<u64>,
    /// The burst. Without it as many as its `rate`. Range: `1` to `1000000000`.
    pub burst: Option<Spanned<u64>>,
}

/// Where counters live.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitStore {
    /// In the process.
    Local,
    /// In `[stores.redis]`, shared by several instances.
    Redis,
}
