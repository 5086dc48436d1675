//! Routes, and what is asked of them.

mod gateway;
mod model;
mod order;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use regex::bytes::Regex;

use super::demand::Evidence;
use super::table::Key;
use super::unreachable::find_unreachable;
use super::*;
use crate::base::cidr::CidrSet;
use crate::base::scale::scaled;
use crate::message::key::KeySource;
use crate::message::{Method, Span};

/// A canonical head with this target.
pub(super) fn head(method: &str, authority: &str, target: &str) -> RequestHead {
    let mut head = RequestHead::default();
    head.bytes.extend_from_slice(method.as_bytes());
    head.method = Method::of(method.as_bytes());
    head.method_token = Span::new(0, method.len());
    let mut made = |text: &str| {
        let start = head.made.len();
        head.made.extend_from_slice(text.as_bytes());
        crate::message::head::Text::Made(Span::new(start, head.made.len()))
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    head.path = made(path);
    head.query = query.map(&mut made).unwrap_or_default();
    head.authority = made(authority);
    let host_len = match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => colon,
        _ => authority.len(),
    };
    head.host = made(&authority[..host_len]);
    head
}

fn rule(hosts: &[&str], path: PathMatch, methods: &[&str]) -> Rule {
    Rule {
        priority: 0,
        hosts: hosts
            .iter()
            .map(|host| HostPattern::parse(host).unwrap())
            .collect(),
        path,
        methods: MethodSet::of(methods.iter().map(|method| method.as_bytes())),
        listeners: ListenerSet::All,
        demands: Demands::default(),
    }
}

fn regex(text: &str) -> PathMatch {
    PathMatch::Regex(whole(text))
}

fn whole(text: &str) -> Regex {
    Regex::new(&format!(r"\A(?:{text})\z")).unwrap()
}

fn asks_field(name: &str, wanted: Wanted) -> Demands {
    Demands {
        fields: vec![FieldDemand {
            name: name.as_bytes().into(),
            wanted,
        }],
        ..Demands::default()
    }
}

fn asks_value(source: KeySource, value: &str) -> Demands {
    Demands {
        values: vec![ValueDemand {
            source,
            value: value.as_bytes().into(),
        }],
        ..Demands::default()
    }
}

fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(path.as_bytes().into())
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::prefix(path.as_bytes())
}

fn table(rules: Vec<Rule>) -> RouteTable {
    let route = |at: usize| Route {
        pages: None,
        name: RouteName::parse(&format!("r{at}")).unwrap(),
        action: Action::Cluster(ClusterIx(0)),
        filters: FilterChain::default(),
        timeouts: RouteTimeouts::default(),
        limits: RouteLimits::default(),
        path: None,
        trace: Trace::Refused,
    };
    let rules = rules.into_iter().enumerate();
    RouteTable::new(rules.map(|(at, rule)| (route(at), rule)).collect())
}

fn find(table: &RouteTable, method: &str, host: &str, path: &str) -> Option<u32> {
    let head = head(method, host, path);
    let input = RouteInput {
        listener: 0,
        head: &head,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        server_name: None,
    };
    table.find(&input).map(|route| route.0)
}
