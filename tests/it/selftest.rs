//! The support against itself: client and origin without a proxy between them.

use crate::support::answer::Step;
use crate::support::client::{Ends, chunks, pattern};
use crate::support::load::{Shape, Style};
use crate::support::websocket::{self, WebSocket};
use crate::support::{Answer, Client, Fault, Gate, Origin, OriginProcess};
use std::time::Duration;

#[test]
fn origin_records_exact_bytes_and_boundaries() {
    let origin = Origin::start();
    let mut client = Client::connect(origin.addr());
    let one = "GET /a HTTP/1.1\r\nHost: h\r\nX-Nonce: 7\r\n\r\n";
    let two = "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    let head = "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = chunks(b"chunked body", 5);
    client.send(one).send(two).send(head).send(&body);
    let first = client.response();
    assert_eq!(
        (first.one("x-nonce"), first.text().as_str()),
        (Some("7"), "echo /a\n")
    );
    assert_eq!(client.response().text(), "echo /b\n");
    assert_eq!(client.response().text(), "echo /c\n");
    origin.wait(3);
    let seen = origin.requests();
    assert_eq!(seen[0].head.raw, one.as_bytes());
    assert_eq!(seen[1].body, b"abc");
    assert_eq!(
        (seen[2].body.as_slice(), &seen[2].raw_body),
        (b"chunked body".as_slice(), &body)
    );
    assert!(seen.iter().all(|request| request.connection == 1));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn client_reads_every_framing() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/chunked" => Answer::ok(pattern(100_000))
            .chunked(777)
            .trailer("x-sum", "1"),
        "/close" => Answer::ok("to the end").until_close(),
        "/interim" => Answer::ok("x").interim("HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"),
        "/empty" => Answer::status(204),
        _ => Answer::ok(pattern(100_000)),
    });
    let mut client = Client::connect(origin.addr());
    let chunked = client.get("/chunked");
    assert_eq!(
        (chunked.ends, chunked.body),
        (Ends::Chunked, pattern(100_000))
    );
    assert_eq!(chunked.trailers, [("x-sum".to_owned(), "1".to_owned())]);
    assert_eq!(client.get("/length").body, pattern(100_000));
    let interim = client.get("/interim");
    assert_eq!((interim.interim.len(), interim.interim[0].0), (1, 103));
    assert_eq!(client.get("/empty").ends, Ends::Never);
    assert_eq!(client.method("HEAD", "/length", b"").body, b"");
    let last = client.get("/close");
    assert_eq!(
        (last.ends, last.text().as_str()),
        (Ends::AtClose, "to the end")
    );
}

#[test]
fn faults_are_told_apart() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/cut" => Answer::ok(pattern(1000)).cut(500, Step::Close),
        "/reset" => Answer::silence().then(Step::Reset),
        "/close" => Answer::silence().then(Step::Close),
        _ => Answer::raw("HTTP/1.1 200\r\n\r\n"),
    });
    let fault = |path: &str| Client::connect(origin.addr()).try_get(path).unwrap_err();
    assert_eq!(fault("/cut"), Fault::Truncated);
    assert_eq!(fault("/reset"), Fault::Reset);
    assert_eq!(fault("/close"), Fault::Closed);
    assert!(matches!(fault("/garbage"), Fault::Malformed(_)));
    let mut patient = Client::connect(origin.addr()).deadline(Duration::from_millis(50));
    assert_eq!(patient.try_response_to("GET").unwrap_err(), Fault::Late);
}

#[test]
fn half_a_message_is_not_a_request() {
    let origin = Origin::start();
    let mut client = Client::connect(origin.addr());
    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
        .finish();
    client.ends();
    origin.wait_closed(1);
    assert_eq!((origin.count(), origin.broken().len()), (0, 1));
}

#[test]
fn gates_hold_answers_and_early_answers_leave_the_body() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let origin = Origin::plan()
        .early(|head| {
            head.first
                .contains("/early")
                .then(|| Answer::status(413).then(Step::Close))
        })
        .respond(move |_| Answer::ok("held").held(&inside))
        .start();
    let mut client = Client::connect(origin.addr());
    client.send("GET /held HTTP/1.1\r\nHost: h\r\n\r\n");
    origin.wait(1);
    gate.open();
    assert_eq!(client.response().text(), "held");
    client.send("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
    client.response().is(413);
}

#[test]
fn websockets_echo() {
    let origin = Origin::answering(|_| websocket::accept());
    let mut socket = WebSocket::connect(origin.addr(), "/chat");
    socket.echoes("hello");
    socket.echoes("again");
}

#[test]
fn a_process_can_be_killed_stopped_and_restarted() {
    let mut origin = OriginProcess::start();
    let tally = Shape::gets(2, Style::KeepAlive)
        .requests(50)
        .start(origin.addr())
        .join();
    tally.all_good();
    assert_eq!(tally.good, 100);
    origin.kill();
    assert!(Client::try_connect(origin.addr()).is_err());
    origin.restart();
    let mut client = Client::connect(origin.addr());
    client.get("/").is(200);
    origin.stop();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    origin.resume();
    client.response().is(200);
}

#[test]
fn a_stopped_origin_refuses() {
    let origin = Origin::start();
    let mut client = Client::connect(origin.addr());
    client.get("/").is(200);
    let addr = origin.stop();
    client.ends();
    assert!(Client::try_connect(addr).is_err());
    let again = Origin::plan().start_at(addr);
    Client::connect(again.addr()).get("/").is(200);
}
