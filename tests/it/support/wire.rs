//! HTTP/1.1 as strictly as it is written, over a blocking socket: the one parser of the tests, for
//! what the proxy sends to clients and for what it sends to origins.

use super::DEADLINE;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Why a message did not arrive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The peer closed before the first byte.
    Closed,
    /// The peer closed in the middle.
    Truncated,
    /// The peer reset the connection.
    Reset,
    /// Nothing came before the deadline.
    Late,
    /// It is not HTTP.
    Malformed(String),
}

fn malformed<T>(what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Malformed(what.into()))
}

/// A message's head. Names in lower case; bytes become chars one to one.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub raw: Vec<u8>,
    pub first: String,
    pub fields: Vec<(String, String)>,
}

impl Head {
    fn parse(raw: Vec<u8>) -> Result<Self, Fault> {
        let text: String = raw.iter().map(|&byte| char::from(byte)).collect();
        let Some(text) = text.strip_suffix("\r\n\r\n") else {
            return malformed("head does not end in an empty line");
        };
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let fields = lines.map(field).collect::<Result<Vec<_>, _>>()?;
        if first.contains(['\r', '\n', '\0']) {
            return malformed("control byte in the first line");
        }
        Ok(Self { raw, first, fields })
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of a field that stands at most once.
    pub fn one(&self, name: &str) -> Option<&str> {
        let mut all = self.fields.iter().filter(|(have, _)| have == name);
        let first = all.next();
        assert_eq!(
            all.next(),
            None,
            "field `{name}` stands twice in {:?}",
            self.first
        );
        first.map(|(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }
}

fn field(line: &str) -> Result<(String, String), Fault> {
    let Some((name, value)) = line.split_once(':') else {
        return malformed(format!("no colon in {line:?}"));
    };
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        return malformed(format!("field name {name:?}"));
    }
    if value.chars().any(|c| (c < ' ' && c != '\t') || c == '\x7f') {
        return malformed(format!("field value {value:?}"));
    }
    let value = value.trim_matches([' ', '\t']);
    Ok((name.to_ascii_lowercase(), value.to_owned()))
}

/// A body as it was framed: what it said, the bytes that said it, and its trailers.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pub bytes: Vec<u8>,
    pub raw: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

/// A socket with what was read from it and not yet used.
pub struct Wire {
    pub stream: TcpStream,
    pub buffer: Vec<u8>,
}

impl Wire {
    pub fn new(stream: TcpStream, timeout: Option<Duration>) -> Self {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(timeout).expect("read timeout");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("write timeout");
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Reads once; 0 at the end.
    pub fn fill(&mut self) -> Result<usize, Fault> {
        let mut scratch = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut scratch) {
                Ok(n) => {
                    self.buffer.extend_from_slice(&scratch[..n]);
                    return Ok(n);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(match error.kind() {
                        ErrorKind::WouldBlock | ErrorKind::TimedOut => Fault::Late,
                        _ => Fault::Reset,
                    });
                }
            }
        }
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next message's head.
    pub fn head(&mut self) -> Result<Head, Fault> {
        let mut seen = 0;
        loop {
            let from = seen.max(3) - 3;
            if let Some(at) = self.buffer[from..]
                .windows(4)
                .position(|w| w == b"\r\n\r\n")
            {
                let rest = self.buffer.split_off(from + at + 4);
                return Head::parse(std::mem::replace(&mut self.buffer, rest));
            }
            seen = self.buffer.len();
            if seen > 1 << 20 {
                return malformed("endless head");
            }
            if self.fill()? == 0 {
                return Err(if seen == 0 {
                    Fault::Closed
                } else {
                    Fault::Truncated
                });
            }
        }
    }

    fn need(&mut self, count: usize) -> Result<(), Fault> {
        while self.buffer.len() < count {
            if self.fill()? == 0 {
                return Err(Fault::Truncated);
            }
        }
        Ok(())
    }

    /// Exactly so many bytes.
    pub fn exact(&mut self, count: usize) -> Result<Vec<u8>, Fault> {
        self.need(count)?;
        let rest = self.buffer.split_off(count);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// One line without its CRLF, which is counted in `raw`.
    fn line(&mut self, at: usize) -> Result<String, Fault> {
        let mut seen = at;
        loop {
            if let Some(found) = self.buffer[seen..].iter().position(|&byte| byte == b'\n') {
                let end = seen + found;
                let line = &self.buffer[at..end];
                let Some(line) = line.strip_suffix(b"\r") else {
                    return malformed("bare LF");
                };
                return Ok(line.iter().map(|&byte| char::from(byte)).collect());
            }
            seen = self.buffer.len();
            self.need(seen + 1)?;
        }
    }

    /// A chunked body, in the plainest grammar: the proxy writes no extensions.
    pub fn chunked(&mut self) -> Result<Body, Fault> {
        let mut body = Body::default();
        let mut at = 0;
        loop {
            let line = self.line(at)?;
            if line.is_empty() || !line.chars().all(|c| c.is_ascii_hexdigit()) {
                return malformed(format!("chunk size {line:?}"));
            }
            let Ok(size) = usize::from_str_radix(&line, 16) else {
                return malformed(format!("chunk size {line:?}"));
            };
            at += line.len() + 2;
            if size == 0 {
                break;
            }
            self.need(at + size + 2)?;
            body.bytes.extend_from_slice(&self.buffer[at..at + size]);
            if &self.buffer[at + size..at + size + 2] != b"\r\n" {
                return malformed("chunk does not end in CRLF");
            }
            at += size + 2;
        }
        loop {
            let line = self.line(at)?;
            at += line.len() + 2;
            if line.is_empty() {
                break;
            }
            body.trailers.push(field(&line)?);
        }
        body.raw = self.exact(at)?;
        Ok(body)
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> Result<Vec<u8>, Fault> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }
}
