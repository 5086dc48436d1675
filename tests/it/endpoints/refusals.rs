//! What endpoints refuse, break off or get wrong.

use super::over;
use crate::support::bytes::ByteServer;
use crate::support::client::with_body;
use crate::support::frames::{self, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Peer};
use crate::support::streams::{Act, Streams, fields, ok};
use crate::support::tls::Authority;
use crate::support::tls_origin::{Front, server};
use crate::support::{Gate, Proxy, Response, Setup, endpoint, websocket};
use h2::Reason;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does so for the first requests, and answers the others.
fn first(count: usize, act: &'static [u32]) -> Streams {
    let seen = AtomicUsize::new(0);
    Streams::answering(move |request| {
        if request.path == "/warm" {
            return ok("warm");
        }
        // Each request is looked at twice: before its body was read, and after.
        let turn = seen.fetch_add(1, Ordering::SeqCst) / 2;
        match act.first() {
            Some(&code) if turn < count => vec![Act::Reset(Reason::from(code))],
            _ => ok(format!("turn {turn}")),
        }
    })
}

fn post(proxy: &Proxy) -> Response {
    let mut client = proxy.client();
    client.send(with_body("POST", "/", b"once"));
    client.response()
}

fn ending(proxy: &Proxy, path: &str) -> (String, String) {
    let line = proxy.wait_line("the exchange", |line| line["path"] == path);
    let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    (field("reason"), field("detail"))
}

/// A stream that was refused was not looked at: any method may be sent again, over another connection (E-071).
#[test]
fn a_refused_stream_is_sent_again() {
    let origin = first(1, &[7]);
    let proxy = over(&[origin.addr()], "").start();
    assert_eq!(proxy.get("/warm").text(), "warm");
    let response = post(&proxy);
    assert_eq!((response.status, response.text().as_str()), (200, "turn 1"));
    let name = "tidegate_upstream_http2_streams_refused_total";
    assert_eq!(proxy.metric(name, &[("cluster", "app")]), 1.0);
    assert_eq!(origin.connections().0, 2);
}

/// One that was begun and reset is another matter.
#[test]
fn a_reset_is_retried_as_the_method_allows() {
    let origin = first(1, &[2]);
    let proxy = over(&[origin.addr()], "").start();
    let response = post(&proxy);
    assert_eq!(response.status, 502);
    let line = proxy.wait_line("the exchange", |line| line["method"] == "POST");
    assert_eq!(line["reason"], "upstream_reset", "{line}");
    let origin = first(1, &[2]);
    let proxy = over(&[origin.addr()], "").start();
    assert_eq!(proxy.get("/").text(), "turn 1");
    let other = Streams::answering(|_| ok("other"));
    let bad = first(usize::MAX, &[2]);
    let proxy = over(&[bad.addr(), other.addr()], "balancer = \"round_robin\"").start();
    for _ in 0..4 {
        assert_eq!(proxy.get("/").text(), "other");
    }
}

/// Behind the last stream that a GOAWAY names nothing was looked at; up to it things go on (E-070).
#[test]
fn streams_behind_a_goaway_are_sent_again() {
    let turn = Arc::new(AtomicUsize::new(0));
    let turns = Arc::clone(&turn);
    let server = ByteServer::running(move |stream| {
        let mut peer = Peer::greet(stream);
        let ok = frames::block(&[(":status", "200"), ("content-length", "0")]);
        if turns.fetch_add(1, Ordering::SeqCst) == 0 {
            let (one, two) = (peer.request().unwrap(), peer.request().unwrap());
            assert!(one < two);
            peer.send(GOAWAY, 0, 0, &[one.to_be_bytes(), [0; 4]].concat());
            peer.send(HEADERS, END_HEADERS | END_STREAM, one, &ok);
        }
        while let Some(stream) = peer.request() {
            peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &ok);
        }
    });
    let proxy = over(&[server.addr()], "").start();
    let mut clients: Vec<_> = (0..2).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(with_body("POST", "/", b"once"));
    }
    for client in &mut clients {
        client.response().is(200);
    }
    assert_eq!(turn.load(Ordering::SeqCst), 2, "connections");
}

/// What breaks off is never taken for the whole.
#[test]
fn a_body_that_breaks_off_is_cut() {
    let gate = Gate::shut();
    let begun = gate.clone();
    let origin = Streams::answering(move |request| {
        let said = fields(&[("content-length", "10")]);
        let data = Act::Data(b"half ".to_vec());
        match request.path.as_str() {
            "/reset" => {
                let wait = Act::Wait(begun.clone());
                let reset = Act::Reset(Reason::CANCEL);
                vec![Act::Head(200, Vec::new()), data, wait, reset]
            }
            "/short" => vec![Act::Head(200, said), data],
            _ => vec![Act::Head(200, said), Act::Data(vec![b'x'; 11])],
        }
    });
    let proxy = over(&[origin.addr()], "").start();
    for (path, reason, details) in [
        ("/reset", "upstream_truncated", &["stream_reset"][..]),
        ("/short", "upstream_protocol", &["http2", "content_length"]),
        ("/long", "upstream_protocol", &["http2", "content_length"]),
    ] {
        let mut client = proxy.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        if path == "/reset" {
            client.wire.head().unwrap();
            gate.open();
            client.wire.rest().ok();
        } else {
            let got = client.try_response_to("GET");
            assert!(got.is_err() || got.unwrap().status == 502, "{path}");
        }
        let (ended, detail) = ending(&proxy, path);
        assert_eq!(ended, reason, "{path} {detail}");
        assert!(details.contains(&detail.as_str()), "{path}: {detail}");
    }
}

/// Each head is refused, and the next request is served.
#[test]
fn heads_that_break_the_rules_are_refused() {
    let long = "x".repeat(70_000);
    let many: Vec<_> = (0..201).map(|_| ("x", "1")).collect();
    let table: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("no status", vec![("x", "1")]),
        ("two statuses", vec![(":status", "200"), (":status", "200")]),
        (
            "a pseudo-field behind",
            vec![("x", "1"), (":status", "200")],
        ),
        ("not a status", vec![(":status", "2000")]),
        ("switching", vec![(":status", "101")]),
        ("upper case", vec![(":status", "200"), ("X-A", "1")]),
        (
            "connection",
            vec![(":status", "200"), ("connection", "close")],
        ),
        (
            "transfer-encoding",
            vec![(":status", "200"), ("transfer-encoding", "chunked")],
        ),
        ("upgrade", vec![(":status", "200"), ("upgrade", "h2c")]),
        ("a line end", vec![(":status", "200"), ("x", "a\r\nb: c")]),
        ("a NUL", vec![(":status", "200"), ("x", "a\0b")]),
        ("a space in a name", vec![(":status", "200"), ("x y", "a")]),
        (
            "lengths",
            vec![
                (":status", "200"),
                ("content-length", "0"),
                ("content-length", "0"),
            ],
        ),
        (
            "not a length",
            vec![(":status", "200"), ("content-length", "+0")],
        ),
        (
            "a length and an end",
            vec![(":status", "200"), ("content-length", "5")],
        ),
        ("a long value", vec![(":status", "200"), ("x", &long)]),
        ("many fields", [vec![(":status", "200")], many].concat()),
    ];
    let heads: Vec<_> = table
        .iter()
        .map(|(_, fields)| frames::block(fields))
        .collect();
    let count = AtomicUsize::new(0);
    let server = ByteServer::running(move |stream| {
        let mut peer = Peer::greet(stream);
        while let Some(stream) = peer.request() {
            // A bad one and a good one, in turns.
            let turn = count.fetch_add(1, Ordering::SeqCst);
            let good = frames::block(&[(":status", "200"), ("content-length", "0")]);
            let bad = heads.get(turn / 2).filter(|_| turn.is_multiple_of(2));
            let mut rest = bad.unwrap_or(&good).as_slice();
            let mut kind = HEADERS;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(16_000));
                let end = if later.is_empty() { END_HEADERS } else { 0 };
                let flags = if kind == HEADERS {
                    end | END_STREAM
                } else {
                    end
                };
                peer.send(kind, flags, stream, now);
                (kind, rest) = (9, later);
            }
        }
    });
    let proxy = over(
        &[server.addr()],
        "retry = { attempts = 0 }\noutlier = { consecutive_failures = 1000 }",
    )
    .start();
    for (what, _) in &table {
        let response = proxy.get("/");
        assert_eq!(response.status, 502, "{what}: {response:?}");
        assert_eq!(proxy.get("/").status, 200, "after {what}");
    }
    let lines: Vec<Value> = proxy.wait_log(table.len());
    let refused = lines.iter().filter(|line| line["status"] == 502);
    for line in refused {
        assert_eq!(line["reason"], "upstream_protocol", "{line}");
    }
}

/// An endpoint that is gone without a word is noticed by its silence, and others are asked (E-215).
#[test]
fn a_silent_connection_is_given_up() {
    let turn = AtomicUsize::new(0);
    let server = ByteServer::running(move |stream| {
        let mut peer = Peer::greet(stream);
        let ok = frames::block(&[(":status", "200")]);
        let silent = turn.fetch_add(1, Ordering::SeqCst) == 0;
        let mut served = 0;
        while let Some(stream) = peer.request() {
            served += 1;
            if silent && served == 2 {
                // Reads on and says nothing, not even to a ping.
                while peer.frame().is_some() {}
                return;
            }
            peer.send(HEADERS, END_HEADERS, stream, &ok);
            peer.send(DATA, END_STREAM, stream, b"here");
        }
    });
    let keys = "protocol.http2 = { ping_interval = \"300ms\", ping_timeout = \"300ms\" }";
    let proxy = over(&[server.addr()], keys).start();
    assert_eq!(proxy.get("/").text(), "here");
    assert_eq!(proxy.get("/").text(), "here");
    let name = "tidegate_upstream_http2_pings_lost_total";
    assert_eq!(proxy.metric(name, &[("cluster", "app")]), 1.0);
}

/// So it is while it serves what it had, and takes nothing new.
#[test]
fn a_silent_connection_that_is_left_is_given_up() {
    let turn = AtomicUsize::new(0);
    let server = ByteServer::running(move |stream| {
        let mut peer = Peer::greet(stream);
        let ok = frames::block(&[(":status", "200")]);
        let silent = turn.fetch_add(1, Ordering::SeqCst) == 0;
        while let Some(stream) = peer.request() {
            if silent {
                peer.send(HEADERS, END_HEADERS, stream, &ok);
                peer.send(DATA, 0, stream, b"begun");
                peer.send(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
                while peer.frame().is_some() {}
                return;
            }
            peer.send(HEADERS, END_HEADERS, stream, &ok);
            peer.send(DATA, END_STREAM, stream, b"here");
        }
    });
    let keys = "protocol.http2 = { ping_interval = \"300ms\", ping_timeout = \"300ms\" }";
    let proxy = over(&[server.addr()], keys).start();
    let mut waits = proxy.client();
    waits.send("POST /waits HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    waits.try_head().unwrap();
    assert_eq!(proxy.get("/").text(), "here");
    waits.send("1\r\nb\r\n");
    let line = proxy.wait_line("the end of what it had", |line| line["path"] == "/waits");
    let told = (&line["reason"], &line["detail"]);
    assert_eq!(
        told,
        (&"upstream_truncated".into(), &"ping_timeout".into()),
        "{line}"
    );
    let name = "tidegate_upstream_http2_pings_lost_total";
    assert_eq!(proxy.metric(name, &[("cluster", "app")]), 1.0);
}

/// It would be a plain GET there.
#[test]
fn a_websocket_is_refused() {
    let origin = Streams::answering(|_| ok("plain"));
    let proxy = over(&[origin.addr()], "").start();
    let mut client = proxy.client();
    client.send(websocket::request("/chat"));
    client.response().is(501);
    let told = ("bad_request".to_owned(), "websocket".to_owned());
    assert_eq!(ending(&proxy, "/chat"), told);
    assert!(origin.requests().is_empty());
}

/// Nothing is said to an endpoint over TLS that does not agree to HTTP/2.
#[test]
fn an_endpoint_over_tls_must_agree_to_http2() {
    let authority = Authority::new("Inner Authority");
    for (agrees, status, reason, detail) in [
        (true, 200, "completed", "none"),
        (false, 502, "upstream_tls", "alpn"),
    ] {
        let origin = Streams::answering(|_| ok("fine"));
        let mut config = server(&authority.issue(&["127.0.0.1"]));
        if agrees {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        let front = Front::over(origin.addr(), config);
        let setup = Setup::new();
        let ca = setup.dir.file("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        let keys = format!(
            "protocol = \"http2\"\ntls = {{ ca = \"{}\" }}",
            ca.display()
        );
        let proxy = setup
            .cluster("app", &[endpoint(front.addr())], &keys)
            .route("all", "cluster = \"app\"")
            .start();
        proxy.get("/over").is(status);
        let line = proxy.wait_log(1).pop().unwrap();
        assert_eq!(line["reason"], reason);
        assert_eq!(line["detail"].as_str().unwrap_or("none"), detail);
        let schemes: Vec<_> = origin
            .requests()
            .into_iter()
            .map(|seen| seen.scheme)
            .collect();
        assert_eq!(schemes, vec!["https"; usize::from(agrees)]);
    }
}
