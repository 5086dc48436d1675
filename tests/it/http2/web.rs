//! Calls of gRPC-Web, by clients that say what scripts in browsers say, to an endpoint of `grpcio`.

use super::calls::Server;
use super::client;
use crate::support::frames::{self, DATA, END_HEADERS, END_STREAM, HEADERS};
use crate::support::streams::{Act, Streams, fields};
use crate::support::{Gate, Proxy, Response, Setup, endpoint, ports};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::SocketAddr;

const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text+proto";

fn over(addr: SocketAddr) -> Proxy {
    let filters =
        "filters = [{ cors = { allow_origins = [\"https://app.example\"] } }, { grpc_web = {} }]";
    let route = |cluster: &str| format!("cluster = \"{cluster}\"\n{filters}");
    Setup::new()
        .cluster("app", &[endpoint(addr)], "protocol = \"http2\"")
        .cluster("gone", &[endpoint(ports::free())], "protocol = \"http2\"")
        .route("calls", &route("app"))
        .route(
            "gone",
            &format!("path_prefix = \"/gone\"\n{}", route("gone")),
        )
        .start()
}

fn message(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0], &length[..], bytes].concat()
}

/// As a client of this type writes it.
fn written(kind: &str, bytes: &[u8]) -> Vec<u8> {
    match kind {
        TEXT => STANDARD.encode(bytes).into_bytes(),
        _ => bytes.to_vec(),
    }
}

/// As such a client reads it: base64 may be padded anywhere.
fn read(kind: &str, body: &[u8]) -> Vec<u8> {
    match kind {
        TEXT => body
            .chunks(4)
            .flat_map(|four| STANDARD.decode(four).expect("base64"))
            .collect(),
        _ => body.to_vec(),
    }
}

/// Messages and trailers of an answer's body.
fn parts(body: &[u8]) -> (Vec<Vec<u8>>, Vec<(String, String)>) {
    let (mut messages, mut rest) = (Vec::new(), body);
    while let Some((head, behind)) = rest.split_at_checked(5) {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (frame, behind) = behind.split_at(length);
        rest = behind;
        if head[0] == 0x80 {
            assert!(rest.is_empty(), "the trailers are the last");
            let text = String::from_utf8(frame.to_vec()).unwrap();
            let line = |line: &str| {
                let (name, value) = line.split_once(": ").unwrap();
                (name.to_owned(), value.to_owned())
            };
            return (messages, text.split_terminator("\r\n").map(line).collect());
        }
        messages.push(frame.to_vec());
    }
    panic!("no trailers: {body:?}");
}

fn head(path: &str, kind: &str, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\nContent-Type: {kind}\r\nX-Grpc-Web: 1\r\n{more}\r\n"
    )
}

/// Over HTTP/1, with its length.
fn call(proxy: &Proxy, path: &str, kind: &str, body: &[u8]) -> Response {
    let length = format!("Content-Length: {}\r\n", body.len());
    let mut client = proxy.client();
    client.send(head(path, kind, &length)).send(body);
    client.response()
}

#[track_caller]
fn status(response: &Response, kind: &str) -> (Vec<Vec<u8>>, String) {
    assert_eq!(response.status, 200, "{response:?}");
    // The format of messages is the endpoint's word.
    let told = response.one("content-type").unwrap_or_default();
    let bare = kind.trim_end_matches("+proto");
    assert_eq!(told.trim_end_matches("+proto"), bare);
    assert_eq!(
        response.one("access-control-allow-origin"),
        Some("https://app.example")
    );
    // A browser shows it only where it is exposed.
    assert!(!response.head.has("grpc-status"));
    let (messages, trailers) = parts(&read(kind, &response.body));
    let told = trailers.iter().find(|(name, _)| name == "grpc-status");
    (messages, told.expect("a status").1.clone())
}

#[test]
fn calls_of_scripts_are_answered() {
    let server = Server::start(&[]);
    let proxy = over(server.addr);
    for kind in [BINARY, TEXT] {
        for size in [0, 1, 2, 3, 70_000, 1 << 20] {
            let sent = vec![b'm'; size];
            let body = written(kind, &message(&sent));
            let response = call(&proxy, "/test.Calls/Echo", kind, &body);
            assert!(
                response.head.has("transfer-encoding"),
                "{:?}",
                response.head
            );
            let (messages, code) = status(&response, kind);
            assert!(messages == [sent] && code == "0", "{kind} {size} {code}");
        }
        // A stream of them.
        let body = written(kind, &message(b"[3, 0, 100000]"));
        let response = call(&proxy, "/test.Calls/Several", kind, &body);
        let (messages, code) = status(&response, kind);
        let sizes: Vec<_> = messages.iter().map(Vec::len).collect();
        assert_eq!((sizes, &*code), (vec![3, 0, 100_000], "0"));
        // What fails before and behind messages; metadata is with it.
        let response = call(
            &proxy,
            "/test.Calls/Fail",
            kind,
            &written(kind, &message(b"")),
        );
        assert_eq!(status(&response, kind), (Vec::new(), "9".to_owned()));
        let response = call(
            &proxy,
            "/test.Calls/FailLate",
            kind,
            &written(kind, &message(b"x")),
        );
        let (_, trailers) = parts(&read(kind, &response.body));
        assert!(
            trailers.contains(&("x-why".to_owned(), "so".to_owned())),
            "{trailers:?}"
        );
        assert_eq!(
            status(&response, kind),
            (vec![b"x".to_vec()], "15".to_owned())
        );
    }
}

/// The answer may be wanted in the other form.
#[test]
fn an_answer_has_the_form_that_is_asked_for() {
    let server = Server::start(&[]);
    let proxy = over(server.addr);
    let body = message(b"hello");
    let more = format!("Accept: {TEXT}\r\nContent-Length: {}\r\n", body.len());
    let mut client = proxy.client();
    client
        .send(head("/test.Calls/Echo", BINARY, &more))
        .send(&body);
    let (messages, code) = status(&client.response(), TEXT);
    assert_eq!((messages, &*code), (vec![b"hello".to_vec()], "0"));
}

/// Base64 comes cut and padded anywhere: one byte in a frame, and one in a chunk.
#[test]
fn bodies_may_be_cut_anywhere() {
    let server = Server::start(&[]);
    let proxy = over(server.addr);
    let whole = message(b"hello");
    let padded: Vec<u8> = whole
        .chunks(4)
        .flat_map(|part| written(TEXT, part))
        .collect();
    let bodies = [
        (BINARY, whole.clone()),
        (TEXT, written(TEXT, &whole)),
        (TEXT, padded),
    ];
    let mut stream = 1;
    let mut h2 = client(proxy.web);
    for (kind, body) in bodies {
        for cut in 0..=body.len() {
            let length = format!("Content-Length: {}\r\n", body.len());
            let mut client = proxy.client();
            client.send(head("/test.Calls/Echo", kind, &length));
            client.send(&body[..cut]).send(&body[cut..]);
            let (messages, code) = status(&client.response(), kind);
            assert_eq!(
                (messages, &*code),
                (vec![b"hello".to_vec()], "0"),
                "{kind} {cut}"
            );
        }
        let mut client = proxy.client();
        client.send(head(
            "/test.Calls/Echo",
            kind,
            "Transfer-Encoding: chunked\r\n",
        ));
        for byte in &body {
            client.send([b"1\r\n", &[*byte][..], b"\r\n"].concat());
        }
        client.send("0\r\n\r\n");
        assert_eq!(status(&client.response(), kind).1, "0", "{kind}");
        let block = frames::block(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/test.Calls/Echo"),
            (":authority", "a"),
            ("content-type", kind),
            ("content-length", &body.len().to_string()),
        ]);
        h2.send(HEADERS, END_HEADERS, stream, &block);
        for (at, byte) in body.iter().enumerate() {
            let flags = if at + 1 == body.len() { END_STREAM } else { 0 };
            h2.send(DATA, flags, stream, &[*byte]);
        }
        let mut answer = Vec::new();
        loop {
            let frame = h2.frame().expect("an answer");
            if frame.stream != stream {
                continue;
            }
            if frame.kind == DATA {
                answer.extend(frame.payload);
            }
            if frame.flags & END_STREAM != 0 {
                break;
            }
        }
        let (messages, trailers) = parts(&read(kind, &answer));
        assert_eq!(messages, [b"hello"]);
        assert!(trailers.contains(&("grpc-status".to_owned(), "0".to_owned())));
        stream += 2;
    }
}

/// Nothing of it becomes a message for the endpoint.
#[test]
fn malformed_bodies_are_refused() {
    let origin = Streams::answering(|_| vec![Act::Head(200, Vec::new())]);
    let proxy = over(origin.addr());
    for (kind, body, detail) in [
        (TEXT, &b"AAAAAAA"[..], "base64"),
        (TEXT, b"AAAA AAA", "base64"),
        (TEXT, b"AAA=AAA=", "grpc_message"),
        (BINARY, b"\x80\0\0\0\0", "grpc_message"),
        (BINARY, b"\0\0\0\0\x02x", "grpc_message"),
        (BINARY, b"\0\0\0", "grpc_message"),
    ] {
        let response = call(&proxy, "/x", kind, body);
        assert_eq!(status(&response, kind), (Vec::new(), "13".to_owned()));
        proxy.wait_line(detail, |line| line["detail"] == detail);
    }
    let line = proxy.wait_log(6).pop().unwrap();
    assert_eq!(line["reason"], "client_protocol");
}

#[test]
fn what_fails_here_is_told_in_the_body() {
    let proxy = over(ports::free());
    let body = written(TEXT, &message(b""));
    let response = call(&proxy, "/gone", TEXT, &body);
    assert_eq!(status(&response, TEXT), (Vec::new(), "14".to_owned()));
    let (_, trailers) = parts(&read(TEXT, &response.body));
    assert!(trailers[1].1.contains("connect_refused"), "{trailers:?}");
    proxy.wait_line("a refusal", |line| line["reason"] == "connect_refused");
}

/// The endpoint sees a call like any other, and messages pass as they come.
#[test]
fn endpoints_see_calls() {
    let gate = Gate::shut();
    let held = gate.clone();
    let origin = Streams::answering(move |_| {
        vec![
            Act::Head(200, fields(&[("content-type", "application/grpc+proto")])),
            Act::Data(message(b"first")),
            Act::Wait(held.clone()),
            Act::Trailers(fields(&[("grpc-status", "0"), ("x-behind", "last")])),
        ]
    });
    let proxy = over(origin.addr());
    let body = written(TEXT, &message(b"hello"));
    let length = format!("Grpc-Timeout: 60S\r\nContent-Length: {}\r\n", body.len());
    let mut client = proxy.client();
    client.send(head("/x", TEXT, &length)).send(&body);
    let answer = client.try_head().unwrap();
    assert_eq!(answer.one("content-type"), Some(TEXT));
    let arrived = origin.wait(1);
    assert_eq!(arrived.one("content-type"), Some("application/grpc+proto"));
    assert_eq!(arrived.all("te"), ["trailers"]);
    assert_eq!(arrived.one("content-length"), None);
    assert_eq!(arrived.one("grpc-timeout"), Some("60S"));
    // One chunk: ten bytes, as sixteen characters.
    let chunk = client.wire.exact(22).unwrap();
    assert_eq!(read(TEXT, &chunk[4..20]), message(b"first"));
    gate.open();
    let rest = client.wire.chunked().unwrap();
    let (_, trailers) = parts(&read(TEXT, &rest.bytes));
    assert_eq!(
        trailers,
        fields(&[("grpc-status", "0"), ("x-behind", "last")])
    );
}

/// What is no such call, and what the endpoint answers otherwise, passes as it is.
#[test]
fn others_pass() {
    let origin = Streams::answering(|request| {
        let kind = request.one("content-type").unwrap_or("none").to_owned();
        let told = fields(&[("content-type", "text/plain"), ("x-kind", &kind)]);
        vec![Act::Head(404, told), Act::Data(b"not here".to_vec())]
    });
    let proxy = over(origin.addr());
    for (kind, asked) in [
        ("text/plain", "text/plain"),
        ("application/grpc", "application/grpc"),
        (BINARY, "application/grpc+proto"),
    ] {
        let response = call(&proxy, "/x", kind, b"");
        assert_eq!(
            (response.status, response.text()),
            (404, "not here".to_owned())
        );
        assert_eq!(response.one("content-type"), Some("text/plain"));
        assert_eq!(response.one("x-kind"), Some(asked));
    }
}

/// Trailers of an answer that is not of gRPC have no place in its body, and are counted where they end.
#[test]
fn trailers_of_other_answers_are_counted() {
    let origin = Streams::answering(|_| {
        vec![
            Act::Head(404, fields(&[("content-type", "text/plain")])),
            Act::Data(b"not here".to_vec()),
            Act::Trailers(fields(&[("etag", "1"), ("x-behind", "2"), ("host", "b")])),
        ]
    });
    let proxy = over(origin.addr());
    let response = call(&proxy, "/x", BINARY, b"");
    assert_eq!(response.is(404).text(), "not here");
    assert!(response.trailers.is_empty());
    proxy.wait_log(1);
    let dropped = |cause| proxy.metric("tidegate_trailers_dropped_total", &[("cause", cause)]);
    assert_eq!((dropped("unlisted"), dropped("forbidden")), (2.0, 1.0));
}
