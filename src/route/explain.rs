//! Why a route takes a request and the others do not, one by one: for people who ask, not for traffic.

use super::condition::PathMatch;
use super::demand::Evidence;
use super::host::HostPattern;
use super::{RouteInput, RouteIx, RouteTable, Rule};

/// What speaks against a route, the first thing that does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Miss {
    /// It serves other listeners.
    Listener,
    /// It is for other hosts.
    Host,
    /// It is for other paths.
    Path,
    /// It is for other methods.
    Method,
    /// It asks for fields, query, cookies, clients or server names that are not there.
    Demand,
    /// It matches, but another one comes before it.
    Outranked,
}

impl Miss {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "it serves other listeners",
            Self::Host => "it is for other hosts",
            Self::Path => "it is for other paths",
            Self::Method => "it is for other methods",
            Self::Demand => {
                "it asks for a header, query, cookie, client or server name that is not there"
            }
            Self::Outranked => "it matches, but the one that was found comes first",
        }
    }
}

impl RouteTable {
    /// What speaks against each route but `found`, in the order of the file.
    pub fn misses(&self, input: &RouteInput<'_>, found: Option<RouteIx>) -> Vec<(RouteIx, Miss)> {
        let judged = (0..).map(RouteIx).zip(self.rules());
        let others = judged.filter(|(ix, _)| Some(*ix) != found);
        others
            .map(|(ix, rule)| (ix, miss(rule, input).unwrap_or(Miss::Outranked)))
            .collect()
    }
}

/// The first condition that is not met.
fn miss(rule: &Rule, input: &RouteInput<'_>) -> Option<Miss> {
    let head = input.head;
    let host = |pattern: &HostPattern| pattern.holds(head.host());
    let path = match &rule.path {
        PathMatch::Any => true,
        PathMatch::Exact(text) => **text == *head.path(),
        PathMatch::Prefix(text) if text.is_empty() => true,
        PathMatch::Prefix(text) => {
            let rest = head.path().strip_prefix(&**text);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        }
        PathMatch::Regex(regex) => regex.is_match(head.path()),
    };
    if !rule.listeners.contains(input.listener) {
        Some(Miss::Listener)
    } else if !rule.hosts.is_empty() && !rule.hosts.iter().any(host) {
        Some(Miss::Host)
    } else if !path {
        Some(Miss::Path)
    } else if !rule.methods.contains(head.method(), head.method_token()) {
        Some(Miss::Method)
    } else if !rule.demands.are_met(Evidence::of(input)) {
        Some(Miss::Demand)
    } else {
        None
    }
}
