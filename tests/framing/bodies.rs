//! Chunked bodies that break their grammar.

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
