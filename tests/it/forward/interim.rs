//! Responses before the response, and trailers after it.

use crate::support::client::chunks;
use crate::support::{Answer, Fault, Origin, Setup, endpoint};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n";

fn ask(body: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {body}\r\n\r\n")
}

/// E-033: we say 100 ourselves; the origin never sees the expectation.
#[test]
fn expectations_are_answered_here() {
    let origin = Origin::answering(|request| Answer::ok(request.body.clone()));
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    for expect in ["100-continue", "100-Continue"] {
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: {expect}\r\nContent-Length: 4\r\n\r\n"
        ));
        let head = client.wire.head().unwrap();
        assert!(head.first.starts_with("HTTP/1.1 100 "), "{head:?}");
        client.send("body");
        let response = client.response();
        assert_eq!(
            (response.text().as_str(), response.interim.len()),
            ("body", 0)
        );
        let seen = origin.wait(origin.count());
        assert!(!seen.head.has("expect"), "{:?}", seen.head);
        assert_eq!(seen.body, b"body");
    }
    // A body that comes at once needs no invitation, and HTTP/1.0 knows of none.
    client.send(ask(4) + "body");
    assert_eq!(client.response().text(), "body");
    let mut old = proxy.client();
    old.send("POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody");
    let response = old.response();
    assert_eq!(
        (response.text().as_str(), response.interim.len()),
        ("body", 0)
    );
}

/// Nobody is asked for a body that no endpoint will take.
#[test]
fn no_invitation_without_an_endpoint() {
    let proxy = Setup::new()
        .cluster("app", &[endpoint(crate::support::ports::free())], "")
        .route("all", "cluster = \"app\"")
        .start();
    let mut client = proxy.client();
    client.send(ask(1000));
    let response = client.response();
    assert_eq!((response.status, response.interim.len()), (502, 0));
    assert!(response.closes(), "the body was never asked for");
    client.ends();
}

/// E-033, E-034: a final answer instead of an invitation is the only one.
#[test]
fn a_refusal_comes_instead_of_the_invitation() {
    let origin = Origin::plan().early(|_| Some(Answer::status(403))).start();
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    client.send(ask(4));
    let response = client.response();
    assert_eq!(response.status, 403);
    assert!(
        response.interim.len() <= 1 && response.interim.iter().all(|(status, _)| *status == 100)
    );
    // Whatever is sent now is either the body or a new connection: never a second answer.
    if response.closes() {
        client.ends();
    }
    let mut next = proxy.client();
    next.get("/next").is(403);
    assert_eq!(
        origin.connections(),
        2,
        "a connection that is owed a body is not used again"
    );
}

#[test]
fn hints_pass_and_invitations_do_not() {
    let origin = Origin::answering(|request| {
        let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        let processing = "HTTP/1.1 102 Processing\r\n\r\n";
        match request.target.as_str() {
            "/hints" => Answer::ok("x").interim(&[HINTS, go_on, HINTS].concat()),
            "/other" => Answer::ok("x").interim(&[go_on, processing].concat()),
            _ => Answer::ok("x"),
        }
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    let response = client.get("/hints");
    assert_eq!(
        response.interim.iter().map(|(s, _)| *s).collect::<Vec<_>>(),
        [103, 103]
    );
    assert_eq!(response.interim[0].1.one("link"), Some("</style.css>"));
    assert_eq!(response.text(), "x");
    let response = client.get("/other");
    assert!(
        response.interim.iter().all(|(status, _)| *status != 100),
        "{:?}",
        response.interim
    );
    // An old client would take it for the answer.
    let mut old = proxy.client();
    old.send("GET /hints HTTP/1.0\r\nHost: a\r\n\r\n");
    let response = old.response();
    assert_eq!((response.interim.len(), response.text().as_str()), (0, "x"));
}

/// E-038: an origin that never comes to the point.
#[test]
fn interim_responses_are_capped() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/many" => Answer::ok("x").interim(&HINTS.repeat(1000)),
        "/some" => Answer::ok("x").interim(&HINTS.repeat(16)),
        _ => Answer::ok("x"),
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    let some = proxy.get("/some");
    assert_eq!((some.status, some.interim.len()), (200, 16));
    let many = proxy.get("/many");
    assert_eq!(many.status, 502);
    assert!(many.interim.len() <= 16, "{}", many.interim.len());
    let line = proxy.wait_line("a line", |line| line["status"] == 502);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"upstream_protocol".into(), &"interim".into())
    );
    proxy.get("/fine").is(200);
}

/// E-025: what stands in trailers decides nothing behind us.
#[test]
fn forbidden_trailers_end_here() {
    const FORBIDDEN: [&str; 12] = [
        "Content-Length",
        "Transfer-Encoding",
        "Host",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "Connection",
        "X-Forwarded-For",
        "Forwarded",
        "Content-Type",
        "Trailer",
        "Upgrade",
    ];
    let origin = Origin::answering(|_| {
        let answer = Answer::ok("body").chunked(3);
        FORBIDDEN
            .iter()
            .fold(answer, |answer, name| answer.trailer(name, "1"))
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    let mut request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    request.extend_from_slice(&chunks(b"abc", 2));
    request.truncate(request.len() - 2);
    for name in FORBIDDEN {
        request.extend_from_slice(format!("{name}: 1\r\n").as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    client.send(&request);
    let response = client.response();
    assert_eq!(response.text(), "body");
    assert_eq!(response.trailers, []);
    let seen = origin.wait(1);
    assert_eq!(
        (seen.body.as_slice(), seen.trailers.len()),
        (b"abc".as_slice(), 0)
    );
    for name in ["authorization", "cookie", "content-length", "upgrade"] {
        assert!(!seen.head.has(name), "{name} moved into the head");
    }
    client.get("/again").is(200);
    // Those of one request and of two answers.
    let all = 3.0 * FORBIDDEN.len() as f64;
    let name = "tidegate_trailers_dropped_total";
    proxy.wait_metric(name, &[("cause", "forbidden"), ("route", "all")], |count| {
        count == all
    });
    assert_eq!(proxy.metric(name, &[("cause", "unlisted")]), 0.0);
}

/// What nobody knows stays here too, and what is known to be a result passes, both ways.
#[test]
fn only_listed_trailers_pass() {
    let origin = Origin::answering(|_| {
        Answer::ok("body")
            .chunked(3)
            .trailer("server-timing", "db")
            .trailer("x-unknown", "1")
    });
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nGrpc-Status: 0\r\n\
         X-Unknown: 1\r\nX_Forwarded_For: 1\r\n\r\n",
    );
    let response = client.response();
    assert_eq!(
        response.trailers,
        [("server-timing".to_owned(), "db".to_owned())]
    );
    assert_eq!(
        origin.wait(1).trailers,
        [("grpc-status".to_owned(), "0".to_owned())]
    );
    let name = "tidegate_trailers_dropped_total";
    proxy.wait_metric(name, &[("cause", "unlisted")], |count| count == 2.0);
    assert_eq!(proxy.metric(name, &[("cause", "forbidden")]), 1.0);
}

#[test]
fn an_interim_response_alone_is_no_answer() {
    let origin =
        Origin::answering(|_| Answer::raw(HINTS).then(crate::support::answer::Step::Close));
    let proxy = Setup::over(&[origin.addr()]).start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    match client.try_response_to("POST") {
        Ok(response) => assert_eq!(response.status, 502),
        Err(fault) => assert_eq!(fault, Fault::Truncated),
    }
    assert_eq!(origin.count(), 1, "a POST is not sent twice");
}
