//! `[clusters.NAME.bulkhead]`: limits of a cluster.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::Duration;

/// `[clusters.NAME.bulkhead]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bulkhead {
    /// Connections to one endpoint, all workers; 0: no limit. Default: `1024`.
    pub connections_per_endpoint: Option<Spanned<u32>>,
    /// In flight in the whole cluster; 0: no limit, and this build takes 0 only. Default: `0`.
    pub requests: Option<Spanned<u32>>,
    /// Waiting for a slot. Not in this build.
    pub queue: Option<Spanned<Queue>>,
    /// Idle connections kept to one endpoint, all workers: each keeps its share, rounded up to a whole number.
    /// Default: `64`.
    pub idle_per_endpoint: Option<Spanned<u32>>,
    /// How long an idle connection is kept. Range: above `0s`. Default: `55s`.
    pub idle_timeout: Option<Spanned<Duration>>,
}

/// `queue`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// How many may wait.
    pub size: Option<Spanned<u32>>,
    /// How long.
    pub timeout: Option<Spanned<Duration>>,
}
