//! A named group of endpoints and the policy for reaching them: the set, the balancer, timeouts, caps, retries,
//! probes.
//!
//! **Invariants.** A [`Cluster`] is immutable and belongs to one configuration; what must outlive that is asked
//! for by identity in [`Live`] and held by the endpoints. A cluster that was compiled has at least one endpoint
//! and no two with the same address.
//!
//! **Not here.** Picking (`balance`), connecting (`upstream`), and what a policy makes of one exchange
//! (`exchange`).

mod compile;
mod endpoints;
pub mod live;
pub mod retry;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::balance::Balancer;
use crate::base::ClusterName;
use crate::endpoint::EndpointSet;
use crate::health::{HealthSpec, Target};

pub use compile::compile;
pub use live::Live;
pub use retry::{Backoff, Budget, Methods, RetryOn, RetryPolicy};

/// A compiled cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its endpoints.
    pub set: EndpointSet,
    /// How one is picked.
    pub balancer: Balancer,
    /// How long its endpoints may take; a route may say otherwise.
    pub timeouts: ClusterTimeouts,
    /// What it may cost.
    pub bulkhead: Bulkhead,
    /// What is tried again.
    pub retry: RetryPolicy,
    /// How its endpoints are probed; `None`: not at all.
    pub health: Option<Arc<HealthSpec>>,
}

/// Timeouts of a cluster; none is zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClusterTimeouts {
    /// To make a connection.
    pub connect: Duration,
    /// From the request sent to the response's head.
    pub response: Duration,
    /// Between two reads of a response's body.
    pub response_idle: Duration,
    /// Idle time of a WebSocket and other long streams.
    pub tunnel: Duration,
}

/// Limits that keep one slow cluster from taking the process down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bulkhead {
    /// Connections to one endpoint, leased or being made, by all workers; 0: no limit.
    pub connections_per_endpoint: u32,
    /// Idle connections to one endpoint, kept by all workers together; 0: none is kept.
    pub idle_per_endpoint: u32,
    /// How long an idle connection is kept; not zero.
    pub idle_timeout: Duration,
}

impl Cluster {
    /// What the prober has to probe for this cluster.
    pub fn targets(&self) -> impl Iterator<Item = Target> {
        let spec = self.health.iter();
        spec.flat_map(|spec| {
            self.set.iter().filter_map(|endpoint| {
                Some(Target {
                    cluster: self.name.clone(),
                    addr: endpoint.key.addr.clone(),
                    spec: Arc::clone(spec),
                    cell: Arc::clone(endpoint.health.as_ref()?),
                })
            })
        })
    }
}
