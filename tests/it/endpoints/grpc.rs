//! What a call of gRPC gets that other requests do not.

use super::over;
use crate::support::streams::{Act, Streams, fields};
use crate::support::{Gate, Origin, Proxy, Response, Setup, endpoint, ports};

fn call(proxy: &Proxy, path: &str, more: &str) -> Response {
    let mut client = proxy.client();
    client.send(format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc+proto\r\nTE: trailers\r\n{more}\
         Content-Length: 5\r\n\r\n\0\0\0\0\0"
    ));
    client.response()
}

#[track_caller]
fn refused(response: &Response, status: &str, message: &str) {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.one("content-type"), Some("application/grpc"));
    assert_eq!(response.one("grpc-status"), Some(status), "{response:?}");
    let told = response.one("grpc-message").unwrap_or_default();
    assert!(told.starts_with(message), "{told}");
    assert!(response.body.is_empty());
}

/// E-222: what fails here is told in the caller's language.
#[test]
fn refusals_are_told_by_grpc_status() {
    let gone = ports::free();
    let proxy = Setup::new()
        .cluster("app", &[endpoint(gone)], "protocol = \"http2\"")
        .route("all", "path_prefix = \"/shop\"\ncluster = \"app\"")
        .route(
            "small",
            "path_prefix = \"/small\"\ncluster = \"app\"\nlimits = { body = \"4B\" }",
        )
        .start();
    refused(&call(&proxy, "/other", ""), "12", "no_route");
    refused(&call(&proxy, "/shop", ""), "14", "connect_refused");
    refused(&call(&proxy, "/small", ""), "8", "body_too_large");
    let reasons: Vec<_> = proxy.wait_log(3);
    let reason = |path| {
        let line = reasons.iter().find(|line| line["path"] == path).unwrap();
        (line["reason"].clone(), line["status"].clone())
    };
    assert_eq!(reason("/other"), ("no_route".into(), 200.into()));
    // Others are answered as ever.
    assert_eq!(proxy.get("/other").status, 404);
}

/// E-223: the caller says how long the exchange may take, and is told that it took longer.
#[test]
fn the_callers_timeout_bounds_the_exchange() {
    let gate = Gate::shut();
    let held = gate.clone();
    let origin =
        Streams::answering(move |_| vec![Act::Wait(held.clone()), Act::Head(200, Vec::new())]);
    // Neither of them may end it sooner, or at all.
    let proxy = over(&[origin.addr()], "timeouts = { response = \"100ms\" }").start();
    let response = call(&proxy, "/", "grpc-timeout: 600m\r\n");
    refused(&response, "4", "max_duration");
    assert_eq!(origin.wait(1).one("grpc-timeout"), Some("600m"));
    let response = call(&proxy, "/", "");
    refused(&response, "4", "response_timeout");
    gate.open();
}

/// An endpoint that says at once that another could do better is taken at its word, where the operator lists it.
#[test]
fn calls_are_tried_again_by_their_status() {
    let head = |more: &[(&str, &str)]| {
        let kind = [("content-type", "application/grpc")];
        Act::Head(200, fields(&[&kind, more].concat()))
    };
    let busy = Streams::answering(move |request| match &*request.path {
        "/late" => vec![head(&[]), Act::Trailers(fields(&[("grpc-status", "14")]))],
        "/other" => vec![Act::Bare, head(&[("grpc-status", "9")])],
        _ => vec![
            Act::Bare,
            head(&[("grpc-status", "14"), ("grpc-message", "busy")]),
        ],
    });
    let free = Streams::answering(move |_| {
        vec![
            head(&[]),
            Act::Data(vec![0; 5]),
            Act::Trailers(fields(&[("grpc-status", "0")])),
        ]
    });
    let keys = |on: &str| {
        format!(
            "balancer = \"round_robin\"\noutlier = {{ max_ejected = 0 }}\n\
             retry = {{ on = [{on}], budget = {{ ratio = 1.0, min_per_second = 100 }} }}"
        )
    };
    let addrs = [busy.addr(), free.addr()];
    let proxy = over(&addrs, &keys("\"grpc_unavailable\", \"grpc_internal\"")).start();
    for _ in 0..10 {
        let response = call(&proxy, "/", "");
        assert!(!response.head.has("grpc-status"), "{response:?}");
        assert_eq!(response.body, [0; 5]);
    }
    let attempts = |line: &serde_json::Value| line["attempts"].as_u64().unwrap_or_default();
    let twice = proxy
        .wait_log(10)
        .iter()
        .filter(|line| attempts(line) == 2)
        .count();
    assert!(twice >= 3, "{twice} met the busy one");
    let told = |status| {
        let labels = [("cluster", "app"), ("status", status)];
        proxy.metric("tidegate_grpc_responses_total", &labels)
    };
    assert_eq!((told("ok"), told("unavailable")), (10.0, twice as f64));
    let labels = [("cluster", "app"), ("result", "success")];
    let made = proxy.metric("tidegate_upstream_retries_total", &labels);
    assert_eq!(made, twice as f64);
    // What is not listed, and what comes behind a head that is not all, is passed on.
    for (path, status) in [("/other", "failed_precondition"), ("/late", "unavailable")] {
        let before = told(status);
        for _ in 0..4 {
            call(&proxy, path, "");
        }
        assert_eq!(told(status) - before, 2.0, "{path}");
    }
    // Without a word of the operator it is an answer like any other.
    let proxy = over(&addrs, &keys("\"503\"")).start();
    for _ in 0..4 {
        call(&proxy, "/", "");
    }
    assert!(proxy.wait_log(4).iter().all(|line| attempts(line) == 1));
}

/// A status of HTTP that is not 200 is what the endpoint said, whatever of gRPC stands beside it.
#[test]
fn a_status_of_http_is_heard_first() {
    let busy = Streams::answering(move |_| {
        let told = [("content-type", "application/grpc"), ("grpc-status", "14")];
        vec![Act::Bare, Act::Head(503, fields(&told))]
    });
    let free = Streams::answering(move |_| {
        let told = [("content-type", "application/grpc"), ("grpc-status", "0")];
        vec![Act::Bare, Act::Head(200, fields(&told))]
    });
    for (on, tries) in [("503", 2), ("grpc_unavailable", 1)] {
        let keys = format!(
            "balancer = \"round_robin\"\noutlier = {{ max_ejected = 0 }}\n\
             retry = {{ on = [\"{on}\"], methods = [\"POST\"], budget = {{ ratio = 1.0, min_per_second = 100 }} }}"
        );
        let proxy = over(&[busy.addr(), free.addr()], &keys).start();
        for _ in 0..4 {
            call(&proxy, "/", "");
        }
        let log = proxy.wait_log(4);
        let most = log.iter().map(|line| line["attempts"].as_u64()).max();
        assert_eq!(most, Some(Some(tries)), "{on}");
        let refused = log.iter().filter(|line| line["status"] == 503).count();
        assert_eq!(refused, if tries == 1 { 2 } else { 0 }, "{on}");
        let labels = [("cluster", "app"), ("status", "unavailable")];
        let heard = proxy.metric("tidegate_grpc_responses_total", &labels);
        assert_eq!(heard, 0.0, "{on}");
    }
}

/// Silence in a stream is not the end of it.
#[test]
fn a_stream_may_be_silent() {
    let gate = Gate::shut();
    let held = gate.clone();
    let origin = Streams::answering(move |_| {
        let kind = fields(&[("content-type", "application/grpc")]);
        let status = fields(&[("grpc-status", "0")]);
        vec![
            Act::Head(200, kind),
            Act::Wait(held.clone()),
            Act::Data(vec![0; 5]),
            Act::Trailers(status),
        ]
    });
    let proxy = over(&[origin.addr()], "timeouts = { response_idle = \"100ms\" }").start();
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n",
    );
    let head = client.wire.head().unwrap();
    assert!(head.first.starts_with("HTTP/1.1 200 "), "{head:?}");
    // Another exchange's end shows that the time has passed for this one.
    let mut other = proxy.client();
    other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let cut = other.try_response_to("GET");
    assert!(cut.is_err(), "{cut:?}");
    gate.open();
    let body = client.wire.chunked().unwrap();
    assert_eq!(body.bytes, [0; 5]);
    assert_eq!(body.trailers, fields(&[("grpc-status", "0")]));
}

/// What a client says that its request is frees it from no clock where there are no streams.
#[test]
fn an_upload_to_http1_has_its_clocks_whatever_it_calls_itself() {
    let origin = Origin::start();
    let proxy = Setup::over(&[origin.addr()])
        .listener("timeouts = { body = \"1s\" }")
        .start();
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\ngrpc-timeout: 99999999H\r\n\
         Content-Length: 5\r\n\r\n\0",
    );
    refused(&client.response(), "4", "body_timeout");
}

/// What a call ends with is the endpoint's to say: a message may end in a space, and details are as long as a head may be.
#[test]
fn a_call_ends_with_what_its_endpoint_says() {
    let details = "A".repeat(6000);
    let long = details.clone();
    let origin = Streams::answering(move |request| {
        let kind = fields(&[("content-type", "application/grpc")]);
        let said = [
            ("grpc-status", "5"),
            ("grpc-message", "no such user: "),
            ("grpc-status-details-bin", &long),
        ];
        match &*request.path {
            "/head" => vec![Act::Bare, Act::Head(200, [kind, fields(&said)].concat())],
            _ => vec![
                Act::Head(200, kind),
                Act::Data(vec![0; 5]),
                Act::Trailers(fields(&said)),
            ],
        }
    });
    let proxy = over(&[origin.addr()], "").start();
    let response = call(&proxy, "/head", "");
    assert_eq!(response.one("grpc-status"), Some("5"), "{response:?}");
    assert_eq!(response.one("grpc-message"), Some("no such user:"));
    let response = call(&proxy, "/trailers", "");
    let one = |name: &str| {
        let mut all = response.trailers.iter().filter(|(at, _)| at == name);
        all.next().map(|(_, value)| value.clone())
    };
    assert_eq!(one("grpc-message").as_deref(), Some("no such user:"));
    assert_eq!(one("grpc-status-details-bin"), Some(details));
}
