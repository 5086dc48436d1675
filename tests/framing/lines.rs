//! Lines and what they are made of: ends, folding, names, values.

use super::{BAD, Row, get, row};

/// E-017 … E-019, E-027: a line ends in CRLF, begins with no white space, and is not empty.
pub fn ends() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, bytes) in [
        ("LF after request line", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
        ("LF after Host", "GET / HTTP/1.1\r\nHost: a\n\r\n"),
        (
            "LF after last field",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n",
        ),
        ("LF for the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
        ("LF LF", "GET / HTTP/1.1\r\nHost: a\n\n"),
        ("LF everywhere", "GET / HTTP/1.1\nHost: a\n\n"),
        ("LF CR", "GET / HTTP/1.1\r\nHost: a\n\r\r\n\r\n"),
        ("CR for CRLF", "GET / HTTP/1.1\rHost: a\r\n\r\n"),
        ("CR everywhere", "GET / HTTP/1.1\rHost: a\r\rX: y\r\n\r\n"),
        ("CR CR LF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
        (
            "CR CR LF after field",
            "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        ),
        (
            "CR in value",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        ),
        ("CR in name", "GET / HTTP/1.1\r\nHost: a\r\nX\rY: a\r\n\r\n"),
        (
            "CR before colon",
            "GET / HTTP/1.1\r\nHost: a\r\nX\r: a\r\n\r\n",
        ),
        (
            "CR starts a line",
            "GET / HTTP/1.1\r\nHost: a\r\n\rX: a\r\n\r\n",
        ),
        (
            "CR hides a field",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: 9\r\n\r\n",
        ),
        ("CR in target", "GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("LF in target", "GET /a\nb HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "three empty lines first",
            "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("CR first", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        rows.push(row(format!("E-018 {name}"), bytes, BAD));
    }
    for (name, lines) in [
        ("first, space", " X: y\r\nHost: a\r\n"),
        ("first, tab", "\tX: y\r\nHost: a\r\n"),
        ("after Host, space", "Host: a\r\n b\r\n"),
        ("after Host, tab", "Host: a\r\n\tb\r\n"),
        ("last", "Host: a\r\nX: y\r\n z\r\n"),
        (
            "a field of its own",
            "Host: a\r\nX: y\r\n Content-Length: 5\r\n",
        ),
        ("blank", "Host: a\r\nX: y\r\n \r\n"),
        ("in Expect", "Host: a\r\nExpect:\r\n 100-continue\r\n"),
        ("in Host", "Host:\r\n a\r\n"),
    ] {
        let bytes = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        rows.push(row(format!("E-017 {name}"), bytes, BAD).detail("folding"));
    }
    let blank = "\r\n".repeat(100_000);
    rows.push(row("E-027 100 000 empty lines", blank, BAD).detail("line_end"));
    rows
}

/// E-016, E-020 … E-022: a name is a token of at most 256 bytes.
pub fn names() -> Vec<Row> {
    let mut rows = Vec::new();
    for space in [
        b" ".as_slice(),
        b"\t",
        b"\x0b",
        b"\x0c",
        b"\xa0",
        b"  ",
        b" \t",
    ] {
        let line = [b"X-Name".as_slice(), space, b": y\r\n"].concat();
        let name = format!("E-016 {:?}", String::from_utf8_lossy(space));
        rows.push(row(name, get(&line), BAD).detail("field_name"));
    }
    for lines in [
        ": x\r\n",
        ": x\r\nX: y\r\n",
        "X: y\r\n: x\r\nZ: z\r\n",
        ":\r\n",
        "::\r\n",
    ] {
        let row = row(format!("E-021 {lines:?}"), get(lines.as_bytes()), BAD);
        rows.push(row.detail("field_name"));
    }
    for line in ["no colon\r\n", "nocolon\r\n", "\"\"\r\n"] {
        rows.push(row(format!("E-021 {line:?}"), get(line.as_bytes()), BAD));
    }
    for length in [257, 300, 4096] {
        let line = format!("{}: y\r\n", "n".repeat(length));
        rows.push(row(
            format!("E-022 {length}"),
            get(line.as_bytes()),
            &[400, 431],
        ));
    }
    rows
}
