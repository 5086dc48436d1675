//! What the kernel is asked for: where connections come from, and how they notice that the other side is gone.

use super::tcp_listener;
use super::udp::{Echo, asked, client};
use crate::support::bytes::{ByteServer, dial, echoes, is_reset};
use crate::support::strace::Strace;
use crate::support::{Proxy, Setup, eventually, ports};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

/// One failure speaks against an endpoint.
const STRICT: &str = "outlier = { consecutive_failures = 1 }";

/// A server that says who has connected, and an answer of HTTP around it.
pub(super) fn mirror() -> ByteServer {
    ByteServer::running(|mut stream: TcpStream| {
        let mut head = [0; 4096];
        let read = stream.read(&mut head).unwrap();
        let peer = stream.peer_addr().unwrap().ip().to_string();
        let text = if head.starts_with(b"GET") {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{peer}",
                peer.len()
            )
        } else {
            peer
        };
        if read > 0 {
            stream.write_all(text.as_bytes()).unwrap();
        }
    })
}

pub(super) fn told(raw: SocketAddr) -> String {
    let mut stream = dial(raw);
    stream.write_all(b"who?").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn connections_and_flows_come_from_where_the_configuration_says() {
    let server = mirror();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let flows = datagrams.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buf = [0; 64];
        while let Ok((_, peer)) = datagrams.recv_from(&mut buf) {
            let _ = datagrams.send_to(peer.ip().to_string().as_bytes(), peer);
        }
    });
    let (raw, udp) = (ports::free(), ports::free());
    let source =
        "socket = { source = [\"127.0.0.77\", \"::1\", \"127.0.0.78\"], interface = \"lo\" }";
    let setup = Setup::over_with(&[server.addr()], source)
        .workers(1)
        .cluster("flows", &[format!("\"{flows}\"")], "socket = { source = \"127.0.0.79\" }")
        .tail(&tcp_listener(raw, ""))
        .tail(&format!(
            "[[listeners]]\nname = \"udp\"\nbind = [\"{udp}\"]\nprotocol = \"udp\"\ncluster = \"flows\"\n"
        ));
    let proxy = setup.start();
    let mut seen: Vec<_> = (0..4).map(|_| told(raw)).collect();
    seen.sort();
    let expected = ["127.0.0.77", "127.0.0.77", "127.0.0.78", "127.0.0.78"];
    assert_eq!(seen, expected, "in turn, of its family");
    let answer = String::from_utf8(proxy.get("/").body).unwrap();
    assert!(answer.starts_with("127.0.0.7"), "{answer}");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(udp).unwrap();
    assert_eq!(asked(&client, "who?"), "127.0.0.79");
}

/// The first that the log has is that we were short of something, and nothing speaks against the endpoint.
pub(super) fn short_of(proxy: &Proxy, detail: &str) {
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["detail"], &line["side"]),
        (&"overloaded".into(), &detail.into(), &"local".into())
    );
    let labels = [("cluster", "app")];
    assert_eq!(
        proxy.metric("tidegate_outlier_ejections_total", &labels),
        0.0
    );
}

#[test]
fn a_source_that_is_not_ours_is_told_as_such() {
    let server = ByteServer::echo();
    let keys = format!("socket = {{ source = \"192.0.2.1\" }}\n{STRICT}");
    let (setup, raw) = super::tcp_over(&[server.addr()], "", &keys);
    let proxy = setup.start();
    assert!(is_reset(&dial(raw)));
    short_of(&proxy, "no_source");
}

/// Of a connection the kernel says so with EADDRNOTAVAIL, of datagrams with EAGAIN.
#[test]
fn a_flow_for_which_no_port_is_left_is_told_as_such() {
    let server = Echo::named("");
    let udp = ports::free();
    let setup = Setup::over_with(&[server.addr], STRICT).tail(&format!(
        "[[listeners]]\nname = \"udp\"\nbind = [\"{udp}\"]\nprotocol = \"udp\"\ncluster = \"app\"\n"
    ));
    let proxy = setup.start();
    let socket = client([127, 0, 0, 1], udp);
    let none_left = Strace::failing(proxy.pid(), "connect", "EAGAIN", "1+");
    socket.send(b"lost").unwrap();
    short_of(&proxy, "no_ports");
    drop(none_left);
    assert_eq!(asked(&socket, "again"), "again");
}

/// What the kernel says of a connection: its timers.
fn timers(port: u16, from: &str) -> String {
    let filter = format!("( {from} = :{port} )");
    let output = std::process::Command::new("ss")
        .args(["-tnoH", "state", "established", &filter])
        .output()
        .expect("ss, of iproute2");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn silent_connections_are_asked_after_as_long_as_the_configuration_says() {
    let server = ByteServer::echo();
    for (listener, cluster, expected) in [
        ("", "", [true, true]),
        (
            "socket = { keepalive = \"500s\" }",
            "socket = { keepalive = \"500s\" }",
            [true, true],
        ),
        ("socket = { keepalive = \"0s\" }", "", [false, true]),
        ("", "socket = { keepalive = \"0s\" }", [true, false]),
    ] {
        let (setup, raw) = super::tcp_over(&[server.addr()], listener, cluster);
        let _proxy = setup.start();
        let stream = dial(raw);
        echoes(&stream, "then silence");
        // The proxy's own ends: towards the client its port is the source, towards the server the destination.
        let ends = [("sport", raw.port()), ("dport", server.addr().port())];
        for ((from, port), on) in ends.into_iter().zip(expected) {
            let longer = cluster.contains("500s");
            eventually("the timer", || {
                let told = timers(port, from);
                let probed = told.contains("timer:(keepalive");
                let is = probed == on && (!on || told.contains("min") == longer);
                is.then_some(())
            });
        }
    }
}
