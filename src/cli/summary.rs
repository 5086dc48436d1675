//! What a configuration would run, said shortly.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::config::raw::balancer::Balancer;
use crate::config::raw::health::Check;
use crate::config::raw::listener::Protocol;
use crate::config::raw::{Cluster, Config, Listener, Route};

/// For people: one line a thing, in columns.
pub(super) fn text(config: &Config) -> String {
    let mut text = String::new();
    let listeners = config.listeners.iter().map(|item| {
        let detail = format!("{} on {}", protocol(item), addresses(item).join(", "));
        (item.name.as_str(), detail)
    });
    section(&mut text, "listeners", listeners.collect());
    let routes = config.routes.iter().map(|item| {
        let steps: Vec<_> = filters(item)
            .map(|filter| format!("{filter} -> "))
            .collect();
        let detail = format!("{} -> {}{}", conditions(item), steps.concat(), action(item));
        (item.name.as_str(), detail)
    });
    section(&mut text, "routes", routes.collect());
    let clusters = config.clusters.iter().map(|(name, item)| {
        let endpoints = match item.endpoints.len() {
            1 => "1 endpoint".to_owned(),
            many => format!("{many} endpoints"),
        };
        let health = check(item).map_or_else(
            || "no health checks".to_owned(),
            |check| format!("health by {check}"),
        );
        let detail = format!("{}, {endpoints}, {health}", balancer(item));
        (name.as_str(), detail)
    });
    section(&mut text, "clusters", clusters.collect());
    if let Some(bind) = admin(config) {
        section(&mut text, "admin", vec![(bind, String::new())]);
    }
    text
}

/// For tools.
pub(super) fn json(config: &Config) -> Value {
    let listeners = config.listeners.iter().map(|item| {
        json!({ "name": item.name.as_str(), "protocol": protocol(item), "bind": addresses(item) })
    });
    let routes = config.routes.iter().map(|item| {
        json!({
            "name": item.name.as_str(),
            "match": conditions(item),
            "filters": filters(item).collect::<Vec<_>>(),
            "action": action(item),
        })
    });
    let clusters = config.clusters.iter().map(|(name, item)| {
        let endpoints: Vec<&str> = item
            .endpoints
            .iter()
            .map(|endpoint| endpoint.address.as_str())
            .collect();
        json!({
            "name": name.as_str(),
            "balancer": balancer(item),
            "endpoints": endpoints,
            "health": check(item),
        })
    });
    json!({
        "listeners": listeners.collect::<Vec<_>>(),
        "routes": routes.collect::<Vec<_>>(),
        "clusters": clusters.collect::<Vec<_>>(),
        "admin": admin(config),
    })
}

fn section(text: &mut String, title: &str, lines: Vec<(&str, String)>) {
    if lines.is_empty() {
        return;
    }
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{title}");
    for (name, detail) in lines {
        let line = format!("  {name:width$}  {detail}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn protocol(listener: &Listener) -> &'static str {
    match listener.protocol.value {
        Protocol::Http => "http",
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

fn addresses(listener: &Listener) -> Vec<&str> {
    listener.bind.iter().map(|bind| bind.as_str()).collect()
}

/// `GET,POST api.example.com/v1*`, `*~/img/.*[.]png if clients`: what a request must look like. Of fields, query, cookies,
/// clients and server names it says that they are looked at, not for what.
fn conditions(route: &Route) -> String {
    let listed = |list: &Option<_>| -> String {
        let list: &Option<crate::config::Spanned<Vec<crate::config::Spanned<String>>>> = list;
        list.as_ref().map_or_else(String::new, |list| {
            let words: Vec<&str> = list.iter().map(|word| word.as_str()).collect();
            words.join(",")
        })
    };
    let path = match (&route.path, &route.path_prefix, &route.path_regex) {
        (Some(path), ..) => path.to_string(),
        (None, Some(prefix), _) => format!("{}*", prefix.value),
        (None, None, Some(regex)) => format!("~{}", regex.value),
        (None, None, None) => "/*".to_owned(),
    };
    let hosts = listed(&route.hosts);
    let hosts = if hosts.is_empty() { "*" } else { &hosts };
    let methods = listed(&route.methods);
    let space = if methods.is_empty() { "" } else { " " };
    let further = [
        ("listeners", route.listeners.is_some()),
        (
            "headers",
            !route.headers.is_empty() || !route.headers_regex.is_empty(),
        ),
        ("query", !route.query.is_empty()),
        ("cookies", !route.cookies.is_empty()),
        ("clients", route.clients.is_some()),
        ("sni", route.sni.is_some()),
    ];
    let further = further.into_iter().filter(|(_, asked)| *asked);
    let further: Vec<_> = further.map(|(key, _)| key).collect();
    let further = match further.as_slice() {
        [] => String::new(),
        keys => format!(" if {}", keys.join(", ")),
    };
    let priority = route.priority.as_ref();
    let priority = priority.map_or_else(String::new, |priority| {
        format!(" priority {}", priority.value)
    });
    format!("{methods}{space}{hosts}{path}{further}{priority}")
}

/// What requests go through, in their order.
fn filters(route: &Route) -> impl Iterator<Item = &'static str> {
    route.filters.iter().map(|filter| filter.value.0.word())
}

fn action(route: &Route) -> String {
    if let Some(cluster) = &route.cluster {
        return format!("cluster {}", cluster.value);
    }
    if let Some(respond) = &route.respond {
        return format!("respond {}", respond.status.value);
    }
    if let Some(redirect) = &route.redirect {
        let status = redirect.status.as_ref().map_or(308, |status| status.value);
        return format!("redirect {status}");
    }
    let parts = route.split.iter().flat_map(|split| split.iter());
    let parts: Vec<_> = parts
        .map(|part| format!("{} {}", part.cluster.value, part.weight.value))
        .collect();
    format!("split {}", parts.join(", "))
}

fn balancer(cluster: &Cluster) -> &'static str {
    let Some(choice) = &cluster.balancer else {
        return "least_request";
    };
    match choice.value.0 {
        Balancer::RoundRobin => "round_robin",
        Balancer::Random => "random",
        Balancer::LeastRequest => "least_request",
        Balancer::LeastConnections => "least_connections",
        Balancer::LeastTime => "least_time",
        Balancer::IpHash => "ip_hash",
        Balancer::RingHash(_) => "ring_hash",
        Balancer::Maglev(_) => "maglev",
        Balancer::Rendezvous(_) => "rendezvous",
    }
}

fn check(cluster: &Cluster) -> Option<&'static str> {
    let health = cluster.health.as_ref()?;
    Some(match health.check.value.0 {
        Check::Http(_) => "http",
        Check::Tcp(_) => "tcp",
        Check::Udp(_) => "udp",
        Check::Grpc(_) => "grpc",
        Check::Command(_) => "command",
    })
}

fn admin(config: &Config) -> Option<&str> {
    let admin = config.admin.as_ref()?;
    let bind = admin.bind.as_ref();
    Some(bind.map_or("127.0.0.1:9901", |bind| bind.as_str()))
}
