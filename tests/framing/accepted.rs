//! Requests that are unusual but right: what is sent, the request line that the origin sees, and the body.

use super::{Row, passes};

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |name: &str, bytes: String, line: &str, body: &str| {
        rows.push(passes(name, bytes, line).body(body.as_bytes()));
    };
    let host = "Host: test.example";
    for blank in ["\r\n", "\r\n\r\n"] {
        let bytes = format!("{blank}GET /blank HTTP/1.1\r\n{host}\r\n\r\n");
        add("E-027", bytes, "GET /blank HTTP/1.1", "");
    }
    for line in [
        "Host:test.example",
        "HOST:  test.example  ",
        "host:\ttest.example\t",
        "Host: TEST.Example",
    ] {
        add(
            line,
            format!("GET /host HTTP/1.1\r\n{line}\r\n\r\n"),
            "GET /host HTTP/1.1",
            "",
        );
    }
    for target in ["http://test.example/abs?q=1", "HTTP://TEST.example/abs?q=1"] {
        let bytes = format!("GET {target} HTTP/1.1\r\n{host}\r\n\r\n");
        add(target, bytes, "GET /abs?q=1 HTTP/1.1", "");
    }
    add(
        "no path",
        format!("GET http://test.example HTTP/1.1\r\n{host}\r\n\r\n"),
        "GET / HTTP/1.1",
        "",
    );
    add(
        "asterisk",
        format!("OPTIONS * HTTP/1.1\r\n{host}\r\n\r\n"),
        "OPTIONS * HTTP/1.1",
        "",
    );
    for (target, seen) in [
        ("http://test.example", "*"),
        ("http://test.example/", "/"),
        ("http://test.example?q", "/?q"),
    ] {
        add(
            &format!("OPTIONS {target}"),
            format!("OPTIONS {target} HTTP/1.1\r\n{host}\r\n\r\n"),
            &format!("OPTIONS {seen} HTTP/1.1"),
            "",
        );
    }
    for method in ["get", "FOO", "M-SEARCH", "PATCH", "X!#$%&'*+.^_`|~1"] {
        let line = format!("{method} /method HTTP/1.1");
        add(method, format!("{line}\r\n{host}\r\n\r\n"), &line, "");
    }
    for (sent, seen) in [
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/%2E/b", "/a/b"),
        ("/%61%7e", "/a~"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%c3%a9", "/a%C3%A9"),
        ("/a%252e", "/a%252e"),
        ("/a?x=../%2e#".trim_end_matches('#'), "/a?x=../%2e"),
        ("/?", "/?"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/~!$&'()*+,;=:@-._", "/~!$&'()*+,;=:@-._"),
    ] {
        let bytes = format!("GET {sent} HTTP/1.1\r\n{host}\r\n\r\n");
        add(sent, bytes, &format!("GET {seen} HTTP/1.1"), "");
    }
    for value in ["5", "05", "0000000005", " 5", "5 ", "\t5\t"] {
        let bytes = format!("POST /l HTTP/1.1\r\n{host}\r\nContent-Length:{value}\r\n\r\nabcde");
        add(
            &format!("E-008 {value:?}"),
            bytes,
            "POST /l HTTP/1.1",
            "abcde",
        );
    }
    for value in [
        "chunked",
        "Chunked",
        "CHUNKED",
        " chunked ",
        "\tchunked\t",
        "chunked\t",
    ] {
        for body in [
            "5\r\nabcde\r\n0\r\n\r\n",
            "5;a=b;c=\"d\"\r\nabcde\r\n0\r\n\r\n",
            "0005\r\nabcde\r\n00\r\n\r\n",
        ] {
            let bytes =
                format!("POST /c HTTP/1.1\r\n{host}\r\nTransfer-Encoding:{value}\r\n\r\n{body}");
            add(
                &format!("E-004 {value:?} {body:?}"),
                bytes,
                "POST /c HTTP/1.1",
                "abcde",
            );
        }
    }
    for method in ["GET", "DELETE", "OPTIONS", "HEAD"] {
        let bytes = format!("{method} /b HTTP/1.1\r\n{host}\r\nContent-Length: 3\r\n\r\nabc");
        add(
            &format!("E-032 {method}"),
            bytes,
            &format!("{method} /b HTTP/1.1"),
            "abc",
        );
        let bytes = format!(
            "{method} /b HTTP/1.1\r\n{host}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        );
        add(
            &format!("E-032 {method}"),
            bytes,
            &format!("{method} /b HTTP/1.1"),
            "abc",
        );
    }
    let name = "n".repeat(256);
    add(
        "E-022",
        format!("GET /n HTTP/1.1\r\n{host}\r\n{name}: y\r\n\r\n"),
        "GET /n HTTP/1.1",
        "",
    );
    add(
        "obs-text",
        format!("GET /v HTTP/1.1\r\n{host}\r\nX: \u{e9}\r\n\r\n"),
        "GET /v HTTP/1.1",
        "",
    );
    add(
        "empty value",
        format!("GET /v HTTP/1.1\r\n{host}\r\nX:\r\n\r\n"),
        "GET /v HTTP/1.1",
        "",
    );
    for (sent, seen) in [
        ("A_b.Example.", "a_b.example"),
        ("a.example:080", "a.example:80"),
        ("[::1]", "[::1]"),
        ("[2001:DB8:0:0::1]:8443", "[2001:db8::1]:8443"),
        ("127.0.0.1:65535", "127.0.0.1:65535"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("1", "1"),
        ("-", "-"),
    ] {
        let bytes = format!("GET /host HTTP/1.1\r\nHost: {sent}\r\n\r\n");
        rows.push(passes(format!("E-112 {sent}"), bytes, "GET /host HTTP/1.1").field("host", seen));
        let bytes = format!("GET http://{sent}/host HTTP/1.1\r\nHost: {sent}\r\n\r\n");
        rows.push(passes(format!("E-118 {sent}"), bytes, "GET /host HTTP/1.1").field("host", seen));
    }
    let bytes = "GET http://a.example:80/ HTTP/1.1\r\nHost: A.example.\r\n\r\n";
    rows.push(passes("E-118 default port", bytes, "GET / HTTP/1.1").field("host", "a.example:80"));
    for (sent, seen) in [
        ("/%0d%0aSet-Cookie:%20x", "/%0D%0ASet-Cookie:%20x"),
        ("/%0A", "/%0A"),
        ("/?%0d%0aX:y", "/?%0d%0aX:y"),
    ] {
        let bytes = format!("GET {sent} HTTP/1.1\r\n{host}\r\n\r\n");
        rows.push(passes(
            format!("E-040 {sent}"),
            bytes,
            &format!("GET {seen} HTTP/1.1"),
        ));
    }
    for value in ["close, x-hop", "keep-alive", "X-Hop,,close", "x-close"] {
        let bytes = format!(
            "GET /c HTTP/1.1\r\n{host}\r\nConnection: {value}\r\nX-Hop: 1\r\nX-Stays: 1\r\n\r\n"
        );
        rows.push(passes(format!("E-045 {value}"), bytes, "GET /c HTTP/1.1").field("x-stays", "1"));
    }
    rows
}
