//! `[clusters.NAME.bulkhead]` → [`Bulkhead`].

use std::time::Duration;

use super::compile::positive;
use crate::config::{Diagnostics, Spanned, raw};
use crate::endpoint::QueueTerms;

const CONNECTIONS_PER_ENDPOINT: u32 = 1024;
const QUEUE_SIZE: u32 = 1024;
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_PER_ENDPOINT: u32 = 64;
const IDLE_TIMEOUT: Duration = Duration::from_secs(55);

/// Limits that keep one slow cluster from taking the process down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bulkhead {
    /// Connections to one endpoint, leased or being made, by all workers; 0: no limit.
    pub connections_per_endpoint: u32,
    /// Exchanges in flight in the whole cluster, by all workers; 0: no limit.
    pub requests: u32,
    /// How many exchanges may wait for a place under these two limits, and for how long.
    pub queue: QueueTerms,
    /// Idle connections to one endpoint, kept by all workers together; 0: none is kept.
    pub idle_per_endpoint: u32,
    /// How long an idle connection is kept; not zero.
    pub idle_timeout: Duration,
}

pub(super) fn compile(raw: &raw::Bulkhead, diagnostics: &mut Diagnostics) -> Option<Bulkhead> {
    let number = |raw: Option<Spanned<u32>>, default| raw.map_or(default, |raw| raw.value);
    let idle_timeout = positive(raw.idle_timeout, IDLE_TIMEOUT, "idle_timeout", diagnostics);
    let queue = raw.queue.as_ref().map(|queue| &queue.value);
    let timeout = positive(
        queue.and_then(|queue| queue.timeout),
        QUEUE_TIMEOUT,
        "queue.timeout",
        diagnostics,
    );
    Some(Bulkhead {
        connections_per_endpoint: number(raw.connections_per_endpoint, CONNECTIONS_PER_ENDPOINT),
        requests: number(raw.requests, 0),
        queue: QueueTerms {
            size: number(queue.and_then(|queue| queue.size), QUEUE_SIZE),
            timeout: timeout?,
        },
        idle_per_endpoint: number(raw.idle_per_endpoint, IDLE_PER_ENDPOINT),
        idle_timeout: idle_timeout?,
    })
}
