//! The framing table: exact bytes, and what becomes of them. Run against the built proxy by `tests/it/framing`,
//! and against other parsers by `tests/wire`.

mod accepted;
mod bodies;
mod bytes;
mod fields;
mod lines;
mod targets;

/// One connection's worth of bytes.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub bytes: Vec<u8>,
    pub expect: Expect,
}

/// What becomes of it.
#[derive(Clone, Debug)]
pub enum Expect {
    /// It reaches nobody.
    Refused {
        /// Any of these is right.
        status: &'static [u16],
        /// What the log's `detail` says; empty: anything.
        detail: &'static str,
    },
    /// It reaches the origin in this form.
    Forwarded {
        line: String,
        body: Vec<u8>,
        /// A field, its name in lower case, bytes as chars.
        field: Option<(String, String)>,
    },
}

/// 400 and nothing else.
const BAD: &[u16] = &[400];

fn row(name: impl Into<String>, bytes: impl Into<Vec<u8>>, status: &'static [u16]) -> Row {
    Row {
        name: name.into(),
        bytes: bytes.into(),
        expect: Expect::Refused { status, detail: "" },
    }
}

fn passes(name: impl Into<String>, bytes: impl Into<Vec<u8>>, line: &str) -> Row {
    Row {
        name: name.into(),
        bytes: bytes.into(),
        expect: Expect::Forwarded {
            line: line.to_owned(),
            body: vec![],
            field: None,
        },
    }
}

impl Row {
    fn detail(mut self, said: &'static str) -> Self {
        if let Expect::Refused { detail, .. } = &mut self.expect {
            *detail = said;
        }
        self
    }

    fn body(mut self, sent: &[u8]) -> Self {
        if let Expect::Forwarded { body, .. } = &mut self.expect {
            *body = sent.to_vec();
        }
        self
    }

    fn field(mut self, name: &str, value: impl Into<String>) -> Self {
        if let Expect::Forwarded { field, .. } = &mut self.expect {
            *field = Some((name.to_ascii_lowercase(), value.into()));
        }
        self
    }
}

/// A GET with these field lines after Host, each with its own line end.
fn get(lines: &[u8]) -> Vec<u8> {
    [
        b"GET /refused HTTP/1.1\r\nHost: test.example\r\n",
        lines,
        b"\r\n",
    ]
    .concat()
}

/// A POST with these field lines and this body; a second request stands behind it.
fn post(lines: &[u8], body: &[u8]) -> Vec<u8> {
    let head = b"POST /refused HTTP/1.1\r\nHost: test.example\r\n";
    let next = b"GET /smuggled HTTP/1.1\r\nHost: test.example\r\n\r\n";
    [head.as_slice(), lines, b"\r\n", body, next].concat()
}

/// Rows of one kind, and how many there must be at least.
pub struct Group {
    pub name: &'static str,
    pub least: usize,
    pub rows: Vec<Row>,
}

/// Heads: what is refused of them is refused before anything reaches an endpoint.
pub fn heads() -> Vec<Group> {
    let group = |name, least, rows| Group { name, least, rows };
    vec![
        group("both framings", 12, fields::conflicts()),
        group("Transfer-Encoding", 60, fields::codings()),
        group("Content-Length", 40, fields::lengths()),
        group("Host", 30, fields::hosts()),
        group("Expect, Connection, Upgrade", 20, fields::others()),
        group("line ends", 25, lines::ends()),
        group("names", 10, lines::names()),
        group("versions", 15, targets::versions()),
        group("methods", 15, targets::methods()),
        group("targets", 80, targets::targets()),
        group("limits", 8, targets::limits()),
        group("every byte in a name", 256, bytes::names()),
        group("every byte in a value", 256, bytes::values()),
        group("every byte in a method", 256, bytes::methods()),
        group("every byte in a path", 256, bytes::paths()),
        group("every byte in a query", 256, bytes::queries()),
        group("unusual and right", 60, accepted::rows()),
    ]
}

/// Chunked bodies that break their grammar: they never become a whole request at the origin.
pub fn bodies() -> Group {
    Group {
        name: "chunks",
        least: 50,
        rows: bodies::chunks(),
    }
}
