//! The table: all routes, indexed by host and path.

use std::cmp::Reverse;
use std::collections::HashMap;

use regex::bytes::Regex;

use super::condition::{ListenerSet, MethodSet, PathMatch};
use super::demand::{Demands, Evidence};
use super::host::HostPattern;
use super::{Route, RouteInput, RouteIx};
use crate::message::Method;

/// The conditions of one route.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The larger wins, before anything else.
    pub priority: i32,
    /// Empty: every host.
    pub hosts: Vec<HostPattern>,
    /// The path.
    pub path: PathMatch,
    /// The methods.
    pub methods: MethodSet,
    /// The listeners.
    pub listeners: ListenerSet,
    /// What else is asked.
    pub demands: Demands,
}

/// All routes of a configuration.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
    rules: Vec<Rule>,
    groups: Vec<Group>,
    exact: HashMap<Box<[u8]>, usize>,
    /// By the domain with the dot before it.
    below: HashMap<Box<[u8]>, usize>,
    /// Dots in the longest domain of `below`: longer ones of a request need not be looked up.
    below_dots: usize,
    any: Option<usize>,
    /// The largest priority of all: a match that has it cannot be beaten by a later one.
    top: i32,
}

/// The routes of one host.
#[derive(Debug, Default)]
struct Group {
    /// Sorted by text; no text is empty.
    entries: Vec<Entry>,
    /// The routes of the empty prefix. Not among the entries: most hosts have no other, and then there is
    /// nothing to compare.
    root: Vec<RouteIx>,
    /// Those of an expression: looked at one after another.
    patterns: Vec<RouteIx>,
    /// Those that ask for no path.
    every: Vec<RouteIx>,
}

/// The routes of one host with one path.
#[derive(Debug)]
struct Entry {
    text: Box<[u8]>,
    /// The entry with the longest text that this text begins with.
    parent: Option<usize>,
    exact: Vec<RouteIx>,
    prefix: Vec<RouteIx>,
}

/// What of a request decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    pub listener: usize,
    pub host: &'a [u8],
    pub path: &'a [u8],
    /// Known of the path instead of its bytes: this expression matches it.
    pub pattern: Option<&'a Regex>,
    pub method: Method,
    pub token: &'a [u8],
    pub evidence: Evidence<'a>,
}

#[derive(Clone, Copy)]
struct Best {
    priority: i32,
    route: RouteIx,
}

impl RouteTable {
    /// Indexes routes; each comes with its conditions, in the order of the file.
    pub fn new(routes: Vec<(Route, Rule)>) -> Self {
        let (routes, rules): (Vec<_>, Vec<_>) = routes.into_iter().unzip();
        let mut table = Self {
            routes,
            top: rules.iter().map(|rule| rule.priority).max().unwrap_or(0),
            ..Self::default()
        };
        for (route, rule) in (0..).map(RouteIx).zip(&rules) {
            if rule.hosts.is_empty() {
                let group = *table.any.get_or_insert_with(|| {
                    table.groups.push(Group::default());
                    table.groups.len() - 1
                });
                table.add(group, &rule.path, route);
            }
            for host in &rule.hosts {
                let group = table.group(host);
                table.add(group, &rule.path, route);
            }
        }
        for group in &mut table.groups {
            group.seal(&rules);
        }
        table.rules = rules;
        table
    }

    fn group(&mut self, host: &HostPattern) -> usize {
        let (map, text) = match host {
            HostPattern::Exact(name) => (&mut self.exact, name),
            HostPattern::Below(domain) => {
                let dots = memchr::memchr_iter(b'.', domain.as_bytes()).count();
                self.below_dots = self.below_dots.max(dots);
                (&mut self.below, domain)
            }
        };
        *map.entry(text.as_bytes().into()).or_insert_with(|| {
            self.groups.push(Group::default());
            self.groups.len() - 1
        })
    }

    fn add(&mut self, group: usize, path: &PathMatch, route: RouteIx) {
        if let Some(group) = self.groups.get_mut(group) {
            group.add(path, route);
        }
    }

    /// The routes in the order of the file.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The route at this position.
    #[inline]
    pub fn route(&self, route: RouteIx) -> Option<&Route> {
        self.routes.get(route.index())
    }

    /// Finds the route of a request. `None`: no route matches.
    #[inline]
    pub fn find(&self, input: &RouteInput<'_>) -> Option<RouteIx> {
        self.find_key(&Key {
            listener: input.listener,
            host: input.head.host(),
            path: input.head.path(),
            pattern: None,
            method: input.head.method(),
            token: input.head.method_token(),
            evidence: Evidence::of(input),
        })
    }

    pub(super) fn find_key(&self, key: &Key<'_>) -> Option<RouteIx> {
        let mut best = None;
        if !self.exact.is_empty() {
            self.search(self.exact.get(key.host), key, &mut best);
        }
        if !self.below.is_empty() && !self.is_settled(best) {
            // Only so many labels from the right can matter; the longest of them first.
            let dots = memchr::memrchr_iter(b'.', key.host).take(self.below_dots);
            let mut domain = dots.last().and_then(|dot| key.host.get(dot..));
            while let Some(found) = domain {
                self.search(self.below.get(found), key, &mut best);
                domain = found
                    .get(1..)
                    .and_then(|rest| rest.get(memchr::memchr(b'.', rest)?..));
            }
        }
        if !self.is_settled(best) {
            self.search(self.any.as_ref(), key, &mut best);
        }
        best.map(|best| best.route)
    }

    /// Whether nothing that is still to be searched could be better.
    #[inline]
    fn is_settled(&self, best: Option<Best>) -> bool {
        best.is_some_and(|best| best.priority >= self.top)
    }

    /// Searches the routes of one host, best paths first; what was found before wins over equal priority.
    #[inline]
    fn search(&self, group: Option<&usize>, key: &Key<'_>, best: &mut Option<Best>) {
        let Some(group) = group.and_then(|&group| self.groups.get(group)) else {
            return;
        };
        // Every text that the path begins with is on the way up from the last text not after it.
        let after = group
            .entries
            .partition_point(|entry| *entry.text <= *key.path);
        let mut next = after.checked_sub(1);
        while let Some(entry) = next.and_then(|at| group.entries.get(at)) {
            match key.path.strip_prefix(&*entry.text) {
                Some([]) => {
                    self.consider(&entry.exact, key, best);
                    self.consider(&entry.prefix, key, best);
                }
                Some([b'/', ..]) => self.consider(&entry.prefix, key, best),
                _ => {}
            }
            if self.is_settled(*best) {
                return;
            }
            next = entry.parent;
        }
        self.consider(&group.root, key, best);
        self.consider(&group.patterns, key, best);
        self.consider(&group.every, key, best);
    }

    /// Takes the first of these routes that matches, if it is better.
    #[inline]
    fn consider(&self, routes: &[RouteIx], key: &Key<'_>, best: &mut Option<Best>) {
        for &route in routes {
            let Some(rule) = self.rules.get(route.index()) else {
                return;
            };
            if best.is_some_and(|best| best.priority >= rule.priority) {
                return;
            }
            if rule.listeners.contains(key.listener)
                && rule.methods.contains(key.method, key.token)
                && rule.path.may_be(key.path, key.pattern)
                && (rule.demands.is_empty() || rule.demands.are_met(key.evidence))
            {
                *best = Some(Best {
                    priority: rule.priority,
                    route,
                });
                return;
            }
        }
    }

    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Group {
    fn add(&mut self, path: &PathMatch, route: RouteIx) {
        // Sorted and merged by `seal`.
        let (text, exact, prefix) = match path {
            PathMatch::Any => return self.every.push(route),
            PathMatch::Regex(_) => return self.patterns.push(route),
            PathMatch::Prefix(text) if text.is_empty() => return self.root.push(route),
            PathMatch::Exact(text) => (text, vec![route], vec![]),
            PathMatch::Prefix(text) => (text, vec![], vec![route]),
        };
        self.entries.push(Entry {
            text: text.clone(),
            parent: None,
            exact,
            prefix,
        });
    }

    /// Sorts the entries, merges those of one text and links each with its parent.
    fn seal(&mut self, rules: &[Rule]) {
        self.entries.sort_by(|a, b| a.text.cmp(&b.text));
        self.entries.dedup_by(|later, kept| {
            let same = later.text == kept.text;
            if same {
                kept.exact.append(&mut later.exact);
                kept.prefix.append(&mut later.prefix);
            }
            same
        });
        let mut above: Vec<usize> = Vec::new();
        for at in 0..self.entries.len() {
            let text = |at: usize| self.entries.get(at).map_or(&[][..], |entry| &entry.text);
            while above
                .last()
                .is_some_and(|&parent| !text(at).starts_with(text(parent)))
            {
                above.pop();
            }
            let parent = above.last().copied();
            above.push(at);
            if let Some(entry) = self.entries.get_mut(at) {
                entry.parent = parent;
                rank(&mut entry.exact, rules);
                rank(&mut entry.prefix, rules);
            }
        }
        rank(&mut self.root, rules);
        rank(&mut self.patterns, rules);
        rank(&mut self.every, rules);
        self.entries.shrink_to_fit();
    }
}

/// Sorts routes of one host and one path, the one that wins first.
fn rank(routes: &mut Vec<RouteIx>, rules: &[Rule]) {
    routes.sort_by_key(|route| {
        let rule = rules.get(route.index());
        let priority = rule.map_or(0, |rule| rule.priority);
        let any = rule.is_some_and(|rule| rule.methods.is_any());
        let demands = rule.map_or((0, 0), |rule| rule.demands.weight());
        (Reverse(priority), any, Reverse(demands), route.0)
    });
    routes.dedup();
    routes.shrink_to_fit();
}
