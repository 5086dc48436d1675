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
    /// Requests in flight in the whole cluster, all workers; 0: no limit. Default: `0`.
    pub requests: Option<Spanned<u32>>,
    /// Waiting for a place under these limits.
    pub queue: Option<Spanned<Queue>>,
    /// Idle connections kept to one endpoint, all workers: each keeps its share, rounded up to a whole number.
    /// Default: `64`.
    pub idle_per_endpoint: Option<Spanned<u32>>,
    /// How long an idle connection is kept. Range: above `0s`. Default: `55s`.
    pub idle_timeout: Option<Spanned<Duration>>,
}

/// `queue`: requests that wait for a place.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// How many may wait; 0: none, and what finds no place is refused at once. Default: `1024`.
    pub size: Option<Spanned<u32>>,
    /// How long each may wait. Range: above `0s`. Default: `5s`.
    pub timeout: Option<Spanned<Duration>>,
}
