//! Chunked bodies that break their grammar, and requests that are only unusual.

use super::{BAD, Row, post, row};

const CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";

/// E-013 … E-015, E-023 … E-026: the grammar of chunks, extensions and trailers.
pub fn chunks() -> Vec<Row> {
    let mut rows = Vec::new();
    let good = "3\r\nabc\r\n";
    for broken in [
        "x\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\na\r\n",
        "0x1\r\na\r\n",
        "1_0\r\n",
        " 1\r\na\r\n",
        "\t1\r\na\r\n",
        "1 \r\na\r\n",
        "1\t\r\na\r\n",
        "1.0\r\na\r\n",
        "1,1\r\na\r\n",
        "1h\r\na\r\n",
        "\"1\"\r\na\r\n",
        "\r\n",
        "\n",
        ";\r\n",
        ";a=b\r\n",
        "\u{a0}1\r\na\r\n",
        "\u{661}\r\na\r\n",
    ] {
        rows.push(chunk("E-023", &format!("{good}{broken}0\r\n\r\n")));
        rows.push(chunk("E-023", &format!("{broken}0\r\n\r\n")));
    }
    for size in [
        "10000000000000000",
        "FFFFFFFFFFFFFFFFF",
        "10000000000000003",
        "00000000000000001",
    ] {
        rows.push(chunk("E-013", &format!("{size}\r\nabc\r\n0\r\n\r\n")));
    }
    rows.push(chunk(
        "E-013",
        &format!("{}3\r\nabc\r\n0\r\n\r\n", "0".repeat(10_000)),
    ));
    for broken in [
        "3\nabc\r\n",
        "3\rabc\r\n",
        "3\r\nabc\n",
        "3\r\nabc\r",
        "3\r\nabcd\r\n",
        "3\r\nab\r\n",
        "3\r\nabc",
        "3\r\nabcX\r\n",
        "3\n\nabc\r\n",
        "3\r\r\nabc\r\n",
        "3\r\nabc\r\r\n",
        "3\r\nabc\n\n",
        "3;\nxx\r\n45\r\n",
        "3;a\nb\r\nabc\r\n",
        "3;a\rb\r\nabc\r\n",
        "3;a\0b\r\nabc\r\n",
        "3;a=\"\n\"\r\nabc\r\n",
        "3;\rx\r\nabc\r\n",
        "3;a=b\nabc\r\n",
        "3;a\x0bb\r\nabc\r\n",
        "3;a\x7fb\r\nabc\r\n",
    ] {
        rows.push(chunk("E-014", &format!("{broken}0\r\n\r\n")));
    }
    rows.push(chunk(
        "E-015",
        &format!("3;{}\r\nabc\r\n0\r\n\r\n", "e".repeat(300)),
    ));
    let extended = format!("1;{}\r\na\r\n", "e".repeat(200)).repeat(120);
    rows.push(chunk("E-015 in sum", &format!("{extended}0\r\n\r\n")));
    for tail in [
        "0\r\nX\r\n\r\n",
        "0\nX: y\r\n\r\n",
        "0\r\n\n",
        "0\r\n\rX\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX: y\r\n z\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nX: a\0b\r\n\r\n",
        "0\r\nX(: y\r\n\r\n",
        "0\n\r\n",
        "0\r\r\n\r\n",
        "00000000000000000\r\n\r\n",
        "0;a\nb\r\n\r\n",
    ] {
        rows.push(chunk("E-024", &format!("{good}{tail}")));
    }
    let trailers = "X-Trailer: y\r\n".repeat(5000);
    let bytes = post(CHUNKED, format!("{good}0\r\n{trailers}\r\n").as_bytes());
    rows.push(row("E-026 5000 trailers", bytes, &[400, 431]));
    let wide = "y".repeat(100_000);
    let bytes = post(
        CHUNKED,
        format!("{good}0\r\nX-Trailer: {wide}\r\n\r\n").as_bytes(),
    );
    rows.push(row("E-026 100 KB trailer", bytes, &[400, 431]));
    rows
}

fn chunk(id: &str, body: &str) -> Row {
    let shown: String = body.chars().take(60).collect();
    row(
        format!("{id} {shown:?}"),
        post(CHUNKED, body.as_bytes()),
        BAD,
    )
}

type Accepted = (String, Vec<u8>, String, Vec<u8>);

/// Unusual, but right: what is sent, the request line that the origin sees, and the body.
pub fn accepted() -> Vec<Accepted> {
    let mut rows = Vec::new();
    let mut add = |name: &str, bytes: String, line: &str, body: &str| {
        rows.push((
            name.to_owned(),
            bytes.into_bytes(),
            line.to_owned(),
            body.as_bytes().to_vec(),
        ));
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
    rows
}
