//! Connections and flows that come from their client's address.

use super::sockets::{mirror, short_of, told};
use super::{tcp_listener, tcp_over};
use crate::support::bytes::{dial, dial_from, is_reset, rest};
use crate::support::proxy::binary;
use crate::support::{Proxy, Reload, Setup, ports, python};
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/l4/transparent.py");
const FROM_CLIENT: &str = "socket = { source = \"client\" }";

/// The same program without the capabilities that it takes.
fn bare() -> Command {
    let mut command = Command::new("setpriv");
    command
        .arg("--bounding-set=-net_admin,-net_raw")
        .arg("--inh-caps=-net_admin,-net_raw")
        .arg(binary().get_program());
    command
}

/// Between two networks, from addresses that are not the proxy's. What the hosts of both say to each other is none of its business, and goes
/// on where answers are told apart by their mark.
#[test]
fn endpoints_see_clients_that_are_no_addresses_of_ours() {
    for (way, expected) in [
        ("link", &["tcp", "http", "udp"][..]),
        ("mark", &["tcp", "http", "udp", "routed"]),
    ] {
        let (seen, said) = seen_between_networks(way);
        let expected: Vec<_> = expected
            .iter()
            .map(|it| format!("{it} 10.77.1.2"))
            .collect();
        assert_eq!(seen, expected, "{way}: {said}");
    }
}

/// Which client the endpoint saw, and all that was said, with this way back to the proxy.
fn seen_between_networks(way: &str) -> (Vec<String>, String) {
    let cluster =
        |name, addr| format!("[clusters.{name}]\nendpoints = [\"{addr}\"]\n{FROM_CLIENT}\n");
    let listener = |name, addr, protocol, rest| {
        format!(
            "[[listeners]]\nname = \"{name}\"\nbind = [\"{addr}\"]\nprotocol = \"{protocol}\"\n{rest}\n"
        )
    };
    let setup = Setup::new();
    let text = [
        "[runtime]\nworkers = 2\n".to_owned(),
        listener("raw", "10.77.1.1:7000", "tcp", "cluster = \"raw\""),
        listener("flows", "10.77.1.1:7000", "udp", "cluster = \"raw\""),
        listener("web", "10.77.1.1:8080", "http", ""),
        "[[routes]]\nname = \"all\"\npath_prefix = \"/\"\ncluster = \"web\"\n".to_owned(),
        cluster("raw", "10.77.2.2:7000"),
        cluster("web", "10.77.2.2:8080"),
    ];
    let config = setup.dir.file("transparent.toml");
    std::fs::write(&config, text.concat()).unwrap();
    let output = Command::new("unshare")
        .arg("--net")
        .arg(python())
        .args([PROGRAM, way])
        .arg(binary().get_program())
        .args(["run", "-c"])
        .arg(&config)
        .output()
        .expect("unshare");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8(output.stdout).unwrap();
    let answers = ["tcp ", "http ", "udp ", "routed "];
    let is_answer = |line: &&str| answers.iter().any(|it| line.starts_with(it));
    let seen = text.lines().filter(is_answer).map(str::to_owned).collect();
    (seen, format!("{text}{error}"))
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n")
}

/// What 127.0.0.`last` is told that says this.
fn said(last: u8, addr: SocketAddr, what: &str) -> String {
    let mut stream = dial_from([127, 0, 0, last], addr);
    stream.write_all(what.as_bytes()).unwrap();
    String::from_utf8(rest(&stream)).unwrap()
}

/// A connection of one client serves no other.
#[test]
fn connections_from_a_clients_address_are_its_own() {
    let server = mirror();
    let (raw, endpoints) = (ports::free(), [server.addr()]);
    let setup = Setup::over_with(&endpoints, FROM_CLIENT);
    let proxy = setup.workers(1).tail(&tcp_listener(raw, "")).start();
    for last in [31, 32, 31] {
        let ip = format!("127.0.0.{last}");
        assert_eq!(said(last, raw, "who?"), ip);
        let page = said(last, proxy.web, &get(""));
        assert!(page.ends_with(&ip), "{page}");
    }
}

/// Whom a header of the PROXY protocol names is the client of all that follows; a request speaks for itself alone.
#[test]
fn the_client_is_that_of_the_connection() {
    let server = mirror();
    let proxy = Setup::over_with(&[server.addr()], FROM_CLIENT)
        .listener("proxy_protocol = \"accept\"\ntrusted_proxies = [\"127.0.0.1\"]")
        .start();
    let get = get("X-Forwarded-For: 127.0.0.42\r\n");
    for (header, expected) in [
        ("", "\r\n127.0.0.1"),
        ("PROXY TCP4 127.0.0.41 127.0.0.1 7 8\r\n", "\r\n127.0.0.41"),
        // No host has it, and to the kernel it would say that ours will do.
        ("PROXY TCP4 0.0.0.0 127.0.0.1 7 8\r\n", "overloaded"),
    ] {
        let page = said(1, proxy.web, &format!("{header}{get}"));
        assert!(page.contains(expected), "{header}: {page}");
    }
}

#[test]
fn a_client_of_the_other_family_is_not_held_against_the_endpoint() {
    let server = mirror();
    let keys = format!("{FROM_CLIENT}\noutlier = {{ consecutive_failures = 1 }}");
    let (setup, raw) = tcp_over(&[server.addr()], "", &keys);
    let six = format!("[::1]:{}", ports::free().port());
    let proxy = setup.replace(&raw.to_string(), &six).start();
    let stream = dial(six.parse().unwrap());
    assert!(is_reset(&stream));
    short_of(&proxy, "no_source");
}

#[test]
fn what_the_kernel_does_not_allow_is_known_before_the_first_connection() {
    let server = mirror();
    let (raw, endpoints) = (ports::free(), [server.addr()]);
    let over = |keys| Setup::over_with(&endpoints, keys).tail(&tcp_listener(raw, ""));
    let plain = over("");
    let run = |setup: &Setup| {
        let mut command = bare();
        command.args(["run", "-c"]).arg(setup.config_path());
        command
    };
    let proxy = Proxy::start_by(&plain, run(&plain));
    assert_eq!(proxy.reload(&over(FROM_CLIENT).at(&plain)), Reload::Refused);
    proxy.wait_output("cannot connect from clients' addresses (cluster `app`");
    assert_eq!(told(raw), "127.0.0.1", "the old one serves");
    let setup = over(FROM_CLIENT);
    setup.write();
    let output = run(&setup).output().unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("CAP_NET_ADMIN"), "{error}");
}
