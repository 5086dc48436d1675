//! Bulkheads: what waits for a place, in what order, for how long, and what is refused instead.

use crate::support::{Answer, Client, Gate, Origin, Proxy, Setup, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const QUEUED: &str = "tidegate_upstream_requests_queued";

/// One place, two workers.
fn one_place(origin: &Origin, queue: &str) -> Setup {
    let keys = format!("bulkhead = {{ connections_per_endpoint = 1{queue} }}");
    Setup::over_with(&[origin.addr()], &keys).workers(2)
}

/// An origin whose answers wait at a gate, except to `/free`.
fn gated() -> (Origin, Gate) {
    let gate = Gate::shut();
    let inside = gate.clone();
    let origin = Origin::answering(move |request| {
        let answer = Answer::ok(request.target.clone());
        if request.target == "/free" {
            answer
        } else {
            answer.held(&inside)
        }
    });
    (origin, gate)
}

fn ask(proxy: &Proxy, path: &str) -> Client {
    let mut client = proxy.client();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client
}

#[track_caller]
fn wait_queued(proxy: &Proxy, count: usize) {
    proxy.wait_metric(QUEUED, &[("cluster", "app")], |queued| {
        queued == count as f64
    });
}

/// Asks one after the other, each when the one before it waits.
#[track_caller]
fn line_up(proxy: &Proxy, count: usize) -> Vec<Client> {
    let ask = |at| {
        let client = ask(proxy, &format!("/{at}"));
        wait_queued(proxy, at + 1);
        client
    };
    (0..count).map(ask).collect()
}

/// Two workers share one place: everybody is served, in the order in which they came, one at a time.
#[test]
fn first_come_first_served_over_two_workers() {
    let (origin, gate) = gated();
    let proxy = one_place(&origin, "").start();
    let mut first = ask(&proxy, "/first");
    origin.wait(1);
    let mut clients = line_up(&proxy, 12);
    assert_eq!(origin.count(), 1);
    gate.open();
    first.response().is(200);
    for client in &mut clients {
        client.response().is(200);
    }
    let order: Vec<_> = origin.requests().iter().map(|r| r.target.clone()).collect();
    let wanted: Vec<_> = (0..12).map(|at| format!("/{at}")).collect();
    assert_eq!(order[0], "/first");
    assert_eq!(order[1..], wanted);
    wait_queued(&proxy, 0);
    let waits = proxy.metric(
        "tidegate_upstream_queue_duration_seconds_count",
        &[("cluster", "app")],
    );
    assert_eq!(waits, 12.0);
    let lines = proxy.wait_log(13);
    for line in &lines {
        let waited = line["path"] != "/first";
        assert_eq!(line["queue_ms"].is_null(), !waited, "{line}");
        assert_eq!(line["reason"], "completed");
    }
}

/// A full queue refuses at once, and says so; who was inside is served.
#[test]
fn a_full_queue_refuses() {
    let (origin, gate) = gated();
    let proxy = one_place(&origin, ", queue = { size = 3 }").start();
    let mut first = ask(&proxy, "/first");
    origin.wait(1);
    let mut clients = line_up(&proxy, 3);
    for _ in 0..5 {
        let refused = proxy.get("/more");
        refused.is(503);
        assert!(refused.one("retry-after").is_some());
        assert!(refused.text().contains("queue_full (endpoint)"));
    }
    gate.open();
    first.response().is(200);
    for client in &mut clients {
        client.response().is(200);
    }
    let labels = [("cluster", "app"), ("reason", "queue_full")];
    assert_eq!(
        proxy.metric("tidegate_upstream_rejected_total", &labels),
        5.0
    );
    assert_eq!(origin.count(), 4);
}

/// Who waits for too long is told so, and nobody's place is lost by it.
#[test]
fn a_wait_has_an_end() {
    let (origin, gate) = gated();
    let proxy = one_place(&origin, ", queue = { timeout = \"300ms\" }").start();
    let mut first = ask(&proxy, "/first");
    origin.wait(1);
    let refused = proxy.get("/late");
    refused.is(503);
    assert!(refused.one("retry-after").is_some());
    let line = proxy.wait_line("a line", |line| line["path"] == "/late");
    assert_eq!(
        (&line["reason"], &line["detail"], &line["phase"]),
        (&"queue_timeout".into(), &"endpoint".into(), &"queue".into())
    );
    assert!(line["queue_ms"].as_f64().unwrap() >= 300.0, "{line}");
    assert!(line["endpoint"].is_null(), "none was tried: {line}");
    gate.open();
    first.response().is(200);
    proxy.get("/free").is(200);
    assert_eq!(origin.count(), 2);
}

/// The route's whole time includes the wait.
#[test]
fn the_wait_is_part_of_the_whole() {
    let (origin, _gate) = gated();
    let keys = "bulkhead = { connections_per_endpoint = 1 }";
    let proxy = Setup::over_with(&[origin.addr()], keys)
        .without_routes()
        .route("all", "cluster = \"app\"\ntimeouts = { request = \"1s\" }")
        .start();
    let _first = ask(&proxy, "/first");
    origin.wait(1);
    let refused = proxy.get("/late");
    refused.is(504);
    assert!(refused.text().contains("max_duration"));
}

/// Who hangs up leaves the queue at once, whether it says goodbye or not, and its request is never sent.
#[test]
fn who_hangs_up_leaves_the_queue() {
    let (origin, gate) = gated();
    let proxy = one_place(&origin, "").start();
    let mut first = ask(&proxy, "/first");
    origin.wait(1);
    let mut clients = line_up(&proxy, 3);
    drop(clients.remove(0));
    wait_queued(&proxy, 2);
    let gone = clients.remove(0);
    let socket = socket2::SockRef::from(&gone.wire.stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(gone);
    wait_queued(&proxy, 1);
    gate.open();
    first.response().is(200);
    clients[0].response().is(200);
    assert_eq!(origin.count(), 2);
    for path in ["/0", "/1"] {
        let line = proxy.wait_line("a line", |line| line["path"] == path);
        assert_eq!(line["reason"], "client_abort", "{line}");
        assert_eq!(line["phase"], "queue", "{line}");
    }
}

/// The same over HTTP/2, where the end of a connection is that of all its streams.
#[test]
fn a_stream_whose_connection_ends_leaves_the_queue() {
    let (origin, gate) = gated();
    let proxy = one_place(&origin, "").start();
    let mut first = ask(&proxy, "/first");
    origin.wait(1);
    let mut gone = crate::http2::client(proxy.web);
    for stream in [1, 3] {
        crate::http2::ask(&mut gone, stream, "/stream");
    }
    wait_queued(&proxy, 2);
    gone.0.shutdown(std::net::Shutdown::Write).unwrap();
    wait_queued(&proxy, 0);
    gate.open();
    first.response().is(200);
    assert_eq!(origin.count(), 1);
    let line = proxy.wait_line("its line", |line| line["path"] == "/stream");
    assert_eq!(
        (&line["reason"], &line["phase"]),
        (&"client_abort".into(), &"queue".into()),
        "{line}"
    );
}

/// A wait is for any endpoint: the one that is free first serves.
#[test]
fn whichever_endpoint_is_free_first() {
    let ((one, first_gate), (two, second_gate)) = (gated(), gated());
    let keys = "balancer = \"round_robin\"\nbulkhead = { connections_per_endpoint = 1 }";
    let proxy = Setup::over_with(&[one.addr(), two.addr()], keys)
        .workers(2)
        .start();
    let mut held = [ask(&proxy, "/a"), ask(&proxy, "/b")];
    one.wait(1);
    two.wait(1);
    let mut waiter = ask(&proxy, "/c");
    wait_queued(&proxy, 1);
    second_gate.open();
    waiter.response().is(200);
    assert_eq!((one.count(), two.count()), (1, 2));
    first_gate.open();
    for client in &mut held {
        client.response().is(200);
    }
}

/// `requests`: in flight in the whole cluster, over all workers.
#[test]
fn requests_in_flight_of_a_cluster() {
    let (origin, gate) = gated();
    let keys = "bulkhead = { requests = 2, queue = { size = 1 } }";
    let proxy = Setup::over_with(&[origin.addr()], keys).workers(2).start();
    let mut inside = [ask(&proxy, "/a"), ask(&proxy, "/b")];
    origin.wait(2);
    let mut waiter = ask(&proxy, "/free");
    wait_queued(&proxy, 1);
    let refused = proxy.get("/more");
    refused.is(503);
    assert!(refused.text().contains("queue_full (requests)"));
    gate.open();
    waiter.response().is(200);
    for client in &mut inside {
        client.response().is(200);
    }
    eventually("all places are free", || {
        let mut all = [ask(&proxy, "/free"), ask(&proxy, "/free")];
        let answers = all.iter_mut().map(|client| client.response().status);
        answers.eq([200, 200]).then_some(())
    });
}

/// When no endpoint is left, nobody waits for one.
#[test]
fn nobody_waits_for_nobody() {
    let gate = Gate::shut();
    let well = Arc::new(AtomicBool::new(true));
    let (inside, health) = (gate.clone(), Arc::clone(&well));
    let origin = Origin::answering(move |request| match request.target.as_str() {
        "/healthz" if health.load(Ordering::SeqCst) => Answer::ok("well"),
        "/healthz" => Answer::status(500),
        _ => Answer::ok("x").held(&inside),
    });
    let keys = "bulkhead = { connections_per_endpoint = 1 }\n[clusters.app.health]\ninterval = \"100ms\"\n\
                timeout = \"5s\"\nfall = 1\ncheck = { http = { path = \"/healthz\" } }";
    let proxy = Setup::over_with(&[origin.addr()], keys).start();
    let mut first = ask(&proxy, "/first");
    eventually("it is there", || {
        let is_first = |request: &crate::support::Received| request.target == "/first";
        origin.requests().iter().any(is_first).then_some(())
    });
    let mut waiters = line_up(&proxy, 3);
    well.store(false, Ordering::SeqCst);
    for waiter in &mut waiters {
        let refused = waiter.response();
        refused.is(503);
        assert!(refused.text().contains("no_endpoint"), "{}", refused.text());
    }
    gate.open();
    first.response().is(200);
}
