//! Flows of udp listeners: where they go, how they end, what is said of them.

use crate::support::{DEADLINE, Proxy, Reload, Setup, eventually, ports};
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const TOTAL: &str = "tidegate_l4_sessions_total";
const ACTIVE: &str = "tidegate_l4_sessions_active";
const DROPPED: &str = "tidegate_l4_datagrams_dropped_total";
const LABELS: [(&str, &str); 2] = [("listener", "dns"), ("cluster", "app")];
const MAGLEV: &str = "balancer = { maglev = { key = \"client_ip\" } }";

/// Sends back what comes, behind its name.
pub(super) struct Echo {
    pub(super) addr: SocketAddr,
    stop: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Echo {
    pub(super) fn named(name: &'static str) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let addr = socket.local_addr().unwrap();
        let (stop, taken) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (end, count) = (Arc::clone(&stop), Arc::clone(&taken));
        let thread = std::thread::spawn(move || {
            let mut buf = [0; 2048];
            while !end.load(Ordering::SeqCst) {
                if let Ok((len, from)) = socket.recv_from(&mut buf) {
                    count.fetch_add(1, Ordering::SeqCst);
                    let answer = [name.as_bytes(), &buf[..len]].concat();
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self {
            addr,
            stop,
            taken,
            thread: Some(thread),
        }
    }
}

impl Echo {
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listener(addr: SocketAddr, keys: &str) -> String {
    format!(
        "[[listeners]]\nname = \"dns\"\nbind = [\"{addr}\"]\nprotocol = \"udp\"\ncluster = \"app\"\n{keys}\n"
    )
}

fn over(endpoints: &[SocketAddr], keys: &str, cluster: &str) -> (Setup, SocketAddr) {
    let addr = ports::free();
    let setup = Setup::over_with(endpoints, cluster).tail(&listener(addr, keys));
    (setup, addr)
}

pub(super) fn client(ip: [u8; 4], to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::from(ip), 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.connect(to).unwrap();
    socket
}

fn local(to: SocketAddr) -> UdpSocket {
    client([127, 0, 0, 1], to)
}

pub(super) fn asked(socket: &UdpSocket, what: &str) -> String {
    socket.send(what.as_bytes()).unwrap();
    let mut buf = [0; 2048];
    let len = socket.recv(&mut buf).expect("an answer");
    String::from_utf8(buf[..len].to_vec()).unwrap()
}

fn count(proxy: &Proxy, name: &str, wanted: f64) {
    proxy.wait_metric(name, &LABELS, |sum| sum == wanted);
}

#[test]
fn a_client_stays_with_its_endpoint_and_its_flow_is_written_down() {
    let servers = ["one ", "two ", "six "].map(Echo::named);
    let addrs = servers.each_ref().map(|it| it.addr);
    let (setup, addr) = over(&addrs, "udp = { idle_timeout = \"500ms\" }", MAGLEV);
    let proxy = setup.start();
    let (mut names, mut held) = (HashSet::new(), Vec::new());
    let mut ask = |ip| {
        let client = client(ip, addr);
        let name = asked(&client, "x");
        // Held, or another could have its port, and so its flow.
        held.push(client);
        name
    };
    for last in 1..=40 {
        let ip = [127, 0, 0, last];
        let name = ask(ip);
        assert_eq!(ask(ip), name, "another flow");
        names.insert(name);
    }
    assert_eq!(names.len(), 3, "all are used");
    // Silence ends them all.
    count(&proxy, ACTIVE, 0.0);
    count(&proxy, TOTAL, 80.0);
    let line = proxy.wait_log(80).remove(0);
    for (field, value) in [
        ("listener", "dns"),
        ("protocol", "udp"),
        ("cluster", "app"),
        ("reason", "completed"),
        ("phase", "last"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert_eq!(
        (&line["bytes_in"], &line["bytes_out"]),
        (&1.into(), &5.into())
    );
    for direction in ["in", "out"] {
        let labels = [LABELS[0], LABELS[1], ("direction", direction)];
        proxy.wait_metric("tidegate_l4_datagrams_total", &labels, |sum| sum == 80.0);
    }
}

#[test]
fn a_flow_without_an_answer_says_so() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent_at = silent.local_addr().unwrap();
    let (setup, addr) = over(&[silent_at], "udp = { idle_timeout = \"200ms\" }", "");
    let proxy = setup.start();
    local(addr).send(b"hello").unwrap();
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"upstream_idle".into(), &"idle".into())
    );
}

#[test]
fn a_flow_ends_with_the_last_answer_that_is_awaited() {
    let server = Echo::named("");
    let (setup, addr) = over(&[server.addr], "udp = { responses = 1 }", "");
    let proxy = setup.start();
    let socket = local(addr);
    for number in 0..5 {
        assert_eq!(asked(&socket, &number.to_string()), number.to_string());
        count(&proxy, TOTAL, f64::from(number) + 1.0);
    }
    let lines = proxy.wait_log(5);
    assert!(lines.iter().all(|line| line["reason"] == "completed"));
}

#[test]
fn the_flow_that_was_silent_longest_makes_room() {
    let server = Echo::named("");
    let (setup, addr) = over(&[server.addr], "udp = { max_flows = 2 }", "");
    let proxy = setup.workers(1).start();
    let sockets = [local(addr), local(addr), local(addr)];
    for socket in &sockets[..2] {
        asked(socket, "x");
        std::thread::sleep(Duration::from_millis(250));
    }
    asked(&sockets[0], "again");
    asked(&sockets[2], "third");
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"killed".into(), &"overload".into())
    );
    assert_eq!(line["bytes_in"], 1, "the second: {line}");
    count(&proxy, ACTIVE, 2.0);
    asked(&sockets[1], "is let in again");
    count(&proxy, ACTIVE, 2.0);
}

#[test]
fn a_port_that_nobody_listens_on_is_a_failure() {
    let dead = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dead_at = dead.local_addr().unwrap();
    drop(dead);
    let live = Echo::named("live ");
    let (setup, addr) = over(
        &[dead_at, live.addr],
        "",
        "balancer = \"round_robin\"\noutlier = { consecutive_failures = 1 }",
    );
    let proxy = setup.start();
    // The refused flow loses its datagram; the client sends another, as clients of datagrams do.
    for _ in 0..8 {
        let socket = local(addr);
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        eventually("an answer", || {
            socket.send(b"x").unwrap();
            let mut buf = [0; 16];
            let len = socket.recv(&mut buf).ok()?;
            (&buf[..len] == b"live x").then_some(())
        });
    }
    let labels = [("listener", "dns"), ("reason", "connect_refused")];
    proxy.wait_metric("tidegate_l4_terminations_total", &labels, |sum| sum >= 1.0);
}

#[test]
fn an_endpoint_that_is_disabled_or_gone_gives_its_flows_away() {
    let (one, two) = (Echo::named("one "), Echo::named("two "));
    let (first, addr) = over(&[one.addr], "", "");
    let proxy = first.start();
    let socket = local(addr);
    assert_eq!(asked(&socket, "x"), "one x");
    let in_state = |state: &str| {
        let endpoints = [
            format!("{{ address = \"{}\", state = \"{state}\" }}", one.addr),
            format!("{{ address = \"{}\", backup = true }}", two.addr),
        ];
        let setup = Setup::new().at(&first).cluster("app", &endpoints, "");
        setup.tail(&listener(addr, ""))
    };
    assert_eq!(proxy.reload(&in_state("drain")), Reload::Done);
    assert_eq!(asked(&socket, "x"), "one x", "it runs empty");
    assert_eq!(proxy.reload(&in_state("disabled")), Reload::Done);
    assert_eq!(asked(&socket, "x"), "two x");
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"killed".into(), &"endpoint_down".into())
    );
    let back = Setup::over(&[one.addr])
        .at(&first)
        .tail(&listener(addr, ""));
    assert_eq!(proxy.reload(&back), Reload::Done);
    assert_eq!(asked(&socket, "x"), "one x");
}

#[test]
fn without_an_endpoint_datagrams_are_dropped_and_counted() {
    let endpoints = ["{ address = \"127.0.0.1:9\", state = \"disabled\" }".to_owned()];
    let addr = ports::free();
    let setup = Setup::new().cluster("app", &endpoints, "");
    let proxy = setup.tail(&listener(addr, "")).start();
    local(addr).send(b"x").unwrap();
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(line["reason"], "no_endpoint", "{line}");
    let labels = [LABELS[0], LABELS[1], ("cause", "no_endpoint")];
    proxy.wait_metric(DROPPED, &labels, |sum| sum == 1.0);
}

/// Live flows neither move nor end with a reload, nor when their listener is removed; the drain waits for them.
#[test]
fn reload_and_drain_leave_flows_alone() {
    let (one, two) = (Echo::named("one "), Echo::named("two "));
    let idle = "udp = { idle_timeout = \"5s\" }";
    let (setup, addr) = over(&[one.addr], idle, "");
    let mut proxy = setup.start();
    let socket = local(addr);
    assert_eq!(asked(&socket, "x"), "one x");
    for round in 0..4 {
        let both = Setup::over_with(
            &[one.addr, two.addr],
            &format!("timeouts = {{ connect = \"{}s\" }}", round + 1),
        );
        let next = both.at(&setup).tail(&listener(addr, idle));
        assert_eq!(proxy.reload(&next), Reload::Done);
        for _ in 0..20 {
            assert_eq!(asked(&socket, "x"), "one x");
        }
    }
    let gone = Setup::over(&[one.addr, two.addr]).at(&setup);
    assert_eq!(proxy.reload(&gone), Reload::Done);
    assert_eq!(asked(&socket, "x"), "one x", "its flow goes on");
    let stranger = local(addr);
    stranger
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    // Where its worker has no flow left nobody listens, and the kernel says so.
    let _ = stranger.send(b"x");
    assert!(stranger.recv(&mut [0; 8]).is_err(), "nobody new is served");
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(line["reason"], "completed", "{line}");
    proxy.signal("TERM");
    proxy.ends_well();
}

/// Every answer comes to the client that asked, with what it asked.
#[test]
fn nothing_is_misdelivered() {
    const FLOWS: usize = 200;
    const EACH: usize = 50;
    let servers = ["a", "b", "c"].map(Echo::named);
    let addrs = servers.each_ref().map(|it| it.addr);
    let (setup, addr) = over(&addrs, "", "balancer = \"round_robin\"");
    let proxy = setup.start();
    let sockets: Vec<UdpSocket> = (0..FLOWS).map(|_| local(addr)).collect();
    let mut endpoints: HashMap<usize, u8> = HashMap::new();
    for sequence in 0..EACH {
        for (id, socket) in sockets.iter().enumerate() {
            socket.send(format!("{id} {sequence}").as_bytes()).unwrap();
        }
        for (id, socket) in sockets.iter().enumerate() {
            let mut buf = [0; 64];
            let len = socket.recv(&mut buf).expect("an answer");
            let (name, text) = buf[..len].split_first().unwrap();
            assert_eq!(text, format!("{id} {sequence}").as_bytes());
            assert_eq!(endpoints.entry(id).or_insert(*name), name, "it stays");
        }
    }
    let taken: usize = servers
        .iter()
        .map(|server| server.taken.load(Ordering::SeqCst))
        .sum();
    assert_eq!(taken, FLOWS * EACH);
    count(&proxy, ACTIVE, FLOWS as f64);
}

/// There is no way to a broadcast address: no datagram is needed to know it, and it counts against the endpoint all the same.
#[test]
fn an_endpoint_without_a_way_to_it_is_ejected() {
    let server = Echo::named("one ");
    let nowhere = SocketAddr::from(([255, 255, 255, 255], 9));
    let keys = "balancer = \"round_robin\"\noutlier = { ejection = \"1m\" }";
    let (setup, addr) = over(&[nowhere, server.addr], "", keys);
    let proxy = setup.start();
    let ejected = || {
        let labels = [("cluster", "app"), ("result", "enforced")];
        proxy.metric("tidegate_outlier_ejections_total", &labels)
    };
    eventually("an ejection", || {
        local(addr).send(b"x").unwrap();
        (ejected() == 1.0).then_some(())
    });
    for _ in 0..20 {
        assert_eq!(asked(&local(addr), "x"), "one x");
    }
}

/// A client that takes answers from nobody but whom it asked: the machine has many addresses, and one of them is the best for the
/// kernel.
#[test]
fn a_wildcard_answers_from_the_address_that_was_asked() {
    let server = Echo::named("one ");
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, ports::free().port()));
    let setup = Setup::over_with(&[server.addr], "").tail(&listener(any, ""));
    let proxy = setup.start();
    for last in [1, 7, 8] {
        let at = SocketAddr::from(([127, 0, 0, last], any.port()));
        let strict = local(at);
        for _ in 0..3 {
            assert_eq!(asked(&strict, "x"), "one x");
        }
    }
    // One socket, two addresses: two flows.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    for last in [7, 8, 7] {
        let at = SocketAddr::from(([127, 0, 0, last], any.port()));
        socket.send_to(b"x", at).unwrap();
        let (_, from) = socket.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(from, at);
    }
    count(&proxy, ACTIVE, 5.0);
}
