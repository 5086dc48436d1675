//! What clusters leave to the configuration after them.

use std::sync::Arc;

use super::Cluster;
use super::overrides::Overrides;
use crate::base::ClusterName;
use crate::dns::Book;
use crate::endpoint::{EndpointKey, EndpointState, Gate};
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

    /// What operators have said.
    pub fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// What is known of names.
    pub fn names(&self) -> &Book {
        &self.names
    }

    /// Forgets the identities of what is gone. To be called after a reload.
    pub fn sweep(&self) {
        self.names.sweep();
        self.endpoints.sweep();
        self.gates.sweep();
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
