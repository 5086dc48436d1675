//! `[stores.*]`.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{Duration, Secret};

/// `[stores]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stores {
    /// `[stores.redis]`.
    pub redis: Option<Spanned<RedisStore>>,
}

/// `[stores.redis]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisStore {
    /// Where: `redis://[user:password@]host:port[/database]`, `unix:///path`, `redis-sentinel://[user:password@]host[:port],…/MASTER[/database]`
    /// or `redis-cluster://[user:password@]host[:port],…`.
    pub url: Spanned<Secret>,
    /// For one decision. Range: above `0s`. Default: `20ms`.
    pub timeout: Option<Spanned<Duration>>,
    /// What holds without it. Default: `local`.
    pub on_error: Option<Spanned<OnStoreError>>,
}

/// What happens when a store cannot be reached.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStoreError {
    /// The limits, counted by this process alone.
    Local,
    /// Everything passes.
    Allow,
    /// Nothing passes: 503.
    Deny,
}
