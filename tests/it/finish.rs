//! The finisher, case by case: every way to be answered before a request was read, times every way in which its
//! rest may follow. The answer arrives whole; nothing of the rest is taken for a request; the connection goes on
//! or ends as it was said to (E-010, E-033 to E-036, E-078).

use crate::support::answer::Step;
use crate::support::client::{chunks, pattern};
use crate::support::wire::Wire;
use crate::support::{Answer, Client, DEADLINE, Gate, Origin, Proxy, Setup};
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// What answers, with which status, and whether we do it ourselves.
const ANSWERS: [(&str, u16, By); 9] = [
    ("/401", 401, By::Us),
    ("/403", 403, By::Us),
    ("/404", 404, By::Us),
    ("/413", 413, By::Refusal),
    ("/429", 429, By::Us),
    ("/redirect", 308, By::Us),
    ("/early", 200, By::Endpoint),
    ("/5xx", 500, By::Endpoint),
    ("/reset", 502, By::Endpoint),
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum By {
    Us,
    Refusal,
    Endpoint,
}

/// How the rest of a request may come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rest {
    /// With its head.
    Length,
    Chunked,
    /// When the answer is there already.
    LateLength,
    LateChunked,
    /// Only after a 100.
    Expect,
    /// After the final answer, although it was to wait for a 100.
    ExpectAnyway,
    Upgrade,
    /// Too long to be skipped.
    Long,
}

const RESTS: [Rest; 8] = [
    Rest::Length,
    Rest::Chunked,
    Rest::LateLength,
    Rest::LateChunked,
    Rest::Expect,
    Rest::ExpectAnyway,
    Rest::Upgrade,
    Rest::Long,
];

impl Rest {
    fn fields(self) -> String {
        let length = SMUGGLED.len();
        match self {
            Self::Length | Self::LateLength => format!("Content-Length: {length}"),
            Self::Chunked | Self::LateChunked => "Transfer-Encoding: chunked".to_owned(),
            Self::Expect | Self::ExpectAnyway => {
                format!("Expect: 100-continue\r\nContent-Length: {length}")
            }
            Self::Upgrade => format!(
                "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nContent-Length: {length}"
            ),
            Self::Long => format!("Content-Length: {}", LONG + length),
        }
    }

    fn body(self) -> Vec<u8> {
        match self {
            Self::Chunked | Self::LateChunked => chunks(SMUGGLED.as_bytes(), 16),
            Self::Expect => Vec::new(),
            Self::Long => [pattern(LONG), SMUGGLED.into()].concat(),
            _ => SMUGGLED.into(),
        }
    }

    fn is_late(self) -> bool {
        matches!(
            self,
            Self::LateLength | Self::LateChunked | Self::ExpectAnyway
        )
    }

    /// Whether the connection goes on, where that does not depend on who is quicker.
    fn goes_on(self, by: By) -> Option<bool> {
        match (by, self) {
            (By::Refusal, _)
            | (_, Self::Upgrade)
            | (By::Us, Self::Expect | Self::ExpectAnyway | Self::Long) => Some(false),
            (By::Us, _) => Some(true),
            (By::Endpoint, _) => None,
        }
    }
}

const LONG: usize = 1 << 20;

fn proxy(origin: &Origin) -> Proxy {
    let reply = |status: u16| {
        format!("path = \"/{status}\"\nrespond = {{ status = {status}, body = \"no\" }}")
    };
    let to = |path: &str, more: &str| format!("path = \"{path}\"\ncluster = \"app\"\n{more}");
    Setup::over(&[origin.addr()])
        .without_routes()
        .route("no401", &reply(401))
        .route("no403", &reply(403))
        .route("no429", &reply(429))
        .route("big", &to("/413", "limits = { body = \"4B\" }"))
        .route("moved", "path = \"/redirect\"\nredirect = { host = \"b\" }")
        .route("early", &to("/early", ""))
        .route("failing", &to("/5xx", ""))
        .route("resetting", &to("/reset", ""))
        .route("fine", &to("/fine", ""))
        .start()
}

/// Answers before it has read a body. It has to say `close`: whether the bytes that we sent were read, nobody here
/// can tell.
fn origin() -> Origin {
    let early = |status| {
        let answer = Answer::ok("early").field("connection", "close");
        Some(Answer { status, ..answer }.then(Step::Hang))
    };
    Origin::plan()
        .early(move |head| match head.first.split(' ').nth(1)? {
            "/early" => early(200),
            "/5xx" => early(500),
            "/reset" => Some(Answer::silence().then(Step::Reset)),
            _ => None,
        })
        .start()
}

#[test]
fn every_answer_before_the_end_of_a_request() {
    let origin = origin();
    let proxy = proxy(&origin);
    for (path, status, by) in ANSWERS {
        for rest in RESTS {
            // A limit that only the chunks tell is not known before they come.
            if (by, rest) == (By::Refusal, Rest::LateChunked) {
                continue;
            }
            for repeat in 0..3 {
                let what = format!("{path} {rest:?} {repeat}");
                one(proxy.web, path, status, by, rest, &what);
            }
        }
    }
    let seen = origin.requests();
    let smuggled = seen.iter().filter(|r| r.target.contains("smuggled"));
    assert_eq!(smuggled.count(), 0);
    // What an endpoint did not read is on a connection that nobody uses again.
    for early in seen.iter().filter(|r| r.target != "/fine") {
        let later = |r: &&crate::support::Received| {
            r.connection == early.connection && !std::ptr::eq(*r, early)
        };
        let behind = seen.iter().rev().take_while(|r| !std::ptr::eq(*r, early));
        assert_eq!(behind.filter(later).count(), 0, "{:?}", early.head.first);
    }
}

#[track_caller]
fn one(web: SocketAddr, path: &str, status: u16, by: By, rest: Rest, what: &str) {
    let mut client = Client::connect(web);
    client.send(format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n",
        rest.fields()
    ));
    // An endpoint's answer that needs nothing of the body comes by itself; ours do too.
    if !rest.is_late() {
        client.send(rest.body());
    }
    let response = match client.try_response_to("POST") {
        Ok(response) => response,
        Err(fault) => panic!("{what}: {fault:?}"),
    };
    let status = if rest == Rest::Upgrade { 400 } else { status };
    assert_eq!(response.status, status, "{what}: {}", response.text());
    assert!(!response.body.is_empty() || status == 308, "{what}");
    if rest.is_late() {
        client.send(rest.body());
    }
    // Who was told to go on does, whatever came then.
    if rest == Rest::Expect && !response.interim.is_empty() {
        client.send(SMUGGLED);
    }
    if let Some(goes_on) = rest.goes_on(by) {
        assert_eq!(!response.closes(), goes_on, "{what}");
    }
    if response.closes() {
        if let Err(said) = client.try_ends() {
            panic!("{what}: {said}");
        }
    } else {
        match client.try_get("/fine") {
            Ok(next) => assert_eq!(next.text(), "echo /fine\n", "{what}"),
            Err(fault) => panic!("{what}, then: {fault:?}"),
        }
    }
}

/// What is to be skipped but never comes ends the connection, and holds nothing for long.
#[test]
fn a_rest_that_never_comes_is_not_waited_for() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .listener("timeouts = { linger = \"1s\" }")
        .route("no", "path = \"/no\"\nrespond = { status = 403 }")
        .start();
    for fields in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = proxy.client();
        client.send(format!("POST /no HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"));
        assert!(!client.response_to("POST").is(403).closes());
        client.ends();
    }
    let labels = [("listener", "web"), ("cause", "unread")];
    proxy.wait_metric("tidegate_connections_closed_total", &labels, |n| n == 2.0);
    assert_eq!(origin.connections(), 0);
}

/// How long chunks are only their end tells: beyond the budget they are not skipped, though they came at once.
#[test]
fn chunks_beyond_the_budget_are_not_skipped() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .listener("limits = { skip = \"1KiB\" }")
        .route("no", "path = \"/no\"\nrespond = { status = 403 }")
        .start();
    for (length, goes_on) in [(1000, true), (1024, false), (8000, false)] {
        let mut client = proxy.client();
        let head = "POST /no HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = chunks(&pattern(length), length);
        let next = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n".as_slice();
        client.send([head.as_bytes(), &body, next].concat());
        client.response_to("POST").is(403);
        match client.try_response_to("GET") {
            Ok(response) => assert!(goes_on && response.status == 200, "{length}"),
            Err(fault) => assert!(!goes_on, "{length}: {fault:?}"),
        }
    }
    assert_eq!(origin.count(), 1);
}

/// A malformed rest is not skipped, and is nobody's request.
#[test]
fn a_malformed_rest_ends_the_connection() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .route("no", "path = \"/no\"\nrespond = { status = 403 }")
        .start();
    let mut client = proxy.client();
    client.send("POST /no HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.response_to("POST").is(403);
    client.send(format!("zz\r\n{SMUGGLED}"));
    client.ends();
    assert_eq!(origin.connections(), 0);
}

/// E-035: a client that writes all of its body before it reads gets its answer, a hundred times of a hundred; one
/// that never stops is not listened to for ever.
#[test]
fn a_refusal_always_arrives() {
    const LENGTH: usize = 10 << 20;
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .route("no", "path = \"/no\"\nrespond = { status = 401 }")
        .route(
            "big",
            "path = \"/big\"\ncluster = \"app\"\nlimits = { body = \"1KiB\" }",
        )
        .start();
    let body = pattern(LENGTH);
    for (path, fields, status) in [
        ("/no", "", 401),
        ("/big", "", 413),
        ("/no", "Content-Length: 1\r\n", 400),
    ] {
        for at in 0..100 {
            let mut client = proxy.client();
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {LENGTH}\r\n\r\n"
            );
            client.wire.send(head.as_bytes()).unwrap();
            // A plain blocking client: it fails when a reset comes before it has written everything.
            if let Err(error) = client.wire.send(&body) {
                panic!("{path} {at}: {error}");
            }
            client.response_to("POST").is(status);
        }
    }
    assert_eq!(origin.count(), 0);

    let proxy = Setup::over(&[origin.addr()])
        .route("no", "path = \"/no\"\nrespond = { status = 401 }")
        .listener("limits = { linger = \"64KiB\" }")
        .start();
    let mut client = proxy.client();
    client.send(format!(
        "POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        1_u64 << 40
    ));
    let sent = (0..100)
        .take_while(|_| client.wire.send(&body).is_ok())
        .count();
    assert!(sent < 8, "{sent} times 10 MiB were taken from a client");
}

/// E-035: who said that its connection ends and sends something all the same, while it waits or while it reads slowly, gets
/// its answer to the last byte.
#[test]
fn an_answer_that_ends_its_connection_is_not_cut_by_what_still_comes() {
    // So much that the kernel takes all of it at once, and the client's does not.
    const LENGTH: usize = 48 << 10;
    let gate = Arc::new(Mutex::new(Gate::shut()));
    let held = Arc::clone(&gate);
    let origin =
        Origin::answering(move |_| Answer::ok(pattern(LENGTH)).held(&held.lock().unwrap()));
    let proxy = Setup::over(&[origin.addr()]).start();
    let later: [&str; 2] = ["\r\n", SMUGGLED];
    let mut count = 0;
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
        "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    ] {
        for later in later {
            for when in ["while it waits", "while it reads"] {
                let what = format!("{when}: {later:?} behind {request:?}");
                let gate = {
                    let mut gate = gate.lock().unwrap();
                    *gate = Gate::shut();
                    gate.clone()
                };
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                socket.set_recv_buffer_size(4096).unwrap();
                socket.connect(&proxy.web.into()).unwrap();
                let mut client = Client {
                    wire: Wire::new(socket.into(), Some(DEADLINE)),
                };
                client.send(request);
                count += 1;
                origin.wait(count);
                if when == "while it waits" {
                    client.send(later);
                }
                gate.open();
                proxy.wait_log(count);
                if when == "while it reads" {
                    client.send(later);
                }
                let response = match client.try_response_to("GET") {
                    Ok(response) => response,
                    Err(fault) => panic!("{what}: {fault:?}"),
                };
                assert_eq!(response.is(200).body.len(), LENGTH, "{what}");
                assert_eq!(client.wire.rest(), Ok(Vec::new()), "{what}");
            }
        }
    }
    assert_eq!(origin.count(), count);
}

/// E-216, F-06: a client that closes its sending side gets its answer; `half_close = "abort"` takes it for gone, and
/// the endpoint hears of it.
#[test]
fn the_end_of_the_clients_sending_side() {
    let request = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
    let answering =
        || Origin::answering(|_| Answer::ok("late").first(Step::Pause(Duration::from_millis(500))));
    let origin = answering();
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    client.send(request).finish();
    assert_eq!(client.response().is(200).text(), "late");
    client.ends();

    let origin = Origin::answering(|_| Answer::silence().then(Step::Hang));
    let proxy = Setup::over(&[origin.addr()])
        .listener("half_close = \"abort\"")
        .start();
    let mut client = proxy.client();
    client.send(request);
    origin.wait(1);
    client.finish();
    client.ends();
    origin.wait_closed(1);
    let line = proxy.wait_log(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"client_abort".into(), &"eof".into()),
        "{line}"
    );
}

/// E-217: a client that resets its connection is gone, whatever `half_close` says: before the answer and in it.
#[test]
fn an_endpoint_hears_that_the_client_is_gone() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/waits" => Answer::silence().then(Step::Hang),
        _ => Answer::ok(pattern(1000)).cut(500, Step::Hang),
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    for (at, path) in ["/waits", "/begun"].into_iter().enumerate() {
        let mut client = proxy.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        origin.wait(at + 1);
        if path == "/begun" {
            client.try_head().unwrap();
        }
        let socket = socket2::SockRef::from(&client.wire.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        origin.wait_closed(at + 1);
    }
    for line in proxy.wait_log(2) {
        assert_eq!(line["reason"], "client_abort", "{line}");
    }
}
