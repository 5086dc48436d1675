//! The tables of the Gateway API's conformance suite for `HTTPRoute`, written again: which rule takes a request.
//!
//! Sources: `conformance/tests/httproute-matching*.yaml`, `-header-matching`, `-query-param-matching`, `-method-matching`,
//! `-hostname-intersection` of kubernetes-sigs/gateway-api. Prefixes and redirects: `message::prefix`, `redirect::tests`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::super::{Clusters, RouteInput, RouteTable, compile};
use super::head;
use crate::base::hash::HashKey;
use crate::base::{ClusterName, ListenerName};
use crate::config;

/// Each rule is a route; what it is called, the suite's backend.
fn table(rules: &[(&str, &str)]) -> RouteTable {
    let rules = rules.iter().enumerate();
    let text: Vec<String> = rules
        .map(|(at, (name, conditions))| {
            format!("[[routes]]\nname = \"{name}.{at}\"\ncluster = \"c\"\n{conditions}\n")
        })
        .collect();
    let text = text.concat();
    let mut loaded = config::parse(Path::new("t.toml"), &text).unwrap();
    let clusters = [ClusterName::parse("c").unwrap()];
    let parts = crate::filter::Parts {
        limiters: &crate::limiter::Limiters::default(),
        live: &crate::limiter::Live::default(),
        files: &config::Beside::default(),
        kept: &crate::filter::Live::default(),
        clusters: &clusters,
        passwords: crate::filter::Terms::default(),
    };
    let listeners = [ListenerName::parse("web").unwrap()];
    compile(
        &loaded.raw,
        &listeners,
        Clusters {
            names: &clusters,
            hash: HashKey::from_seed("tidegate"),
        },
        parts,
        &mut loaded.diagnostics,
    )
    .unwrap()
}

/// Method and target, host, fields, and the backend that is expected.
type Request<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

fn check(rules: &[(&str, &str)], requests: &[Request<'_>]) {
    let table = table(rules);
    for (request, host, fields, expected) in requests {
        let (method, target) = request.split_once(' ').unwrap();
        let asked = fields
            .iter()
            .fold(head(method, host, target), |head, (name, value)| {
                head.with_field(name, value)
            });
        let found = table.find(&RouteInput {
            listener: 0,
            head: &asked,
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            server_name: None,
        });
        let name = found.and_then(|ix| table.route(ix));
        let name = name.map_or("404", |route| route.name.as_str());
        let backend = name.split('.').next().unwrap();
        assert_eq!(backend, *expected, "{request} {host} {fields:?}");
    }
}

#[test]
fn paths_and_headers() {
    check(
        &[
            ("v1", "path_prefix = \"/\""),
            ("v1", "headers = { version = \"one\" }\npath_prefix = \"/\""),
            ("v2", "path_prefix = \"/v2\""),
            ("v2", "headers = { version = \"two\" }\npath_prefix = \"/\""),
            ("v3", "path = \"/v3\""),
        ],
        &[
            ("GET /", "", &[], "v1"),
            ("GET /example", "", &[], "v1"),
            ("GET /", "", &[("Version", "one")], "v1"),
            ("GET /v2", "", &[], "v2"),
            ("GET /v2/", "", &[], "v2"),
            ("GET /v2example", "", &[], "v1"),
            ("GET /foo/v2/example", "", &[], "v1"),
            ("GET /", "", &[("Version", "two")], "v2"),
            ("GET /v2", "", &[("Version", "two")], "v2"),
            ("GET /v3", "", &[], "v3"),
            ("GET /v3/", "", &[], "v1"),
            ("GET /v3x", "", &[], "v1"),
        ],
    );
}

/// Of several prefixes the longest, whatever the order of the rules.
#[test]
fn the_order_of_paths() {
    check(
        &[
            ("v2", "path_prefix = \"/level1\""),
            ("v3", "path_prefix = \"/level1/level2/\""),
            ("v1", "path = \"/match\""),
            ("v2", "path_prefix = \"/match\""),
            ("v3", "path_prefix = \"/match/\""),
            ("v4", "path_prefix = \"/\""),
        ],
        &[
            ("GET /match", "", &[], "v1"),
            ("GET /match/", "", &[], "v2"),
            ("GET /match/any", "", &[], "v2"),
            ("GET /level1", "", &[], "v2"),
            ("GET /level1/level2", "", &[], "v3"),
            ("GET /level1/level2/x", "", &[], "v3"),
            ("GET /level1/level2x", "", &[], "v2"),
            ("GET /matchx", "", &[], "v4"),
        ],
    );
}

/// More header conditions win; among as many, the earlier rule.
#[test]
fn headers() {
    check(
        &[
            ("v1", "headers = { version = \"one\" }"),
            ("v2", "headers = { version = \"two\" }"),
            ("v1", "headers = { version = \"two\", color = \"orange\" }"),
            ("v1", "headers = { color = \"blue\" }"),
            ("v1", "headers = { color = \"green\" }"),
            ("v2", "headers = { color = \"red\" }"),
            ("v2", "headers = { color = \"yellow\" }"),
        ],
        &[
            ("GET /", "", &[("Version", "one")], "v1"),
            ("GET /", "", &[("Version", "two")], "v2"),
            (
                "GET /",
                "",
                &[("Version", "two"), ("Color", "orange")],
                "v1",
            ),
            ("GET /", "", &[("Color", "orange")], "404"),
            ("GET /", "", &[("Some-Other-Header", "one")], "404"),
            ("GET /", "", &[("Color", "blue")], "v1"),
            ("GET /", "", &[("Color", "green")], "v1"),
            ("GET /", "", &[("Color", "red")], "v2"),
            ("GET /", "", &[("Color", "yellow")], "v2"),
            ("GET /", "", &[("Color", "purple")], "404"),
            ("GET /", "", &[("COLOR", "blue")], "v1"),
            ("GET /", "", &[("Color", "Blue")], "404"),
        ],
    );
}

#[test]
fn query_parameters() {
    check(
        &[
            ("v1", "query = { animal = \"whale\" }"),
            ("v2", "query = { animal = \"dolphin\" }"),
            ("v3", "query = { animal = \"dolphin\", color = \"blue\" }"),
            ("v3", "query = { ANIMAL = \"Whale\" }"),
        ],
        &[
            ("GET /?animal=whale", "", &[], "v1"),
            ("GET /?animal=dolphin", "", &[], "v2"),
            ("GET /?animal=dolphin&color=blue", "", &[], "v3"),
            ("GET /?ANIMAL=Whale", "", &[], "v3"),
            ("GET /?animal=whale&otherparam=irrelevant", "", &[], "v1"),
            ("GET /?animal=dolphin&color=yellow", "", &[], "v2"),
            ("GET /", "", &[], "404"),
            ("GET /?animal=shark", "", &[], "404"),
            ("GET /?color=blue", "", &[], "404"),
            ("GET /?animal=dolphin+whale", "", &[], "404"),
        ],
    );
}

/// Path before method before header before query.
#[test]
fn methods_and_what_comes_before_what() {
    check(
        &[
            ("v1", "methods = [\"POST\"]"),
            ("v2", "methods = [\"GET\"]"),
            ("v1", "methods = [\"GET\"]\npath_prefix = \"/path1\""),
            ("v2", "methods = [\"PUT\"]\nheaders = { version = \"one\" }"),
            (
                "v3",
                "methods = [\"POST\"]\npath_prefix = \"/path2\"\nheaders = { version = \"two\" }",
            ),
            ("v1", "path_prefix = \"/path3\""),
            ("v2", "methods = [\"PATCH\"]"),
            ("v3", "path_prefix = \"/path4\""),
            ("v1", "methods = [\"DELETE\"]"),
            ("v2", "methods = [\"PATCH\"]\npath_prefix = \"/path5\""),
            (
                "v3",
                "path_prefix = \"/path5\"\nheaders = { version = \"four\" }",
            ),
            (
                "v4",
                "path_prefix = \"/path6\"\nheaders = { version = \"one\" }",
            ),
            (
                "v1",
                "path_prefix = \"/path6\"\nquery = { a = \"1\", b = \"2\" }",
            ),
        ],
        &[
            ("POST /", "", &[], "v1"),
            ("GET /", "", &[], "v2"),
            ("HEAD /", "", &[], "404"),
            ("GET /path1", "", &[], "v1"),
            ("PUT /", "", &[("Version", "one")], "v2"),
            ("POST /path2", "", &[("Version", "two")], "v3"),
            ("PATCH /path3", "", &[], "v1"),
            ("DELETE /path4", "", &[], "v3"),
            ("PATCH /path5", "", &[("Version", "four")], "v2"),
            ("GET /path6?a=1&b=2", "", &[("Version", "one")], "v4"),
        ],
    );
}

/// Exact hosts before wildcards, and a miss falls through.
#[test]
fn hosts() {
    check(
        &[
            (
                "v1",
                "hosts = [\"very.specific.com\"]\npath_prefix = \"/s1\"",
            ),
            ("v2", "hosts = [\"*.specific.com\"]\npath_prefix = \"/s2\""),
            ("v3", "hosts = [\"*.com\"]"),
            (
                "v4",
                "hosts = [\"*.anotherwildcard.io\"]\npath_prefix = \"/s4\"",
            ),
        ],
        &[
            ("GET /s1", "very.specific.com", &[], "v1"),
            ("GET /s1", "very.specific.com:1234", &[], "v1"),
            ("GET /s2", "very.specific.com", &[], "v2"),
            ("GET /s2", "a.specific.com", &[], "v2"),
            ("GET /s3", "very.specific.com", &[], "v3"),
            ("GET /s2", "specific.com", &[], "v3"),
            ("GET /s4", "one.anotherwildcard.io", &[], "v4"),
            ("GET /s4", "two.one.anotherwildcard.io", &[], "v4"),
            ("GET /s4", "anotherwildcard.io", &[], "404"),
            ("GET /s1", "non.matching.org", &[], "404"),
        ],
    );
}
