//! The PROXY protocol, in and out.

use super::tcp_over;
use super::udp::{Echo, asked, client};
use crate::support::bytes::{ByteServer, dial, echoes, ended, exactly};
use crate::support::{Client, Origin, Reload, Setup, eventually, ports};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

const TRUST: &str = "trusted_proxies = [\"127.0.0.1/32\"]";
const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.9 4711 443\r\n";
const CLOSED: &str = "tidegate_connections_rejected_total";

/// Version 2 with these addresses of IPv4 and something behind them.
fn binary(command: u8, values: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, 0x11]);
    bytes.extend(u16::try_from(12 + values.len()).unwrap().to_be_bytes());
    bytes.extend([192, 0, 2, 7, 198, 51, 100, 9, 0x12, 0x67, 0x01, 0xBB]);
    bytes.extend(values);
    bytes
}

fn keys(word: &str) -> String {
    format!("proxy_protocol = \"{word}\"\n{TRUST}")
}

/// F-40: at every split point, for both versions, no byte is lost and none is taken for another.
#[test]
fn a_header_may_come_in_any_pieces() {
    let server = ByteServer::echo();
    let (setup, raw) = tcp_over(&[server.addr()], &keys("require"), "");
    let proxy = setup.start();
    let headers = [LINE.to_vec(), binary(0x21, b"\x05\0\x02id\xea\0\x01x")];
    let mut count = 0;
    for header in headers {
        let whole = [&header[..], b"payload"].concat();
        for split in 1..whole.len() {
            let stream = dial(raw);
            (&stream).write_all(&whole[..split]).unwrap();
            std::thread::yield_now();
            (&stream).write_all(&whole[split..]).unwrap();
            assert_eq!(exactly(&stream, 7), b"payload", "split at {split}");
            count += 1;
        }
        let stream = dial(raw);
        for byte in &whole {
            (&stream).write_all(&[*byte]).unwrap();
        }
        assert_eq!(exactly(&stream, 7), b"payload");
        count += 1;
    }
    for line in proxy.wait_log(count) {
        assert_eq!(
            (&line["client"], &line["peer"]),
            (&"192.0.2.7".into(), &"127.0.0.1".into())
        );
        assert_eq!(line["bytes_in"], 7, "{line}");
    }
}

#[test]
fn http_knows_the_client_by_it() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .listener(&keys("accept"))
        .start();
    let request = "GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n";
    for header in [LINE.to_vec(), binary(0x21, b"")] {
        let mut client = proxy.client();
        client.send([&header[..], request.as_bytes()].concat());
        client.response().is(200);
        // Once for the connection: what follows is a request like any other.
        client.send(request);
        client.response().is(200);
        client.send(LINE);
        client.response().is(505);
    }
    // Its own connection: a health check of the proxy in front.
    let mut client = proxy.client();
    client.send([&binary(0x20, b"junk")[..], request.as_bytes()].concat());
    client.response().is(200);
    // And without any.
    let mut client = proxy.client();
    client.send("P");
    client.send("OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    client.response().is(200);
    let seen: Vec<_> = origin
        .requests()
        .iter()
        .map(|r| r.one("x-forwarded-for").unwrap().to_owned())
        .collect();
    // Whom the header names is a stranger, and what strangers say is dropped; the peer itself is trusted.
    let local = "203.0.113.1, 127.0.0.1";
    let told = "192.0.2.7";
    assert_eq!(seen, [told, told, told, told, local, "127.0.0.1"]);
    let clients: Vec<_> = proxy
        .wait_log(8)
        .iter()
        .map(|line| line["client"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(clients.iter().filter(|it| *it == told).count(), 6);
}

#[test]
fn only_trusted_peers_speak_for_others() {
    let origin = Origin::start();
    let stranger = |word: &str| {
        Setup::over(&[origin.addr()]).listener(&format!(
            "proxy_protocol = \"{word}\"\ntrusted_proxies = [\"10.0.0.0/8\"]"
        ))
    };
    let proxy = stranger("accept").start();
    let mut client = proxy.client();
    client.send([LINE, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    client.response().is(505);
    proxy.get("/").is(200);
    let proxy = stranger("require").start();
    let stream = dial(proxy.web);
    assert!(ended(&stream));
    let labels = [("reason", "preface_invalid"), ("detail", "untrusted")];
    proxy.wait_metric(CLOSED, &labels, |sum| sum == 1.0);
    assert_eq!(origin.count(), 1);
}

#[test]
fn what_is_no_header_is_closed_and_so_is_silence() {
    let server = ByteServer::echo();
    let listener = format!("{}\ntimeouts = {{ preface = \"300ms\" }}", keys("require"));
    let (setup, raw) = tcp_over(&[server.addr()], &listener, "");
    let proxy = setup.start();
    for wrong in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"PROXY TCP4 192.0.2.7 198.51.100.9 4711 443 x\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        &binary(0x21, b"\x05\0\x09short"),
    ] {
        let stream = dial(raw);
        (&stream).write_all(wrong).unwrap();
        assert!(ended(&stream), "{}", wrong.escape_ascii());
    }
    let labels = [("listener", "raw"), ("reason", "preface_invalid")];
    proxy.wait_metric(CLOSED, &labels, |sum| sum == 4.0);
    for started in [&b""[..], b"PROXY TCP4", b"\r\n\r\n"] {
        let stream = dial(raw);
        (&stream).write_all(started).unwrap();
        assert!(ended(&stream));
    }
    let labels = [("listener", "raw"), ("reason", "preface_timeout")];
    proxy.wait_metric(CLOSED, &labels, |sum| sum == 3.0);
    assert_eq!(server.accepted(), 0);
}

/// The cap of a client holds for whom a proxy speaks for.
#[test]
fn caps_are_about_the_client_behind_the_proxy() {
    let server = ByteServer::echo();
    let listener = format!(
        "{}\nlimits = {{ connections_per_client = 2 }}",
        keys("require")
    );
    let (setup, raw) = tcp_over(&[server.addr()], &listener, "");
    let proxy = setup.start();
    let connect = |client: u8| {
        let stream = dial(raw);
        let line = format!("PROXY TCP4 192.0.2.{client} 198.51.100.9 1 2\r\n");
        (&stream).write_all(line.as_bytes()).unwrap();
        stream
    };
    let many: Vec<_> = (1..=3)
        .flat_map(|client| [connect(client), connect(client)])
        .collect();
    for stream in &many {
        echoes(stream, "x");
    }
    assert!(ended(&connect(2)));
    let labels = [("reason", "conn_limit"), ("detail", "client")];
    proxy.wait_metric(CLOSED, &labels, |sum| sum == 1.0);
    drop(many);
    proxy.wait_metric(
        "tidegate_connections_active",
        &[("listener", "raw")],
        |sum| sum == 0.0,
    );
    echoes(&connect(2), "again");
}

/// The first bytes of every connection that a server gets, and then an echo.
fn recorder(length: usize) -> (ByteServer, Arc<Mutex<Vec<Vec<u8>>>>) {
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let into = Arc::clone(&seen);
    let server = ByteServer::running(move |stream| {
        let mut header = vec![0; length];
        let Ok(()) = (&stream).read_exact(&mut header) else {
            return;
        };
        into.lock().unwrap().push(header);
        let mut rest = [0; 1024];
        while let Ok(n @ 1..) = (&stream).read(&mut rest) {
            (&stream).write_all(&rest[..n]).unwrap();
        }
    });
    (server, seen)
}

#[test]
fn endpoints_are_told_in_text_and_in_binary() {
    // As long as the line and its addresses: two ports of five digits.
    let sample = "PROXY TCP4 127.0.0.1 127.0.0.1 12345 12345\r\n";
    let (server, seen) = recorder(sample.len());
    let (setup, raw) = tcp_over(&[server.addr()], "", "send_proxy_protocol = \"v1\"");
    let proxy = setup.start();
    let stream = loop {
        let stream = dial(raw);
        if stream.local_addr().unwrap().port() > 9999 {
            break stream;
        }
    };
    let own = stream.local_addr().unwrap();
    echoes(&stream, "x");
    let line = format!(
        "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n",
        own.port(),
        raw.port()
    );
    assert!(seen.lock().unwrap().contains(&line.into_bytes()));

    let (server, seen) = recorder(16 + 12 + 3 + 36);
    let next = Setup::over_with(&[server.addr()], "send_proxy_protocol = \"v2\"")
        .at(&setup)
        .tail(&super::tcp_listener(raw, ""));
    assert_eq!(proxy.reload(&next), Reload::Done);
    let before = proxy.log().len();
    let stream = dial(raw);
    let own = stream.local_addr().unwrap();
    echoes(&stream, "x");
    drop(stream);
    let header = seen.lock().unwrap().remove(0);
    assert_eq!(
        header[..16],
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..], &[0, 51]].concat()
    );
    assert_eq!(header[16..24], [127, 0, 0, 1, 127, 0, 0, 1]);
    assert_eq!(header[24..26], own.port().to_be_bytes());
    assert_eq!(header[26..28], raw.port().to_be_bytes());
    assert_eq!(header[28..31], [5, 0, 36]);
    // The name of the connection in the log.
    let id = String::from_utf8(header[31..].to_vec()).unwrap();
    proxy.wait_line("its line", |line| line["request_id"] == id.as_str());
    assert!(before < proxy.log().len());
}

/// What was told to us is told on: two of us in a row.
#[test]
fn a_client_is_known_behind_two_proxies() {
    let origin = Origin::start();
    let inner = Setup::over(&[origin.addr()])
        .listener(&keys("require"))
        .start();
    let outer = Setup::over_with(&[inner.web], "send_proxy_protocol = \"v2\"")
        .listener(&keys("accept"))
        .start();
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut told = outer.client();
    told.send([LINE, get.as_bytes()].concat());
    told.response().is(200);
    told.send(get);
    told.response().is(200);
    let mut other = outer.client();
    other.send(get);
    other.response().is(200);
    told.send(get);
    told.response().is(200);
    let lines = inner.wait_log(4);
    let of = |client: &str| lines.iter().filter(|line| line["client"] == client).count();
    assert_eq!((of("192.0.2.7"), of("127.0.0.1")), (3, 1));
    // A connection speaks for one client and serves no other; but it serves that one again.
    let labels = [("listener", "web")];
    inner.wait_metric("tidegate_connections_total", &labels, |sum| sum == 2.0);
}

/// Probes say that they are our own, so that an endpoint which requires a header does not refuse them.
#[test]
fn probes_have_a_header_of_their_own() {
    for version in ["v1", "v2"] {
        let origin = Origin::start();
        let inner = Setup::over(&[origin.addr()])
            .listener(&keys("require"))
            .start();
        let cluster = format!(
            "send_proxy_protocol = \"{version}\"\nhealth = {{ check = {{ http = {{}} }}, interval = \"100ms\", initial = \"unhealthy\", rise = 1 }}"
        );
        let outer = Setup::over_with(&[inner.web], &cluster).start();
        let labels = [("cluster", "app"), ("state", "healthy")];
        outer.wait_metric("tidegate_upstream_endpoints", &labels, |sum| sum == 1.0);
        outer.get("/").is(200);
    }
}

/// Another proxy, from Debian, with this configuration.
struct HaProxy(Child);

impl HaProxy {
    fn start(listens: SocketAddr, text: &str) -> Self {
        let place = Setup::new();
        let path = place.dir.file("haproxy.cfg");
        let head = "defaults\n  mode http\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n";
        std::fs::write(&path, format!("{head}{text}\n")).unwrap();
        let child = Command::new("haproxy")
            .args(["-db", "-q", "-f"])
            .arg(&path)
            .spawn()
            .expect("haproxy (scripts/tools.sh installs it)");
        eventually("haproxy listens", || {
            std::net::TcpStream::connect(listens).ok()
        });
        Self(child)
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// F-40: another implementation understands what we say, and we what it says.
#[test]
fn haproxy_is_a_receiver_and_a_sender() {
    let there = ports::free();
    let answer = "http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port] %[dst_port] %[fc_pp_authority]\"";
    let _receiver = HaProxy::start(
        there,
        &format!("frontend f\n  bind {there} accept-proxy\n  {answer}"),
    );
    for version in ["v1", "v2"] {
        let keys = format!("send_proxy_protocol = \"{version}\"");
        let (setup, raw) = tcp_over(&[there], "", &keys);
        let proxy = setup.start();
        for addr in [raw, proxy.web] {
            let mut client = Client::connect(addr);
            let own = client.wire.stream.local_addr().unwrap();
            let text = client.get("/").text();
            let expected = format!("{own} {} ", addr.port());
            assert_eq!(text.trim_end(), expected.trim_end(), "{version}");
        }
    }
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .listener(&keys("require"))
        .start();
    for word in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options unique-id,crc32c",
    ] {
        let here = ports::free();
        let text = format!(
            "listen l\n  bind {here}\n  unique-id-format %ID\n  server s {} source 127.0.0.1 {word}",
            proxy.web
        );
        let _sender = HaProxy::start(here, &text.replace("%ID", "%{+X}o%ci%cp"));
        let mut client = Client::connect(here);
        client.get("/").is(200);
    }
    let lines = proxy.wait_log(3);
    assert!(
        lines.iter().all(|line| line["reason"] == "completed"),
        "{lines:?}"
    );
}

/// Version 2 in front of a datagram: of IPv4, from `192.0.2.7:4711`.
fn in_datagram(payload: &[u8]) -> Vec<u8> {
    let mut bytes = binary(0x21, b"\xea\0\x01x");
    bytes[13] = 0x12;
    [&bytes, payload].concat()
}

fn heard(socket: &std::net::UdpSocket) -> Vec<u8> {
    let mut buf = [0; 512];
    let len = socket.recv(&mut buf).unwrap();
    buf[..len].to_vec()
}

const FLOW: [(&str, &str); 2] = [("listener", "dns"), ("cluster", "app")];

fn datagrams(server: SocketAddr, keys: &str, cluster: &str) -> (Setup, SocketAddr) {
    let addr = ports::free();
    let setup = Setup::over_with(&[server], cluster).tail(&format!(
        "[[listeners]]\nname = \"dns\"\nbind = [\"{addr}\"]\nprotocol = \"udp\"\ncluster = \"app\"\n{keys}\n"
    ));
    (setup, addr)
}

/// F-40: the first datagram of a flow says whose it is; nothing of it reaches the endpoint but what is behind the header.
#[test]
fn a_flow_is_the_clients_that_its_first_datagram_names() {
    let echo = Echo::named("");
    for (word, bare) in [("require", None), ("accept", Some("bare"))] {
        let filters = "filters = [{ ip_access = { deny = [\"192.0.2.8\"] } }]";
        let (setup, addr) = datagrams(echo.addr, &format!("{}\n{filters}", keys(word)), "");
        let proxy = setup.runtime("drain_timeout", "\"100ms\"").start();
        let socket = client([127, 0, 0, 1], addr);
        let say = |bytes: &[u8]| {
            socket.send(bytes).unwrap();
            String::from_utf8(heard(&socket)).unwrap()
        };
        assert_eq!(say(&in_datagram(b"first")), "first");
        assert_eq!(say(b"second"), "second");
        assert_eq!(say(&in_datagram(b"third")), "third", "said again");
        let other = client([127, 0, 0, 1], addr);
        let mut denied = in_datagram(b"refused");
        denied[19] = 8;
        for bytes in [&denied[..], &in_datagram(b"")[..20]] {
            other.send(bytes).unwrap();
        }
        let dropped = [("listener", "dns"), ("cause", "refused")];
        let cells = "tidegate_l4_datagrams_dropped_total";
        proxy.wait_metric(cells, &dropped, |sum| sum >= 2.0);
        other.send(b"bare").unwrap();
        if let Some(text) = bare {
            assert_eq!(heard(&other), text.as_bytes());
        } else {
            proxy.wait_metric(cells, &dropped, |sum| sum == 3.0);
        }
        let stranger = client([127, 0, 0, 2], addr);
        stranger.send(&in_datagram(b"mine")).unwrap();
        if bare.is_some() {
            let whole = in_datagram(b"mine");
            assert_eq!(heard(&stranger), whole, "what a stranger says is its own");
        } else {
            let labels = [
                ("listener", "dns"),
                ("reason", "preface_invalid"),
                ("detail", "untrusted"),
            ];
            proxy.wait_metric(CLOSED, &labels, |sum| sum == 1.0);
        }
        let mut proxy = proxy;
        proxy.terminate();
        let line = proxy.wait_line("the flow", |line| line["bytes_in"] == 16);
        assert_eq!(
            (&line["client"], &line["peer"]),
            (&"192.0.2.7".into(), &"127.0.0.1".into())
        );
    }
}

/// Later, too: nothing of a broken header reaches the endpoint, and nobody's datagrams ride in another's flow.
#[test]
fn a_later_header_is_broken_or_another_clients() {
    let echo = Echo::named("");
    for word in ["require", "accept"] {
        let (setup, addr) = datagrams(echo.addr, &keys(word), "");
        let mut proxy = setup.runtime("drain_timeout", "\"100ms\"").start();
        let socket = client([127, 0, 0, 1], addr);
        let say = |bytes: &[u8]| {
            socket.send(bytes).unwrap();
            String::from_utf8(heard(&socket)).unwrap()
        };
        assert_eq!(say(&in_datagram(b"first")), "first");
        socket.send(&in_datagram(b"")[..20]).unwrap();
        let mut unknown = in_datagram(b"unknown");
        unknown[12] = 0x22;
        socket.send(&unknown).unwrap();
        let dropped = [("listener", "dns"), ("cause", "refused")];
        let cells = "tidegate_l4_datagrams_dropped_total";
        proxy.wait_metric(cells, &dropped, |sum| sum == 2.0);
        assert_eq!(say(b"second"), "second", "and nothing before it");
        let mut other = in_datagram(b"other");
        other[19] = 8;
        assert_eq!(say(&other), "other");
        let line = proxy.wait_log(1).remove(0);
        let expected = ("192.0.2.7".into(), "completed".into(), 11.into());
        assert_eq!(
            (&line["client"], &line["reason"], &line["bytes_in"]),
            (&expected.0, &expected.1, &expected.2)
        );
        assert_eq!(say(b"more"), "more");
        proxy.terminate();
        let line = proxy.wait_line("the other", |line| line["client"] == "192.0.2.8");
        assert_eq!(line["bytes_in"], 9);
    }
}

#[test]
fn the_first_datagram_of_a_flow_tells_the_endpoint_of_the_client() {
    let echo = Echo::named("");
    for bind in ["127.0.0.1", "0.0.0.0"] {
        let (setup, addr) = datagrams(
            echo.addr,
            "",
            "send_proxy_protocol = \"v2\"\nhealth = { interval = \"50ms\", check = { udp = { send = \"probe\", expect = \"probe\" } } }",
        );
        let setup = setup.replace(
            &format!("bind = [\"{addr}\"]"),
            &format!("bind = [\"{bind}:{}\"]", addr.port()),
        );
        let proxy = setup.start();
        let socket = client([127, 0, 0, 9], addr);
        socket.send(b"first").unwrap();
        let whole = heard(&socket);
        let (header, payload) = whole.split_at(whole.len() - 5);
        assert_eq!(payload, b"first");
        assert_eq!(&header[..12], b"\r\n\r\n\0\r\nQUIT\n");
        assert_eq!(&header[12..14], [0x21, 0x12]);
        assert_eq!(header[16..24], [127, 0, 0, 9, 127, 0, 0, 1]);
        let port = socket.local_addr().unwrap().port().to_be_bytes();
        assert_eq!(header[24..28], [port, addr.port().to_be_bytes()].concat());
        assert_eq!(
            asked(&socket, "second"),
            "second",
            "the others come as they are"
        );
        proxy.wait_metric("tidegate_l4_sessions_active", &FLOW, |active| active == 1.0);
    }
}
