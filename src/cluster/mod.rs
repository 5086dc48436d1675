//! A named group of endpoints and the policy for reaching them: the set, the balancer, timeouts, caps, retries,
//! probes, ejection, the breaker.
//!
//! **Invariants.** A [`Cluster`] is immutable and belongs to one configuration; what must outlive that is asked
//! for by identity in [`Live`] and held by the endpoints. What changes its endpoints while a configuration runs (an
//! operator's word, an answer of DNS) makes a new cluster of the same [`Members`], which takes the old one's place as a whole. No
//! two endpoints have the same address; there are none only where names have never been resolved, or lead nowhere that `source` does.
//!
//! **Not here.** Picking (`balance`), connecting (`upstream`), and what a policy makes of one exchange
//! (`exchange`).

mod balancer;
mod breaker;
mod bulkhead;
mod compile;
mod endpoints;
mod key;
mod limits;
pub mod live;
pub mod members;
mod named;
pub mod overrides;
mod outlier;
mod protocol;
pub mod retry;
pub mod sticky;
pub mod sweeper;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::balance::Balancer;
use crate::base::ClusterName;
use crate::base::hash::{DEFAULT_SEED, HashKey};
use crate::base::secret::Secret;
use crate::endpoint::{Admin, EndpointSet, Gate};
use crate::health::{HealthSpec, ProbeTls, Target};
use crate::http1::limits::ResponseLimits;
use crate::metrics::{HealthCells, TransitionCause};
use crate::outlier::{Crowd, OutlierPolicy};
use crate::tls::ClientTls;
use crate::upstream::ConnectSpec;

pub use breaker::ClusterBreaker;
pub use bulkhead::Bulkhead;
pub use compile::compile;
pub use key::BalanceKey;
pub use live::Live;
pub use members::{Knowledge, Members};
pub use named::{ClusterIx, find_cluster};
pub use outlier::Visit;
pub use overrides::{Lapse, Override, Overrides, TooMany};
pub use retry::{Backoff, Budget, Methods, RetryOn, RetryPolicy, Said};
pub use sticky::Sticky;
pub use sweeper::Sweeper;

/// What this instance is among all that run the same configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Site {
    /// Decides where keys belong: instances with the same one agree.
    pub seed: HashKey,
    /// The zone that it stands in, if that is known.
    pub zone: Option<Arc<str>>,
    /// Signs what clients bring back; `None`: there is none yet.
    pub secret: Option<Secret>,
}

impl Site {
    /// A place among those with the same `hash_seed`; without one, among all.
    pub fn new(hash_seed: Option<&str>) -> Self {
        // Not the seed as it is: a route's split draws by that. One that splits by the same key would else leave each
        // side with keys of a part of the numbers, and so of a part of the endpoints.
        let seed = format!("balance {}", hash_seed.unwrap_or(DEFAULT_SEED));
        Self {
            seed: HashKey::from_seed(&seed),
            zone: None,
            secret: None,
        }
    }
}

/// A compiled cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its endpoints as they were written.
    pub members: Arc<Members>,
    /// Its endpoints, made of that.
    pub set: EndpointSet,
    /// What was known when they were made.
    pub knowledge: Knowledge,
    /// How one is picked.
    pub balancer: Balancer,
    /// What of a request it is picked by; `None` where nothing is.
    pub key: Option<BalanceKey>,
    /// What keeps a client at its endpoint.
    pub sticky: Option<Sticky>,
    /// How long its endpoints may take; a route may say otherwise.
    pub timeouts: ClusterTimeouts,
    /// How much of an answer is taken.
    pub limits: ResponseLimits,
    /// What it may cost.
    pub bulkhead: Bulkhead,
    /// Where those wait for whom there is no place; kept over a reload.
    pub gate: Arc<Gate>,
    /// What is tried again.
    pub retry: RetryPolicy,
    /// When an endpoint is ejected.
    pub outlier: OutlierPolicy,
    /// Guards its ejections.
    pub crowd: Arc<Crowd>,
    /// Its circuit breaker.
    pub breaker: Option<ClusterBreaker>,
    /// What becomes of tunnels to an endpoint that goes down.
    pub on_endpoint_down: OnEndpointDown,
    /// TLS towards its endpoints; `None`: there is none.
    pub tls: Option<Arc<ClientTls>>,
    /// How its endpoints are probed; `None`: not at all.
    pub health: Option<Arc<HealthSpec>>,
}

/// What becomes of the tunnels to an endpoint that probes find unhealthy, or that is disabled.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnEndpointDown {
    /// They go on until one of their sides ends them.
    #[default]
    Keep,
    /// They are cut, so that clients come back to another endpoint.
    Close,
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

impl Cluster {
    /// Whether its endpoints would be others if they were made now.
    pub fn is_stale(&self, live: &Live) -> bool {
        self.knowledge != self.members.knowledge(&self.name, live)
    }

    /// The same cluster with its endpoints made anew. Takes as long as it has endpoints: not for a thread that must
    /// answer soon.
    #[must_use]
    pub fn remade(&self, live: &Live) -> Self {
        let made = self
            .members
            .assemble(&self.name, self.health.as_deref(), live);
        Self {
            name: self.name.clone(),
            members: Arc::clone(&self.members),
            balancer: self.balancer.remade(&made.set),
            key: self.key.clone(),
            sticky: (self.sticky.as_ref()).map(|sticky| sticky.over(&self.name, &made.set)),
            set: made.set,
            knowledge: made.knowledge,
            tls: self.tls.clone(),
            timeouts: self.timeouts,
            limits: self.limits,
            bulkhead: self.bulkhead,
            gate: Arc::clone(&self.gate),
            retry: self.retry.clone(),
            outlier: self.outlier,
            crowd: Arc::clone(&self.crowd),
            breaker: self.breaker.clone(),
            on_endpoint_down: self.on_endpoint_down,
            health: self.health.clone(),
        }
    }

    /// Puts operators' words in force, for all workers at once. Called when this cluster takes effect.
    pub fn enforce(&self, cells: &HealthCells) {
        for endpoint in self.set.iter() {
            let (before, now) = (endpoint.state.set_admin(endpoint.admin), endpoint.admin);
            if before != now {
                match (before, now) {
                    (_, Admin::Ready) => cells.became_healthy(TransitionCause::Admin),
                    (Admin::Ready, _) => cells.became_unhealthy(TransitionCause::Admin),
                    _ => {}
                }
                let cluster = self.name.as_str();
                let (now, before) = (now.as_str(), before.as_str());
                tracing::info!(cluster, endpoint = %endpoint.text, now, before, "endpoint's state");
            }
        }
    }

    /// What the prober has to probe for this cluster.
    pub fn targets(&self) -> impl Iterator<Item = Target> {
        let spec = self.health.iter();
        spec.flat_map(|spec| {
            self.set.iter().filter_map(|endpoint| {
                Some(Target {
                    cluster: self.name.clone(),
                    addr: endpoint.key.addr.clone(),
                    at: ConnectSpec {
                        protocol: endpoint.spec.protocol,
                        preface: None,
                        addr: spec.elsewhere.of(&endpoint.key.addr)?,
                        tls: endpoint
                            .spec
                            .tls
                            .clone()
                            .filter(|_| spec.tls == ProbeTls::AsTraffic),
                        socket: endpoint.spec.socket.clone(),
                    },
                    spec: Arc::clone(spec),
                    cell: Arc::clone(endpoint.health.as_ref()?),
                })
            })
        })
    }
}
