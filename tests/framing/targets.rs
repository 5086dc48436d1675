//! Request lines: methods, targets, versions, and what is simply too much.

use super::{BAD, Row, get, row};

/// E-028: HTTP/1.0 and HTTP/1.1, nothing that only looks like them.
pub fn versions() -> Vec<Row> {
    let mut rows = Vec::new();
    let other: &[u16] = &[400, 505];
    for version in [
        "HTTP/2.0",
        "HTTP/3.0",
        "HTTP/1.2",
        "HTTP/0.9",
        "HTTP/1.10",
        "HTTP/1.9",
        "HTTP/2",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/11",
        "HTTP/1,1",
        "HTTP/01.1",
        "HTTP/1.01",
        "http/1.1",
        "Http/1.1",
        "HTP/1.1",
        "HTTPS/1.1",
        "HTTP 1.1",
        "HTTP/ 1.1",
        "HTTP/1.1x",
        "HTTP/1.1 x",
        "HTTP/1.1 ",
        "HTTP/1.1\t",
        "HTTP/-1.1",
        "HTTP/+1.1",
        "HTTP\\1.1",
        "HTTP/1.\u{661}",
        "ICY/1.1",
        "HTTP/",
    ] {
        let bytes = format!("GET / {version}\r\nHost: a\r\n\r\n");
        rows.push(row(format!("E-028 {version:?}"), bytes, other));
    }
    rows.push(row("E-028 none", "GET /\r\n\r\n", other));
    rows.push(row(
        "E-028 none, with space",
        "GET / \r\nHost: a\r\n\r\n",
        other,
    ));
    rows.push(row(
        "E-075 preface",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        other,
    ));
    rows
}

/// E-029, E-119: a method is a token; CONNECT is not served.
pub fn methods() -> Vec<Row> {
    let mut rows = Vec::new();
    for line in [
        "GET\t/ HTTP/1.1",
        "GET\x0b/ HTTP/1.1",
        " GET / HTTP/1.1",
        "\tGET / HTTP/1.1",
        "G(T / HTTP/1.1",
        "G\0T / HTTP/1.1",
        "GE\x7fT / HTTP/1.1",
        "G\u{e9}T / HTTP/1.1",
        "GET: / HTTP/1.1",
        "\"GET\" / HTTP/1.1",
        "GE,T / HTTP/1.1",
        "/ HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / / HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET",
        "GET ",
        "GET HTTP/1.1",
        "[GET] / HTTP/1.1",
        "{} / HTTP/1.1",
    ] {
        // A space too many may also be taken for a part of the version.
        rows.push(row(
            format!("E-029 {line:?}"),
            format!("{line}\r\nHost: a\r\n\r\n"),
            &[400, 505],
        ));
    }
    for length in [33, 64, 1000] {
        let bytes = format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(length));
        rows.push(row(format!("E-029 {length} bytes"), bytes, &[400, 501]).detail("method"));
    }
    for target in ["127.0.0.1:22", "test.example:443"] {
        let bytes = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        rows.push(row(format!("E-119 {target}"), bytes, &[405]).detail("connect"));
    }
    rows
}

/// E-030, E-055, E-057, E-110, E-118: what a target may not be.
pub fn targets() -> Vec<Row> {
    let mut rows = Vec::new();
    let controls = (0..=0x1f_u8).filter(|byte| !b"\r\n".contains(byte));
    for byte in controls.chain([0x7f, 0x80, 0xc3, 0xff, b'#', b'\\']) {
        let bytes = [
            b"GET /a".as_slice(),
            &[byte],
            b"b HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
        .concat();
        rows.push(row(format!("E-030 0x{byte:x}"), bytes, BAD));
    }
    for byte in [0x00_u8, 0x01, 0x1f, 0x7f, 0x80, b'#'] {
        let bytes = [
            b"GET /a?q=".as_slice(),
            &[byte],
            b"b HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
        .concat();
        rows.push(row(format!("E-030 query 0x{byte:x}"), bytes, BAD));
    }
    for target in [
        "evil",
        "evil/x",
        "a:80",
        "*",
        "*x",
        "?q",
        "@/",
        ":/",
        "http:",
        "http:/",
        "http://",
        "http:///x",
        "ftp://test.example/",
        "file:///etc/passwd",
        "javascript:x",
        "http//a/",
        "http://u@test.example/",
        "http://u:p@test.example/",
        "http://[::1/",
        "http://test.example:99999/",
        "http://other.example/",
        "http://test.example.evil/",
        "/%00",
        "/a%00b",
        "/a%5cb",
        "/a%5Cb",
        "/..%5c",
        "/%",
        "/%1",
        "/%zz",
        "/%g0",
        "/a%2",
        "/#",
        "/a#b",
        "/..",
        "/../a",
        "/a/../../b",
        "/%2e%2e/a",
        "/./../a",
        "/a/..;/b",
        "/a/..;x=y",
        "/a/.;/b",
        "/a/..%3b/b",
        "/a/..%2f..%2fb",
        "/a/x%2F%2e%2E/b",
        "/%c0%ae%c0%ae\\",
        "//\\evil",
        "http://test.example\\@evil/",
        "http://test.example:80:80/",
        "http://test.example,other.example/",
        "http://[fe80::1%25eth0]/",
        "http://test.example:81/",
        "https://test.example/",
        "ws://test.example/",
        "http://test.example#x",
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: test.example\r\n\r\n");
        rows.push(row(format!("E-110 {target:?}"), bytes, BAD));
    }
    rows
}

/// Section 6.1: over a limit is refused by name, whether or not the end is there.
pub fn limits() -> Vec<Row> {
    let mut rows = Vec::new();
    let long = "a".repeat(9 * 1024);
    rows.push(row(
        "line",
        format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
        &[414],
    ));
    rows.push(row(
        "line, query",
        format!("GET /?{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
        &[414],
    ));
    rows.push(row("line without end", format!("GET /{long}"), &[414]));
    let fields = "X-Field: y\r\n".repeat(150);
    rows.push(row("150 fields", get(fields.as_bytes()), &[431]));
    let wide = format!("X-Wide: {}\r\n", "y".repeat(40 * 1024));
    rows.push(row("40 KiB field", get(wide.as_bytes()), &[431]));
    let some = format!("X-Some: {}\r\n", "y".repeat(1000)).repeat(40);
    rows.push(row("40 KiB in 40 fields", get(some.as_bytes()), &[431]));
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(40 * 1024));
    rows.push(row("field without end", endless, &[431]));
    let name = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "n".repeat(40 * 1024));
    rows.push(row("name without end", name, &[400, 431]));
    rows
}
