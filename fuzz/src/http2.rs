//! HTTP/2 without its connection: an end that answers every request with what is in it.

use std::fmt::Write as _;

use tidegate::base::clock::{self, Instant};
use tidegate::http1::limits::BodyLimits;
use tidegate::http2::frame::{FrameHead, HEAD, MAX_FRAME, PREFACE};
use tidegate::http2::hpack::{DEFAULT_TABLE, Decoder, Encoder};
use tidegate::http2::request::{Reader, Refusal};
use tidegate::http2::session::Block;
use tidegate::http2::trailers::TrailerReader;
use tidegate::http2::{Code, Event, Fin, Half, Key, Limits, Lost, Session, response};
use tidegate::message::RequestHead;

use super::checks::LIMITS;

/// What belongs to one stream: the body, and what of the answer has not gone.
#[derive(Debug, Default)]
pub struct Own {
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Vec<u8>,
    answered: bool,
    sent: usize,
}

/// An end that answers with the fields that begin with `x-`, the body and the trailers of the request.
pub struct Echo {
    /// The core.
    pub session: Session<Own>,
    /// What was seen, a line each.
    pub told: String,
    kept: Vec<u8>,
    head: RequestHead,
    cookie: Vec<u8>,
    now: Instant,
    waiting: Vec<(Key, u32)>,
}

impl Echo {
    /// One that nobody has spoken to, at a time that does not matter.
    pub fn new(now: Instant) -> Self {
        Self {
            session: Session::new(Limits::default(), LIMITS.headers),
            told: String::new(),
            kept: Vec::new(),
            head: RequestHead::default(),
            cookie: Vec::new(),
            now,
            waiting: Vec::new(),
        }
    }

    /// Takes what came.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        let mut input = std::mem::take(&mut self.kept);
        input.extend_from_slice(bytes);
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let step = self.session.next(rest, self.now)?;
            assert!(step.used <= rest.len());
            used += step.used;
            let Some(event) = step.event else {
                break;
            };
            self.meet(event, rest)?;
        }
        input.drain(..used);
        self.kept = input;
        Ok(())
    }

    fn meet(&mut self, event: Event, input: &[u8]) -> Result<(), Lost> {
        match event {
            Event::Head { id, end, block } => return self.begin(id, end, &block, input),
            Event::Trailers { key, block } => {
                let mut reader = TrailerReader::new(BodyLimits::DEFAULT);
                self.session
                    .read(&block, input, |line| reader.line(&line))?;
                let Ok(trailers) = reader.finish() else {
                    let failed = self.session.fail(key, Code::Protocol, self.now)?;
                    return self.meet(failed, input);
                };
                if let Some(stream) = self.session.streams.at_mut(key) {
                    stream.own.trailers = trailers.unlisted;
                    stream.own.trailers.extend_from_slice(&trailers.lines);
                }
                self.answer(key);
            }
            Event::Data { key, at } => {
                let data = &input[at];
                let stream = self.session.streams.at_mut(key).expect("it was told of");
                stream.own.body.extend_from_slice(data);
                let ended = stream.remote == Half::Ended;
                self.session.consumed(Some(key), data.len());
                if ended {
                    self.answer(key);
                }
            }
            Event::Reset { key } | Event::Failed { key, .. } => {
                let id = self.session.streams.at(key).expect("it was told of").id;
                let _ = writeln!(self.told, "{id} over: {event:?}");
                self.session.close(key);
            }
            Event::Window => self.go_on(),
            Event::Refused { .. } | Event::Pong | Event::GoAway => {
                let _ = writeln!(self.told, "{event:?}");
            }
        }
        Ok(())
    }

    fn begin(&mut self, id: u32, end: Half, block: &Block, input: &[u8]) -> Result<(), Lost> {
        let mut reader = Reader::new(&mut self.head, &LIMITS, &mut self.cookie);
        self.session.read(block, input, |line| reader.line(&line))?;
        let length = match reader.finish(end) {
            Ok(length) => length,
            Err(Refusal::Answered(error)) => {
                let _ = writeln!(self.told, "{id} answered {error:?}");
                None
            }
            Err(Refusal::Malformed(detail)) => {
                let _ = writeln!(self.told, "{id} malformed {detail:?}");
                return self.session.refuse(id, Code::Protocol, self.now);
            }
        };
        let head = &self.head;
        let path = head.path().escape_ascii();
        let _ = writeln!(self.told, "{id} {:?} {path} {end:?}", head.method());
        let fields = head.fields().iter();
        let fields = fields.map(|field| (head.name(field).to_vec(), head.value(field).to_vec()));
        let own = Own {
            fields: fields.filter(|(name, _)| name.starts_with(b"x-")).collect(),
            ..Own::default()
        };
        let key = self.session.open(id, end, length, own);
        if end == Half::Ended {
            self.answer(key);
        }
        Ok(())
    }

    fn answer(&mut self, key: Key) {
        let stream = self.session.streams.at_mut(key).expect("it is open");
        let own = &mut stream.own;
        let _ = writeln!(self.told, "{} body {:x?}", stream.id, own.body);
        own.answered = true;
        let fields = std::mem::take(&mut own.fields);
        self.waiting.push((key, stream.id));
        self.session.send_headers(key, Fin::No, |encoder, out| {
            encoder.status(200, out);
            for (name, value) in &fields {
                encoder.field(name, value, out);
            }
        });
        self.go_on();
    }

    /// Sends what windows have room for.
    fn go_on(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|&(key, id)| {
            let stream = self.session.streams.at_mut(key);
            let Some(stream) = stream.filter(|stream| stream.id == id) else {
                return false;
            };
            let own = &mut stream.own;
            let (body, trailers) = (std::mem::take(&mut own.body), own.trailers.clone());
            let fin = if trailers.is_empty() {
                Fin::Yes
            } else {
                Fin::No
            };
            let start = own.sent;
            let sent = start + self.session.send_data(key, &body[start..], fin);
            if sent < body.len() {
                let own = &mut self.session.streams.at_mut(key).expect("it is open").own;
                (own.body, own.sent) = (body, sent);
                return true;
            }
            if fin == Fin::No {
                self.session.send_headers(key, Fin::Yes, |encoder, out| {
                    response::lines(&trailers, encoder, out);
                });
            }
            self.session.close(key);
            false
        });
        self.waiting.append(&mut waiting);
    }
}

/// What a connection comes to does not depend on how its bytes are cut into reads; what is sent are frames.
pub fn session(input: &[u8]) {
    let Some((&choice, input)) = input.split_first() else {
        return;
    };
    let whole = heard(input, input.len().max(1));
    let pieces = heard(input, usize::from(choice % 32) + 1);
    assert_eq!(whole, pieces);
}

fn heard(input: &[u8], step: usize) -> (String, Vec<u8>, Option<Lost>) {
    // Any time will do, and the same for both.
    let mut echo = Echo::new(clock::now());
    let mut lost = echo.feed(PREFACE).err();
    for piece in input.chunks(step) {
        lost = echo.feed(piece).err();
        if lost.is_some() {
            break;
        }
    }
    let session = &echo.session;
    assert!(session.weight() <= 512 << 10, "{}", session.weight());
    let mut rest = &session.out[..];
    while let Some(head) = FrameHead::read(rest) {
        assert!(head.len <= MAX_FRAME);
        rest = &rest[HEAD + head.len as usize..];
    }
    assert!(rest.is_empty());
    (echo.told, echo.session.out, lost)
}

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

fn lines(decoder: &mut Decoder, block: &[u8]) -> Option<Lines> {
    let mut lines = Lines::new();
    let read = decoder.decode(block, |line| {
        lines.push((line.name.to_vec(), line.value.to_vec()));
    });
    read.ok().map(|()| lines)
}

/// Lines of a block, written again and again by us, are read as the same.
pub fn hpack(input: &[u8]) {
    let Some((&choice, input)) = input.split_first() else {
        return;
    };
    let mut decoder = Decoder::new(DEFAULT_TABLE);
    let Some(read) = lines(&mut decoder, input) else {
        return;
    };
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::new(DEFAULT_TABLE));
    for round in 0..3 {
        if round == 1 {
            encoder.allow(usize::from(choice) * 16);
        }
        let mut block = Vec::new();
        encoder.begin(&mut block);
        for (name, value) in &read {
            encoder.field(name, value, &mut block);
        }
        assert_eq!(lines(&mut decoder, &block).as_ref(), Some(&read), "{round}");
    }
}
