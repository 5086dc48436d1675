//! The price of finding a route: in a table of one, and in tables of 10 000 hosts and of 1000 paths.

#![expect(clippy::unwrap_used, reason = "a bench may stop")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use tidegate::base::hash::HashKey;
use tidegate::base::{ClusterName, ListenerName};
use tidegate::config;
use tidegate::http1::request::{HeadLimits, parse};
use tidegate::message::RequestHead;
use tidegate::route::{Clusters, RouteInput, RouteTable, compile};

const ONE: &str = "[[routes]]\nname = 'all'\ncluster = 'c'\n";

fn table(text: &str) -> RouteTable {
    let mut loaded = config::parse(Path::new("bench.toml"), text).unwrap();
    let listeners = [ListenerName::parse("web").unwrap()];
    let clusters = [ClusterName::parse("c").unwrap()];
    let limiters = tidegate::limiter::Limiters::default();
    let parts = tidegate::filter::Parts {
        limiters: &limiters,
        live: &tidegate::limiter::Live::default(),
        files: &config::Beside::default(),
        kept: &tidegate::filter::Live::default(),
        clusters: &clusters,
        passwords: tidegate::filter::Terms::default(),
    };
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

/// One route for each of `count` hosts, and one for all others.
fn hosts(count: u32, prefix: &str) -> String {
    let mut text = ONE.to_owned();
    for number in 0..count {
        let host = format!("{prefix}tenant-{number}.example.com");
        writeln!(
            text,
            "[[routes]]\nname = 'r{number}'\nhosts = ['{host}']\ncluster = 'c'"
        )
        .unwrap();
    }
    text
}

/// One route for each of `count` prefixes below one another's, on one host.
fn paths(count: u32) -> String {
    let mut text = ONE.to_owned();
    for number in 0..count {
        let path = format!("/api/v{}/area-{number}", number % 7);
        writeln!(
            text,
            "[[routes]]\nname = 'r{number}'\nhosts = ['tenant-7.example.com']\npath_prefix = '{path}'\ncluster = 'c'"
        )
        .unwrap();
    }
    text
}

fn head(host: &str, path: &str) -> RequestHead {
    let limits = HeadLimits {
        request_line: 8 << 10,
        headers: 32 << 10,
        count: 100,
        name: 256,
        path: tidegate::message::path::Policy::DEFAULT,
        own: tidegate::message::forwarded::Proto::Http,
    };
    let mut head = RequestHead::default();
    let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n");
    parse(text.as_bytes(), &limits, &mut head).unwrap();
    head
}

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("route");
    let exact = hosts(10_000, "");
    let below = hosts(10_000, "*.");
    let slashes = "/".repeat(8000);
    let labels = format!("{}tenant-7.example.com", "a.".repeat(100));
    for (name, text, host, path) in [
        ("one", ONE, "tenant-7.example.com", "/"),
        ("10k hosts, hit", &exact, "tenant-7777.example.com", "/a/b"),
        ("10k hosts, miss", &exact, "tenant-7777.example.org", "/a/b"),
        (
            "10k wildcards, hit",
            &below,
            "a.tenant-7777.example.com",
            "/a/b",
        ),
        ("10k wildcards, 103 labels", &below, &labels, "/a/b"),
        (
            "1000 prefixes",
            &paths(1000),
            "tenant-7.example.com",
            "/api/v1/area-99/x",
        ),
        (
            "1000 prefixes, 8000 slashes",
            &paths(1000),
            "tenant-7.example.com",
            &slashes,
        ),
    ] {
        let table = table(text);
        let head = head(host, path);
        let input = RouteInput {
            listener: 0,
            head: &head,
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            server_name: None,
        };
        assert!(table.find(&input).is_some());
        group.bench_function(name, |bencher| {
            bencher.iter(|| table.find(black_box(&input)));
        });
    }
    group.finish();
}

criterion_group!(benches, find);
criterion_main!(benches);
