//! What a reload changed, for people.

use std::collections::BTreeSet;

use crate::snapshot::Snapshot;

/// A line for each thing that is there now and was not, or the other way round.
pub(super) fn describe(before: &Snapshot, after: &Snapshot, epoch: u64) -> Vec<String> {
    if epoch == 0 {
        return Vec::new();
    }
    let mut changes = Vec::new();
    let mut diff = |what: &str, before: BTreeSet<String>, after: BTreeSet<String>| {
        changes.extend(
            after
                .difference(&before)
                .map(|name| format!("{what} `{name}` added")),
        );
        changes.extend(
            before
                .difference(&after)
                .map(|name| format!("{what} `{name}` removed")),
        );
    };
    diff("listener", listeners(before), listeners(after));
    diff("address", addresses(before), addresses(after));
    diff("route", routes(before), routes(after));
    diff("cluster", clusters(before), clusters(after));
    diff("endpoint", endpoints(before), endpoints(after));
    if changes.is_empty() && before.fingerprint != after.fingerprint {
        changes.push("settings".to_owned());
    }
    changes
}

fn listeners(of: &Snapshot) -> BTreeSet<String> {
    of.listeners
        .iter()
        .map(|listener| listener.name.to_string())
        .collect()
}

fn addresses(of: &Snapshot) -> BTreeSet<String> {
    of.binds().map(|(_, addr)| addr.to_string()).collect()
}

fn routes(of: &Snapshot) -> BTreeSet<String> {
    of.routes
        .routes()
        .iter()
        .map(|route| route.name.to_string())
        .collect()
}

fn clusters(of: &Snapshot) -> BTreeSet<String> {
    of.clusters
        .iter()
        .map(|cluster| cluster.name.to_string())
        .collect()
}

fn endpoints(of: &Snapshot) -> BTreeSet<String> {
    of.clusters
        .iter()
        .flat_map(|cluster| cluster.set.iter().map(|endpoint| endpoint.key.to_string()))
        .collect()
}
