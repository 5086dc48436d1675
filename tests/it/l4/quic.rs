//! QUIC that is passed through: a client whose address changes comes to its endpoint again, by its connection id.

use super::udp::client;
use crate::support::tls::Authority;
use crate::support::{DEADLINE, Proxy, Reload, Setup, ports, python};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/l4/quic.py");
const LABELS: [(&str, &str); 2] = [("listener", "quic"), ("cluster", "app")];
const HELD: &str = "tidegate_l4_connection_ids";
const EVENTS: &str = "tidegate_l4_connection_id_events_total";
const BY_ID: &str = "flow_by = \"connection_id\"";
const LONG: u8 = 0x80;
const ID: usize = 8;
type Id = [u8; ID];

/// As much of a server as every version of QUIC shows: it chooses an id in long headers, and knows its ids again in short ones.
struct Endpoint {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

fn long(destination: &[u8], source: &[u8]) -> Vec<u8> {
    let length = |id: &[u8]| [u8::try_from(id.len()).unwrap()];
    let first = [0x40 | LONG, 0, 0, 0, 1];
    [
        &first,
        &length(destination)[..],
        destination,
        &length(source),
        source,
        &[0; 9],
    ]
    .concat()
}

fn source(packet: &[u8]) -> &[u8] {
    let behind = &packet[6 + usize::from(packet[5])..];
    &behind[1..=usize::from(behind[0])]
}

impl Endpoint {
    fn named(name: &'static str) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let short_wait = Some(Duration::from_millis(20));
        socket.set_read_timeout(short_wait).unwrap();
        let addr = socket.local_addr().unwrap();
        let stop = Arc::<AtomicBool>::default();
        let end = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut buf, mut known) = ([0; 2048], HashMap::<Id, SocketAddr>::new());
            while !end.load(Ordering::SeqCst) {
                let Ok((len, from)) = socket.recv_from(&mut buf) else {
                    continue;
                };
                let packet = &buf[..len];
                let answer = if packet[0] & LONG != 0 {
                    let id: Id = std::array::from_fn(|_| fastrand::u8(..));
                    known.insert(id, from);
                    long(source(packet), &id)
                } else {
                    let id: Id = packet[1..=ID].try_into().unwrap();
                    let said = if known.contains_key(&id) {
                        name
                    } else {
                        "who?"
                    };
                    [&[0x40; 9], said.as_bytes()].concat()
                };
                let _ = socket.send_to(&answer, from);
            }
        });
        Self {
            addr,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the endpoint wants the connection to be known by.
fn begin(socket: &UdpSocket) -> Id {
    socket.send(&long(&[7; 8], &[8; 8])).unwrap();
    let mut buf = [0; 2048];
    let len = socket.recv(&mut buf).expect("an answer");
    source(&buf[..len]).try_into().expect("an id")
}

fn asked(socket: &UdpSocket, id: Id) -> String {
    socket.send(&[&[0x40], &id[..], b"data"].concat()).unwrap();
    let mut buf = [0; 2048];
    let len = socket.recv(&mut buf).expect("an answer");
    String::from_utf8(buf[9..len].to_vec()).unwrap()
}

fn local(to: SocketAddr) -> UdpSocket {
    client([127, 0, 0, 1], to)
}

fn listener(addr: SocketAddr, keys: &str) -> String {
    format!(
        "[[listeners]]\nname = \"quic\"\nbind = [\"{addr}\"]\nprotocol = \"udp\"\ncluster = \"app\"\nudp = {{ {keys} }}\n"
    )
}

fn over(endpoints: &[SocketAddr], keys: &str, cluster: &str) -> (Setup, SocketAddr) {
    let addr = ports::free();
    let cluster = format!("balancer = \"round_robin\"\n{cluster}");
    let setup = Setup::over_with(endpoints, &cluster)
        .access(
            "fields",
            "[\"connection_id\", \"endpoint\", \"reason\", \"detail\"]",
        )
        .tail(&listener(addr, keys));
    (setup, addr)
}

fn event(proxy: &Proxy, event: &str) -> f64 {
    proxy.metric(EVENTS, &[LABELS[0], LABELS[1], ("event", event)])
}

#[test]
fn a_client_whose_port_changes_comes_to_its_endpoint_again() {
    const CLIENTS: usize = 20;
    let servers = ["one", "two", "six"].map(Endpoint::named);
    let addrs = servers.each_ref().map(|it| it.addr);
    let (setup, addr) = over(&addrs, &format!("idle_timeout = \"1s\", {BY_ID}"), "");
    // By kernel steering the new port may be another worker's.
    let proxy = setup.workers(4).start();
    let mut held = Vec::new();
    for _ in 0..CLIENTS {
        let first = local(addr);
        let id = begin(&first);
        let home = asked(&first, id);
        for _ in 0..4 {
            let moved = local(addr);
            assert_eq!(asked(&moved, id), home);
            held.push(moved);
        }
        // Nothing was taken from the address that it had.
        assert_eq!(asked(&first, id), home);
        held.push(first);
    }
    assert_eq!(event(&proxy, "learned"), CLIENTS as f64);
    assert_eq!(event(&proxy, "found"), 4.0 * CLIENTS as f64);
    // An id is forgotten with its last flow; the log says which flows belong together.
    proxy.wait_metric(HELD, &LABELS, |sum| sum == 0.0);
    let mut endpoints = HashMap::<String, Vec<String>>::new();
    for line in proxy.wait_log(5 * CLIENTS) {
        let of = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(of("connection_id").len(), 2 * ID, "{line}");
        endpoints
            .entry(of("connection_id"))
            .or_default()
            .push(of("endpoint"));
    }
    assert_eq!(endpoints.len(), CLIENTS);
    for mut flows in endpoints.into_values() {
        assert_eq!(flows.len(), 5);
        flows.dedup();
        assert_eq!(flows.len(), 1);
    }
}

/// Answers go to whom the endpoint sends them: whoever saw an id begins a flow of his own, and turns no other.
#[test]
fn who_shows_a_seen_id_gets_nothing_of_anothers_answers() {
    let server = Endpoint::named("one");
    let (setup, addr) = over(&[server.addr], BY_ID, "");
    let proxy = setup.start();
    let (owner, thief) = (local(addr), client([127, 0, 0, 2], addr));
    let id = begin(&owner);
    for _ in 0..20 {
        thief.send(&[&[0x40], &id[..], b"forged"].concat()).unwrap();
        assert_eq!(asked(&owner, id), "one");
    }
    // This endpoint proves nobody and answers all; what it said to the forger is all that the forger gets.
    let mut buf = [0; 64];
    for _ in 0..20 {
        assert!(thief.recv(&mut buf).is_ok());
    }
    thief
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    assert!(thief.recv(&mut buf).is_err());
    assert_eq!(event(&proxy, "found"), 1.0);
}

#[test]
fn without_the_key_or_with_an_unknown_id_a_flow_is_an_ordinary_one() {
    let servers = ["one", "two"].map(Endpoint::named);
    let addrs = servers.each_ref().map(|it| it.addr);
    for (keys, id_is_known) in [("", true), (BY_ID, false)] {
        let (setup, addr) = over(&addrs, keys, "");
        let proxy = setup.workers(1).start();
        let first = local(addr);
        let id = begin(&first);
        let shown = if id_is_known { id } else { [1; ID] };
        let moved = [local(addr), local(addr)];
        let said = moved.each_ref().map(|socket| asked(socket, shown));
        assert!(
            said.contains(&"who?".to_owned()),
            "the next in turn: {said:?}"
        );
        assert_eq!(event(&proxy, "found"), 0.0);
    }
}

#[test]
fn a_moved_flow_goes_to_its_endpoint_or_where_that_serves_no_more_to_another() {
    let servers = ["one", "two"].map(Endpoint::named);
    let addrs = servers.each_ref().map(|it| it.addr);
    let (first, addr) = over(
        &addrs[..1],
        BY_ID,
        "bulkhead = { connections_per_endpoint = 3 }",
    );
    let proxy = first.start();
    let home = local(addr);
    let id = begin(&home);
    let in_state = |state: &str| {
        let endpoints = [
            format!("{{ address = \"{}\", state = \"{state}\" }}", addrs[0]),
            format!("\"{}\"", addrs[1]),
        ];
        let keys = "bulkhead = { connections_per_endpoint = 3 }";
        let setup = Setup::new().at(&first).cluster("app", &endpoints, keys);
        setup.tail(&listener(addr, BY_ID))
    };
    // One that runs empty keeps its connections, wherever they come from.
    assert_eq!(proxy.reload(&in_state("drain")), Reload::Done);
    let moved = [local(addr), local(addr)];
    for socket in &moved {
        assert_eq!(asked(socket, id), "one");
    }
    // It is full, and no other could do anything with it.
    local(addr).send(&[&[0x40], &id[..]].concat()).unwrap();
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"queue_full".into(), &"endpoint".into()),
        "{line}"
    );
    assert_eq!(proxy.reload(&in_state("disabled")), Reload::Done);
    assert_eq!(asked(&local(addr), id), "who?");
}

struct Server(Child, SocketAddr);

impl Server {
    fn start(name: &str, files: &Path) -> Self {
        let mut child = Command::new(python())
            .args([PROGRAM, "serve", name])
            .args([files.with_extension("pem"), files.with_extension("key")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port: u16 = line.trim().parse().expect("a port: is aioquic installed?");
        Self(child, (Ipv4Addr::LOCALHOST, port).into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The connection of a client that is not ours lives through six changes of its port.
#[test]
fn a_connection_of_aioquic_outlives_its_port() {
    let ca = Authority::new("quic");
    let (setup, addr) = over(&[], BY_ID, "");
    let files = setup.dir.file("quic");
    ca.issue(&["localhost"]).write_at(&files);
    let trusted = setup.dir.file("ca.pem");
    std::fs::write(&trusted, ca.pem()).unwrap();
    let servers = ["one ", "two "].map(|name| Server::start(name, &files));
    let endpoints = servers.each_ref().map(|it| format!("\"{}\"", it.1));
    let keys = "balancer = \"round_robin\"";
    let setup = Setup::new().at(&setup).cluster("app", &endpoints, keys);
    let proxy = setup.tail(&listener(addr, BY_ID)).start();
    for _ in 0..3 {
        let (ip, port) = (addr.ip().to_string(), addr.port().to_string());
        let output = Command::new("timeout")
            .arg((2 * DEADLINE).as_secs().to_string())
            .arg(python())
            .args([PROGRAM, "move", &ip, &port])
            .arg(&trusted)
            .arg("6")
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        let text = String::from_utf8(output.stdout).unwrap();
        let home = &text[..4];
        let expected: Vec<String> = (0..=6).map(|time| format!("{home}{time}")).collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }
    assert!(event(&proxy, "found") >= 18.0);
}
