//! Heads: what is taken out, what is put in, what is written again.

use crate::support::{Answer, Client, Origin, Received, Setup, eventually};

/// What the origin sees of a GET with these field lines.
fn seen(setup: &Setup, origin: &Origin, lines: &str) -> Received {
    let proxy = setup.start();
    let mut client = proxy.client();
    client.send(format!(
        "GET /p HTTP/1.1\r\nHost: test.example\r\n{lines}\r\n"
    ));
    client.response().is(200);
    origin.wait(origin.count())
}

#[test]
fn fields_pass_as_received_and_in_order() {
    let origin = Origin::answering(|_| {
        Answer::ok("x")
            .field("X-Three", "3")
            .field("Set-Cookie", "a=1")
            .field("set-cookie", "b=2")
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    client.send(
        "GET /p?q=%20a&b HTTP/1.1\r\nHost: test.example\r\nX-One: 1\r\nCookie: a=b; c=d\r\nx-TWO: \
         a \"quoted\"; value\r\nX-One: 2\r\nAccept: */*\r\nUser-Agent: t\r\n\r\n",
    );
    let response = client.response();
    let cookies: Vec<_> = response.head.all("set-cookie").collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(response.one("x-three"), Some("3"));
    let seen = origin.wait(1);
    assert_eq!(seen.head.first, "GET /p?q=%20a&b HTTP/1.1");
    assert_eq!(seen.head.all("x-one").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(seen.one("cookie"), Some("a=b; c=d"));
    assert_eq!(seen.one("x-two"), Some("a \"quoted\"; value"));
    let raw = String::from_utf8(seen.head.raw).unwrap();
    assert!(
        raw.contains("\r\nx-TWO: ") && raw.contains("\r\nX-One: 1\r\n"),
        "{raw}"
    );
}

/// E-045, E-115: what is meant for one hop ends there.
#[test]
fn hop_by_hop_fields_are_taken_out() {
    let origin = Origin::answering(|_| {
        Answer::ok("x")
            .field("Connection", "keep-alive, X-Hop, x-other")
            .field("Keep-Alive", "timeout=5")
            .field("X-Hop", "1")
            .field("X-Other", "2")
            .field("Proxy-Connection", "keep-alive")
            .field("X-Kept", "3")
    });
    let setup = Setup::over(&[origin.addr()]);
    let proxy = setup.start();
    let mut client = proxy.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: test.example\r\nConnection: x-hop , X-More,,keep-alive\r\nX-Hop: 1\r\n\
         X-MORE: 2\r\nKeep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\n\
         Trailer: x-sum\r\nX-Kept: 3\r\nX-Hopper: 4\r\n\r\n",
    );
    let response = client.response();
    for name in ["keep-alive", "x-hop", "x-other", "proxy-connection"] {
        assert!(!response.head.has(name), "{name} reached the client");
    }
    assert_eq!(response.one("x-kept"), Some("3"));
    let seen = origin.wait(1);
    for name in [
        "x-hop",
        "x-more",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
    ] {
        assert!(!seen.head.has(name), "{name} reached the origin");
    }
    assert!(
        !seen
            .head
            .all("connection")
            .any(|value| value != "keep-alive"),
        "{:?}",
        seen.head
    );
    assert_eq!(
        (seen.one("x-kept"), seen.one("x-hopper")),
        (Some("3"), Some("4"))
    );
    client.get("/again").is(200);
}

/// E-116: what a stranger says of itself is not believed and not passed on.
#[test]
fn strangers_cannot_speak_for_others() {
    let origin = Origin::start();
    let seen = seen(
        &Setup::over(&[origin.addr()]),
        &origin,
        "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
         Forwarded: for=9.9.9.9\r\nX-Real-IP: 9.9.9.9\r\nX-Forwarded-Port: 443\r\n\
         x-forwarded-for: 8.8.8.8\r\n",
    );
    assert_eq!(seen.one("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.one("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.one("x-forwarded-host"), Some("test.example"));
    let raw = String::from_utf8(seen.head.raw).unwrap();
    for lie in ["9.9.9.9", "8.8.8.8", "evil", "443"] {
        assert!(!raw.contains(lie), "{raw}");
    }
}

/// E-114: nor by a name that only an origin would take for ours.
#[test]
fn underscores_do_not_alias_what_we_set() {
    let origin = Origin::start();
    let seen = seen(
        &Setup::over(&[origin.addr()]),
        &origin,
        "X_Forwarded_For: 9.9.9.9\r\nX-Forwarded_Proto: https\r\nX_Mine: kept\r\n",
    );
    let raw = String::from_utf8(seen.head.raw).unwrap();
    assert!(!raw.contains("9.9.9.9") && !raw.contains("https"), "{raw}");
    assert!(raw.contains("X_Mine: kept"), "{raw}");
}

#[test]
fn trusted_peers_are_believed() {
    let origin = Origin::start();
    let setup = Setup::over(&[origin.addr()])
        .listener("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]");
    let proxy = setup.start();
    let mut client = proxy.client();
    let mut count = 0;
    for (sent, passed, address) in [
        ("203.0.113.7", "203.0.113.7, 127.0.0.1", "203.0.113.7"),
        (
            "1.1.1.1, 203.0.113.7",
            "1.1.1.1, 203.0.113.7, 127.0.0.1",
            "203.0.113.7",
        ),
        (
            "203.0.113.7, 10.1.2.3",
            "203.0.113.7, 10.1.2.3, 127.0.0.1",
            "203.0.113.7",
        ),
        ("2001:db8::1", "2001:db8::1, 127.0.0.1", "2001:db8::1"),
    ] {
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: test.example\r\nX-Forwarded-For: {sent}\r\nX-Forwarded-Proto: \
             https\r\nX-Forwarded-Host: public.example\r\n\r\n"
        ));
        client.response().is(200);
        count += 1;
        let seen = origin.wait(count);
        let list: Vec<_> = seen.head.all("x-forwarded-for").collect();
        assert_eq!(list.join(", "), passed);
        assert_eq!(seen.one("x-forwarded-proto"), Some("https"));
        assert_eq!(seen.one("x-forwarded-host"), Some("public.example"));
        let log = proxy.wait_log(count);
        assert_eq!(log[count - 1]["client"], address, "{sent}");
        assert_eq!(
            log[count - 1]["peer"]
                .as_str()
                .map(|p| p.starts_with("127.0.0.1")),
            Some(true)
        );
    }
    // Without the field the peer is the client.
    client.get("/").is(200);
    assert_eq!(
        origin.wait(count + 1).one("x-forwarded-for"),
        Some("127.0.0.1")
    );
}

/// E-110 … E-112: one canonical path and one canonical host, for the endpoint too.
#[test]
fn the_endpoint_gets_the_canonical_target_and_host() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    client.send("GET /a/%2e%2e/%62?x=/../%62 HTTP/1.1\r\nHost: TEST.Example:8080\r\n\r\n");
    client.response().is(200);
    let seen = origin.wait(1);
    assert_eq!(seen.head.first, "GET /b?x=/../%62 HTTP/1.1");
    assert_eq!(seen.one("host"), Some("test.example:8080"));
    assert_eq!(proxy.wait_log(1)[0]["path"], "/b");
}

#[test]
fn old_clients_get_what_they_understand() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/chunked" => Answer::ok("in chunks").chunked(2),
        _ => Answer::ok("plain"),
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    client.send("GET /one HTTP/1.0\r\nHost: test.example\r\n\r\n");
    assert_eq!(client.response().text(), "plain");
    client.ends();

    let mut client = proxy.client();
    for _ in 0..3 {
        client.send("GET /k HTTP/1.0\r\nHost: test.example\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response();
        assert_eq!(response.text(), "plain");
        assert!(
            response
                .head
                .all("connection")
                .any(|v| v.eq_ignore_ascii_case("keep-alive"))
        );
    }
    // No chunks for HTTP/1.0: the end of the connection is the end of the body.
    client.send("GET /chunked HTTP/1.0\r\nHost: test.example\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response();
    assert_eq!(response.text(), "in chunks");
    assert!(!response.head.has("transfer-encoding"));
    client.ends();
    // Without Host it is still HTTP/1.0.
    let mut client = proxy.client();
    client.send("GET /nohost HTTP/1.0\r\n\r\n");
    client.response().is(200);
    assert!(
        origin
            .requests()
            .iter()
            .all(|seen| seen.head.first.ends_with(" HTTP/1.1"))
    );
    assert!(
        origin
            .requests()
            .iter()
            .all(|seen| !seen.head.all("connection").any(|v| v == "close"))
    );
}

#[test]
fn connection_close_is_kept() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()]).start();
    for token in ["close", "Close", "x, CLOSE", "keep-alive, close"] {
        let mut client = proxy.client();
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: {token}\r\n\r\n"
        ));
        assert!(client.response().is(200).closes(), "{token}");
        client.ends();
    }
    // Only the token counts, not the letters.
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: closed, x-close\r\n\r\n");
    assert!(!client.response().is(200).closes());
    client.get("/again").is(200);
    // The origin's connection is not the client's: all of them went over a few.
    assert!(origin.connections() <= 2, "{}", origin.connections());
}

/// E-031: a hundred requests in one write are answered one after the other.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::answering(|request| match request.target.len() % 3 {
        0 => Answer::ok(request.target.clone()).chunked(2),
        1 => Answer::ok(request.target.clone() + &"x".repeat(5000)),
        _ => Answer::ok(request.target.clone()),
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    let mut all = Vec::new();
    for at in 0..100 {
        let (method, body) = if at % 4 == 3 {
            ("POST", "abc")
        } else {
            ("GET", "")
        };
        let path = "y".repeat(at % 7);
        all.extend_from_slice(
            format!(
                "{method} /{at}{path} HTTP/1.1\r\nHost: a\r\nX-Nonce: n{at}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        );
    }
    client.send(&all);
    for at in 0..100 {
        let response = client.response();
        response.is(200);
        assert_eq!(response.one("x-nonce"), Some(format!("n{at}").as_str()));
        assert!(
            response.text().starts_with(&format!("/{at}")),
            "{at}: {}",
            response.text()
        );
    }
    let order: Vec<_> = origin
        .requests()
        .iter()
        .map(|r| r.one("x-nonce").unwrap().to_owned())
        .collect();
    assert_eq!(
        order,
        (0..100).map(|at| format!("n{at}")).collect::<Vec<_>>()
    );
    assert_eq!(origin.connections(), 1);
}

/// A request that comes byte by byte is the same request.
#[test]
fn a_request_may_come_in_pieces() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    let request = "POST /bytes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n\
                   3;x=y\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    for byte in request.as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.response().text(), "echo /bytes\n");
    assert_eq!(client.response().text(), "echo /next\n");
    assert_eq!(origin.wait(1).body, b"abcdefg");
}

/// F-06: a client that has said all it will say still gets its answer.
#[test]
fn a_half_closed_client_gets_its_answer() {
    let gate = crate::support::Gate::shut();
    let inside = gate.clone();
    let origin = Origin::answering(move |_| Answer::ok("late").held(&inside));
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = Client::connect(proxy.web);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").finish();
    origin.wait(1);
    gate.open();
    assert_eq!(client.response().text(), "late");
    eventually("one line", || (proxy.log().len() == 1).then_some(()));
    assert_eq!(proxy.log()[0]["reason"], "completed");
}
