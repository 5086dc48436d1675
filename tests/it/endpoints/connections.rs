//! How many connections there are, who shares them, and when they end.

use super::over;
use crate::support::streams::{Act, Manner, Streams, ok};
use crate::support::wire::Wire;
use crate::support::{Client, DEADLINE, Gate, Proxy, eventually};
use socket2::{Domain, Socket, Type};

fn held(gate: &Gate) -> impl Fn(&crate::support::streams::Arrived) -> Vec<Act> + use<> {
    let gate = gate.clone();
    move |request| match request.path.as_str() {
        "/held" => vec![Act::Wait(gate.clone()), Act::Head(200, Vec::new())],
        _ => ok("free"),
    }
}

fn ask(proxy: &Proxy, path: &str) -> Client {
    let mut client = proxy.client();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client
}

fn counted(proxy: &Proxy, name: &str) -> f64 {
    proxy.metric(name, &[("cluster", "app"), ("protocol", "h2")])
}

/// Fifty at once over one connection; over five where ten are allowed on each.
#[test]
fn requests_share_connections_up_to_the_cap() {
    for (keys, connections) in [("", 1), ("protocol.http2 = { streams = 10 }", 5)] {
        let gate = Gate::shut();
        let origin = Streams::answering(held(&gate));
        let proxy = over(&[origin.addr()], keys).start();
        let mut clients: Vec<_> = (0..50).map(|_| ask(&proxy, "/held")).collect();
        eventually("all are there", || (origin.most() == 50).then_some(()));
        assert_eq!(origin.connections().0, connections, "{keys}");
        let active = counted(&proxy, "tidegate_upstream_connections_active");
        assert_eq!(active, f64::from(u32::try_from(connections).unwrap()));
        gate.open();
        for client in &mut clients {
            client.response().is(200);
        }
        let made = counted(&proxy, "tidegate_upstream_connections_total");
        assert_eq!(made, f64::from(u32::try_from(connections).unwrap()));
        let joined = counted(&proxy, "tidegate_upstream_connections_reused_total");
        // Those who came while it was made used nothing again.
        assert!(made + joined <= 50.0, "{made} and {joined}");
        assert_eq!(proxy.get("/").text(), "free");
        let again = counted(&proxy, "tidegate_upstream_connections_reused_total");
        assert_eq!(again, joined + 1.0);
    }
}

/// What the endpoint allows counts, too.
#[test]
fn the_endpoint_says_how_many_it_takes() {
    let gate = Gate::shut();
    let manner = Manner {
        streams: Some(2),
        ..Manner::default()
    };
    let origin = Streams::with(manner, held(&gate));
    let proxy = over(&[origin.addr()], "").start();
    assert_eq!(proxy.get("/").text(), "free");
    let mut clients: Vec<_> = (0..2).map(|_| ask(&proxy, "/held")).collect();
    eventually("both", || (origin.most() == 2).then_some(()));
    assert_eq!(origin.connections().0, 1);
    assert_eq!(proxy.get("/").text(), "free");
    assert_eq!(origin.connections().0, 2);
    gate.open();
    for client in &mut clients {
        client.response().is(200);
    }
}

/// A graceful end every ten requests: nobody notices (E-070).
#[test]
fn a_goaway_is_not_noticed() {
    let manner = Manner {
        requests: Some(10),
        ..Manner::default()
    };
    let origin = Streams::with(manner, |_| ok("here"));
    let proxy = over(&[origin.addr()], "retry = { attempts = 0 }").start();
    let mut client = proxy.client();
    for number in 0..60 {
        let response = client.post("/", b"x");
        assert_eq!(response.text(), "here", "request {number}");
    }
    assert_eq!(origin.requests().len(), 60);
    let (made, _) = origin.connections();
    assert!((6..=8).contains(&made), "{made} connections");
}

/// A client that leaves takes its stream with it, and no more (E-217).
#[test]
fn an_abandoned_stream_is_reset() {
    let gate = Gate::shut();
    let origin = Streams::answering(held(&gate));
    let proxy = over(&[origin.addr()], "").start();
    let mut stays = ask(&proxy, "/held");
    let leaves = ask(&proxy, "/held");
    eventually("both", || (origin.most() == 2).then_some(()));
    leaves.reset();
    eventually("a reset", || (origin.resets() == 1).then_some(()));
    gate.open();
    stays.response().is(200);
    assert_eq!(origin.connections(), (1, 1));
}

/// What a client does not take is not asked for, and holds up nobody else on the connection (E-072).
#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let origin = Streams::answering(|request| match request.path.as_str() {
        "/large" => ok(vec![b'x'; 64 << 20]),
        _ => ok("small"),
    });
    let keys = "protocol.http2 = { window = \"64KiB\", streams = 20 }";
    let proxy = over(&[origin.addr()], keys).start();
    let clients: Vec<_> = (0..10).map(|_| ask(&proxy, "/large")).collect();
    let mut before = usize::MAX;
    let stalled = eventually("stalled", || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let sent = origin.sent();
        (std::mem::replace(&mut before, sent) == sent && sent > 0).then_some(sent)
    });
    // Kernel buffers on the client's side take some megabytes each; ours are a window and a piece.
    assert!(stalled < 10 * (12 << 20), "{stalled} bytes");
    assert_eq!(proxy.get("/").text(), "small");
    assert_eq!(origin.connections().0, 1);
    drop(clients);
    eventually("resets", || (origin.resets() == 10).then_some(()));
    assert_eq!(proxy.get("/").text(), "small");
    assert_eq!(origin.connections().0, 1);
}

/// The same where the endpoint sends little at a time, as events and messages come: there is a limit in the crate to how many frames
/// wait, for all streams together.
#[test]
fn clients_that_do_not_read_events_hold_up_nobody() {
    const EVENTS: usize = 10_000;
    let origin = Streams::answering(|request| match request.path.as_str() {
        "/events" => {
            let mut acts = vec![Act::Head(200, Vec::new())];
            acts.extend((0..EVENTS).map(|_| Act::Data(vec![b'e'; 50])));
            acts
        }
        _ => ok("small"),
    });
    let keys = "protocol.http2 = { window = \"64KiB\", streams = 4 }";
    let proxy = over(&[origin.addr()], keys).start();
    let mut clients: Vec<_> = (0..3)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            socket.connect(&proxy.web.into()).unwrap();
            let mut client = Client {
                wire: Wire::new(socket.into(), Some(DEADLINE)),
            };
            client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    let mut before = usize::MAX;
    eventually("stalled", || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let sent = origin.sent();
        (std::mem::replace(&mut before, sent) == sent && sent > 0).then_some(())
    });
    assert_eq!(proxy.get("/").text(), "small");
    for client in &mut clients {
        assert_eq!(client.response().is(200).body.len(), 50 * EVENTS);
    }
    assert_eq!(origin.connections().0, 1);
}

/// Nobody uses it for its time: it is closed. So it is when the configuration has it no more.
#[test]
fn an_idle_connection_is_closed() {
    let origin = Streams::answering(|_| ok("here"));
    let proxy = over(&[origin.addr()], "bulkhead = { idle_timeout = \"300ms\" }").start();
    assert_eq!(proxy.get("/").text(), "here");
    eventually("closed", || (origin.connections() == (1, 0)).then_some(()));
    assert_eq!(proxy.get("/").text(), "here");
    assert_eq!(origin.connections().0, 2);
}
