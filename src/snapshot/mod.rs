//! One compiled, immutable configuration.
//!
//! Turns raw configuration and the state that survives ([`Live`]) into a [`Snapshot`]. Compiling has no effect
//! on anything that runs: nothing is bound, opened or started.
//!
//! **Invariants.** All positions inside (listeners, routes, clusters) refer to each other within the same
//! snapshot. Whoever serves an exchange holds one snapshot from its first byte to its last.
//!
//! **Not here.** What a worker adds to it (`worker`), and how it comes into effect (`reload`).

mod compile;
mod machine;
pub mod question;
mod settings;
mod spoken;
mod trial;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::base::{ClusterName, ListenAddr};
use crate::cluster::Cluster;
use crate::dns;
use crate::filter::ErrorPages;
use crate::limiter::Limiter;
use crate::listener::ListenerSpec;
use crate::record::AccessLog;
use crate::route::{Maintenance, RouteTable};

pub use compile::{Live, Purpose, compile};
pub use settings::{LogFormat, LogLevel, ProcessSettings, WorkersBy};

/// One configuration, as it runs. Parts are shared with the snapshots that differ from it in one cluster.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Listeners, in the order of the file.
    pub listeners: Vec<Arc<ListenerSpec>>,
    /// Routes; positions of listeners and clusters in it are those of this snapshot.
    pub routes: Arc<RouteTable>,
    /// Clusters, sorted by name.
    pub clusters: Vec<Arc<Cluster>>,
    /// What is out of service, whatever the file says.
    pub maintenance: Arc<Maintenance>,
    /// Error pages, in the order of the file.
    pub pages: Vec<Arc<ErrorPages>>,
    /// Rate limiters, sorted by name.
    pub limiters: Vec<Arc<Limiter>>,
    /// What the process as a whole keeps to.
    pub process: ProcessSettings,
    /// How exchanges are logged.
    pub access_log: Arc<AccessLog>,
    /// Hash of the text of all files, as hex: shown in status and metrics.
    pub fingerprint: String,
}

impl Snapshot {
    /// The cluster of this name, with its position.
    pub fn cluster(&self, name: &ClusterName) -> Option<(usize, &Arc<Cluster>)> {
        let found = self.clusters.binary_search_by(|other| other.name.cmp(name));
        let ix = found.ok()?;
        Some((ix, self.clusters.get(ix)?))
    }

    /// Looks at the files of its listeners' TLS again, and exchanges in place what is new. Not for a thread that must
    /// answer soon.
    pub fn renew(&self, live: &Live) {
        for tls in self
            .listeners
            .iter()
            .filter_map(|listener| listener.tls.as_ref())
        {
            tls.renew(&live.tls);
        }
    }

    /// The names that its endpoints are found by. One may come more than once.
    pub fn names(&self) -> impl Iterator<Item = &Arc<dns::Entry>> {
        self.clusters.iter().flat_map(|c| c.members.names())
    }

    /// The same configuration with these clusters in the place of those of the same name.
    #[must_use]
    pub fn with(&self, clusters: impl IntoIterator<Item = Arc<Cluster>>) -> Self {
        let mut next = self.clone();
        for cluster in clusters {
            let ix = self.cluster(&cluster.name).map(|(ix, _)| ix);
            if let Some(slot) = ix.and_then(|ix| next.clusters.get_mut(ix)) {
                *slot = cluster;
            }
        }
        next
    }

    /// Every address that is listened on, with its listener's position.
    pub fn binds(&self) -> impl Iterator<Item = (usize, &ListenAddr)> {
        self.listeners
            .iter()
            .enumerate()
            .flat_map(|(ix, listener)| listener.binds.iter().map(move |addr| (ix, addr)))
    }
}
