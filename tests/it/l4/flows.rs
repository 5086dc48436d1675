//! Many flows at once: nothing is misdelivered, what is lost is counted, and a flow stays where it is.

use super::udp::{Echo, asked, client};
use crate::support::process::signal;
use crate::support::strace::Strace;
use crate::support::{Proxy, Reload, Setup, eventually, ports, scale};
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const SESSIONS: &str = "tidegate_l4_sessions_total";
const FLOWS: [(&str, &str); 2] = [("listener", "many"), ("cluster", "app")];

fn listener(addr: SocketAddr, keys: &str) -> String {
    format!(
        "[[listeners]]\nname = \"many\"\nbind = [\"{addr}\"]\nprotocol = \"udp\"\ncluster = \"app\"\n{keys}\n"
    )
}

/// Datagrams that came to the proxy, and those of them that it had no room for.
fn came(proxy: &Proxy) -> (f64, f64) {
    let received = [FLOWS[0], FLOWS[1], ("direction", "in")];
    let overflow = [FLOWS[0], FLOWS[1], ("cause", "overflow")];
    (
        proxy.metric("tidegate_l4_datagrams_total", &received),
        proxy.metric("tidegate_l4_datagrams_dropped_total", &overflow),
    )
}

/// Every answer comes to the client that asked; whoever gets none is one that the proxy has counted.
#[test]
fn every_datagram_is_answered_or_counted() {
    const WINDOW: usize = 128;
    let (datagrams, flows) = (scale(40_000, 1_000_000), scale(400, 9_900));
    let servers = ["a", "b", "c"].map(Echo::named);
    let addrs = servers.each_ref().map(|it| it.addr);
    let addr = ports::free();
    let keys =
        format!("balancer = \"round_robin\"\nbulkhead = {{ connections_per_endpoint = {flows} }}");
    let setup = Setup::over_with(&addrs, &keys)
        .workers(4)
        .tail(&listener(addr, "udp = { idle_timeout = \"10m\" }"));
    let proxy = setup.start();
    let sockets: Vec<UdpSocket> = (0..flows).map(|_| client([127, 0, 0, 1], addr)).collect();
    let mut homes: HashMap<usize, u8> = HashMap::new();
    let (mut sent, mut answered) = (0, 0);
    let mut missing = Vec::new();
    let clients: Vec<usize> = (0..flows).collect();
    while sent < datagrams {
        for group in clients.chunks(WINDOW) {
            for id in group {
                sockets[*id]
                    .send(format!("{id} {sent}").as_bytes())
                    .unwrap();
            }
            for id in group {
                let mut buf = [0; 64];
                sockets[*id]
                    .set_read_timeout(Some(Duration::from_secs(5)))
                    .unwrap();
                let Ok(len) = sockets[*id].recv(&mut buf) else {
                    missing.push(*id);
                    continue;
                };
                let (name, text) = buf[..len].split_first().unwrap();
                assert_eq!(text, format!("{id} {sent}").as_bytes());
                assert_eq!(homes.entry(*id).or_insert(*name), name, "it stays");
                answered += 1;
            }
            sent += group.len();
        }
    }
    let taken: usize = servers.iter().map(Echo::taken).sum();
    assert_eq!(
        taken, answered,
        "nothing is made up, and nothing lost behind the proxy"
    );
    eventually("the counts agree", || {
        let (received, overflow) = came(&proxy);
        (received + overflow == sent as f64 && overflow == missing.len() as f64).then_some(())
    });
    assert_eq!(proxy.metric(SESSIONS, &FLOWS), 0.0, "they live");
    proxy.wait_metric("tidegate_l4_sessions_active", &FLOWS, |active| {
        active == flows as f64
    });
    println!(
        "{sent} datagrams over {flows} flows: {answered} answered, {} dropped",
        missing.len()
    );
}

/// What comes while the proxy stands still is more than its sockets have room for: the sum is right all the same.
#[test]
fn what_there_is_no_room_for_is_counted_exactly() {
    let server = Echo::named("");
    let addr = ports::free();
    let setup = Setup::over(&[server.addr]).tail(&listener(addr, ""));
    let proxy = setup.start();
    let sockets: Vec<UdpSocket> = (0..8).map(|_| client([127, 0, 0, 1], addr)).collect();
    for socket in &sockets {
        assert_eq!(asked(socket, "x"), "x");
    }
    signal(proxy.pid(), "STOP");
    let mut sent = sockets.len();
    for _ in 0..2_000 {
        for socket in &sockets {
            socket.send(&[7; 700]).unwrap();
            sent += 1;
        }
    }
    signal(proxy.pid(), "CONT");
    // Only with one that it has room for the kernel tells how many there were before.
    eventually("all are accounted for", || {
        for socket in &sockets {
            socket.send(b"more").unwrap();
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(20));
        let (received, overflow) = came(&proxy);
        (overflow > 0.0 && received + overflow == sent as f64).then_some(())
    });
}

/// The kernel steers a flow to one of many workers by its addresses and ports: it stays there, and at its endpoint, whatever is
/// configured meanwhile.
#[test]
fn flows_stay_with_worker_and_endpoint_over_reloads() {
    const COUNT: usize = 200;
    let servers = ["a", "b", "c", "d"].map(Echo::named);
    let addrs = servers.each_ref().map(|it| it.addr);
    let addr = ports::free();
    let keys = "udp = { idle_timeout = \"10m\" }";
    let setup = Setup::over_with(&addrs[..2], "balancer = \"round_robin\"")
        .workers(4)
        .tail(&listener(addr, keys));
    let proxy = setup.start();
    let sockets: Vec<UdpSocket> = (0..COUNT).map(|_| client([127, 0, 0, 1], addr)).collect();
    let homes: Vec<String> = sockets.iter().map(|socket| asked(socket, "")).collect();
    let other = ports::free();
    for (endpoints, beside) in [
        (&addrs[..], ""),
        (&addrs[..2], "more"),
        (&addrs[..3], "more"),
        (&addrs[..], ""),
    ] {
        let mut tail = listener(addr, keys);
        if !beside.is_empty() {
            tail += &listener(other, "").replace("many", beside);
        }
        let next = Setup::over_with(endpoints, "balancer = { maglev = { key = \"client_ip\" } }")
            .workers(4)
            .at(&setup)
            .tail(&tail);
        assert_eq!(proxy.reload(&next), Reload::Done);
        for (socket, home) in sockets.iter().zip(&homes) {
            assert_eq!(asked(socket, ""), *home);
        }
    }
    proxy.wait_metric("tidegate_l4_sessions_active", &FLOWS, |active| {
        active == COUNT as f64
    });
    assert_eq!(
        proxy.metric(SESSIONS, &FLOWS),
        0.0,
        "none ended, none began anew"
    );
}

/// One datagram may be answered by many: all of them come, in their order, also when they were sent by one call.
#[test]
fn a_burst_of_answers_comes_whole_and_in_order() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = server.local_addr().unwrap();
    // The kernel cuts what is longer.
    setsockopt(&server, sockopt::UdpGsoSegment, &40).unwrap();
    std::thread::spawn(move || {
        let mut buf = [0; 64];
        while let Ok((length, peer)) = server.recv_from(&mut buf) {
            let answers: Vec<[u8; 40]> = (0..100).map(|number| [number; 40]).collect();
            let at_once = if &buf[..length] == b"all at once" {
                50
            } else {
                1
            };
            for some in answers.chunks(at_once) {
                server.send_to(some.as_flattened(), peer).unwrap();
            }
        }
    });
    let addr = ports::free();
    let setup = Setup::over(&[endpoint]).tail(&listener(addr, "udp = { responses = 100 }"));
    let proxy = setup.start();
    let socket = client([127, 0, 0, 1], addr);
    for turn in 0..6 {
        let how: &[u8] = if turn < 3 { b"go" } else { b"all at once" };
        socket.send(how).unwrap();
        for number in 0..100 {
            let mut buf = [0; 64];
            let len = socket.recv(&mut buf).unwrap();
            assert_eq!(buf[..len], [number; 40]);
        }
    }
    let lines = proxy.wait_log(6);
    assert!(
        lines.iter().all(|line| line["bytes_out"] == 4_000),
        "{lines:?}"
    );
}

/// Many datagrams of one client that came together leave together, to the endpoint and back, and every one is what it was: of its
/// length, in its place.
#[test]
fn a_burst_of_one_client_takes_few_calls_and_keeps_its_bounds() {
    // So many as the socket of a test has room for.
    const COUNT: usize = 160;
    let server = Echo::named("");
    let addr = ports::free();
    let setup = Setup::over(&[server.addr])
        .workers(1)
        .tail(&listener(addr, ""));
    let proxy = setup.start();
    let socket = client([127, 0, 0, 1], addr);
    assert_eq!(asked(&socket, "x"), "x");
    let burst = |lengths: &[usize]| {
        // All of them wait when it goes on.
        signal(proxy.pid(), "STOP");
        let of =
            |(number, length): (usize, &usize)| vec![u8::try_from(number % 256).unwrap(); *length];
        let sent: Vec<Vec<u8>> = lengths.iter().enumerate().map(of).collect();
        for datagram in &sent {
            socket.send(datagram).unwrap();
        }
        signal(proxy.pid(), "CONT");
        for (number, datagram) in sent.iter().enumerate() {
            let mut buf = [0; 2048];
            let length = socket.recv(&mut buf).expect("an answer");
            assert!(buf[..length] == datagram[..], "{number}: {length}");
        }
    };
    // Lengths as they may come: equal, shorter, longer, empty.
    let odd = [
        200, 200, 200, 70, 200, 200, 300, 300, 0, 0, 5, 5, 4, 4, 1, 2, 3,
    ];
    let mixed: Vec<usize> = odd.iter().copied().cycle().take(COUNT).collect();
    burst(&mixed);
    let calls = setup.dir.file("calls");
    let options = ["-e", "trace=sendto,sendmsg,sendmmsg", "-o"];
    let strace = Strace::attach(
        proxy.pid(),
        options.iter().copied().chain([calls.to_str().unwrap()]),
    );
    burst(&[200; COUNT]);
    drop(strace);
    let text = std::fs::read_to_string(&calls).unwrap();
    let count = |call: &str| text.lines().filter(|line| line.contains(call)).count();
    // 32 are read by one call. Each flow's task has its answers as they come.
    assert!(
        (5..=20).contains(&count("sendmsg(")),
        "to the endpoint: {text}"
    );
    assert_eq!(count("sendto("), 0, "one by one: {text}");
    assert!(count("sendmmsg(") <= COUNT / 2, "to the client: {text}");
    let [received, sent] = ["in", "out"].map(|direction| {
        let labels = [FLOWS[0], FLOWS[1], ("direction", direction)];
        proxy.metric("tidegate_l4_datagrams_total", &labels)
    });
    let all = (1 + 2 * COUNT) as f64;
    assert_eq!((received, sent), (all, all));
}
