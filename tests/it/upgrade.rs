//! The upgrade gate: a tunnel only after the endpoint's 101, over a connection of its own.

use crate::support::answer::Step;
use crate::support::websocket::{self, WebSocket};
use crate::support::{Answer, Client, Gate, Origin, Setup, eventually};

fn upgrades() -> Origin {
    Origin::answering(|request| match request.target.as_str() {
        "/chat" => websocket::accept(),
        _ => Answer::ok("plain"),
    })
}

#[test]
fn websockets_pass_over_a_connection_of_their_own() {
    let origin = upgrades();
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    proxy.get("/first").is(200);
    let mut one = WebSocket::connect(proxy.web, "/chat");
    let mut two = WebSocket::connect(proxy.web, "/chat");
    for at in 0..50 {
        one.echoes(&format!("one {at}"));
        two.echoes(&format!("two {at}"));
    }
    let seen = origin.requests();
    assert_eq!(seen[1].one("upgrade"), Some("websocket"));
    assert!(
        seen[1]
            .head
            .all("connection")
            .any(|value| value.eq_ignore_ascii_case("upgrade"))
    );
    assert_eq!(seen[1].one("sec-websocket-key"), Some(websocket::KEY));
    drop((one, two));
    origin.wait_closed(2);
    proxy.get("/last").is(200);
    let connections: Vec<_> = origin.requests().iter().map(|r| r.connection).collect();
    assert_eq!(
        connections,
        [1, 2, 3, 1],
        "plain requests share, tunnels do not"
    );
    let log = proxy.wait_log(4);
    let tunnels: Vec<_> = log.iter().filter(|line| line["path"] == "/chat").collect();
    assert_eq!(tunnels.len(), 2);
    for line in tunnels {
        assert_eq!(line["status"], 101, "{line}");
        assert!(
            line["bytes_in"].as_u64() > Some(300) && line["bytes_out"].as_u64() > Some(300),
            "{line}"
        );
    }
}

#[test]
fn the_end_of_a_tunnel_passes_both_ways() {
    let origin = upgrades();
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut socket = WebSocket::connect(proxy.web, "/chat");
    socket.echoes("x");
    origin.close_connections();
    socket.ends();
    drop(socket);
    let mut socket = WebSocket::connect(proxy.web, "/chat");
    socket.echoes("x");
    drop(socket);
    origin.wait_closed(2);
    eventually("both are in the log", || {
        (proxy.log().len() == 2).then_some(())
    });
    proxy.wait_metric("tidegate_requests_active", &[], |active| active == 0.0);
}

/// A 101 is an answer: what filters do to answers they do to it.
#[test]
fn response_filters_run_on_a_101() {
    let origin = upgrades();
    let filters = "filters = [{ request_id = { response = \"send\" } }, { rate_limit = { limiter = \"l\" } }, \"security_headers\", \
        { response_headers = { set = { x-seen = \"${status}\" }, remove = [\"server\"] } }]";
    let proxy = Setup::over(&[origin.addr()])
        .without_routes()
        .route("all", &format!("cluster = \"app\"\n{filters}"))
        .tail("[limiters.l]\nkey = \"global\"\nrate = 100")
        .start();
    let mut client = proxy.client();
    client.send(websocket::request("/chat"));
    let head = client.response();
    head.is(101);
    assert_eq!(head.one("x-seen"), Some("101"));
    assert_eq!(head.one("sec-websocket-accept"), Some(websocket::ACCEPT));
    for name in ["x-request-id", "ratelimit", "x-content-type-options"] {
        assert!(head.one(name).is_some(), "{name}: {}", head.text());
    }
    client.send(websocket::frame(
        1,
        b"still a tunnel",
        Some(websocket::MASK),
    ));
    let back = websocket::frame(1, b"still a tunnel", None);
    assert_eq!(client.wire.exact(back.len()).unwrap(), back);
}

/// Bulk through a tunnel, both ways at once, byte for byte.
#[test]
fn tunnels_carry_bulk() {
    let origin = Origin::answering(|_| {
        Answer::raw(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        )
        .then(Step::Echo)
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    client.send(websocket::request("/bulk"));
    client.response().is(101);
    let sent = crate::support::client::pattern(5 << 20);
    let mut writer = client.wire.stream.try_clone().unwrap();
    let bytes = sent.clone();
    let thread = std::thread::spawn(move || {
        use std::io::Write;
        writer.write_all(&bytes).unwrap();
    });
    assert!(client.wire.exact(sent.len()).unwrap() == sent);
    thread.join().unwrap();
}

/// E-039, E-077: without a 101 it was a request like any other, but its connection is not used again.
#[test]
fn without_101_there_is_no_tunnel() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/200" => Answer::ok("no"),
        "/426" => Answer {
            status: 426,
            ..Answer::ok("version")
        }
        .field("x", "y"),
        "/400" => Answer {
            status: 400,
            ..Answer::ok("bad")
        },
        _ => Answer::ok("plain"),
    });
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    for (at, (path, status, body)) in [
        ("/200", 200, "no"),
        ("/426", 426, "version"),
        ("/400", 400, "bad"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = proxy.client();
        client.send(websocket::request(path));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (status, body));
        if !response.closes() {
            client.get("/next").is(200);
        }
        origin.wait_closed(at + 1);
    }
    let seen = origin.requests();
    let asked: Vec<_> = seen
        .iter()
        .filter(|r| r.target != "/next")
        .map(|r| r.connection)
        .collect();
    for request in seen.iter().filter(|request| request.target == "/next") {
        assert!(
            !asked.contains(&request.connection),
            "an upgrade's connection was used again"
        );
    }
}

/// E-078: what follows the head waits for the 101.
#[test]
fn early_bytes_wait_for_the_endpoint() {
    let gate = Gate::shut();
    let inside = gate.clone();
    let origin = Origin::answering(move |_| {
        Answer::raw(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        )
        .first(Step::Hold(inside.clone()))
        .then(Step::Echo)
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    let early = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(websocket::request("/late") + early);
    let seen = origin.wait(1);
    assert_eq!(seen.body, b"");
    gate.open();
    client.response().is(101);
    // Now they are bytes of the tunnel: they come back as they were.
    assert_eq!(client.wire.exact(early.len()).unwrap(), early.as_bytes());
}

/// E-078: … and when there is none, they are parsed as anything else is.
#[test]
fn early_bytes_never_pass_unparsed() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/no" => Answer::ok("no"),
        _ => Answer::ok("parsed"),
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    client.send(websocket::request("/no") + "GET /smuggled HTTP/1.1\nHost: a\n\n");
    client.response().is(200);
    if let Ok(response) = client.try_response_to("GET") {
        response.is(400);
    }
    let mut client = proxy.client();
    client.send(websocket::request("/no") + "GET /again HTTP/1.1\r\nHost: B\r\n\r\n");
    client.response().is(200);
    if let Ok(response) = client.try_response_to("GET") {
        assert_eq!(response.text(), "parsed");
    }
    proxy.get("/fence").is(200);
    for request in origin.requests() {
        assert_ne!(request.target, "/smuggled");
        assert_ne!(
            request.one("host"),
            Some("B"),
            "a head that we did not write"
        );
    }
    assert_eq!(origin.broken(), []);
}

/// E-076: no h2c past us, and nothing else that we do not carry.
#[test]
fn other_upgrades_are_not_offered() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()]).start();
    for lines in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
        "Upgrade: websocket\r\n",
    ] {
        let mut client = proxy.client();
        client.send(format!("GET /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
        let response = client.response();
        if response.status == 200 {
            let seen = origin.wait(origin.count());
            assert!(
                !seen.head.has("upgrade") && !seen.head.has("http2-settings"),
                "{:?}",
                seen.head
            );
        } else {
            response.is(400);
        }
    }
}

/// E-039: a 101 for something else than what was asked.
#[test]
fn a_wrong_101_is_a_fault_of_the_endpoint() {
    let origin = Origin::answering(|request| {
        let protocol = if request.target == "/h2c" {
            "Upgrade: h2c\r\n"
        } else {
            ""
        };
        Answer::raw(format!(
            "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n{protocol}\r\n"
        ))
        .then(Step::Echo)
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    for path in ["/h2c", "/none"] {
        let mut client = Client::connect(proxy.web);
        client.send(websocket::request(path));
        client.response().is(502);
    }
    for line in proxy.wait_log(2) {
        assert_eq!(line["reason"], "upstream_protocol", "{line}");
    }
}
