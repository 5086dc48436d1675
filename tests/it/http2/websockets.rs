//! A WebSocket of which one side, or both, is a stream of HTTP/2 (RFC 8441).

use super::slow::{LARGEST, RST_STREAM, client, opened};
use crate::support::answer::Step;
use crate::support::bytes::ByteServer;
use crate::support::client::{pattern, read_head};
use crate::support::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Peer, SETTINGS, block};
use crate::support::streams::{Act, Manner, Streams};
use crate::support::websocket::{self, MASK, WebSocket};
use crate::support::{Answer, Gate, Origin, Proxy, Setup, eventually};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use tidegate::message::websocket::accept;

const ON: &str = "http2 = { websockets = true }";

/// An endpoint of HTTP/1 that answers every message with itself, or sends back every byte.
fn origin() -> Origin {
    Origin::answering(|request| {
        let key = request.one("sec-websocket-key").unwrap_or_default();
        let said = match request.target.as_str() {
            "/wrong" => websocket::ACCEPT.to_owned(),
            _ => accept(key.as_bytes()),
        };
        let last = match request.target.as_str() {
            "/refused" => return Answer::status(403),
            "/bytes" => Step::Echo,
            "/closes" => Step::Close,
            _ => Step::WebSocket,
        };
        Answer::raw(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: {said}\r\n\r\n"
        ))
        .then(last)
    })
}

/// One of HTTP/2.
fn streams() -> Streams {
    let manner = Manner {
        websockets: true,
        ..Manner::default()
    };
    Streams::with(manner, |_| {
        vec![Act::Head(200, Vec::new()), Act::Echo(Vec::new())]
    })
}

fn head(path: &str, protocol: &str) -> Vec<u8> {
    block(&[
        (":method", "CONNECT"),
        (":protocol", protocol),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test.example"),
        ("sec-websocket-version", "13"),
        ("origin", "http://test.example"),
    ])
}

/// Begins a stream; the block of its answer.
fn ask(client: &mut Peer, stream: u32, path: &str) -> Vec<u8> {
    client.send(HEADERS, END_HEADERS, stream, &head(path, "websocket"));
    loop {
        let frame = client.frame().expect("an answer");
        assert_ne!(
            (frame.kind, frame.stream),
            (RST_STREAM, stream),
            "{frame:?}"
        );
        if frame.kind == HEADERS && frame.stream == stream {
            return frame.payload;
        }
    }
}

/// So many bytes of a stream.
fn read(client: &mut Peer, stream: u32, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let frame = client.frame().expect("bytes");
        assert_ne!(frame.kind, RST_STREAM, "{frame:?}");
        if frame.kind == DATA && frame.stream == stream {
            bytes.extend(frame.payload);
        }
    }
    bytes
}

fn echoes(client: &mut Peer, stream: u32, text: &str) {
    let message = websocket::frame(1, text.as_bytes(), Some(MASK));
    client.send(DATA, 0, stream, &message);
    let answer = websocket::frame(1, text.as_bytes(), None);
    assert_eq!(read(client, stream, answer.len()), answer);
}

fn over_http2(origin: &Streams) -> Setup {
    Setup::over_with(&[origin.addr()], "protocol = \"http2\"").workers(1)
}

/// 200 by the static table.
const OK: u8 = 0x88;

#[test]
fn a_stream_is_a_websocket_to_an_endpoint_of_http1() {
    let origin = origin();
    let setup = Setup::over(&[origin.addr()]).workers(1);
    let mut proxy = setup
        .listener(ON)
        .runtime("drain_timeout", "\"60s\"")
        .start();
    let mut client = client(proxy.web, LARGEST);
    let settings = client.frame().unwrap();
    assert_eq!(settings.kind, SETTINGS);
    assert!(
        settings
            .payload
            .chunks(6)
            .any(|six| six == [0, 8, 0, 0, 0, 1])
    );
    for stream in [1, 3] {
        assert_eq!(ask(&mut client, stream, "/chat")[0], OK);
    }
    for at in 0..20 {
        echoes(&mut client, 1, &format!("one {at}"));
        echoes(&mut client, 3, &format!("two {at}"));
    }
    let seen = origin.requests();
    let keys: Vec<_> = seen.iter().map(|it| it.one("sec-websocket-key")).collect();
    assert!(keys[0].is_some() && keys[0] != keys[1], "{keys:?}");
    assert_eq!(seen[0].method, "GET");
    assert_eq!(seen[0].one("upgrade"), Some("websocket"));
    assert_eq!(seen[0].one("connection"), Some("upgrade"));
    assert_eq!(seen[0].one("origin"), Some("http://test.example"));
    // A close passes on: the endpoint ends, and so does the stream.
    client.send(DATA, END_STREAM, 1, &websocket::frame(8, b"", Some(MASK)));
    let mut last = client.frame().unwrap();
    while last.flags & END_STREAM == 0 || last.stream != 1 {
        assert_ne!(last.kind, RST_STREAM, "{last:?}");
        last = client.frame().unwrap();
    }
    let line = proxy.wait_line("its line", |line| line["path"] == "/chat");
    assert_eq!(line["reason"], "completed", "{line}");
    assert_eq!(
        (&line["method"], &line["status"]),
        (&"GET".into(), &200.into())
    );
    assert!(line["bytes_in"].as_u64() > Some(200), "{line}");
    // A reset is an end, too.
    client.send(RST_STREAM, 0, 3, &[0, 0, 0, 8]);
    origin.wait_closed(2);
    drop(client);
    proxy.terminate();
}

/// What opens a WebSocket is an answer: what filters do to answers they do to it.
#[test]
fn response_filters_run_on_what_opens_a_websocket() {
    let origin = origin();
    let filters = "filters = [{ response_headers = { set = { x-seen = \"yes\" } } }]";
    let proxy = Setup::over(&[origin.addr()])
        .without_routes()
        .route("all", &format!("cluster = \"app\"\n{filters}"))
        .listener(ON)
        .start();
    let mut client = client(proxy.web, LARGEST);
    let block = ask(&mut client, 1, "/chat");
    assert_eq!(block[0], OK);
    // A literal of a new name, as it is or by Huffman.
    let has = |part: &[u8]| block.windows(part.len()).any(|at| at == part);
    assert!(
        has(b"x-seen") || has(&[0xf2, 0xb2, 0x0a, 0x5a, 0xbf]),
        "{block:02x?}"
    );
    echoes(&mut client, 1, "still a tunnel");
}

#[test]
fn bulk_passes_both_ways_and_the_end_behind_it() {
    let origin = origin();
    let setup = Setup::over(&[origin.addr()]).workers(1);
    let proxy = setup.listener(ON).start();
    let mut client = client(proxy.web, LARGEST);
    assert_eq!(ask(&mut client, 1, "/bytes")[0], OK);
    let sent = pattern(200_000);
    let mut sender = Peer(client.0.try_clone().unwrap());
    let bytes = sent.clone();
    let thread = std::thread::spawn(move || {
        // Within the first window of a stream.
        for piece in bytes.chunks(10_000) {
            sender.send(DATA, 0, 1, piece);
        }
        sender.send(DATA, END_STREAM, 1, &[]);
    });
    assert!(read(&mut client, 1, sent.len()) == sent);
    thread.join().unwrap();
    opened(&mut client, 0, 1);
    let line = proxy.wait_line("its line", |line| line["path"] == "/bytes");
    assert_eq!(line["reason"], "completed", "{line}");
    assert_eq!(line["bytes_in"], 200_000, "{line}");
}

#[test]
fn what_does_not_agree_is_no_websocket() {
    let origin = origin();
    let setup = Setup::over(&[origin.addr()]).workers(1);
    let proxy = setup.listener(ON).start();
    let mut client = client(proxy.web, LARGEST);
    let mut stream = 1;
    for (path, reason, status) in [
        ("/wrong", "upstream_protocol", 502),
        ("/refused", "completed", 403),
    ] {
        assert_ne!(ask(&mut client, stream, path)[0], OK);
        let line = proxy.wait_line(path, |line| line["path"] == path);
        assert_eq!(
            (&line["reason"], &line["status"]),
            (&reason.into(), &status.into()),
            "{line}"
        );
        stream += 2;
    }
    client.send(HEADERS, END_HEADERS, stream, &head("/other", "connect-udp"));
    let line = proxy.wait_line("another protocol", |line| line["status"] == 501);
    assert_eq!(line["detail"], "websocket", "{line}");
    assert_eq!(origin.requests().len(), 2);
}

/// E-079: it is off unless it is asked for, and then nobody is told of it.
#[test]
fn websockets_over_http2_are_opt_in() {
    let origin = origin();
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = client(proxy.web, LARGEST);
    let settings = client.frame().unwrap();
    assert!(!settings.payload.chunks(6).any(|six| six[1] == 8));
    client.send(HEADERS, END_HEADERS, 1, &head("/chat", "websocket"));
    loop {
        let frame = client.frame().unwrap();
        if frame.kind == RST_STREAM {
            assert_eq!(frame.payload, [0, 0, 0, 1]);
            break;
        }
    }
    assert_eq!(origin.requests().len(), 0);
}

fn shared(proxy: &Proxy, origin: &Streams) {
    let seen = origin.requests();
    assert_eq!(seen[0].method, "CONNECT");
    assert_eq!(seen[0].protocol.as_deref(), Some("websocket"));
    assert_eq!(
        (seen[0].path.as_str(), seen[0].scheme.as_str()),
        ("/chat", "http")
    );
    assert_eq!(seen[0].one("sec-websocket-key"), None);
    assert_eq!(seen[0].one("sec-websocket-version"), Some("13"));
    assert_eq!(origin.connections().0, 1);
    proxy.wait_metric("tidegate_requests_active", &[], |active| active == 0.0);
}

#[test]
fn a_websocket_of_http1_is_a_stream_to_an_endpoint_of_http2() {
    let origin = streams();
    let proxy = over_http2(&origin).start();
    let mut one = WebSocket::connect(proxy.web, "/chat");
    let mut two = WebSocket::connect(proxy.web, "/chat");
    for at in 0..20 {
        one.echoes(&format!("one {at}"));
        two.echoes(&format!("two {at}"));
    }
    drop(one);
    let line = proxy.wait_line("its line", |line| line["path"] == "/chat");
    assert_eq!(line["status"], 101, "{line}");
    // What follows a 101 has no framing of HTTP (RFC 9112, 6.1).
    let mut raw = proxy.client();
    raw.send(
        "GET /gone HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let head = raw.try_head().unwrap();
    assert_eq!(head.status, 101);
    for name in ["transfer-encoding", "content-length"] {
        assert_eq!(head.one(name), None, "{name}");
    }
    raw.reset();
    let line = proxy.wait_line("its line", |line| line["path"] == "/gone");
    assert_eq!(line["reason"], "client_abort", "{line}");
    two.echoes("still");
    drop(two);
    eventually("all are over", || (proxy.log().len() == 3).then_some(()));
    shared(&proxy, &origin);
}

#[test]
fn a_stream_is_a_stream_to_an_endpoint_of_http2() {
    let origin = streams();
    let proxy = over_http2(&origin).listener(ON).start();
    let mut client = client(proxy.web, LARGEST);
    assert_eq!(ask(&mut client, 1, "/chat")[0], OK);
    client.send(DATA, 0, 1, b"any bytes");
    assert_eq!(read(&mut client, 1, 9), b"any bytes");
    client.send(DATA, END_STREAM, 1, b"the last");
    assert_eq!(read(&mut client, 1, 8), b"the last");
    let line = proxy.wait_line("its line", |line| line["path"] == "/chat");
    assert_eq!(line["reason"], "completed", "{line}");
    shared(&proxy, &origin);
}

/// Only silence ends it.
#[test]
fn a_silent_websocket_ends() {
    let origin = origin();
    let keys = "timeouts = { tunnel = \"3s\", response_idle = \"300ms\", response = \"300ms\" }\noutlier = { consecutive_failures = 1, max_ejected = 100 }";
    let setup = Setup::over_with(&[origin.addr()], keys).workers(1);
    let proxy = setup
        .listener(&format!("{ON}\ntimeouts = {{ body = \"300ms\" }}"))
        .start();
    let mut client = client(proxy.web, LARGEST);
    assert_eq!(ask(&mut client, 1, "/chat")[0], OK);
    for at in 0..5 {
        std::thread::sleep(std::time::Duration::from_millis(450));
        echoes(&mut client, 1, &format!("{at}"));
    }
    let line = proxy.wait_line("its line", |line| line["path"] == "/chat");
    assert_eq!(line["reason"], "upstream_idle", "{line}");
    origin.wait_closed(1);
    // Nobody said anything, which is not the endpoint's fault.
    let ejected = proxy.metric("tidegate_outlier_ejections_total", &[]);
    assert_eq!(ejected, 0.0);
}

/// A tunnel is bytes and nothing else (RFC 9113, 8.5): a head in it is wrong, whichever side sends it.
#[test]
fn a_head_in_a_tunnel_ends_it() {
    let origin = origin();
    let setup = Setup::over(&[origin.addr()]).workers(1);
    let proxy = setup.listener(ON).start();
    let mut client = client(proxy.web, LARGEST);
    assert_eq!(ask(&mut client, 1, "/chat")[0], OK);
    client.send(DATA, 0, 1, b"");
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x", "y")]));
    loop {
        let frame = client.frame().expect("a reset");
        assert!(frame.kind != DATA, "{frame:?}");
        if frame.kind == RST_STREAM {
            assert_eq!(frame.payload, [0, 0, 0, 1]);
            break;
        }
    }
    let gate = Gate::shut();
    let held = gate.clone();
    let server = ByteServer::running(move |mut stream| {
        let _ = stream.read_exact(&mut [0; 24]);
        let mut peer = Peer(stream);
        peer.send(SETTINGS, 0, 0, &[0, 8, 0, 0, 0, 1]);
        while let Some(stream) = peer.request() {
            peer.send(HEADERS, END_HEADERS, stream, &block(&[(":status", "200")]));
            held.pass();
            let flags = END_HEADERS | END_STREAM;
            peer.send(HEADERS, flags, stream, &block(&[("x", "y")]));
        }
    });
    let proxy = Setup::over_with(&[server.addr()], "protocol = \"http2\"").start();
    let mut raw = proxy.client();
    raw.send(websocket::request("/chat"));
    assert_eq!(raw.try_head().unwrap().status, 101);
    gate.open();
    let line = proxy.wait_line("its line", |line| line["path"] == "/chat");
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"upstream_protocol".into(), &"trailers".into()),
        "{line}"
    );
}

/// A tunnel that breaks off is no end: an endpoint of HTTP/1 sees a reset.
#[test]
fn a_reset_is_passed_on_as_one() {
    let ended: Arc<Mutex<Option<std::io::ErrorKind>>> = Arc::default();
    let seen = Arc::clone(&ended);
    let server = ByteServer::running(move |mut stream| {
        let head = String::from_utf8(read_head(&mut stream)).unwrap();
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-key: "));
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            accept(key.unwrap_or_default().as_bytes())
        );
        stream.write_all(answer.as_bytes()).unwrap();
        *seen.lock().unwrap() = stream.read(&mut [0]).err().map(|error| error.kind());
    });
    let setup = Setup::over(&[server.addr()]).workers(1);
    let proxy = setup.listener(ON).start();
    let mut client = client(proxy.web, LARGEST);
    assert_eq!(ask(&mut client, 1, "/chat")[0], OK);
    client.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    eventually("its end", || (server.open() == 0).then_some(()));
    assert_eq!(
        *ended.lock().unwrap(),
        Some(std::io::ErrorKind::ConnectionReset)
    );
}

/// Towards HTTP/2 there is no key that an endpoint could look at (RFC 6455, 4.2.1): so we do.
#[test]
fn what_asks_for_a_websocket_by_other_rules_gets_none() {
    let origin = streams();
    let proxy = over_http2(&origin).start();
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (method, keys) in [
        ("POST", key.to_owned()),
        ("GET", String::new()),
        ("GET", key.repeat(2)),
        ("GET", "Sec-WebSocket-Key:\r\n".to_owned()),
    ] {
        let mut client = proxy.client();
        client.send(format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n{keys}\r\n"
        ));
        client.response().is(400);
    }
    assert!(origin.requests().is_empty());
}
