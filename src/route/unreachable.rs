//! Routes that can never match.

use super::RouteIx;
use super::condition::PathMatch;
use super::demand::Evidence;
use super::host::HostPattern;
use super::table::{Key, RouteTable, Rule};
use crate::message::Method;

/// A route that no request can reach, and the route that takes the first of its requests instead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unreachable {
    pub route: RouteIx,
    pub behind: RouteIx,
}

/// Finds every route that never wins, given how many listeners there are.
///
/// One request of each kind is enough to know. A host of a wildcard that is in no narrower wildcard, a path
/// below a prefix that is below no longer prefix, and a method that nobody names are matched only by routes
/// that match every request of that kind: who wins there wins them all. Of what else a route asks, and of
/// expressions, it is known only that they are met; a route that asks for something else is taken not to match.
pub(super) fn find_unreachable(table: &RouteTable, listeners: usize) -> Vec<Unreachable> {
    let routes = (0..).map(RouteIx).zip(table.rules());
    routes
        .filter_map(|(route, rule)| {
            let mut behind = None;
            for winner in winners(table, rule, listeners) {
                if winner == route {
                    return None;
                }
                behind = behind.or(Some(winner));
            }
            behind.map(|behind| Unreachable { route, behind })
        })
        .collect()
}

/// A label, a path segment and a method that no configuration can hold.
const UNHEARD: &str = "\0";

/// Who wins one request of each kind that the rule matches.
fn winners<'a>(
    table: &'a RouteTable,
    rule: &'a Rule,
    listeners: usize,
) -> impl Iterator<Item = RouteIx> + 'a {
    let (path, pattern) = match &rule.path {
        PathMatch::Exact(path) => (path.to_vec(), None),
        PathMatch::Prefix(path) => ([path, b"/".as_slice(), UNHEARD.as_bytes()].concat(), None),
        PathMatch::Regex(regex) => (UNHEARD.into(), Some(regex)),
        PathMatch::Any => (UNHEARD.into(), None),
    };
    let hosts: Vec<String> = match rule.hosts.as_slice() {
        [] => vec![UNHEARD.to_owned()],
        hosts => hosts.iter().map(host_within).collect(),
    };
    let mut methods: Vec<_> = rule.methods.iter().collect();
    if methods.is_empty() {
        methods.push((Method::Other, UNHEARD.as_bytes()));
    }
    hosts.into_iter().flat_map(move |host| {
        let mut found = Vec::new();
        for listener in (0..listeners).filter(|&listener| rule.listeners.contains(listener)) {
            for &(method, token) in &methods {
                found.extend(table.find_key(&Key {
                    listener,
                    host: host.as_bytes(),
                    path: &path,
                    pattern,
                    method,
                    token,
                    evidence: Evidence::Only(&rule.demands),
                }));
            }
        }
        found
    })
}

fn host_within(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::Below(domain) => format!("{UNHEARD}{domain}"),
    }
}
