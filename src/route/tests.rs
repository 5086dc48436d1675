//! Precedence by example, and the table against a model that looks at every route.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::table::Key;
use super::unreachable::find_unreachable;
use super::*;
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
        name: RouteName::parse(&format!("r{at}")).unwrap(),
        action: Action::Cluster(ClusterIx(0)),
        filters: FilterChain::default(),
        timeouts: RouteTimeouts::default(),
        limits: RouteLimits::default(),
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
    };
    table.find(&input).map(|route| route.0)
}

#[test]
fn host_before_path_before_method_before_order() {
    let table = table(vec![
        rule(&[], prefix("/"), &[]),
        rule(&["*.example.com"], exact("/v1"), &[]),
        rule(&["*.b.example.com"], prefix("/"), &[]),
        rule(&["a.b.example.com"], prefix("/v1"), &[]),
        rule(&["a.b.example.com"], prefix("/v1/"), &["GET", "PURGE"]),
        rule(&["a.b.example.com"], exact("/v1"), &[]),
        rule(&["a.b.example.com"], prefix("/v1/x"), &[]),
        rule(&["a.b.example.com"], prefix("/v1"), &["GET"]),
    ]);
    for (method, host, path, expected) in [
        ("GET", "a.b.example.com", "/v1", 5),
        ("GET", "a.b.example.com", "/v1/", 4),
        ("PURGE", "a.b.example.com", "/v1/y", 4),
        ("POST", "a.b.example.com", "/v1/y", 3),
        ("GET", "a.b.example.com", "/v1/x", 6),
        ("GET", "a.b.example.com", "/v1/x/y", 6),
        ("GET", "a.b.example.com", "/v1/xy", 4),
        ("GET", "a.b.example.com", "/v1x", 2),
        ("GET", "c.b.example.com", "/v1", 2),
        ("GET", "d.c.b.example.com", "/v1", 2),
        ("GET", "c.example.com", "/v1", 1),
        ("GET", "c.example.com", "/v1/", 0),
        ("GET", "example.com", "/v1", 0),
        ("GET", "xexample.com", "/v1", 0),
        ("OPTIONS", "example.com", "*", 0),
        ("GET", "", "/", 0),
    ] {
        assert_eq!(
            find(&table, method, host, path),
            Some(expected),
            "{method} {host}{path}"
        );
    }
}

#[test]
fn priority_comes_first_and_nothing_may_match() {
    let mut urgent = rule(&[], prefix("/admin"), &[]);
    urgent.priority = 1;
    let mut late = rule(&["a.example"], exact("/admin"), &[]);
    late.priority = -1;
    let table = table(vec![
        rule(&["a.example"], exact("/admin"), &[]),
        late,
        urgent,
    ]);
    assert_eq!(find(&table, "GET", "a.example", "/admin"), Some(2));
    assert_eq!(find(&table, "GET", "a.example", "/"), None);
    assert_eq!(find(&RouteTable::default(), "GET", "a.example", "/"), None);
    let lost = find_unreachable(&table, 1);
    let lost: Vec<_> = lost
        .iter()
        .map(|lost| (lost.route.0, lost.behind.0))
        .collect();
    assert_eq!(lost, [(0, 2), (1, 2)]);
}

/// The rules of precedence, word by word.
fn model(rules: &[Rule], key: &Key<'_>) -> Option<usize> {
    let host = str::from_utf8(key.host).unwrap();
    let path = str::from_utf8(key.path).unwrap();
    let rank = |rule: &Rule| {
        let by_host = rule.hosts.iter().filter_map(|pattern| match pattern {
            HostPattern::Exact(name) => (**name == *host).then_some(usize::MAX),
            HostPattern::Below(domain) => {
                (host.ends_with(&**domain)).then_some(domain.matches('.').count())
            }
        });
        let by_host = if rule.hosts.is_empty() {
            Some(0)
        } else {
            by_host.max()
        };
        let text = str::from_utf8(rule.path.text()).unwrap();
        let by_path = match &rule.path {
            PathMatch::Exact(_) => (path == text).then_some(usize::MAX),
            PathMatch::Prefix(_) => {
                (text.is_empty() || path == text || path.starts_with(&format!("{text}/")))
                    .then_some(text.len())
            }
        };
        let by_method =
            rule.methods.is_any() || rule.methods.iter().any(|(_, token)| token == key.token);
        let by_listener = rule.listeners.contains(key.listener);
        (by_method && by_listener)
            .then(|| Some((rule.priority, by_host?, by_path?, !rule.methods.is_any())))?
    };
    let ranked = rules
        .iter()
        .enumerate()
        .filter_map(|(at, rule)| Some((rank(rule)?, at)));
    ranked
        .max_by_key(|&(rank, at)| (rank, std::cmp::Reverse(at)))
        .map(|(_, at)| at)
}

const HOSTS: [&str; 7] = [
    "a.x", "b.a.x", "c.b.a.x", "*.x", "*.a.x", "*.b.a.x", "[::1]",
];
const PATHS: [&str; 10] = [
    "/", "/a", "/a/", "/a/b", "/a/b/c", "/a!", "/a!/b", "/ab", "//", "/a//b",
];
const METHODS: [&str; 3] = ["GET", "POST", "PURGE"];

fn any_rule() -> impl Strategy<Value = Rule> {
    (
        prop_oneof![6 => Just(0), 1 => -1..=1],
        prop::collection::vec(prop::sample::select(&HOSTS[..]), 0..3),
        (prop::sample::select(&PATHS[..]), any::<bool>()),
        prop::collection::vec(prop::sample::select(&METHODS[..]), 0..3),
        prop_oneof![
            3 => Just(ListenerSet::All),
            1 => prop::sample::subsequence(vec![0, 1, 70], 1..3).prop_map(|set| ListenerSet::of(&set)),
        ],
    )
        .prop_map(|(priority, hosts, (path, is_exact), methods, listeners)| Rule {
            priority,
            listeners,
            ..rule(&hosts, if is_exact { exact(path) } else { prefix(path) }, &methods)
        })
}

proptest! {
    #[test]
    fn the_table_agrees_with_the_model(
        rules in prop::collection::vec(any_rule(), 0..24),
        requests in prop::collection::vec((
            prop::sample::select(vec![0, 1, 70]),
            prop::sample::select(vec!["a.x", "b.a.x", "c.b.a.x", "d.c.b.a.x", "z.x", "x", "[::1]", ""]),
            prop::sample::select(vec![
                "/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c/d", "/a!", "/a!x", "/a!/b/c", "/ab", "/abc",
                "//", "///", "/a//b", "/a//", "*",
            ]),
            prop::sample::select(vec!["GET", "POST", "PURGE", "PUT", "get"]),
        ), 32),
    ) {
        let table = table(rules.clone());
        for (listener, host, path, token) in requests {
            let key = Key {
                listener,
                host: host.as_bytes(),
                path: path.as_bytes(),
                method: Method::of(token.as_bytes()),
                token: token.as_bytes(),
            };
            let found = table.find_key(&key).map(RouteIx::index);
            prop_assert_eq!(found, model(&rules, &key), "{:?}", key);
        }
    }

    #[test]
    fn an_unreachable_route_is_never_found_and_every_other_is(
        rules in prop::collection::vec(any_rule(), 0..16),
    ) {
        let lost = find_unreachable(&table(rules.clone()), 71);
        let lost: Vec<_> = lost.iter().map(|lost| lost.route.index()).collect();
        let hosts = ["a.x", "b.a.x", "c.b.a.x", "d.c.b.a.x", "z.b.a.x", "z.a.x", "z.x", "x", "[::1]"];
        let paths: Vec<_> = PATHS.iter().flat_map(|path| [(*path).to_owned(), format!("{path}/z")]).collect();
        let mut found = vec![false; rules.len()];
        for host in hosts {
            for path in &paths {
                for token in METHODS.into_iter().chain(["PUT"]) {
                    for listener in [0, 1, 2, 70] {
                        let key = Key {
                            listener,
                            host: host.as_bytes(),
                            path: path.as_bytes(),
                            method: Method::of(token.as_bytes()),
                            token: token.as_bytes(),
                        };
                        if let Some(at) = model(&rules, &key) {
                            found[at] = true;
                        }
                    }
                }
            }
        }
        for (at, found) in found.into_iter().enumerate() {
            prop_assert_eq!(found, !lost.contains(&at), "route {}", at);
        }
    }
}
