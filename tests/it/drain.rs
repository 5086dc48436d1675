//! The end of the process: what is in flight is finished, what is idle is let go, in time.

use crate::support::load::{Shape, Style};
use crate::support::websocket::{self, WebSocket};
use crate::support::{Answer, Client, Fault, Gate, Origin, Proxy, Setup, eventually};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

#[track_caller]
fn exits(proxy: &mut Proxy) {
    let status = proxy.wait_exit(SOON);
    assert_eq!(status.code(), Some(0), "{status}: {}", proxy.output());
}

#[test]
fn what_is_in_flight_is_finished() {
    for signal in ["TERM", "INT", "QUIT"] {
        let gate = Gate::shut();
        let inside = gate.clone();
        let origin = Origin::answering(move |_| Answer::ok("finished").held(&inside));
        let mut proxy = Setup::over(&[origin.addr()])
            .runtime("drain_timeout", "\"60s\"")
            .start();
        let mut client = proxy.client();
        client.send("POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
        origin.wait(1);
        proxy.signal(signal);
        eventually("no new connections", || {
            Client::try_connect(proxy.web).is_err().then_some(())
        });
        gate.open();
        let response = client.response();
        assert_eq!(
            (response.text().as_str(), response.closes()),
            ("finished", true)
        );
        client.ends();
        exits(&mut proxy);
        let log = proxy.log();
        assert_eq!(log.len(), 1);
        assert_eq!(log[0]["reason"], "completed", "{}", log[0]);
    }
}

/// A body that is on its way, in either direction, arrives.
#[test]
fn bodies_on_their_way_arrive() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let origin = Origin::answering(move |request| match request.target.as_str() {
        "/down" => Answer::ok(crate::support::client::pattern(300_000)).held_at(500, &inside),
        _ => Answer::ok(request.body.clone()),
    });
    let mut proxy = Setup::over(&[origin.addr()])
        .runtime("drain_timeout", "\"60s\"")
        .start();
    let (mut down, mut up) = (proxy.client(), proxy.client());
    down.send("GET /down HTTP/1.1\r\nHost: a\r\n\r\n");
    let begun = down.try_head().unwrap();
    up.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf");
    eventually("both are under way", || {
        (proxy.metric("tidegate_requests_active", &[]) >= 2.0).then_some(())
    });
    proxy.signal("TERM");
    eventually("no new connections", || {
        Client::try_connect(proxy.web).is_err().then_some(())
    });
    up.send("half");
    let response = up.response();
    assert_eq!(
        (response.text().as_str(), response.closes()),
        ("halfhalf", true)
    );
    gate.open();
    let length: usize = begun.one("content-length").unwrap().parse().unwrap();
    assert!(down.wire.exact(length).unwrap() == crate::support::client::pattern(300_000));
    down.ends();
    exits(&mut proxy);
}

#[test]
fn idle_connections_are_let_go() {
    let origin = Origin::start();
    let mut proxy = Setup::over(&[origin.addr()])
        .runtime("drain_timeout", "\"60s\"")
        .start();
    let mut idle: Vec<_> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut idle {
        client.get("/").is(200);
    }
    let mut silent = proxy.client();
    proxy.signal("TERM");
    for client in &mut idle {
        client.ends();
    }
    silent.ends();
    exits(&mut proxy);
}

/// F-10: the bar of the issue: in time, with 200 idle tunnels open.
#[test]
fn tunnels_do_not_hold_the_process() {
    let origin = Origin::answering(|_| websocket::accept());
    let mut proxy = Setup::over(&[origin.addr()])
        .runtime("drain_timeout", "\"2s\"")
        .start();
    let mut sockets: Vec<_> = (0..200)
        .map(|_| WebSocket::connect(proxy.web, "/chat"))
        .collect();
    sockets[0].echoes("hello");
    sockets[199].echoes("hello");
    let start = Instant::now();
    proxy.signal("TERM");
    exits(&mut proxy);
    let took = start.elapsed();
    // The bar is drain_timeout + 1 s; five times that is a fault on any machine.
    assert!(took < Duration::from_secs(15), "{took:?}");
    for socket in &mut sockets {
        socket.ends();
    }
    let log = proxy.log();
    assert_eq!(log.len(), 200, "one line for each");
    assert!(
        log.iter().all(|line| line["reason"] == "shutdown"),
        "{}",
        log[0]
    );
}

/// An exchange that never ends is ended: the client sees a cut, not a short success.
#[test]
fn the_drain_has_an_end() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let origin = Origin::answering(move |_| {
        Answer::ok(crate::support::client::pattern(100_000)).held_at(500, &inside)
    });
    let mut proxy = Setup::over(&[origin.addr()])
        .runtime("drain_timeout", "\"1s\"")
        .start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.try_head().unwrap();
    proxy.signal("TERM");
    let rest = client.wire.exact(100_000);
    assert!(
        matches!(rest, Err(Fault::Truncated | Fault::Reset)),
        "{rest:?}"
    );
    exits(&mut proxy);
    assert_eq!(proxy.log()[0]["reason"], "shutdown", "{}", proxy.log()[0]);
    gate.open();
}

#[test]
fn a_second_signal_forces() {
    let origin = Origin::answering(|_| Answer::silence().then(crate::support::answer::Step::Hang));
    let mut proxy = Setup::over(&[origin.addr()])
        .runtime("drain_timeout", "\"1h\"")
        .start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait(1);
    proxy.signal("TERM");
    eventually("no new connections", || {
        Client::try_connect(proxy.web).is_err().then_some(())
    });
    proxy.signal("TERM");
    proxy.wait_exit(SOON);
    let log = proxy.log();
    assert_eq!(log.len(), 1, "forced, but told");
    assert_eq!(log[0]["reason"], "shutdown", "{}", log[0]);
}

/// `shutdown_delay`: not ready any more, and still serving, until the balancer before us has seen it.
#[test]
fn the_delay_before_the_drain_still_serves() {
    let origin = Origin::start();
    let mut proxy = Setup::over(&[origin.addr()])
        .runtime("shutdown_delay", "\"3s\"")
        .start();
    proxy.signal("TERM");
    eventually("not ready", || {
        (proxy.admin_get("/ready").status == 503).then_some(())
    });
    proxy.admin_get("/live").is(200);
    assert!(!proxy.get("/").is(200).closes() || proxy.get("/").status == 200);
    exits(&mut proxy);
}

/// F-10: SIGTERM under load: whoever got in gets an answer; after that, connections are refused.
#[test]
fn under_load_nothing_is_lost() {
    for _ in 0..crate::support::scale(3, 20) {
        let origin = Origin::plan()
            .counts_only()
            .respond(|request| Answer::ok(request.one("x-nonce").unwrap_or_default()))
            .start();
        let mut proxy = Setup::over(&[origin.addr()]).start();
        let kept = Shape::gets(4, Style::KeepAlive).start(proxy.web);
        let fresh = Shape::gets(4, Style::Fresh).start(proxy.web);
        kept.more(200);
        fresh.more(50);
        proxy.signal("TERM");
        let mut tally = kept.join();
        tally.merge(fresh.join());
        exits(&mut proxy);
        tally.all_good();
        assert_eq!(tally.refused, 8, "every client ends by being refused");
        let log = proxy.log();
        assert_eq!(log.len(), tally.good, "one line for each");
    }
}

/// Nothing to do: the end is immediate.
#[test]
fn an_idle_process_ends_at_once() {
    let origin = Origin::start();
    let mut proxy = Setup::over(&[origin.addr()])
        .runtime("drain_timeout", "\"1h\"")
        .start();
    proxy.get("/").is(200);
    proxy.terminate();
    origin.wait_closed(1);
}
