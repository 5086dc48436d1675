//! The PROXY protocol, in and out.

use super::tcp_over;
use crate::support::bytes::{ByteServer, dial, echoes, ended, exactly};
use crate::support::{Origin, Setup};
use std::io::Write;

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
