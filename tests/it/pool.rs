//! Idle connections: used again when they are good, and only then.

use crate::support::answer::Step;
use crate::support::{Answer, Gate, Origin, Setup, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn connections_are_used_again() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    for round in 0..10 {
        let mut client = proxy.client();
        for at in 0..10 {
            assert_eq!(
                client.get(&format!("/{round}/{at}")).text(),
                format!("echo /{round}/{at}\n")
            );
        }
        client.post("/p", b"body").is(200);
    }
    assert_eq!((origin.count(), origin.connections()), (110, 1));
    let metrics = proxy.metrics();
    let opened = metrics.sum("tidegate_upstream_connections_total", &[("cluster", "app")]);
    assert_eq!(opened, 1.0, "{}", metrics.text);
}

/// Many at once make many connections; only so many are kept.
#[test]
fn the_idle_cap_holds() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let origin = Origin::answering(move |_| Answer::ok("x").held(&inside));
    let keys = "bulkhead = { idle_per_endpoint = 2 }";
    let proxy = Setup::over_with(&[origin.addr()], keys).workers(1).start();
    let mut clients: Vec<_> = (0..8).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    origin.wait(8);
    assert_eq!(origin.connections(), 8);
    gate.open();
    for client in &mut clients {
        client.response().is(200);
    }
    origin.wait_closed(6);
    proxy.wait_metric(
        "tidegate_upstream_connections_idle",
        &[("cluster", "app")],
        |idle| idle == 2.0,
    );
    assert_eq!(origin.open_connections(), 2);
}

#[test]
fn idle_connections_are_closed_in_time() {
    let origin = Origin::start();
    let keys = "bulkhead = { idle_timeout = \"1s\" }";
    let proxy = Setup::over_with(&[origin.addr()], keys).start();
    proxy.get("/").is(200);
    origin.wait_closed(1);
    proxy.get("/").is(200);
    assert_eq!(origin.connections(), 2);
}

/// E-041, F-04: an endpoint that closes after every answer, or a moment later, costs nobody an answer.
#[test]
fn stale_connections_cost_nobody_an_answer() {
    for requests in [1, 2, 7] {
        let origin = Origin::plan().requests(requests).start();
        let proxy = Setup::over(&[origin.addr()]).start();
        let mut client = proxy.client();
        for at in 0..150 {
            let response = client.get(&format!("/{at}"));
            assert_eq!(
                response.text(),
                format!("echo /{at}\n"),
                "{:?}",
                response.head
            );
        }
    }
}

/// The same by time: a sweep over the moment at which the endpoint closes.
#[test]
fn the_race_with_an_idle_close_is_won() {
    let idle = Duration::from_millis(20);
    let origin = Origin::plan().idle(idle).start();
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    for step in 0..40 {
        // The pause is what is tested: around the moment of the close, on either side.
        std::thread::sleep(Duration::from_micros(16_000 + step * 200));
        client.get("/").is(200);
    }
}

/// A close that has arrived is seen at checkout: not even a POST meets it.
#[test]
fn a_closed_connection_is_not_taken_out() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    for at in 1..=20 {
        client.post("/", b"once").is(200);
        origin.close_connections();
        origin.wait_closed(at);
    }
    assert_eq!(origin.count(), 20, "every POST arrived once");
}

/// E-037: bytes behind an answer that has no body, or behind its end, belong to nobody. They come
/// with the head, or before the connection is used again.
#[test]
fn residue_never_reaches_the_next_client() {
    const EVIL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-nonce: evil\r\n\r\nevil";
    let rounds = crate::support::scale(200, 10_000);
    let said = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&said);
    let origin = Origin::answering(move |request| {
        let late = |answer: Answer| {
            answer
                .then(Step::Send(EVIL.into()))
                .then(Step::Count(Arc::clone(&count)))
        };
        let glued =
            |head: &str| Answer::raw([head, EVIL].concat()).then(Step::Count(Arc::clone(&count)));
        match request.target.as_str() {
            "/204" => late(Answer::status(204)),
            "/304" => late(Answer::status(304)),
            "/head" | "/more" => late(Answer::ok("x")),
            "/glued204" => glued("HTTP/1.1 204 No Content\r\n\r\n"),
            "/glued304" => glued("HTTP/1.1 304 Not Modified\r\n\r\n"),
            "/gluedhead" => glued("HTTP/1.1 200 OK\r\ncontent-length: 80\r\n\r\n"),
            "/glued" => glued("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"),
            _ => Answer::ok("good"),
        }
    });
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    let paths = [
        "/204",
        "/head",
        "/304",
        "/more",
        "/glued204",
        "/glued304",
        "/gluedhead",
        "/glued",
    ];
    for round in 0..rounds {
        let path = paths[round % paths.len()];
        let method = if path.ends_with("head") {
            "HEAD"
        } else {
            "GET"
        };
        let mut first = proxy.client();
        first.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        // What was glued to the head may also be taken for a broken answer.
        if let Ok(response) = first.try_response_to(method) {
            assert_ne!(response.one("x-nonce"), Some("evil"), "{path}");
        }
        eventually("the residue was sent", || {
            (said.load(Ordering::SeqCst) > round).then_some(())
        });
        let mut second = proxy.client();
        second.send(format!(
            "GET /canary HTTP/1.1\r\nHost: a\r\nX-Nonce: n{round}\r\n\r\n"
        ));
        let canary = second.response();
        assert_eq!(
            canary.one("x-nonce"),
            Some(format!("n{round}").as_str()),
            "after {path}"
        );
        assert_eq!(canary.text(), "good");
    }
}

/// What the endpoint wants to close is not kept.
#[test]
fn connection_close_of_the_endpoint_is_kept() {
    let origin = Origin::answering(|_| Answer::ok("x").field("Connection", "close"));
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    for _ in 0..5 {
        assert!(
            !client.post("/", b"").is(200).closes(),
            "the client's connection is its own"
        );
    }
    assert_eq!(origin.connections(), 5);
}

/// E-219: NTLM and Negotiate authenticate a connection. From the challenge on it belongs to the client that got it,
/// is what this client's requests go over, and ends with it.
#[test]
fn a_connection_that_carries_authentication_serves_one_client() {
    for (challenge, proof) in [
        ("NTLM", None),
        ("Basic realm=\"a, b\", Negotiate", Some("Negotiate YII=")),
        ("negotiate", Some("negotiate oYG2")),
    ] {
        // Every origin takes whoever asks over a connection that was challenged for one who may.
        let plan = || {
            let known: Arc<std::sync::Mutex<std::collections::HashSet<usize>>> = Arc::default();
            Origin::answering(move |request| {
                let mut known = known.lock().unwrap();
                if known.contains(&request.connection) {
                    return Answer::ok("secret");
                }
                match request.target.as_str() {
                    "/secret" => {
                        known.insert(request.connection);
                        Answer {
                            status: 401,
                            ..Answer::ok("who?").field("WWW-Authenticate", challenge)
                        }
                    }
                    _ => Answer::ok("public"),
                }
            })
        };
        let origins = [plan(), plan()];
        let keys = "balancer = \"round_robin\"";
        let proxy = Setup::over_with(&[origins[0].addr(), origins[1].addr()], keys)
            .workers(1)
            .start();
        let others = |what: &str| {
            for _ in 0..6 {
                let response = proxy.get("/");
                assert_eq!(response.text(), "public", "{what}, {challenge}");
            }
        };
        others("before");
        let mut client = proxy.client();
        assert_eq!(client.get("/secret").status, 401);
        others("after the challenge");
        // The dialogue goes on over the connection where it began, whoever's turn it is.
        for at in 0..8 {
            client.send(format!(
                "GET /secret/{at} HTTP/1.1\r\nHost: a\r\n{}\r\n",
                proof.map_or(String::new(), |proof| format!("Authorization: {proof}\r\n"))
            ));
            assert_eq!(client.response().is(200).text(), "secret", "{challenge}");
            others("while it is in use");
        }
        let open = || origins.iter().map(Origin::open_connections).sum::<usize>();
        let before = open();
        drop(client);
        eventually("it ends with its client", || {
            (open() == before - 1).then_some(())
        });
        others("afterwards");
    }
}

/// Negotiate needs no challenge: the proof may come first.
#[test]
fn a_proof_alone_makes_a_connection_private() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    let ask = |client: &mut crate::support::Client, proof: &str| {
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {proof}\r\n\r\n"
        ));
        client.response().is(200);
    };
    let mut client = proxy.client();
    ask(&mut client, "Bearer one");
    ask(&mut proxy.client(), "Basic eDp5");
    assert_eq!(origin.connections(), 1, "tokens are of the request");
    ask(&mut client, "Negotiate YII=");
    proxy.get("/").is(200);
    assert_eq!(origin.connections(), 2, "the first one is the client's");
    ask(&mut client, "Bearer one");
    let connections: Vec<_> = origin.requests().iter().map(|one| one.connection).collect();
    assert_eq!(connections, [1, 1, 1, 2, 1]);
    // One that the endpoint closed is not missed: the client authenticates again.
    origin.close_connections();
    origin.wait_closed(2);
    ask(&mut client, "Negotiate YII=");
    proxy.get("/").is(200);
    let connections: Vec<_> = origin.requests().iter().map(|one| one.connection).collect();
    assert_eq!(connections[5..], [3, 4]);
}

/// E-200: an endpoint's own word on how long it waits comes before `idle_timeout`.
#[test]
fn a_hint_of_the_endpoint_is_kept() {
    let origin = Origin::answering(|_| Answer::ok("x").field("Keep-Alive", "max=100, timeout=2"));
    let keys = "bulkhead = { idle_timeout = \"1h\" }";
    let proxy = Setup::over_with(&[origin.addr()], keys).workers(1).start();
    for _ in 0..3 {
        let response = proxy.get("/");
        assert_eq!(response.one("keep-alive"), None, "it is of one hop");
    }
    assert_eq!(origin.connections(), 1, "meanwhile it is used again");
    origin.wait_closed(1);
}
