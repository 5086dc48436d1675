//! How connections are left: in two steps, with nothing lost, by a drain, a reload, age in requests or silence.

use super::slow::{LARGEST, RST_STREAM, ask, client};
use crate::support::frames::{ACK, DATA, END_STREAM, Frame, GOAWAY, HEADERS, PING, Peer};
use crate::support::{Answer, Gate, Origin, Proxy, Reload, Setup};
use std::thread;
use std::time::Duration;

/// What GOAWAY says: the last stream, and why.
fn parting(payload: &[u8]) -> (u32, u32) {
    let number = |at| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
    (number(0), number(4))
}

/// Asks without end, some streams at a time, until the proxy says that the end is near and closes. How many were answered;
/// all that were begun in time have to be.
fn asks_until_the_end(proxy: std::net::SocketAddr) -> usize {
    let mut client = client(proxy, LARGEST);
    let (mut next, mut open, mut answered) = (1, Vec::new(), 0);
    let (mut warned, mut last) = (false, u32::MAX);
    loop {
        while !warned && open.len() < 8 {
            ask(&mut client, next, "/");
            open.push(next);
            next += 2;
        }
        let Some(frame) = client.frame() else {
            assert!(warned, "it closed without a word");
            // What was begun behind the last stream may be made again elsewhere.
            open.retain(|&stream| stream <= last);
            assert!(open.is_empty(), "{open:?} were lost");
            return answered;
        };
        match frame.kind {
            PING if frame.flags & ACK == 0 => client.send(PING, ACK, 0, &frame.payload),
            GOAWAY => {
                warned = true;
                let (stream, code) = parting(&frame.payload);
                assert_eq!(code, 0);
                assert!(stream <= last, "the last stream may only come nearer");
                last = stream;
            }
            RST_STREAM => panic!("{frame:?}"),
            HEADERS | DATA if frame.flags & END_STREAM != 0 => {
                open.retain(|&stream| stream != frame.stream);
                answered += 1;
            }
            _ => {}
        }
    }
}

/// E-070, F-10: a drain under load: nothing that was begun is lost.
#[test]
fn a_drain_under_load_loses_nothing() {
    let origin = Origin::answering(|_| Answer::ok(vec![b'x'; 2000]));
    let mut proxy = Setup::over(&[origin.addr()])
        .runtime("drain_timeout", "\"60s\"")
        .start();
    let web = proxy.web;
    let clients: Vec<_> = (0..6)
        .map(|_| thread::spawn(move || asks_until_the_end(web)))
        .collect();
    proxy.wait_metric("tidegate_requests_total", &[], |count| count >= 500.0);
    proxy.signal("TERM");
    let answered: usize = clients.into_iter().map(|it| it.join().unwrap()).sum();
    assert!(answered >= 500, "{answered}");
    proxy.ends_well();
    let log = proxy.log();
    assert_eq!(log.len(), answered);
    assert!(log.iter().all(|line| line["reason"] == "completed"));
}

/// The two steps (RFC 9113, 6.8): between them streams are still begun, behind them none.
#[test]
fn the_end_is_said_twice() {
    let gate = Gate::shut();
    let held = gate.clone();
    let origin = Origin::answering(move |request| match request.target.as_str() {
        "/held" => Answer::ok("held").held(&held),
        _ => Answer::ok("free"),
    });
    let mut proxy = Setup::over(&[origin.addr()])
        .runtime("drain_timeout", "\"60s\"")
        .start();
    let mut client = client(proxy.web, LARGEST);
    ask(&mut client, 1, "/held");
    origin.wait(1);
    proxy.signal("TERM");
    let next = |client: &mut Peer, kind| {
        loop {
            let frame = client.frame().expect("a frame");
            if frame.kind == kind {
                return frame;
            }
        }
    };
    assert_eq!(parting(&next(&mut client, GOAWAY).payload), (LARGEST, 0));
    let ping = next(&mut client, PING);
    ask(&mut client, 3, "/held");
    origin.wait(2);
    client.send(PING, ACK, 0, &ping.payload);
    assert_eq!(parting(&next(&mut client, GOAWAY).payload), (3, 0));
    // Too late: it is not looked at, and nothing is said of it.
    ask(&mut client, 5, "/late");
    gate.open();
    let mut ended = Vec::new();
    while let Some(frame) = client.frame() {
        assert_ne!(frame.stream, 5, "{frame:?}");
        if frame.kind == DATA && frame.flags & END_STREAM != 0 {
            ended.push(frame.stream);
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, [1, 3]);
    proxy.ends_well();
    assert_eq!(proxy.log().len(), 2);
}

/// One stream, and its body.
fn answer(client: &mut Peer, stream: u32, path: &str) -> String {
    ask(client, stream, path);
    let mut body = Vec::new();
    loop {
        let frame = client.frame().expect("a frame");
        assert_ne!(frame.kind, GOAWAY, "{frame:?}");
        if frame.stream == stream && frame.kind == DATA {
            body.extend(&frame.payload);
        }
        if frame.stream == stream && frame.flags & END_STREAM != 0 && frame.kind <= HEADERS {
            return String::from_utf8(body).unwrap();
        }
    }
}

/// Streams keep the configuration that they began with, and those that follow on the same connection have the new one.
#[test]
fn a_reload_is_in_effect_for_the_next_stream() {
    let gate = Gate::shut();
    let held = gate.clone();
    let origin = Origin::answering(move |request| match request.target.as_str() {
        "/held" => Answer::ok("old").held(&held),
        _ => Answer::ok("old"),
    });
    let one = Setup::over(&[origin.addr()]);
    let proxy = one.start();
    let mut client = client(proxy.web, LARGEST);
    assert_eq!(answer(&mut client, 1, "/"), "old");
    ask(&mut client, 3, "/held");
    origin.wait(2);
    let two = Setup::new().at(&one).without_routes().route(
        "all",
        "path_prefix = \"/\"\nrespond = { status = 200, body = \"new\" }",
    );
    assert_eq!(proxy.reload(&two), Reload::Done, "{}", proxy.output());
    assert_eq!(answer(&mut client, 5, "/"), "new");
    gate.open();
    let line = proxy.wait_line("the held one", |line| line["path"] == "/held");
    assert_eq!(line["reason"], "completed", "{line}");
}

fn ends_with(proxy: &Proxy, client: &mut Peer, cause: &str) {
    let mut last = None;
    while let Some(frame) = client.frame() {
        if frame.kind == GOAWAY {
            last = Some(parting(&frame.payload));
        }
        if frame.kind == PING && frame.flags & ACK == 0 {
            client.send(PING, ACK, 0, &frame.payload);
        }
    }
    let (stream, code) = last.expect("GOAWAY");
    assert!(stream < LARGEST && code == 0, "{stream} {code}");
    let labels = [("cause", cause)];
    proxy.wait_metric("tidegate_connections_closed_total", &labels, |n| n == 1.0);
}

/// Silence ends a connection, and PINGs are silence; so does the number of its requests.
#[test]
fn idle_and_old_connections_are_left() {
    let origin = Origin::answering(|_| Answer::ok("here"));
    let proxy = Setup::over(&[origin.addr()])
        .workers(1)
        .listener("timeouts = { idle = \"1s\" }\nlimits = { requests_per_connection = 3 }")
        .start();
    let mut idle = client(proxy.web, LARGEST);
    assert_eq!(answer(&mut idle, 1, "/"), "here");
    let mut pings = Peer(idle.0.try_clone().unwrap());
    let pinging = thread::spawn(move || {
        // Some more than the idle time: then nobody is there to hear them.
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(100));
            pings.send(PING, 0, 0, b"i am not");
        }
    });
    ends_with(&proxy, &mut idle, "idle");
    pinging.join().unwrap();
    let mut old = client(proxy.web, LARGEST);
    for stream in [1, 3] {
        assert_eq!(answer(&mut old, stream, "/"), "here");
    }
    ask(&mut old, 5, "/");
    ends_with(&proxy, &mut old, "requests");
}

/// A drain that is out of time: who waits for an answer gets one, and whose answer is cut is told so.
#[test]
fn the_end_of_a_drain_is_told_to_every_stream() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let origin = Origin::answering(move |request| match request.target.as_str() {
        "/half" => Answer::ok(vec![b'x'; 1000]).held_at(500, &inside),
        _ => Answer::ok("late").held(&inside),
    });
    let mut proxy = Setup::over(&[origin.addr()])
        .runtime("drain_timeout", "\"1s\"")
        .start();
    let mut client = client(proxy.web, LARGEST);
    ask(&mut client, 1, "/late");
    ask(&mut client, 3, "/half");
    let begun = |frame: &Frame| frame.kind == HEADERS && frame.stream == 3;
    while !begun(&client.frame().expect("half an answer")) {}
    proxy.signal("TERM");
    let frames: Vec<_> = std::iter::from_fn(|| client.frame()).collect();
    let of = |kind, stream| {
        let mut found = frames
            .iter()
            .filter(move |it| (it.kind, it.stream) == (kind, stream));
        found.next()
    };
    let head = of(HEADERS, 1).unwrap_or_else(|| panic!("no answer: {frames:?}"));
    assert!(head.payload.windows(3).any(|at| at == b"503"), "{head:?}");
    assert!(
        of(RST_STREAM, 3).is_some(),
        "a cut that is not told: {frames:?}"
    );
    let log = proxy.wait_log(2);
    assert!(
        log.iter().all(|line| line["reason"] == "shutdown"),
        "{log:?}"
    );
    proxy.ends_well();
}

/// A client that leaves may have begun a stream meanwhile: it hears that nothing came of it.
#[test]
fn a_client_that_leaves_hears_what_was_the_last() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = client(proxy.web, LARGEST);
    client.send(GOAWAY, 0, 0, &[0; 8]);
    loop {
        let frame = client.frame().expect("a last word");
        if frame.kind == GOAWAY {
            assert_eq!(parting(&frame.payload), (0, 0));
            break;
        }
    }
    assert_eq!(client.frame(), None);
}
