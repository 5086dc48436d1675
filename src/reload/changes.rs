//! What is different between two configurations, in lines for people.

use std::collections::HashSet;

use crate::cluster::Cluster;
use crate::snapshot::Snapshot;

/// Names in one line; the rest is a number.
const NAMED: usize = 8;

/// Says what `after` has that `before` has not, and the other way round.
pub(super) fn between(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    listeners(before, after, &mut lines);
    let routes = |snapshot: &Snapshot| -> Vec<String> {
        let routes = snapshot.routes.routes().iter();
        routes.map(|route| route.name.to_string()).collect()
    };
    set("route", &routes(before), &routes(after), &mut lines);
    let clusters = |snapshot: &Snapshot| -> Vec<String> {
        let clusters = snapshot.clusters.iter();
        clusters.map(|cluster| cluster.name.to_string()).collect()
    };
    set("cluster", &clusters(before), &clusters(after), &mut lines);
    endpoints(before, after, &mut lines);
    let limiters = |snapshot: &Snapshot| -> Vec<String> {
        let limiters = snapshot.limiters.iter();
        limiters.map(|limiter| limiter.name.to_string()).collect()
    };
    set("limiter", &limiters(before), &limiters(after), &mut lines);
    process(before, after, &mut lines);
    if lines.is_empty() && before.fingerprint != after.fingerprint {
        lines.push("settings".to_owned());
    }
    lines
}

fn listeners(before: &Snapshot, after: &Snapshot, lines: &mut Vec<String>) {
    let names = |snapshot: &Snapshot| -> Vec<String> {
        let listeners = snapshot.listeners.iter();
        listeners
            .map(|listener| listener.name.to_string())
            .collect()
    };
    set("listener", &names(before), &names(after), lines);
    for listener in &after.listeners {
        let same = |old: &&std::sync::Arc<_>| -> bool {
            let old: &crate::listener::ListenerSpec = old;
            old.name == listener.name
        };
        if let Some(old) = before.listeners.iter().find(same)
            && old != listener
        {
            let addrs = |binds: &[crate::base::ListenAddr]| -> Vec<String> {
                binds.iter().map(ToString::to_string).collect()
            };
            let what = format!("listener `{}`: address", listener.name);
            let count = lines.len();
            set(&what, &addrs(&old.binds), &addrs(&listener.binds), lines);
            if lines.len() == count {
                lines.push(format!("listener `{}` changed", listener.name));
            }
        }
    }
}

fn endpoints(before: &Snapshot, after: &Snapshot, lines: &mut Vec<String>) {
    let texts = |cluster: &Cluster| -> Vec<String> {
        let endpoints = cluster.set.iter();
        endpoints
            .map(|endpoint| endpoint.text.to_string())
            .collect()
    };
    for cluster in &after.clusters {
        // Clusters are sorted by name.
        let position = before
            .clusters
            .binary_search_by(|old| old.name.cmp(&cluster.name));
        if let Some(old) = position.ok().and_then(|ix| before.clusters.get(ix)) {
            let what = format!("cluster `{}`: endpoint", cluster.name);
            set(&what, &texts(old), &texts(cluster), lines);
        }
    }
}

fn process(before: &Snapshot, after: &Snapshot, lines: &mut Vec<String>) {
    let (old, new) = (&before.process, &after.process);
    if before.access_log.output() != after.access_log.output() {
        lines.push("access log goes elsewhere".to_owned());
    }
    if old.log_level != new.log_level {
        lines.push(format!("log level is {}", new.log_level.as_str()));
    }
    match (&old.admin, &new.admin) {
        (None, Some(spec)) => lines.push(format!("admin interface on {}", spec.bind)),
        (Some(_), None) => lines.push("admin interface off".to_owned()),
        (Some(old), Some(new)) if old.bind != new.bind => {
            lines.push(format!("admin interface on {}", new.bind));
        }
        (Some(old), Some(new)) if old != new => lines.push("admin token changed".to_owned()),
        _ => {}
    }
}

/// One line for what came, one for what went.
fn set(what: &str, before: &[String], after: &[String], lines: &mut Vec<String>) {
    for (had, has, verb) in [(before, after, "added"), (after, before, "removed")] {
        let had: HashSet<&String> = had.iter().collect();
        let new: Vec<&str> = has
            .iter()
            .filter(|name| !had.contains(name))
            .map(String::as_str)
            .collect();
        let (named, rest) = new.split_at(new.len().min(NAMED));
        let named: Vec<String> = named.iter().map(|name| format!("`{name}`")).collect();
        let named = named.join(", ");
        match rest.len() {
            _ if named.is_empty() => {}
            0 => lines.push(format!("{what} {verb}: {named}")),
            more => lines.push(format!("{what} {verb}: {named} and {more} more")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_and_what_went_are_named_up_to_a_number() {
        let names =
            |range: std::ops::Range<u32>| -> Vec<String> { range.map(|n| n.to_string()).collect() };
        let mut lines = Vec::new();
        set("route", &names(0..3), &names(2..13), &mut lines);
        assert_eq!(
            lines,
            [
                "route added: `3`, `4`, `5`, `6`, `7`, `8`, `9`, `10` and 2 more",
                "route removed: `0`, `1`",
            ]
        );
        lines.clear();
        set("route", &names(0..3), &names(0..3), &mut lines);
        assert!(lines.is_empty());
    }
}
