//! What only the whole configuration shows: names that stand twice, and things that nothing uses.

use std::collections::{HashMap, HashSet};

use super::diagnostic::{Code, Diagnostic, Diagnostics};
use super::raw::limiter::LimitStore;
use super::raw::listener::Protocol;
use super::raw::{Config, Filter, Listener};
use super::span::{FileId, Span, Spanned};

/// Looks at all parts together, when all of them have their shape.
pub(super) fn look_over(config: &Config, diagnostics: &mut Diagnostics) {
    let listeners = config.listeners.iter().map(|listener| &listener.name);
    let routes = config.routes.iter().map(|route| &route.name);
    let clusters = config.clusters.iter().map(|(name, _)| name);
    let limiters = config.limiters.iter().map(|(name, _)| name);
    duplicates("listener", listeners, diagnostics);
    duplicates("route", routes, diagnostics);
    duplicates("cluster", clusters, diagnostics);
    duplicates("limiter", limiters, diagnostics);
    let pages = config.error_pages.iter().map(|(name, _)| name);
    duplicates("error pages", pages, diagnostics);
    routed(config, diagnostics);
    unused(config, diagnostics);
    unused_limiters(config, diagnostics);
    unused_pages(config, diagnostics);
}

fn duplicates<'a>(
    what: &str,
    names: impl Iterator<Item = &'a Spanned<String>>,
    diagnostics: &mut Diagnostics,
) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for name in names {
        let Some(first) = seen.get(name.value.as_str()) else {
            seen.insert(&name.value, name.span);
            continue;
        };
        diagnostics.push(
            Diagnostic::error(
                Code::DuplicateName,
                name.span,
                format!("{what} `{}` is defined twice", name.escape_debug()),
            )
            .label("a second time here")
            .also(*first, "first defined here"),
        );
    }
}

/// Refuses a configuration that is right and serves nobody: a file that was cut short, by a full disk or in the middle of a
/// copy, must not take the place of a whole one. To be asked where one is to run, when nothing else is wrong.
pub fn serves(config: &Config, diagnostics: &mut Diagnostics) {
    if config.listeners.is_empty() {
        let message = "no listener: nothing would be served";
        // The beginning of the main file.
        let start = Span::new(FileId(0), &(0..0));
        let diagnostic = Diagnostic::error(Code::Empty, start, message);
        diagnostics.push(
            diagnostic.hint(
                "a `[[listeners]]` has a `name`, a `bind` and a `protocol`; is the file whole?",
            ),
        );
    }
}

/// Requests are what routes are for: a route cannot name a listener that has none.
fn routed(config: &Config, diagnostics: &mut Diagnostics) {
    for route in &config.routes {
        for name in route.listeners.iter().flat_map(|names| names.iter()) {
            let named = |it: &&Spanned<Listener>| it.name.value == name.value;
            let Some(listener) = config.listeners.iter().find(named) else {
                continue;
            };
            if listener.protocol.value != Protocol::Http {
                let name_of = name.escape_debug();
                let message = format!("listener `{name_of}` has no requests to route");
                diagnostics.push(
                    Diagnostic::error(Code::NotOnProtocol, name.span, message)
                        .also(listener.protocol.span, "the protocol")
                        .hint("such a listener names its `cluster` itself"),
                );
            }
        }
    }
}

/// Warns of clusters to which nothing sends: often the sign of a name that was changed in one place.
fn unused(config: &Config, diagnostics: &mut Diagnostics) {
    let mut used: HashSet<&str> = HashSet::new();
    for route in &config.routes {
        used.extend(route.cluster.iter().map(|name| name.as_str()));
        let split = route.split.iter().flat_map(|split| split.iter());
        used.extend(split.map(|part| part.cluster.as_str()));
        used.extend(
            route
                .filters
                .iter()
                .filter_map(|filter| match &filter.value.0 {
                    Filter::ForwardAuth(asks) => Some(asks.cluster.as_str()),
                    _ => None,
                }),
        );
    }
    for listener in &config.listeners {
        used.extend(listener.cluster.iter().map(|name| name.as_str()));
        let rules = listener.sni.iter().flat_map(|rules| rules.iter());
        used.extend(rules.map(|rule| rule.cluster.as_str()));
        let split = listener.split.iter().flat_map(|split| split.iter());
        used.extend(split.map(|part| part.cluster.as_str()));
    }
    let pages = config.error_pages.iter();
    let pages = pages.flat_map(|(_, pages)| &pages.pages);
    used.extend(pages.filter_map(|page| Some(page.cluster.as_ref()?.as_str())));
    for (name, _) in config.clusters.iter() {
        if !used.contains(name.value.as_str()) {
            let message = format!("cluster `{}` is never used", name.escape_debug());
            diagnostics.push(
                Diagnostic::warning(Code::Unused, name.span, message).label("nothing sends to it"),
            );
        }
    }
}

/// Warns of limiters that limit nothing.
fn unused_limiters(config: &Config, diagnostics: &mut Diagnostics) {
    let of_routes = config.routes.iter().flat_map(|route| &route.filters);
    let of_listeners = config.listeners.iter().flat_map(|it| &it.filters);
    let used: HashSet<&str> = of_routes
        .chain(of_listeners)
        .filter_map(|filter| match &filter.value.0 {
            Filter::RateLimit(limit) => Some(limit.limiter.as_str()),
            _ => None,
        })
        .collect();
    let mut stores = config
        .limiters
        .iter()
        .filter_map(|(_, limiter)| limiter.store.as_ref());
    let shared = stores.any(|store| store.value == LimitStore::Redis);
    if let Some(redis) = config.stores.redis.as_ref().filter(|_| !shared) {
        let message = "`[stores.redis]` is never used";
        let diagnostic = Diagnostic::warning(Code::Unused, redis.span, message);
        diagnostics.push(diagnostic.label("no limiter has `store = \"redis\"`"));
    }
    for (name, _) in config.limiters.iter() {
        if !used.contains(name.value.as_str()) {
            let message = format!("limiter `{}` is never used", name.escape_debug());
            diagnostics.push(
                Diagnostic::warning(Code::Unused, name.span, message)
                    .label("it is among nobody's filters"),
            );
        }
    }
}

/// Warns of pages that nobody is shown.
fn unused_pages(config: &Config, diagnostics: &mut Diagnostics) {
    let of_routes = config.routes.iter().map(|route| &route.error_pages);
    let of_listeners = config.listeners.iter().map(|it| &it.error_pages);
    let used: HashSet<&str> = of_routes
        .chain(of_listeners)
        .chain([&config.defaults.listener.error_pages])
        .flatten()
        .map(|name| name.as_str())
        .collect();
    for (name, _) in config.error_pages.iter() {
        if !used.contains(name.value.as_str()) {
            let message = format!("error pages `{}` are never used", name.escape_debug());
            diagnostics.push(
                Diagnostic::warning(Code::Unused, name.span, message)
                    .label("no listener and no route names them"),
            );
        }
    }
}
