use super::limits::ResponseLimits;
use super::request::{HeadLimits, Progress, parse};
use super::response::{self, Persist};
use super::write;
use crate::base::{Detail, Reason};
use crate::message::forwarded::{self, Trust};
use crate::message::{BodyLength, Edits, Method, RequestHead, Upgrade, Version};

const LIMITS: HeadLimits = HeadLimits {
    request_line: 8192,
    headers: 32768,
    count: 100,
    name: 256,
    path: crate::message::path::Policy::DEFAULT,
    own: forwarded::Proto::Http,
};

fn read(input: &str) -> Result<RequestHead, (Reason, Detail)> {
    let mut head = RequestHead::default();
    match parse(input.as_bytes(), &LIMITS, &mut head) {
        Ok(Progress::Complete(len)) => {
            assert_eq!(len, input.len(), "{input:?}");
            Ok(head)
        }
        Ok(Progress::Partial) => panic!("partial: {input:?}"),
        Err(error) => Err((error.reason(), error.detail())),
    }
}

fn bad(input: &str) -> Detail {
    match read(input) {
        Err((Reason::BadRequest, detail)) => detail,
        other => panic!("{input:?}: {other:?}"),
    }
}

fn forward(input: &str) -> String {
    let head = read(input).unwrap();
    let mut out = Vec::new();
    let forwarding = write::Forwarding {
        trust: Trust::Stranger,
        peer: "192.0.2.7",
        client: std::net::IpAddr::from([192, 0, 2, 7]),
        scheme: "http",
        headers: forwarded::Headers::default(),
        identity: &[],
        certificate: &[],
    };
    write::request(&head, &Edits::default(), &forwarding, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn reads_a_plain_request() {
    let head = read("GET /a/../b?x=1 HTTP/1.1\r\nHost: Example.com:8080\r\nA: b\r\n\r\n").unwrap();
    assert_eq!(head.method(), Method::Get);
    assert_eq!(head.version(), Version::Http11);
    assert_eq!((head.path(), head.query()), (&b"/b"[..], Some(&b"x=1"[..])));
    assert_eq!(
        (head.authority(), head.host()),
        (&b"example.com:8080"[..], &b"example.com"[..])
    );
    assert_eq!(head.body(), BodyLength::None);
}

#[test]
fn the_written_head_is_ours() {
    let sent = forward(
        "POST http://a.example/p?q HTTP/1.1\r\nhost: A.example\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
         X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 7.7.7.7\r\nForwarded: for=8.8.8.8\r\nTE: trailers\r\n\
         Content-Length: 007\r\nExpect: 100-continue\r\nAccept:*/*\r\nX-Keep: a b\r\n\r\n",
    );
    assert_eq!(
        sent,
        "POST /p?q HTTP/1.1\r\nHost: a.example\r\nAccept:*/*\r\nX-Keep: a b\r\n\
         X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example\r\n\
         Content-Length: 7\r\n\r\n"
    );
}

#[test]
fn every_prefix_is_partial_and_every_split_agrees() {
    let input = b"\r\nPOST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    for cut in 0..input.len() {
        let mut head = RequestHead::default();
        assert_eq!(
            parse(&input[..cut], &LIMITS, &mut head).unwrap(),
            Progress::Partial,
            "{cut}"
        );
    }
    let mut head = RequestHead::default();
    assert_eq!(
        parse(input, &LIMITS, &mut head).unwrap(),
        Progress::Complete(input.len())
    );
    assert_eq!(head.body(), BodyLength::Exact(3));
}

#[test]
fn refuses_conflicting_framing() {
    let with = |fields: &str| bad(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"));
    assert_eq!(
        with("Content-Length: 5\r\nTransfer-Encoding: chunked"),
        Detail::FramingConflict
    );
    assert_eq!(
        with("Transfer-Encoding: chunked\r\nContent-Length: 5"),
        Detail::FramingConflict
    );
    assert_eq!(
        with("Content-Length: 5\r\nContent-Length: 5"),
        Detail::ContentLength
    );
    for value in [
        "5, 5",
        "+5",
        "-0",
        "5_0",
        "0x5",
        "",
        " ",
        "5 5",
        "12345678901234567890",
    ] {
        assert_eq!(
            with(&format!("Content-Length: {value}")),
            Detail::ContentLength,
            "{value}"
        );
    }
    for value in [
        "chunked, chunked",
        "gzip, chunked",
        "chunked;a",
        "\"chunked\"",
        "chunked,",
        "chunked, gzip",
        "",
    ] {
        assert_eq!(
            with(&format!("Transfer-Encoding: {value}")),
            Detail::TransferEncoding,
            "{value}"
        );
    }
    assert_eq!(with("Transfer-Encoding: gzip"), Detail::TeUnsupported);
    assert_eq!(
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
        Detail::TransferEncoding
    );
    assert_eq!(with("Transfer-Encoding: \x0bchunked"), Detail::FieldValue);
    assert_eq!(
        bad("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Detail::TransferEncoding
    );
}

#[test]
fn refuses_malformed_lines() {
    for (input, detail) in [
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", Detail::LineEnd),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", Detail::LineEnd),
        ("GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n", Detail::LineEnd),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", Detail::LineEnd),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Detail::LineEnd),
        (
            "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            Detail::LineEnd,
        ),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Detail::FieldName),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
            Detail::FieldName,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
            Detail::Folding,
        ),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Detail::Folding),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nA: b\x00\r\n\r\n",
            Detail::FieldValue,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n",
            Detail::FieldValue,
        ),
        ("GET / HTTP/1.1\r\n\r\n", Detail::Host),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Detail::Host),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Detail::Host),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Detail::Host),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Detail::Version),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", Detail::Version),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Detail::Path),
        ("GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", Detail::Target),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", Detail::Target),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Detail::Target),
        (
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            Detail::Authority,
        ),
        ("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Detail::Target),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", Detail::Connect),
        ("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", Detail::Path),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n",
            Detail::Expect,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n",
            Detail::Connection,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n",
            Detail::Upgrade,
        ),
    ] {
        assert_eq!(bad(input), detail, "{input:?}");
    }
    let name = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}: b\r\n\r\n",
        "n".repeat(257)
    );
    assert_eq!(bad(&name), Detail::FieldName);
    let method = format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(33));
    assert_eq!(bad(&method), Detail::Method);
}

#[test]
fn limits_end_a_head_in_time() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000));
    assert_eq!(read(&long).unwrap_err().0, Reason::UriTooLong);
    let unfinished = "a".repeat(9000);
    let mut head = RequestHead::default();
    let error = parse(unfinished.as_bytes(), &LIMITS, &mut head).unwrap_err();
    assert_eq!(error.reason(), Reason::UriTooLong);
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "a: b\r\n".repeat(100)
    );
    assert_eq!(read(&many).unwrap_err().0, Reason::HeadersTooLarge);
    let large = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n",
        "b".repeat(33_000)
    );
    assert_eq!(read(&large).unwrap_err().0, Reason::HeadersTooLarge);
}

#[test]
fn upgrades_are_websocket_only() {
    let ask = |upgrade: &str| {
        let text = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n"
        );
        (read(&text).unwrap().upgrade(), forward(&text))
    };
    let (upgrade, sent) = ask("WebSocket");
    assert_eq!(upgrade, Upgrade::WebSocket);
    assert!(sent.contains("Connection: upgrade\r\nUpgrade: websocket\r\n"));
    let (upgrade, sent) = ask("h2c");
    assert_eq!(upgrade, Upgrade::None);
    assert!(!sent.to_ascii_lowercase().contains("upgrade"));
}

#[test]
fn reads_responses_and_decides_their_framing() {
    let read = |text: &str, method| {
        let mut fields = Vec::new();
        response::parse(
            text.as_bytes(),
            method,
            &ResponseLimits::DEFAULT,
            &mut fields,
        )
        .map(|start| {
            start.map(|start| {
                (
                    start.head(text.as_bytes(), &fields).status,
                    start.head(text.as_bytes(), &fields).body,
                    start.persist,
                )
            })
        })
        .map_err(|error| error.detail())
    };
    let get = |text| read(text, Method::Get);
    assert_eq!(
        get("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        Ok(Some((200, BodyLength::Exact(5), Persist::Reuse)))
    );
    assert_eq!(
        get("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Ok(Some((200, BodyLength::Chunked, Persist::Reuse)))
    );
    assert_eq!(
        get("HTTP/1.1 200 OK\r\n\r\n"),
        Ok(Some((200, BodyLength::UntilClose, Persist::Close)))
    );
    assert_eq!(
        get("HTTP/1.1 204 No\r\n\r\n"),
        Ok(Some((204, BodyLength::None, Persist::Reuse)))
    );
    assert_eq!(
        get("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Ok(Some((200, BodyLength::Chunked, Persist::Close)))
    );
    assert_eq!(
        get("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n"),
        Ok(Some((200, BodyLength::Exact(1), Persist::Close)))
    );
    assert_eq!(
        read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Method::Head),
        Ok(Some((200, BodyLength::None, Persist::Later)))
    );
    assert_eq!(get("HTTP/1.1 200 OK\r\nContent-Le"), Ok(None));
    assert_eq!(
        get("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
        Err(Detail::ContentLength)
    );
    assert_eq!(
        get("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        Err(Detail::TransferEncoding)
    );
    assert_eq!(
        get("HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n"),
        Err(Detail::StartLine)
    );
    assert_eq!(
        get("HTTP/1.1 200 OK\r\nA : 5\r\n\r\n"),
        Err(Detail::FieldName)
    );
    assert_eq!(get("garbage\r\n\r\n"), Err(Detail::Version));
}
