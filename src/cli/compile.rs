//! Raw → runtime types, for what they say on the way.

use crate::base::{ClusterName, ListenerName};
use crate::config::{Diagnostics, raw};
use crate::{cluster, listener, record, route};

/// Compiles every part of a configuration and keeps nothing of it.
pub(super) fn compile(raw: &raw::Config, diagnostics: &mut Diagnostics) {
    let listeners: Vec<ListenerName> = raw
        .listeners
        .iter()
        .filter_map(|listener| ListenerName::parse(&listener.name).ok())
        .collect();
    let live = cluster::Live::new();
    let mut clusters = Vec::new();
    for (name, raw_cluster) in raw.clusters.iter() {
        if let Ok(name) = ClusterName::parse(name) {
            let defaults = &raw.defaults.cluster;
            drop(cluster::compile(
                &name,
                raw_cluster,
                defaults,
                &live,
                diagnostics,
            ));
            clusters.push(name);
        }
    }
    if let Some(admin) = &raw.admin {
        drop(listener::AdminSpec::compile(admin, diagnostics));
    }
    drop(listener::compile(raw, diagnostics));
    drop(record::AccessLog::compile(&raw.log.access, diagnostics));
    drop(route::compile(raw, &listeners, &clusters, diagnostics));
}
