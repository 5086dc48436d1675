//! Texts of listeners: what they mean, and what is said of those that mean nothing.

use std::path::Path;

use super::*;
use crate::base::hash::HashKey;
use crate::config;
use crate::filter::Parts;
use crate::route::Clusters;

fn compile_text(text: &str) -> (Option<Vec<ListenerSpec>>, Vec<String>) {
    let mut loaded = config::parse(Path::new("t.toml"), text).unwrap();
    let live = crate::tls::Live::default();
    let clusters = Clusters {
        names: &[],
        hash: HashKey::from_seed("tidegate"),
    };
    let parts = Parts {
        limiters: &crate::limiter::Limiters::default(),
        live: &crate::limiter::Live::default(),
        files: &config::Beside::default(),
        kept: &crate::filter::Live::default(),
        clusters: &[],
        passwords: crate::filter::Terms::default(),
    };
    let ground = crate::tls::Ground {
        live: &live,
        common: &crate::tls::Common::default(),
    };
    let specs = compile(
        &loaded.raw,
        clusters,
        parts,
        ground,
        &mut loaded.diagnostics,
    );
    assert_eq!(specs.is_none(), loaded.diagnostics.has_errors());
    (specs, loaded.diagnostics.lines().collect())
}

#[test]
fn a_listener_gets_its_own_values_then_the_defaults_then_ours() {
    let (specs, lines) = compile_text(
        r#"
        [defaults.listener]
        trusted_proxies = ["10.0.0.0/8"]
        timeouts = { header = "5s", idle = "6s" }
        limits = { header_count = 50 }
        [[listeners]]
        name = "a"
        bind = ["127.0.0.1:8080", "[::1]:8080"]
        protocol = "http"
        h2c = "off"
        proxy_protocol = "off"
        timeouts = { idle = "7s" }
        limits = { request_line = "1KiB", connections_per_client = 0 }
        [[listeners]]
        name = "b"
        bind = ["127.0.0.1:0", "127.0.0.1:0"]
        protocol = "http"
        trusted_proxies = []
        "#,
    );
    assert_eq!(lines, [""; 0]);
    let specs = specs.unwrap();
    let [a, b] = specs.as_slice() else { panic!() };
    assert_eq!(
        a.binds,
        ["127.0.0.1:8080", "[::1]:8080"].map(|bind| ListenAddr::parse(bind).unwrap())
    );
    assert!(a.trusted.contains("10.1.1.1".parse().unwrap()) && b.trusted.is_empty());
    let seconds = [a.timeouts.header, a.timeouts.idle, a.timeouts.body].map(|it| it.as_secs());
    assert_eq!(seconds, [5, 7, 30]);
    let expected = ListenerLimits {
        request_line: 1024,
        headers: 32 << 10,
        header_count: 50,
        connections_per_client: 0,
        ..ListenerLimits::default()
    };
    assert_eq!(a.limits, expected);
    assert_eq!(b.limits.connections_per_client, 1024);
    assert_eq!((b.timeouts.idle.as_secs(), b.head().count), (6, 50));
}

/// What is said of one http listener with these keys, without the place.
fn said(text: &str) -> Vec<String> {
    let text = text.replace("LISTENER", "[[listeners]]\nname = 'l'\nprotocol = 'http'\n");
    let (_, lines) = compile_text(&text);
    let said = |line: &String| line.split_once("error[").map(|(_, said)| said.to_owned());
    lines.iter().filter_map(said).collect()
}

const BIND: &str = "LISTENERbind = ['127.0.0.1:80']\n";

const FLAWS: &[(&str, &str)] = &[
    (
        "tls = { certificates = [] }",
        "C0216]: `certificates` is empty",
    ),
    (
        "cluster = 'x'",
        "C0219]: `cluster` cannot stand on a listener for http",
    ),
    (
        "udp = {}",
        "C0219]: `udp` cannot stand on a listener for http",
    ),
    (
        "trusted_proxies = ['10.0.0.0/33']",
        "C0209]: `10.0.0.0/33` is not a network",
    ),
    ("http2 = { streams = 0 }", "C0107]: `0` is out of range"),
    (
        "http2 = { connection_window = '1KiB' }",
        "C0107]: `1024` is out of range",
    ),
    (
        "timeouts = { header = '0s' }",
        "C0107]: a time limit of zero",
    ),
    (
        "limits = { headers = '2MiB' }",
        "C0107]: `2097152` is out of range",
    ),
    (
        "limits = { header_count = 257 }",
        "C0107]: `257` is out of range",
    ),
    (
        "limits = { request_line = '0B' }",
        "C0107]: `0` is out of range",
    ),
];

#[test]
fn every_flaw_of_a_listener_is_told() {
    for (keys, expected) in FLAWS {
        assert_eq!(said(&format!("{BIND}{keys}")), [*expected], "{keys}");
    }
    for (bind, expected) in [
        ("", "C0216]: `bind` is empty"),
        ("'80'", "C0205]: `80` is not an address to listen on"),
        (
            "'localhost:80'",
            "C0205]: `localhost:80` is not an address to listen on",
        ),
        (
            "'[::ffff:127.0.0.1]:80'",
            "C0205]: `[::ffff:127.0.0.1]:80` is not an address to listen on",
        ),
        (
            "'unix:run/a.sock'",
            "C0205]: `unix:run/a.sock` is not an address to listen on",
        ),
    ] {
        assert_eq!(
            said(&format!("LISTENERbind = [{bind}]")),
            [expected],
            "{bind}"
        );
    }
    let (_, lines) = compile_text(
        "[[listeners]]\nname = 'a b'\nbind = ['127.0.0.1:1']\nprotocol = 'tcp'\nh2c = 'off'",
    );
    let codes: Vec<_> = lines
        .iter()
        .map(|line| &line[line.find('[').unwrap()..][..7])
        .collect();
    assert_eq!(codes, ["[C0204]", "[C0104]", "[C0219]"]);
}

#[test]
fn a_flaw_of_the_defaults_is_told_once() {
    let second = BIND.replace("80", "81");
    let text = format!("[defaults.listener]\ntrusted_proxies = ['x']\n{BIND}{second}");
    let told = said(&text);
    let told: Vec<_> = told.iter().filter(|said| said.contains("C0209")).collect();
    assert_eq!(told, ["C0209]: `x` is not a network"]);
}

#[test]
fn an_address_is_taken_once() {
    for (binds, expected) in [
        (
            "'127.0.0.1:80', '127.0.0.1:80'",
            Some("listener `l` listens on 127.0.0.1:80 twice"),
        ),
        (
            "'0.0.0.0:80', '127.0.0.1:80'",
            Some("listener `l` listens on 127.0.0.1:80, which listener `l` takes with 0.0.0.0:80"),
        ),
        (
            "'[::1]:80', '[::]:80'",
            Some("listener `l` listens on [::]:80, which listener `l` takes with [::1]:80"),
        ),
        (
            "'unix:/run/a', 'unix:/run/b', 'unix:/run/a'",
            Some("listener `l` listens on unix:/run/a twice"),
        ),
        ("'0.0.0.0:80', '[::]:80'", None),
        ("'127.0.0.1:80', '127.0.0.2:80'", None),
        ("'127.0.0.1:80', '127.0.0.1:81'", None),
    ] {
        let said = said(&format!("LISTENERbind = [{binds}]"));
        let expected: Vec<_> = expected
            .iter()
            .map(|text| format!("C0206]: {text}"))
            .collect();
        assert_eq!(said, expected, "{binds}");
    }
    let admin = "[admin]\nbind = '127.0.0.1:80'\n";
    let expected = "C0206]: listener `l` listens on 127.0.0.1:80, but so does the admin interface";
    assert_eq!(said(&format!("{admin}{BIND}")), [expected]);
}
