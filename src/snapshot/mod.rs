//! One compiled, immutable configuration.
//!
//! Turns raw configuration and the state that survives ([`Live`]) into a [`Snapshot`]. Compiling has no effect
//! on anything that runs: nothing is bound, opened or started.
//!
//! **Invariants.** All positions inside (listeners, routes, clusters) refer to each other within the same
//! snapshot. Whoever serves an exchange holds one snapshot from its first byte to its last.
//!
//! **Not here.** What a worker adds to it (`worker`), and how it comes into effect (`reload`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::hash::HashKey;
use crate::cluster::Cluster;
use crate::listener::ListenerSpec;
use crate::record::AccessLog;
use crate::route::RouteTable;

/// One configuration, as it runs.
#[derive(Debug)]
pub struct Snapshot {
    /// Listeners, in the order of the file.
    pub listeners: Vec<Arc<ListenerSpec>>,
    /// Routes; positions of listeners and clusters in it are those of this snapshot.
    pub routes: RouteTable,
    /// Clusters, sorted by name.
    pub clusters: Vec<Arc<Cluster>>,
    /// What the process as a whole keeps to.
    pub process: ProcessSettings,
    /// How exchanges are logged.
    pub access_log: Arc<AccessLog>,
    /// Hash of the text of all files, as hex: shown in status and metrics.
    pub fingerprint: String,
}

/// Settings of the process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProcessSettings {
    /// Number of workers; fixed for the life of the process.
    pub workers: usize,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// How long `/ready` says 503 while still serving, before a drain begins.
    pub shutdown_delay: Duration,
    /// Most connections from clients, over all listeners.
    pub max_connections: usize,
    /// Key of all hashing that must agree between instances.
    pub hash_key: HashKey,
    /// Level of the process's own log.
    pub log_level: LogLevel,
    /// Format of the process's own log.
    pub log_format: LogFormat,
}

/// Level of the process's own log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// Format of the process's own log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Snapshot {
    /// Every address that is listened on, with its listener's position.
    pub fn binds(&self) -> impl Iterator<Item = (usize, SocketAddr)> {
        self.listeners
            .iter()
            .enumerate()
            .flat_map(|(ix, listener)| listener.binds.iter().map(move |&addr| (ix, addr)))
    }
}
