//! Requests and answers, translated.

use super::over;
use crate::support::bytes::ByteServer;
use crate::support::client::{chunks, pattern, with_body};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Peer, SETTINGS, block,
};
use crate::support::streams::{Act, Streams, fields, ok};
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use tidegate::http2::hpack::Decoder;
use tidegate::message::Care;

/// What makes a request here is made anew there: no line of the connection, no Host, names in lower case.
#[test]
fn a_request_is_translated() {
    let origin = Streams::answering(|_| ok("hello"));
    let proxy = over(&[origin.addr()], "").start();
    let mut client = proxy.client();
    client.send(
        "GET /a%2Fb/../c?x=<y> HTTP/1.1\r\nHost: Shop.Example:8080\r\nConnection: x-hop, keep-alive\r\n\
         X-Hop: 1\r\nX-Mixed-Case: Value\r\nTE: trailers, deflate\r\nCookie: a=1; b=2\r\n\
         Accept-Encoding: gzip\r\n\r\n",
    );
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    assert_eq!(response.one("transfer-encoding"), Some("chunked"));
    let seen = origin.wait(1);
    assert_eq!(
        (seen.method.as_str(), seen.scheme.as_str()),
        ("GET", "http")
    );
    assert_eq!(seen.authority, "shop.example:8080");
    assert_eq!(seen.path, "/c?x=%3Cy%3E");
    assert_eq!(seen.one("x-mixed-case"), Some("Value"));
    assert_eq!(seen.one("te"), Some("trailers"));
    assert_eq!(seen.all("cookie"), ["a=1", "b=2"]);
    assert_eq!(seen.one("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.one("x-forwarded-host"), Some("shop.example:8080"));
    for gone in [
        "host",
        "connection",
        "x-hop",
        "keep-alive",
        "content-length",
    ] {
        assert!(seen.all(gone).is_empty(), "{gone}: {seen:?}");
    }
}

/// Bodies of known and of unknown length, larger than any window, both ways.
#[test]
fn bodies_pass_both_ways() {
    let origin = Streams::answering(|request| {
        let length = request.body.len().to_string();
        let said = match request.path.as_str() {
            "/said" => fields(&[("content-length", &length)]),
            _ => Vec::new(),
        };
        vec![Act::Head(200, said), Act::Data(request.body.clone())]
    });
    let proxy = over(&[origin.addr()], "").start();
    let mut client = proxy.client();
    let body = pattern(3 << 20);
    for path in ["/said", "/unsaid"] {
        client.send(with_body("POST", path, &body));
        let response = client.response();
        assert!(response.body == body, "{path}");
        let length = response.one("content-length");
        assert_eq!(length.is_some(), path == "/said", "{path}");
        client.send(format!(
            "PUT {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        client.send(chunks(&body, 9000));
        assert!(client.response().body == body, "{path}, chunked");
    }
    let lengths: Vec<_> = origin
        .requests()
        .iter()
        .map(|request| request.one("content-length").map(str::to_owned))
        .collect();
    let said = Some(body.len().to_string());
    assert_eq!(lengths, [said.clone(), None, said, None]);
    client.send("POST /said HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response().one("content-length"), Some("0"));
    assert_eq!(origin.wait(5).one("content-length"), Some("0"));
}

#[test]
fn answers_without_a_body_have_none() {
    let origin = Streams::answering(|request| {
        let status = request.path[1..].parse().unwrap();
        let said = fields(&[("content-length", "7")]);
        match (request.method.as_str(), status) {
            ("HEAD", _) | (_, 304) => vec![Act::Head(status, said), Act::Bare],
            (_, 204) => vec![Act::Head(204, Vec::new())],
            _ => vec![Act::Head(status, Vec::new()), Act::Bare],
        }
    });
    let proxy = over(&[origin.addr()], "").start();
    let mut client = proxy.client();
    for (method, path, length) in [
        ("HEAD", "/200", Some("7")),
        ("GET", "/304", Some("7")),
        ("GET", "/204", None),
        ("GET", "/200", Some("0")),
        ("GET", "/503", Some("0")),
    ] {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = client.response_to(method);
        assert_eq!(response.status.to_string(), path[1..]);
        assert_eq!(response.one("content-length"), length, "{method} {path}");
        assert!(response.body.is_empty());
    }
    assert_eq!(origin.connections().0, 1);
}

/// Trailers go both ways, but for those that HTTP/1 merges into heads, and for those that never stand there.
#[test]
fn trailers_pass_both_ways() {
    let trailers = fields(&[("grpc-status", "0"), ("x-other", "1"), ("set-cookie", "a")]);
    let origin = Streams::answering(move |_| {
        let mut acts = ok("body");
        acts.push(Act::Trailers(trailers.clone()));
        acts
    });
    let proxy = over(&[origin.addr()], "").start();
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: etag\r\n\r\n\
         4\r\nbody\r\n0\r\nEtag: \"1\"\r\nX-Own: 2\r\nHost: b\r\n\r\n",
    );
    let response = client.response();
    assert_eq!(response.text(), "body");
    assert_eq!(response.trailers, fields(&[("grpc-status", "0")]));
    let seen = origin.wait(1);
    assert_eq!(seen.body, b"body");
    assert_eq!(seen.trailers, fields(&[("etag", "\"1\""), ("x-own", "2")]));
    let dropped = |cause| {
        let labels = [("cause", cause)];
        proxy.metric("tidegate_trailers_dropped_total", &labels)
    };
    assert_eq!((dropped("unlisted"), dropped("forbidden")), (1.0, 2.0));
}

#[test]
fn hints_pass_and_invitations_are_our_own() {
    let origin = Streams::answering(|_| {
        vec![
            Act::Interim(103, fields(&[("link", "</a.css>")])),
            Act::Head(200, Vec::new()),
            Act::Data(b"page".to_vec()),
        ]
    });
    let proxy = over(&[origin.addr()], "").start();
    let mut client = proxy.client();
    let response = client.get("/");
    assert_eq!(response.text(), "page");
    assert_eq!(response.interim.len(), 1, "{response:?}");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    let head = client.wire.head().unwrap();
    assert!(head.first.starts_with("HTTP/1.1 100 "), "{head:?}");
    client.send("body");
    assert_eq!(client.response().text(), "page");
    assert!(origin.wait(2).all("expect").is_empty());
}

/// Each piece passes when it is there: nothing waits for more of it, in either direction.
#[test]
fn pieces_pass_as_they_come() {
    let origin = Streams::answering(|_| {
        let kind = fields(&[("content-type", "text/event-stream")]);
        vec![Act::Head(200, kind), Act::Echo(Vec::new())]
    });
    let proxy = over(&[origin.addr()], "").start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let head = client.wire.head().unwrap();
    assert!(head.first.starts_with("HTTP/1.1 200 "), "{head:?}");
    for event in ["data: 1\n\n", "data: two\n\n"] {
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        client.send(&chunk);
        let got = client.wire.exact(chunk.len()).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), chunk);
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.wire.exact(5).unwrap(), b"0\r\n\r\n");
}

/// Where both sides keep trailers apart from heads, any name passes that is not forbidden.
#[test]
fn trailers_of_a_request_pass_from_http2_to_http2() {
    let origin = Streams::answering(|_| ok("fine"));
    let proxy = over(&[origin.addr()], "").start();
    let mut client = h2_client(proxy.web);
    let head = block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a"),
    ]);
    client.send(HEADERS, END_HEADERS, 1, &head);
    client.send(DATA, 0, 1, b"body");
    let trailers = block(&[("x-behind", "one"), ("host", "b"), ("digest", "two")]);
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &trailers);
    let seen = origin.wait(1);
    assert_eq!(seen.body, b"body");
    let mut passed = seen.trailers;
    passed.sort();
    assert_eq!(passed, fields(&[("digest", "two"), ("x-behind", "one")]));
    let line = proxy.wait_log(1).pop().unwrap();
    assert_eq!(line["reason"], "completed");
    let dropped = |cause| proxy.metric("tidegate_trailers_dropped_total", &[("cause", cause)]);
    assert_eq!((dropped("forbidden"), dropped("unlisted")), (1.0, 0.0));
}

/// Trailers behind nothing are no reason for an empty frame: endpoints put up with few of those, and many clients share their connection.
#[test]
fn trailers_behind_no_body_bring_no_empty_frame() {
    let frames: Arc<Mutex<Vec<Frame>>> = Arc::default();
    let seen = Arc::clone(&frames);
    let server = ByteServer::running(move |stream| {
        let mut peer = Peer::greet(stream);
        while let Some(frame) = peer.frame() {
            let stream = frame.stream;
            let ends = frame.flags & END_STREAM != 0 && matches!(frame.kind, DATA | HEADERS);
            seen.lock().unwrap().push(frame);
            if ends {
                let ok = block(&[(":status", "204")]);
                peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &ok);
            }
        }
    });
    let proxy = over(&[server.addr()], "").start();
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nETag: x\r\n\r\n",
    );
    client.response().is(204);
    let frames = frames.lock().unwrap();
    let of_request: Vec<_> = frames.iter().filter(|frame| frame.stream == 1).collect();
    let kinds: Vec<_> = of_request.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [HEADERS, HEADERS], "{of_request:?}");
}

/// What its sender wants remembered by nobody is written so on the next connection, too (RFC 7541, 6.2.3).
#[test]
fn a_field_that_nobody_may_remember_stays_one() {
    let never = |name: &str, value: &str| {
        let mut line = block(&[(name, value)]);
        line[0] = 0x10;
        line
    };
    let heads: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let seen = Arc::clone(&heads);
    let server = ByteServer::running(move |stream| {
        let mut peer = Peer::greet(stream);
        while let Some(frame) = peer.frame() {
            if frame.kind == HEADERS {
                seen.lock().unwrap().push(frame.payload);
                let head = block(&[(":status", "204")]);
                peer.send(HEADERS, END_HEADERS | END_STREAM, frame.stream, &head);
            }
        }
    });
    let proxy = over(&[server.addr()], "").start();
    let mut client = h2_client(proxy.web);
    let usual = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a"),
        ("x-usual", "b"),
    ];
    let head = [block(&usual), never("x-token", "secret")].concat();
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &head);
    while client.frame().expect("an answer").kind != HEADERS {}
    let asked = heads.lock().unwrap()[0].clone();
    assert_eq!(care(&asked, "x-usual"), Care::Usual);
    assert_eq!(care(&asked, "x-token"), Care::NeverIndexed);
}

/// How the field of this name is to be treated on the way.
fn care(block: &[u8], name: &str) -> Care {
    let mut found = None;
    let read = Decoder::default().decode(block, |line| {
        if line.name == name.as_bytes() {
            found = Some(line.care);
        }
    });
    assert_eq!(read, Ok(()));
    found.expect(name)
}

fn h2_client(addr: std::net::SocketAddr) -> Peer {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    let mut client = Peer(stream);
    client.send(SETTINGS, 0, 0, &[]);
    client
}
