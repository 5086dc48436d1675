//! Texts of routes: what they mean, and what is said of those that mean nothing.

use std::path::Path;
use std::time::Duration;

use super::super::{Action, NewPath, Query, Redirect, Scheme};
use super::*;
use crate::base::ClusterName;
use crate::base::hash::HashKey;
use crate::config;

fn compile_text(text: &str) -> (Option<RouteTable>, Vec<String>) {
    let mut loaded = config::parse(Path::new("t.toml"), text).unwrap();
    let listeners = ["web", "inner"].map(|name| ListenerName::parse(name).unwrap());
    let clusters = ["shop", "api"].map(|name| ClusterName::parse(name).unwrap());
    let limiters = crate::limiter::Limiters::default();
    let parts = filter::Parts {
        limiters: &limiters,
        live: &crate::limiter::Live::default(),
        files: &config::Beside::default(),
        kept: &filter::Live::default(),
        clusters: &clusters,
        passwords: filter::Terms::default(),
    };
    let table = compile(
        &loaded.raw,
        &listeners,
        Clusters {
            names: &clusters,
            hash: HashKey::from_seed("tidegate"),
        },
        parts,
        &mut loaded.diagnostics,
    );
    assert_eq!(table.is_none(), loaded.diagnostics.has_errors());
    (table, loaded.diagnostics.lines().collect())
}

/// The routes of a text without a flaw.
fn sound(text: &str) -> RouteTable {
    let (table, lines) = compile_text(text);
    assert_eq!(lines, [""; 0]);
    table.unwrap()
}

#[test]
fn a_route_gets_its_own_values_then_the_defaults() {
    let table = sound(
        r#"
        [defaults.route]
        timeouts = { request = "9s", response = "8s", body = "7s" }
        limits = { body = "1MiB" }
        [[routes]]
        name = "a"
        listeners = ["inner"]
        hosts = ["Example.com"]
        cluster = "api"
        timeouts = { request = "0s", response = "3s", tunnel = "2h" }
        limits = { body = "0B" }
        [[routes]]
        name = "b"
        cluster = "shop"
        filters = [{ request_headers = { set = { x-tenant = "acme" } } }, { response_headers = { remove = ["server"] } }]
        "#,
    );
    let [a, b] = table.routes() else { panic!() };
    assert!(matches!(a.action, Action::Cluster(cluster) if cluster.index() == 1));
    let expected = RouteTimeouts {
        request: None,
        response: Some(Duration::from_secs(3)),
        response_idle: None,
        tunnel: Some(Duration::from_hours(2)),
        body: Some(Duration::from_secs(7)),
    };
    assert_eq!((a.timeouts, a.limits.body), (expected, None));
    assert_eq!(b.timeouts.request, Some(Duration::from_secs(9)));
    assert_eq!(b.limits.body, Some(1 << 20));
    assert!(a.filters.is_empty() && !b.filters.is_empty());
    assert!(!table.rules()[0].listeners.contains(0) && table.rules()[0].listeners.contains(1));
}

#[test]
fn redirects_and_answers_are_ready_to_be_sent() {
    let table = sound(
        r#"
        [[routes]]
        name = "a"
        path = "/a"
        redirect = { host = "Shop.example.com", scheme = "https", query = "drop" }
        [[routes]]
        name = "b"
        path = "/%62"
        respond = { status = 503, headers = { retry-after = "120" }, body = "later\n" }
        [[routes]]
        name = "c"
        path = "/c"
        respond = { status = 200, headers = { Content-Type = "text/html" }, body = "<p>" }
        "#,
    );
    let expected = Redirect {
        status: 308,
        scheme: Some(Scheme::Https),
        host: Some("shop.example.com".into()),
        port: None,
        path: NewPath::Keep,
        query: Query::Drop,
    };
    let [a, b, c] = table.routes() else { panic!() };
    assert!(matches!(&a.action, Action::Redirect(redirect) if *redirect == expected));
    let Action::Respond(b) = &b.action else {
        panic!()
    };
    assert_eq!(
        (&b.lines()[..], &b.body()[..]),
        (
            &b"retry-after: 120\r\ncontent-type: text/plain; charset=utf-8\r\n"[..],
            &b"later\n"[..]
        )
    );
    assert!(
        matches!(&table.rules()[1].path, crate::route::PathMatch::Exact(text) if **text == *b"/b")
    );
    let Action::Respond(c) = &c.action else {
        panic!()
    };
    assert_eq!(&c.lines()[..], b"Content-Type: text/html\r\n");
}

/// What is said of one route with these keys, without the place.
fn said(keys: &str) -> Vec<String> {
    let (_, lines) = compile_text(&format!("[[routes]]\nname = \"r\"\n{keys}"));
    let said = |line: &String| line.split_once("error[").map(|(_, said)| said.to_owned());
    lines.iter().filter_map(said).collect()
}

const FLAWS: &[(&str, &str)] = &[
    (
        "cluster = 'api'\ntimeouts = { tunnel = '0s' }",
        "C0107]: `tunnel` must be longer than 0s",
    ),
    ("", "C0215]: route `r` has no action"),
    (
        "cluster = 'api'\nrespond = { status = 200 }",
        "C0215]: route `r` has both `cluster` and `respond`",
    ),
    (
        "cluster = 'apii'",
        "C0201]: route `r` sends to unknown cluster `apii`",
    ),
    (
        "split = [{ cluster = 'api', weight = 1 }, { cluster = 'api', weight = 1 }]",
        "C0203]: cluster `api` stands twice in this split",
    ),
    (
        "split = [{ cluster = 'api', weight = 1000001 }]",
        "C0208]: weight 1000001 is not in 0-1000000",
    ),
    (
        "split = [{ cluster = 'api', weight = 0 }]",
        "C0216]: this split sends nothing anywhere",
    ),
    ("split = []", "C0216]: this split sends nothing anywhere"),
    (
        "split = [{ cluster = 'apii', weight = 1 }]",
        "C0201]: route `r` sends to unknown cluster `apii`",
    ),
    (
        "split = [{ cluster = 'api', weight = 1 }]\nsplit_key = ['ip']",
        "C0220]: `ip` is not a key",
    ),
    (
        "split = [{ cluster = 'api', weight = 1 }]\nsplit_key = []",
        "C0216]: a key has at least one part",
    ),
    (
        "cluster = 'api'\nsplit_key = 'host'",
        "C0217]: `split_key` stands without `split`",
    ),
    (
        "redirect = { status = 308 }",
        "C0215]: this redirect leads back to where it came from",
    ),
    (
        "redirect = { status = 200, port = 1 }",
        "C0214]: `200` is not the status of a redirect",
    ),
    (
        "redirect = { port = 0 }",
        "C0107]: `0` is not a port to send a client to",
    ),
    (
        "redirect = { host = '*.a' }",
        "C0210]: `*.a` is not one host",
    ),
    (
        "redirect = { host = 'a:80' }",
        "C0210]: `a:80` is not a host",
    ),
    (
        "redirect = { host = \"a\\r\\nb\" }",
        "C0210]: `a\\r\\nb` is not a host",
    ),
    (
        "redirect = { prefix = '/x' }",
        "C0217]: `prefix` stands on a route without `path_prefix`",
    ),
    (
        "path_prefix = '/a'\nredirect = { prefix = '/x', path = '/y' }",
        "C0217]: `path` and `prefix` cannot stand together",
    ),
    (
        "respond = { status = 200, body = 'x', body_file = '/dev/null' }",
        "C0217]: `body` and `body_file` cannot stand together",
    ),
    (
        "respond = { status = 200, body_file = '/dev/zero' }",
        "C0002]: `/dev/zero` is larger than 1 MiB",
    ),
    (
        "respond = { status = 200, body_file = '/nowhere' }",
        "C0001]: cannot read `/nowhere`",
    ),
    (
        "redirect = { path = '/x?y' }",
        "C0211]: `/x?y` is not a path",
    ),
    (
        "respond = { status = 199 }",
        "C0214]: `199` is not the status of an answer",
    ),
    (
        "respond = { status = 204, body = 'x' }",
        "C0217]: an answer with status 204 has no body",
    ),
    (
        "respond = { status = 200, headers = { connection = 'close' } }",
        "C0213]: field `connection` cannot be configured",
    ),
    (
        "respond = { status = 200, headers = { x = \"a\\r\\nb\" } }",
        "C0213]: bad value of field `x`",
    ),
    ("cluster = 'api'\npath = 'x'", "C0211]: `x` is not a path"),
    (
        "cluster = 'api'\npath_prefix = '/a/../..'",
        "C0211]: `/a/../..` is not a path",
    ),
    (
        "cluster = 'api'\npath = '/a'\npath_prefix = '/a'",
        "C0217]: `path` and `path_prefix` cannot stand together",
    ),
    (
        "cluster = 'api'\npath_regex = '('",
        "C0222]: `(` is not a regular expression",
    ),
    (
        "cluster = 'api'\npath_regex = '(a{1000}){1000}'",
        "C0222]: `(a{1000}){1000}` is not a regular expression",
    ),
    ("cluster = 'api'\nhosts = []", "C0216]: `hosts` is empty"),
    (
        "cluster = 'api'\nhosts = ['a.*.b']",
        "C0210]: `a.*.b` is not a host",
    ),
    (
        "cluster = 'api'\nlisteners = ['wbe']",
        "C0202]: route `r` stands on unknown listener `wbe`",
    ),
    (
        "cluster = 'api'\nmethods = ['get']",
        "C0212]: `get` is not a method for a route",
    ),
    (
        "cluster = 'api'\nmethods = ['CONNECT']",
        "C0212]: `CONNECT` is not a method for a route",
    ),
    (
        "cluster = 'api'\nmethods = ['A B']",
        "C0212]: `A B` is not a method for a route",
    ),
    (
        "cluster = 'api'\nheaders = { x = ' y' }",
        "C0213]: no field can have the value ` y`",
    ),
    (
        "cluster = 'api'\nheaders = { x = 'y', X = 'z' }",
        "C0203]: field `X` stands here twice",
    ),
    (
        "cluster = 'api'\nheaders_regex = { 'x y' = '.*' }",
        "C0213]: `x y` is not a name to look for",
    ),
    (
        "cluster = 'api'\nheaders_regex = { x = '[' }",
        "C0222]: `[` is not a regular expression",
    ),
    (
        "cluster = 'api'\nquery = { '' = '1' }",
        "C0213]: `` is not a name to look for",
    ),
    (
        "cluster = 'api'\ncookies = { 'a=b' = '1' }",
        "C0213]: `a=b` is not a name to look for",
    ),
    (
        "cluster = 'api'\nclients = []",
        "C0216]: `clients` is empty",
    ),
    (
        "cluster = 'api'\nclients = ['10.0.0.0/33']",
        "C0209]: `10.0.0.0/33` is not a network",
    ),
    (
        "cluster = 'api'\nfilters = [{ cors = { allow_origins = [] } }]",
        "C0216]: `allow_origins` is empty",
    ),
    (
        "cluster = 'api'\nfilters = [{ request_headers = { set = { Host = 'x' } } }]",
        "C0213]: field `Host` cannot be configured",
    ),
    (
        "cluster = 'api'\nfilters = [{ request_headers = { set = { x-a = '1' }, remove = ['X-A'] } }]",
        "C0217]: field `X-A` is both removed and set",
    ),
    (
        "cluster = 'api'\nfilters = [{ response_headers = { set = { x-a = '1', X-A = '2' } } }]",
        "C0203]: field `X-A` stands here twice",
    ),
    (
        "cluster = 'api'\nfilters = [{ response_headers = { remove = ['a b'] } }]",
        "C0213]: `a b` is not a field name",
    ),
];

#[test]
fn every_flaw_of_a_route_is_told() {
    for &(keys, expected) in FLAWS {
        assert_eq!(said(keys), [expected], "{keys}");
    }
}

#[test]
fn all_flaws_are_told_at_once() {
    let keys = "cluster = 'x'\nhosts = ['a:1', '*']\nmethods = ['get', 'PUT']\npath = ''\nlisteners = ['y']";
    assert_eq!(said(keys).len(), 6);
    let (_, lines) = compile_text("[[routes]]\nname = '-'\ncluster = 'api'");
    assert_eq!(
        lines,
        ["t.toml:2:8: error[C0204]: `-` is not a name for a route"]
    );
}

#[test]
fn a_route_that_can_never_match_is_a_warning() {
    let (table, lines) = compile_text(
        "[[routes]]\nname = 'all'\ncluster = 'api'\n[[routes]]\nname = 'late'\ncluster = 'shop'",
    );
    assert!(table.is_some());
    assert_eq!(
        lines,
        ["t.toml:5:8: warning[C0301]: route `late` can never match"]
    );
}
