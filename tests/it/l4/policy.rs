//! Who may connect, how often and how many at once, and to which cluster: filters and splits of listeners of layer 4.

use super::udp::{Echo, asked, client};
use crate::support::bytes::{ByteServer, dial_from, exactly};
use crate::support::{Setup, endpoint, eventually, ports};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A tcp listener in front of a server that says hello, with these keys.
fn guarded(filters: &str, tail: &str) -> (ByteServer, Setup, SocketAddr) {
    let server = ByteServer::named("hello ");
    let (setup, raw) = super::tcp_over(&[server.addr()], filters, "");
    (server, setup.tail(tail), raw)
}

fn from(last: u8, to: SocketAddr) -> TcpStream {
    dial_from([127, 0, 0, last], to)
}

/// Whether the connection is carried: else it is closed without a byte.
fn is_served(stream: &TcpStream) -> bool {
    let mut first = [0];
    match std::io::Read::read(&mut { stream }, &mut first) {
        Ok(1) => {
            assert_eq!(exactly(stream, 5), b"ello ");
            true
        }
        _ => false,
    }
}

#[test]
fn a_connection_is_refused_by_its_address() {
    let filters =
        "filters = [{ ip_access = { allow = [\"127.0.0.0/30\"], deny = [\"127.0.0.2\"] } }]";
    let (server, setup, raw) = guarded(filters, "");
    let proxy = setup.start();
    for (last, served) in [(1, true), (2, false), (3, true), (4, false)] {
        assert_eq!(is_served(&from(last, raw)), served, "127.0.0.{last}");
    }
    assert_eq!(
        server.accepted(),
        2,
        "an endpoint hears nothing of the others"
    );
    let line = proxy.wait_line("a refusal", |line| line["reason"] == "denied");
    assert_eq!(line["detail"], "address");
    assert_eq!(line["phase"], "filter");
    assert_eq!(line["listener"], "raw");
    let labels = [("listener", "raw"), ("reason", "denied")];
    proxy.wait_metric("tidegate_l4_terminations_total", &labels, |sum| sum == 2.0);
}

#[test]
fn connections_of_a_client_are_limited_in_rate() {
    let limiter = "[limiters.new]\nkey = \"client_ip\"\nrate = 3\nper = \"1h\"\n";
    let (_server, setup, raw) = guarded(
        "filters = [{ rate_limit = { limiter = \"new\" } }]",
        limiter,
    );
    let proxy = setup.start();
    for last in [1, 2] {
        let served = (0..5).filter(|_| is_served(&from(last, raw))).count();
        assert_eq!(served, 3, "127.0.0.{last}");
    }
    let line = proxy.wait_line("a refusal", |line| line["reason"] == "rate_limited");
    assert_eq!(line["detail"], "rate");
}

/// Over the limit of this one a connection waits for its turn, and is served.
#[test]
fn a_connection_waits_for_its_turn() {
    let limiter = "[limiters.slow]\nalgorithm = \"leaky_bucket\"\nkey = \"client_ip\"\nrate = 20\nper = \"1s\"\nburst = 10\n";
    let (_server, setup, raw) = guarded(
        "filters = [{ rate_limit = { limiter = \"slow\" } }]",
        limiter,
    );
    let _proxy = setup.start();
    let waiting: Vec<_> = (0..8).map(|_| from(1, raw)).collect();
    assert!(waiting.iter().all(is_served));
}

#[test]
fn connections_of_a_client_are_limited_in_number() {
    let (_server, setup, raw) = guarded(
        "filters = [{ concurrency_limit = { key = \"client_ip\", max = 2 } }]",
        "",
    );
    let proxy = setup.start();
    let mut held: Vec<_> = (0..2).map(|_| from(1, raw)).collect();
    assert!(held.iter().all(is_served));
    assert!(!is_served(&from(1, raw)), "one too many");
    assert!(is_served(&from(2, raw)), "another client");
    held.pop();
    eventually("a place", || is_served(&from(1, raw)).then_some(()));
    let line = proxy.wait_line("a refusal", |line| line["reason"] == "rate_limited");
    assert_eq!(line["detail"], "concurrency");
    let mut first = &held[0];
    first.write_all(b"still").expect("the first one goes on");
    assert_eq!(exactly(first, 5), b"still");
}

fn shares(protocol: &str, addr: SocketAddr, split: &str) -> String {
    format!(
        "[[listeners]]\nname = \"shared\"\nbind = [\"{addr}\"]\nprotocol = \"{protocol}\"\nsplit = [{split}]\n"
    )
}

#[test]
fn connections_are_shared_out_over_clusters() {
    let servers = ["a", "b", "c"].map(ByteServer::named);
    let addr = ports::free();
    let split = "{ cluster = \"app\", weight = 50 }, { cluster = \"b\", weight = 50 }, { cluster = \"c\", weight = 0 }";
    let [a, b, c] = servers.each_ref().map(ByteServer::addr);
    let setup = Setup::over(&[a])
        .cluster("b", &[endpoint(b)], "")
        .cluster("c", &[endpoint(c)], "")
        .tail(&shares("tcp", addr, split));
    let proxy = setup.start();
    let mut counts = [0; 3];
    for _ in 0..100 {
        let said = exactly(&from(1, addr), 1);
        counts[usize::from(said[0] - b'a')] += 1;
    }
    // Four standard deviations of 100 coins are 20.
    assert!(
        counts[0] > 29 && counts[1] > 29 && counts[2] == 0,
        "{counts:?}"
    );
    for (cluster, at) in [("app", 0), ("b", 1)] {
        let labels = [("listener", "shared"), ("cluster", cluster)];
        let wanted = f64::from(counts[at]);
        proxy.wait_metric("tidegate_l4_sessions_total", &labels, |sum| sum == wanted);
    }
}

#[test]
fn flows_are_shared_out_and_a_client_keeps_its_side() {
    let servers = ["a", "b"].map(Echo::named);
    let addr = ports::free();
    let split = "{ cluster = \"app\", weight = 1 }, { cluster = \"b\", weight = 1 }";
    let setup = Setup::over(&[servers[0].addr])
        .cluster("b", &[endpoint(servers[1].addr)], "")
        .tail(&shares("udp", addr, split))
        .tail("split_key = \"client_ip\"\n");
    let _proxy = setup.start();
    let mut seen = std::collections::HashSet::new();
    for last in 1..40 {
        let said = asked(&client([127, 0, 0, last], addr), "x");
        for _ in 0..3 {
            assert_eq!(asked(&client([127, 0, 0, last], addr), "x"), said);
        }
        seen.insert(said);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn flows_are_refused_before_another_gives_way() {
    let server = Echo::named("one ");
    let addr = ports::free();
    let setup = Setup::over(&[server.addr]).workers(1).tail(&format!(
        "[[listeners]]\nname = \"dns\"\nbind = [\"{addr}\"]\nprotocol = \"udp\"\ncluster = \"app\"\nudp = {{ max_flows = 3 }}\n\
         filters = [{{ ip_access = {{ deny = [\"127.0.0.9\"] }} }}, {{ concurrency_limit = {{ key = \"client_ip\", max = 2 }} }},\n\
         \x20 {{ rate_limit = {{ limiter = \"flows\" }} }}]\n\
         [limiters.flows]\nkey = \"global\"\nrate = 3\nper = \"1h\"\n"
    ));
    let proxy = setup.start();
    let held: Vec<_> = [1, 1, 2].map(|last| client([127, 0, 0, last], addr)).into();
    for flow in &held {
        assert_eq!(asked(flow, "x"), "one x");
    }
    for last in [9, 1, 3] {
        let refused = client([127, 0, 0, last], addr);
        refused
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        refused.send(b"x").unwrap();
        assert!(refused.recv(&mut [0; 9]).is_err(), "127.0.0.{last}");
    }
    let labels = [("listener", "dns"), ("cause", "refused")];
    proxy.wait_metric("tidegate_l4_datagrams_dropped_total", &labels, |sum| {
        sum == 3.0
    });
    for (reason, detail) in [
        ("denied", "address"),
        ("rate_limited", "concurrency"),
        ("rate_limited", "rate"),
    ] {
        proxy.wait_line("a refusal", |line| {
            line["reason"] == reason && line["detail"] == detail
        });
    }
    for flow in &held {
        assert_eq!(asked(flow, "x"), "one x", "nobody gave way");
    }
}
