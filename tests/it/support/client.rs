//! A client that sends exactly the bytes it is given and believes nothing that comes back.

use super::DEADLINE;
use super::wire::{Body, Fault, Head, Wire};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One response, the informational ones before it included.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    pub head: Head,
    pub interim: Vec<(u16, Head)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    pub ends: Ends,
}

/// What marked the end of a response's body.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Ends {
    /// There is no body by definition.
    #[default]
    Never,
    AtLength,
    Chunked,
    AtClose,
}

impl Response {
    pub fn one(&self, name: &str) -> Option<&str> {
        self.head.one(name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the sender will close after it.
    pub fn closes(&self) -> bool {
        self.head
            .all("connection")
            .any(|v| v.eq_ignore_ascii_case("close"))
    }

    #[track_caller]
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{:?} {:?}", self.head, self.text());
        self
    }
}

fn status(head: &Head) -> Result<u16, Fault> {
    let bad = || Fault::Malformed(format!("status line {:?}", head.first));
    let rest = head.first.strip_prefix("HTTP/1.1 ").ok_or_else(bad)?;
    let (code, _phrase) = rest.split_once(' ').ok_or_else(bad)?;
    if code.len() != 3 {
        return Err(bad());
    }
    code.parse().map_err(|_| bad())
}

pub struct Client {
    pub wire: Wire,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&addr, DEADLINE).expect("connect");
        Self {
            wire: Wire::new(stream, Some(DEADLINE)),
        }
    }

    pub fn try_connect(addr: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, DEADLINE)?;
        Ok(Self {
            wire: Wire::new(stream, Some(DEADLINE)),
        })
    }

    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.wire
            .stream
            .set_read_timeout(Some(deadline))
            .expect("read timeout");
        self.wire.buffer.clear();
        self
    }

    /// Sends; what the peer thinks of it shows when the response is read.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.wire.send(bytes.as_ref());
        self
    }

    /// Leaves with a reset.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.wire.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
    }

    pub fn finish(&self) {
        self.wire.finish();
    }

    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    #[track_caller]
    pub fn response_to(&mut self, method: &str) -> Response {
        match self.try_response_to(method) {
            Ok(response) => response,
            Err(fault) => panic!("no response: {fault:?}; read so far {:?}", self.peeked()),
        }
    }

    fn peeked(&self) -> String {
        let buffer = &self.wire.buffer;
        String::from_utf8_lossy(&buffer[..buffer.len().min(400)]).into_owned()
    }

    /// A response's head and those of the informational ones before it.
    pub fn try_head(&mut self) -> Result<Response, Fault> {
        let mut interim = Vec::new();
        loop {
            let head = match self.wire.head() {
                Err(Fault::Closed) if !interim.is_empty() => return Err(Fault::Truncated),
                other => other?,
            };
            let status = status(&head)?;
            if (100..200).contains(&status) && status != 101 {
                interim.push((status, head));
                continue;
            }
            return Ok(Response {
                status,
                head,
                interim,
                ..Response::default()
            });
        }
    }

    pub fn try_response_to(&mut self, method: &str) -> Result<Response, Fault> {
        let mut response = self.try_head()?;
        let head = &response.head;
        let coding = head.one("transfer-encoding");
        let length = head.one("content-length");
        if coding.is_some() && length.is_some() {
            return Err(Fault::Malformed("both length and coding".to_owned()));
        }
        if method == "HEAD" || matches!(response.status, 101 | 204 | 304) {
            return Ok(response);
        }
        let body = if let Some(coding) = coding {
            if coding != "chunked" {
                return Err(Fault::Malformed(format!("coding {coding:?}")));
            }
            response.ends = Ends::Chunked;
            self.wire.chunked()?
        } else if let Some(length) = length {
            let Ok(length) = length.parse() else {
                return Err(Fault::Malformed(format!("length {length:?}")));
            };
            response.ends = Ends::AtLength;
            Body {
                bytes: self.wire.exact(length)?,
                ..Body::default()
            }
        } else {
            response.ends = Ends::AtClose;
            Body {
                bytes: self.wire.rest()?,
                ..Body::default()
            }
        };
        response.body = body.bytes;
        response.trailers = body.trailers;
        Ok(response)
    }

    pub fn try_get(&mut self, path: &str) -> Result<Response, Fault> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n\r\n"));
        self.try_response_to("GET")
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n\r\n"));
        self.response_to("GET")
    }

    #[track_caller]
    pub fn post(&mut self, path: &str, body: &[u8]) -> Response {
        self.method("POST", path, body)
    }

    #[track_caller]
    pub fn method(&mut self, method: &str, path: &str, body: &[u8]) -> Response {
        self.send(with_body(method, path, body));
        self.response_to(method)
    }

    /// Asserts that the peer ends the connection and says nothing more.
    #[track_caller]
    pub fn ends(&mut self) {
        if let Err(what) = self.try_ends() {
            panic!("{what}");
        }
    }

    /// Whether the peer ends the connection and says nothing more; if not, what it does.
    pub fn try_ends(&mut self) -> Result<(), String> {
        match self.wire.rest() {
            Ok(rest) if rest.is_empty() => Ok(()),
            Ok(rest) => Err(format!("said {:?}", String::from_utf8_lossy(&rest))),
            Err(Fault::Reset) if self.wire.buffer.is_empty() => Ok(()),
            Err(fault) => Err(format!(
                "not closed: {fault:?}; read so far {:?}",
                self.peeked()
            )),
        }
    }
}

/// A request with Content-Length.
pub fn with_body(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\nHost: test.example\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A request's body in chunks of `size` bytes.
pub fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// The bytes of a head, and none behind them.
pub fn read_head(from: &mut impl Read) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    head
}

/// Bytes that repeat only after a long prime, so that a lost or doubled piece shows.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from(at * 7 % 251).unwrap_or(0))
        .collect()
}
