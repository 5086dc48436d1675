//! What clusters leave to the configuration after them.

use std::sync::{Arc, OnceLock};

use super::Cluster;
use super::overrides::Overrides;
use crate::base::ClusterName;
use crate::base::secret::Secret;
use crate::dns::Book;
use crate::endpoint::{EndpointKey, EndpointState, Gate};
use crate::outlier::{Breaker, Crowd};
use crate::state::Registry;

/// The state of every endpoint that a configuration or an exchange still holds, the cells of its probes
/// included, and the gates of their clusters; what operators have said of endpoints, and what names resolve to. One for the
/// process.
#[derive(Debug, Default)]
pub struct Live {
    endpoints: Registry<EndpointKey, EndpointState>,
    gates: Registry<ClusterName, Gate>,
    overrides: Overrides,
    names: Book,
    crowds: Registry<ClusterName, Crowd>,
    breakers: Registry<ClusterName, Breaker>,
    secret: OnceLock<Option<Secret>>,
}

impl Live {
    /// Nothing is alive yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The state of an endpoint: the one that is alive, or a new one.
    pub fn endpoint(&self, key: &EndpointKey) -> Arc<EndpointState> {
        let gate = self.gate(&key.cluster);
        self.endpoints
            .keep_or_make(key, || EndpointState::new(gate))
    }

    /// The gate of a cluster: the one that is alive, or a new one.
    pub fn gate(&self, cluster: &ClusterName) -> Arc<Gate> {
        self.gates.keep_or_make(cluster, Gate::default)
    }

    /// The secret of a process that was given none: random, and the same until its end; `None` where the system gives no
    /// random numbers.
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.get_or_init(Secret::random).as_ref()
    }

    /// What operators have said.
    pub fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// What is known of names.
    pub fn names(&self) -> &Book {
        &self.names
    }

    /// The guard over a cluster's ejections: the one that is alive, or a new one.
    pub fn crowd(&self, cluster: &ClusterName) -> Arc<Crowd> {
        self.crowds.keep_or_make(cluster, Crowd::default)
    }

    /// A cluster's breaker: the one that is alive, or a new one.
    pub fn breaker(&self, cluster: &ClusterName) -> Arc<Breaker> {
        self.breakers.keep_or_make(cluster, Breaker::default)
    }

    /// Forgets the identities of what is gone. To be called after a reload.
    pub fn sweep(&self) {
        self.names.sweep();
        self.endpoints.sweep();
        self.gates.sweep();
        self.crowds.sweep();
        self.breakers.sweep();
    }

    /// Forgets what was said over values that are others in these clusters, which are in effect.
    pub fn settle<'c>(&self, clusters: impl IntoIterator<Item = &'c Arc<Cluster>>) {
        for cluster in clusters {
            self.overrides.settle(&cluster.set);
        }
    }

    /// How many endpoints are remembered.
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }
}
