//! Responses that may not be passed on as they are, and those without a body.

use crate::support::answer::Step;
use crate::support::client::{Ends, pattern};
use crate::support::{Answer, Fault, Origin, Proxy, Setup};
use std::collections::HashMap;

#[test]
fn heads_without_bodies() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/204" => Answer::status(204),
        "/304" => Answer::status(304).field("etag", "\"x\""),
        "/chunked" => Answer::ok(pattern(1000)).chunked(10),
        _ => Answer::ok(pattern(1000)),
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    for _ in 0..3 {
        let head = client.method("HEAD", "/", b"");
        assert_eq!(
            (head.status, head.one("content-length")),
            (200, Some("1000"))
        );
        client.method("HEAD", "/chunked", b"").is(200);
        assert_eq!(client.get("/204").is(204).ends, Ends::Never);
        let not_modified = client.get("/304");
        assert_eq!(
            (not_modified.status, not_modified.one("etag")),
            (304, Some("\"x\""))
        );
        assert_eq!(client.get("/").body, pattern(1000));
    }
    // An answer that speaks of a body and has none may cost its connection, and nothing else does.
    assert!(origin.connections() <= 7, "{}", origin.connections());
}

/// Raw bytes that an origin may send, by target.
fn hostile(table: &'static [(&'static str, &'static str)]) -> Origin {
    let table: HashMap<_, _> = table.iter().copied().collect();
    Origin::answering(move |request| match table.get(request.target.as_str()) {
        Some(bytes) => Answer::raw(*bytes).then(Step::Close),
        None => Answer::ok("fine"),
    })
}

fn post(proxy: &Proxy, target: &str) -> Result<crate::support::Response, Fault> {
    let mut client = proxy.client();
    client.send(format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    ));
    client.try_response_to("POST")
}

/// E-017, E-018, E-020, E-039, E-041, E-044: 502, and the log says what it was.
#[test]
fn malformed_responses_are_not_passed_on() {
    const TABLE: &[(&str, &str)] = &[
        ("/garbage", "garbage\r\n\r\n"),
        ("/old", "HTTP/0.9 200 OK\r\n\r\nx"),
        ("/two", "HTTP/2.0 200 OK\r\ncontent-length: 1\r\n\r\nx"),
        ("/code", "HTTP/1.1 20 OK\r\ncontent-length: 1\r\n\r\nx"),
        ("/code4", "HTTP/1.1 2000 OK\r\ncontent-length: 1\r\n\r\nx"),
        ("/codex", "HTTP/1.1 2x0 OK\r\ncontent-length: 1\r\n\r\nx"),
        ("/lf", "HTTP/1.1 200 OK\ncontent-length: 1\n\nx"),
        (
            "/lf-field",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\nx: y\r\n\r\nx",
        ),
        (
            "/fold",
            "HTTP/1.1 200 OK\r\nx: y\r\n z\r\ncontent-length: 1\r\n\r\nx",
        ),
        (
            "/nul",
            "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 1\r\n\r\nx",
        ),
        (
            "/cr",
            "HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 1\r\n\r\nx",
        ),
        ("/space", "HTTP/1.1 200 OK\r\ncontent-length : 1\r\n\r\nx"),
        (
            "/name",
            "HTTP/1.1 200 OK\r\n: y\r\ncontent-length: 1\r\n\r\nx",
        ),
        (
            "/cl-two",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy",
        ),
        (
            "/cl-list",
            "HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\nxy",
        ),
        ("/cl-plus", "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\nx"),
        ("/cl-empty", "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nx"),
        ("/cl-hex", "HTTP/1.1 200 OK\r\ncontent-length: 0x1\r\n\r\nx"),
        ("/te-x", "HTTP/1.1 200 OK\r\ntransfer-encoding: x\r\n\r\nx"),
        (
            "/te-two",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "/101",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        ),
    ];
    let origin = hostile(TABLE);
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut wrong = Vec::new();
    for (target, bytes) in TABLE {
        match post(&proxy, target) {
            Ok(response) if response.status == 502 => {}
            other => wrong.push(format!("{target} {bytes:?}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for line in proxy.wait_log(TABLE.len()) {
        assert_eq!(line["reason"], "upstream_protocol", "{line}");
    }
    assert_eq!(
        origin.count(),
        TABLE.len(),
        "a broken answer to a POST is not asked for again"
    );
    proxy.get("/fine").is(200);
}

#[test]
fn oversized_response_heads_are_refused() {
    let origin = Origin::answering(|request| {
        let count: usize = request.target[1..].parse().unwrap_or(0);
        (0..count).fold(Answer::ok("x"), |answer, at| {
            answer.field(&format!("x-{at}"), &"v".repeat(1000))
        })
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    proxy.get("/10").is(200);
    assert_eq!(post(&proxy, "/1000").unwrap().status, 502);
    let line = proxy.wait_line("a line", |line| line["status"] == 502);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"upstream_protocol".into(), &"response_head".into())
    );
}

/// E-041: with both framings the client is told one, and it is the true one; or it gets a 502.
#[test]
fn both_framings_in_a_response_leave_one() {
    const TABLE: &[(&str, &str)] = &[
        (
            "/a",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "/b",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 50\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
    ];
    let origin = hostile(TABLE);
    let proxy = Setup::over(&[origin.addr()]).start();
    for (target, _) in TABLE {
        let response = post(&proxy, target).unwrap();
        match response.status {
            200 => assert_eq!(response.text(), "abc"),
            status => assert_eq!(status, 502),
        }
    }
}

/// E-042: a short body is never passed on as a whole one.
#[test]
fn truncated_bodies_show() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/length" => Answer::ok(pattern(100_000)).cut(500, Step::Close),
        "/chunked" => Answer::ok(pattern(100_000))
            .chunked(999)
            .cut(500, Step::Close),
        "/reset" => Answer::ok(pattern(100_000)).cut(500, Step::Reset),
        "/last" => {
            Answer::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
                .then(Step::Close)
        }
        "/grammar" => {
            Answer::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\nz\r\n")
                .then(Step::Close)
        }
        _ => Answer::ok("fine"),
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    let targets = ["/length", "/chunked", "/reset", "/last", "/grammar"];
    for target in targets {
        let fault = proxy.client().try_get(target);
        // A head that was not sent yet may still become a 502.
        match fault {
            Err(Fault::Truncated | Fault::Reset) => {}
            Ok(response) if response.status == 502 => {}
            other => panic!("{target}: {other:?}"),
        }
    }
    for line in proxy.wait_log(targets.len()) {
        assert!(
            matches!(
                line["reason"].as_str(),
                Some("upstream_truncated" | "upstream_protocol")
            ),
            "{line}"
        );
    }
    assert_eq!(proxy.get("/fine").text(), "fine");
}

/// The other direction of trust: an endpoint that speaks HTTP/1.0 or says when it closes.
#[test]
fn old_origins_are_understood() {
    const TABLE: &[(&str, &str)] = &[
        ("/length", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
        ("/close", "HTTP/1.0 200 OK\r\n\r\nabc"),
        ("/plain", "HTTP/1.1 200 OK\r\n\r\nabc"),
        ("/phrase", "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabc"),
        ("/nophrase", "HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc"),
    ];
    let origin = hostile(TABLE);
    let proxy = Setup::over(&[origin.addr()]).start();
    for (target, _) in TABLE {
        // This origin closes without a word after each answer: a request that may not be repeated would meet that.
        let response = proxy.get(target);
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "abc"),
            "{target}"
        );
    }
}
