//! What an origin says, step by step: an answer, or something that only looks like one.

use super::gate::Gate;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// One thing that an origin does.
#[derive(Clone)]
pub enum Step {
    Send(Vec<u8>),
    /// The answer itself, or a part of it: rendered bytes from `.0` to `.1` (in per mille).
    Reply(usize, usize),
    Pause(Duration),
    Hold(Gate),
    /// Counts that it came this far.
    Count(Arc<AtomicUsize>),
    Reset,
    Close,
    /// Closes its sending side only, and keeps the rest until the peer goes.
    HalfClose,
    /// Says nothing more and keeps the connection until the peer goes.
    Hang,
    /// Sends every byte back until the peer closes.
    Echo,
    /// Answers every WebSocket message with itself.
    WebSocket,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    Length,
    Chunked(usize),
    UntilClose,
}

#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub framing: Framing,
    pub trailers: Vec<(String, String)>,
    pub steps: Vec<Step>,
}

impl Answer {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            fields: Vec::new(),
            body: body.into(),
            framing: Framing::Length,
            trailers: Vec::new(),
            steps: vec![Step::Reply(0, 1000)],
        }
    }

    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::ok("")
        }
    }

    /// Exactly these bytes, and the connection stays.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            steps: vec![Step::Send(bytes.into())],
            ..Self::ok("")
        }
    }

    /// No answer at all.
    pub fn silence() -> Self {
        Self {
            steps: Vec::new(),
            ..Self::ok("")
        }
    }

    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn chunked(mut self, size: usize) -> Self {
        self.framing = Framing::Chunked(size);
        self
    }

    pub fn until_close(mut self) -> Self {
        self.framing = Framing::UntilClose;
        self.then(Step::Close)
    }

    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    pub fn first(mut self, step: Step) -> Self {
        self.steps.insert(0, step);
        self
    }

    /// Bytes before the answer: informational responses.
    pub fn interim(self, bytes: &str) -> Self {
        self.first(Step::Send(bytes.as_bytes().to_vec()))
    }

    /// The whole answer waits at the gate.
    pub fn held(self, gate: &Gate) -> Self {
        self.first(Step::Hold(gate.clone()))
    }

    /// The head and a part of the body (in per mille of all bytes), the gate, then the rest.
    pub fn held_at(mut self, share: usize, gate: &Gate) -> Self {
        self.steps = vec![
            Step::Reply(0, share),
            Step::Hold(gate.clone()),
            Step::Reply(share, 1000),
        ];
        self
    }

    /// Only so much of the answer (in per mille of all bytes), then `last`.
    pub fn cut(mut self, share: usize, last: Step) -> Self {
        self.steps = vec![Step::Reply(0, share), last];
        self
    }

    /// The bytes of the answer to a request with this method and nonce.
    pub fn render(&self, method: &str, nonce: Option<&str>) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Reason\r\n", self.status);
        for (name, value) in &self.fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if let Some(nonce) = nonce {
            let _ = write!(head, "x-nonce: {nonce}\r\n");
        }
        match self.framing {
            _ if matches!(self.status, 204 | 304) => {}
            Framing::Length => {
                let _ = write!(head, "content-length: {}\r\n", self.body.len());
            }
            Framing::Chunked(_) => head += "transfer-encoding: chunked\r\n",
            Framing::UntilClose => head += "connection: close\r\n",
        }
        head += "\r\n";
        let mut bytes = head.into_bytes();
        if method == "HEAD" || matches!(self.status, 204 | 304) {
            return bytes;
        }
        let Framing::Chunked(size) = self.framing else {
            bytes.extend_from_slice(&self.body);
            return bytes;
        };
        bytes.extend_from_slice(&super::client::chunks(&self.body, size));
        bytes.truncate(bytes.len() - 2);
        for (name, value) in &self.trailers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}
