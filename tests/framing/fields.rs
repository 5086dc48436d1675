//! Fields that decide where a message ends, where it goes, and what may be done with it.

use super::{BAD, Row, get, post, row};

/// A coding that we do not speak.
const CODING: &[u16] = &[501];

/// E-001: both framings at once, in every order, case and version.
pub fn conflicts() -> Vec<Row> {
    let mut rows = Vec::new();
    let names = [
        ("Content-Length", "Transfer-Encoding"),
        ("content-length", "transfer-encoding"),
        ("CONTENT-LENGTH", "TRANSFER-ENCODING"),
    ];
    for (length, coding) in names {
        for version in ["1.1", "1.0"] {
            for first in [true, false] {
                let (length, coding) =
                    (format!("{length}: 5\r\n"), format!("{coding}: chunked\r\n"));
                let both = if first {
                    length + &coding
                } else {
                    coding + &length
                };
                let bytes = format!(
                    "POST /refused HTTP/{version}\r\nHost: test.example\r\n{both}\r\n0\r\n\r\n\
                     GET /smuggled HTTP/1.1\r\nHost: test.example\r\n\r\n"
                );
                rows.push(row(format!("E-001 {both:?} {version}"), bytes, BAD));
            }
        }
    }
    rows
}

/// E-004 … E-007: Transfer-Encoding is exactly `chunked`, on HTTP/1.1, once.
pub fn codings() -> Vec<Row> {
    let mut rows = Vec::new();
    let body = b"0\r\n\r\n";
    for value in [
        "gzip",
        "deflate",
        "compress",
        "x",
        "identity",
        "xchunked",
        "chunkedx",
        "chunke",
        "chunked.",
        "-chunked",
        "'chunked'",
    ] {
        let line = format!("Transfer-Encoding: {value}\r\n");
        rows.push(row(
            format!("E-004 {value:?}"),
            post(line.as_bytes(), body),
            CODING,
        ));
    }
    for value in [
        "gzip, chunked",
        "chunked, gzip",
        "x, chunked",
        "",
        "chunked, identity",
        "identity, chunked",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        ", chunked",
        "chunked;",
        "chunked;q=1",
        "chunked; a=b",
        "chunked a",
        "a chunked",
        "\"chunked\"",
        "chun ked",
        "chunked chunked",
        "chunked\tx",
        "=chunked",
        "chunked=",
        "(chunked)",
        "[chunked]",
        "\u{ff43}hunked",
        "chunKed,x",
    ] {
        let line = format!("Transfer-Encoding: {value}\r\n");
        rows.push(row(
            format!("E-006 {value:?}"),
            post(line.as_bytes(), body),
            BAD,
        ));
    }
    for byte in (0..=0x1f_u8)
        .chain([0x7f])
        .filter(|byte| !b"\t\r\n".contains(byte))
    {
        for (before, after) in [(vec![byte], vec![]), (vec![], vec![byte])] {
            let line = [
                b"Transfer-Encoding: ".as_slice(),
                &before,
                b"chunked",
                &after,
                b"\r\n",
            ];
            let name = format!("E-005 {before:?}chunked{after:?}");
            rows.push(row(name, post(&line.concat(), body), BAD));
        }
    }
    for byte in [0x80_u8, 0xa0, 0xff] {
        let line = [b"Transfer-Encoding: ".as_slice(), &[byte], b"chunked\r\n"].concat();
        rows.push(row(format!("E-005 0x{byte:x}"), post(&line, body), BAD));
    }
    for lines in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
    ] {
        rows.push(row(
            format!("E-004 {lines:?}"),
            post(lines.as_bytes(), body),
            BAD,
        ));
    }
    for lines in [
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "\tTransfer-Encoding: chunked\r\n",
        "Transfer Encoding: chunked\r\n",
        "Transfer-Encoding\x0b: chunked\r\n",
        "Transfer-Encoding\0: chunked\r\n",
        "Transfer-Encoding:\n chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding: chunked\r\n \r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "\"Transfer-Encoding\": chunked\r\n",
        "Transfer-Encoding;: chunked\r\n",
    ] {
        rows.push(row(
            format!("E-016 {lines:?}"),
            post(lines.as_bytes(), body),
            BAD,
        ));
    }
    for tail in ["", "0\r\n\r\n"] {
        let bytes =
            format!("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{tail}");
        rows.push(row(format!("E-007 {tail:?}"), bytes, BAD));
    }
    rows
}

/// E-008, E-011, E-023: Content-Length is one plain decimal number.
pub fn lengths() -> Vec<Row> {
    let mut rows = Vec::new();
    for value in [
        "+5",
        "-5",
        "-0",
        "+0",
        "5_0",
        "0x5",
        "0X5",
        "5h",
        "0b1",
        "0o5",
        "5.0",
        "5.",
        ".5",
        "5e0",
        "1e1",
        "",
        "5 5",
        "5,5",
        "5, 5",
        "5,",
        ",5",
        "5;",
        "5;a",
        "5a",
        "a5",
        "a",
        "\"5\"",
        "'5'",
        "(5)",
        "[5]",
        "5\t5",
        "\u{665}",
        "\u{ff15}",
        "\u{a0}5",
        "5\u{a0}",
        "18446744073709551616",
        "99999999999999999999",
        "184467440737095516150",
        "00000000000000000005",
        "0 ; 5",
        "null",
        "NaN",
        "inf",
        "%35",
    ] {
        let line = format!("Content-Length: {value}\r\n");
        let bytes = post(line.as_bytes(), b"abcde");
        rows.push(row(format!("E-008 {value:?}"), bytes, BAD).detail("content_length"));
    }
    for lines in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 0\r\ncontent-length: 5\r\n",
        "Content-Length: 5\r\nContent-Length:\r\n",
        "Content-Length: 5\r\nX: y\r\nCONTENT-LENGTH: 05\r\n",
    ] {
        rows.push(row(
            format!("E-008 {lines:?}"),
            post(lines.as_bytes(), b"abcde"),
            BAD,
        ));
    }
    for lines in [
        "Content-Length : 5\r\n",
        "Content-Length\t: 5\r\n",
        " Content-Length: 5\r\n",
        "\tContent-Length: 5\r\n",
        "Content Length: 5\r\n",
        "Content-Length\0: 5\r\n",
        "Content-Length\x0b: 5\r\n",
        "Content-Length\x0c: 5\r\n",
        "\x0bContent-Length: 5\r\n",
        "Content-Length\r: 5\r\n",
        "Content-Length: 5\r\r\n",
        "Content-Length: 5\n",
        "Content-Length:\r\n 5\r\n",
        "Content-Length: 5\r\n 0\r\n",
        "Content-Length: \x0b5\r\n",
        "Content-Length: 5\x0c\r\n",
        "Content-Length: \x005\r\n",
        "Content-Length\u{a0}: 5\r\n",
        "X: y\nContent-Length: 5\r\n",
        "X: y\rContent-Length: 5\r\n",
        "(Content-Length): 5\r\n",
        "Content-Length;: 5\r\n",
        "Content-Length 5\r\n",
        "Content-Length\r\n: 5\r\n",
    ] {
        rows.push(row(
            format!("E-011 {lines:?}"),
            post(lines.as_bytes(), b"abcde"),
            BAD,
        ));
    }
    rows
}

/// E-046, E-047: exactly one Host, and one that can be a host.
pub fn hosts() -> Vec<Row> {
    let mut rows = vec![
        row("E-046 none", "GET /refused HTTP/1.1\r\n\r\n", BAD).detail("host"),
        row(
            "E-046 none, other",
            "GET /refused HTTP/1.1\r\nX-Host: a\r\n\r\n",
            BAD,
        )
        .detail("host"),
    ];
    for lines in [
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nhost: a\r\n",
    ] {
        let bytes = format!("GET /refused HTTP/1.1\r\n{lines}\r\n");
        rows.push(row(format!("E-046 {lines:?}"), bytes, BAD).detail("host"));
        let bytes = format!("GET /refused HTTP/1.0\r\n{lines}\r\n");
        rows.push(row(format!("E-046 {lines:?} 1.0"), bytes, BAD).detail("host"));
    }
    for host in [
        "", "a b", "a/", "/a", "a/b", "a@b", "@a", "a:99999", "a:65536", "a:b", "a:-1", "a:0x50",
        "a:1:2", "[::1", "::1]", "[::1]x", "[g::1]", "[]", "a,b", "a, b", "a#b", "a?b", "a\\b",
        "a\tb", "<a>", "a|b", "a\"b", "{a}", "a%00b", "a^b", "http://a", ":80",
    ] {
        let bytes = format!("GET /refused HTTP/1.1\r\nHost: {host}\r\n\r\n");
        rows.push(row(format!("E-046 {host:?}"), bytes, BAD).detail("host"));
    }
    for byte in [0x00_u8, 0x01, 0x0b, 0x0c, 0x1f, 0x7f, 0x80, 0xff] {
        let bytes = [
            b"GET /refused HTTP/1.1\r\nHost: a".as_slice(),
            &[byte],
            b"b\r\n\r\n",
        ]
        .concat();
        rows.push(row(format!("E-046 0x{byte:x}"), bytes, BAD));
    }
    let many = "Host: a\r\n".repeat(2000);
    rows.push(row(
        "E-047 2000 Hosts",
        format!("GET /refused HTTP/1.1\r\n{many}\r\n"),
        &[400, 431],
    ));
    rows
}

/// E-033, E-078, E-115: expectations, upgrades and Connection.
pub fn others() -> Vec<Row> {
    let mut rows = Vec::new();
    for value in [
        "200-ok",
        "100-continue, x",
        "x",
        "100-continue=1",
        "100-continued",
        "100",
    ] {
        let line = format!("Expect: {value}\r\n");
        rows.push(row(format!("E-033 {value:?}"), get(line.as_bytes()), &[417]).detail("expect"));
    }
    for name in [
        "Host",
        "host",
        "Content-Length",
        "Transfer-Encoding",
        "Cookie",
        "Authorization",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "Forwarded",
        "Cache-Control",
        "X-Request-Id",
        "close, Host",
        "keep-alive,cookie",
    ] {
        let line = format!("Connection: {name}\r\n");
        rows.push(row(format!("E-115 {name:?}"), get(line.as_bytes()), BAD).detail("connection"));
    }
    for body in [
        "Content-Length: 5\r\n\r\nabcde",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let bytes = format!(
            "GET /refused HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{body}"
        );
        rows.push(row(format!("E-078 {body:?}"), bytes, BAD).detail("upgrade"));
    }
    rows
}
