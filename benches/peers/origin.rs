//! The origin of `make bench`: one thread, edge-triggered epoll, answers computed before the first
//! request. `bench-origin FIRST_PORT COUNT` listens on that many ports of 127.0.0.1.
//!
//! `/` and `/shop/` answer 128 bytes with six fields, `/16k` and `/1m` what they say, any of them after a body
//! of either framing was read to its end. `/_count` tells how many requests each port answered, so
//! that the bench can compare them with what its load generator counted.

#![expect(
    clippy::indexing_slicing,
    reason = "a tool of the bench on loopback: a fault in it ends the bench"
)]

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

const SCRATCH: usize = 64 * 1024;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |what: &str| {
        arguments
            .next()
            .and_then(|text| text.parse::<u16>().ok())
            .ok_or_else(|| io::Error::other(format!("usage: bench-origin PORT COUNT: no {what}")))
    };
    let (first, ports) = (number("first port")?, number("count of ports")?);
    Origin::bind(first, ports)?.run()
}

struct Origin {
    poll: Poll,
    listeners: Vec<TcpListener>,
    connections: Slab<Connection>,
    answers: Answers,
    /// Requests answered, by port.
    counts: Vec<u64>,
    scratch: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    port: usize,
    expects: Expects,
    /// Bytes of a head that is not complete yet.
    partial: Vec<u8>,
    /// What the kernel did not take yet.
    unsent: Vec<u8>,
    after: After,
}

/// What the next byte of a connection belongs to.
enum Expects {
    Head,
    Body { left: u64, answer: Answer },
    Chunks { chunks: Chunks, answer: Answer },
}

#[derive(Clone, Copy)]
enum After {
    KeepOpen,
    Close,
}

#[derive(Clone, Copy)]
enum Answer {
    Small,
    Kib16,
    Mib1,
    Count,
    NotFound,
}

enum Step {
    Continue,
    Wait,
    Gone,
}

impl Origin {
    fn bind(first: u16, ports: u16) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listeners = Vec::new();
        for index in 0..ports {
            let addr = SocketAddr::from(([127, 0, 0, 1], first + index));
            let mut listener = TcpListener::bind(addr)?;
            poll.registry().register(
                &mut listener,
                Token(usize::from(index)),
                Interest::READABLE,
            )?;
            listeners.push(listener);
        }
        Ok(Self {
            poll,
            counts: vec![0; listeners.len()],
            listeners,
            connections: Slab::new(),
            answers: Answers::new(),
            scratch: vec![0; SCRATCH],
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            if let Err(error) = self.poll.poll(&mut events, None) {
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            for event in &events {
                let Token(index) = event.token();
                match index.checked_sub(self.listeners.len()) {
                    None => self.accept(index)?,
                    Some(key) => self.turn(key),
                }
            }
        }
    }

    fn accept(&mut self, port: usize) -> io::Result<()> {
        loop {
            let mut stream = match self.listeners[port].accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let entry = self.connections.vacant_entry();
            self.poll.registry().register(
                &mut stream,
                Token(self.listeners.len() + entry.key()),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            entry.insert(Connection {
                stream,
                port,
                expects: Expects::Head,
                partial: Vec::new(),
                unsent: Vec::new(),
                after: After::KeepOpen,
            });
        }
    }

    /// Does all that can be done now for one connection.
    fn turn(&mut self, key: usize) {
        loop {
            let step = match self.connections.get_mut(key) {
                None => return,
                Some(connection) => {
                    connection.step(&mut self.scratch, &self.answers, &mut self.counts)
                }
            };
            match step {
                Ok(Step::Continue) => {}
                Ok(Step::Wait) => return,
                Ok(Step::Gone) | Err(_) => {
                    self.connections.remove(key);
                    return;
                }
            }
        }
    }
}

impl Connection {
    fn step(
        &mut self,
        scratch: &mut [u8],
        answers: &Answers,
        counts: &mut [u64],
    ) -> io::Result<Step> {
        if !self.unsent.is_empty() {
            let taken = match self.stream.write(&self.unsent) {
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Step::Wait),
                Err(error) => return Err(error),
            };
            self.unsent.drain(..taken);
            return Ok(Step::Continue);
        }
        if matches!(self.after, After::Close) {
            return Ok(Step::Gone);
        }
        let kept = self.partial.len();
        scratch[..kept].copy_from_slice(&self.partial);
        let read = match self.stream.read(&mut scratch[kept..]) {
            Ok(0) => return Ok(Step::Gone),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Step::Wait),
            Err(error) => return Err(error),
        };
        self.partial.clear();
        let full = kept + read == scratch.len();
        self.take(&scratch[..kept + read], answers, counts)?;
        // A short read leaves the socket empty, and the next byte makes a new edge.
        let idle = self.unsent.is_empty() && matches!(self.after, After::KeepOpen);
        Ok(if full || !idle {
            Step::Continue
        } else {
            Step::Wait
        })
    }

    /// Takes in what was read, and answers each request that it completes.
    fn take(&mut self, mut input: &[u8], answers: &Answers, counts: &mut [u64]) -> io::Result<()> {
        loop {
            let answer = match &mut self.expects {
                Expects::Head => {
                    if input.is_empty() {
                        return Ok(());
                    }
                    let Some(length) = self.head(input)? else {
                        self.partial.extend_from_slice(input);
                        return Ok(());
                    };
                    input = &input[length..];
                    continue;
                }
                Expects::Body { left, answer } => {
                    let now = input
                        .len()
                        .min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= now as u64;
                    input = &input[now..];
                    if *left > 0 {
                        return Ok(());
                    }
                    *answer
                }
                Expects::Chunks { chunks, answer } => {
                    input = &input[chunks.take(input)..];
                    if !matches!(chunks.at, ChunkAt::End) {
                        return Ok(());
                    }
                    *answer
                }
            };
            self.expects = Expects::Head;
            self.answer(answer, answers, counts)?;
        }
    }

    /// Reads a head and sets what is awaited next. None: it is not complete.
    fn head(&mut self, input: &[u8]) -> io::Result<Option<usize>> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        let length = match request.parse(input).map_err(io::Error::other)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Ok(None),
        };
        let answer = match request.path.unwrap_or_default() {
            "/" | "/shop/" => Answer::Small,
            "/16k" => Answer::Kib16,
            "/1m" => Answer::Mib1,
            "/_count" => Answer::Count,
            _ => Answer::NotFound,
        };
        let mut left = 0;
        let mut chunked = false;
        for field in request.headers.iter() {
            match field.name.len() {
                10 if field.name.eq_ignore_ascii_case("connection")
                    && field.value.eq_ignore_ascii_case(b"close") =>
                {
                    self.after = After::Close;
                }
                14 if field.name.eq_ignore_ascii_case("content-length") => {
                    let text = std::str::from_utf8(field.value).map_err(io::Error::other)?;
                    left = text.parse().map_err(io::Error::other)?;
                }
                17 if field.name.eq_ignore_ascii_case("transfer-encoding") => chunked = true,
                _ => {}
            }
        }
        self.expects = if chunked {
            let chunks = Chunks::default();
            Expects::Chunks { chunks, answer }
        } else {
            Expects::Body { left, answer }
        };
        Ok(Some(length))
    }

    fn answer(&mut self, answer: Answer, answers: &Answers, counts: &mut [u64]) -> io::Result<()> {
        let counted;
        let bytes = match answer {
            Answer::Small => &answers.small,
            Answer::Kib16 => &answers.kib16,
            Answer::Mib1 => &answers.mib1,
            Answer::NotFound => &answers.not_found,
            Answer::Count => {
                counted = plain("200 OK", format!("{counts:?}").as_bytes());
                &counted
            }
        };
        if !matches!(answer, Answer::Count) {
            counts[self.port] += 1;
        }
        let taken = if self.unsent.is_empty() {
            match self.stream.write(bytes) {
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            }
        } else {
            0
        };
        self.unsent.extend_from_slice(&bytes[taken..]);
        Ok(())
    }
}

struct Answers {
    small: Vec<u8>,
    kib16: Vec<u8>,
    mib1: Vec<u8>,
    not_found: Vec<u8>,
}

impl Answers {
    fn new() -> Self {
        let sized = |length: usize| {
            let body: Vec<u8> = (b'a'..=b'z').cycle().take(length).collect();
            plain("200 OK", &body)
        };
        Self {
            small: sized(128),
            kib16: sized(16 * 1024),
            mib1: sized(1024 * 1024),
            not_found: plain("404 Not Found", b"no such page\n"),
        }
    }
}

/// An answer with six fields.
fn plain(status: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nserver: origin\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
         content-type: text/plain; charset=utf-8\r\ncache-control: max-age=60\r\n\
         etag: \"5f3a-1c\"\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Reads a chunked body to its end and forgets it.
#[derive(Default)]
struct Chunks {
    at: ChunkAt,
    /// Of the size line: its value so far. Of the data: what is left, its CRLF included.
    left: u64,
    /// Bytes of the current trailer line.
    line: usize,
}

#[derive(Default)]
enum ChunkAt {
    #[default]
    Size,
    Extension,
    Data,
    Trailer,
    End,
}

impl Chunks {
    /// Returns how many bytes belong to the body.
    fn take(&mut self, input: &[u8]) -> usize {
        let mut at = 0;
        while at < input.len() {
            let byte = input[at];
            match self.at {
                ChunkAt::End => break,
                ChunkAt::Data => {
                    let rest = input.len() - at;
                    let now = rest.min(usize::try_from(self.left).unwrap_or(usize::MAX));
                    self.left -= now as u64;
                    at += now;
                    if self.left == 0 {
                        self.at = ChunkAt::Size;
                    }
                    continue;
                }
                ChunkAt::Size | ChunkAt::Extension if byte == b'\n' => {
                    (self.at, self.left) = match self.left {
                        0 => (ChunkAt::Trailer, 0),
                        size => (ChunkAt::Data, size + 2),
                    };
                }
                ChunkAt::Size => match char::from(byte).to_digit(16) {
                    Some(digit) => self.left = self.left * 16 + u64::from(digit),
                    None => self.at = ChunkAt::Extension,
                },
                ChunkAt::Extension => {}
                ChunkAt::Trailer if byte == b'\n' && self.line == 0 => self.at = ChunkAt::End,
                ChunkAt::Trailer if byte == b'\n' => self.line = 0,
                ChunkAt::Trailer if byte == b'\r' => {}
                ChunkAt::Trailer => self.line += 1,
            }
            at += 1;
        }
        at
    }
}
