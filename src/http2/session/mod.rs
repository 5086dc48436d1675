//! One connection: what its frames mean, and in which order they may come.
//!
//! Bytes go in by [`Session::next`], which gives one event at a time; what is to be sent gathers in one buffer, so that
//! a batch leaves in one write.

mod control;
mod receive;
mod send;

use std::ops::Range;

use super::code::Code;
use super::frame::{self, Setting};
use super::hpack::{Decoder, Encoder, Line};
use super::limits::{Abuse, Limits, Meters, WebSockets};
use super::streams::{Half, Key, Stream, Streams};

pub use send::Fin;

/// Window of the connection, and of a stream, before anything else was agreed on (RFC 9113, 6.9.2).
const DEFAULT_WINDOW: u32 = 65_535;

/// The connection is lost: this is told to the other end, and nothing more is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lost {
    /// Why.
    pub code: Code,
    /// What was done too often, where that is why.
    pub abuse: Option<Abuse>,
}

impl From<Code> for Lost {
    fn from(code: Code) -> Self {
        Self { code, abuse: None }
    }
}

impl From<Abuse> for Lost {
    fn from(abuse: Abuse) -> Self {
        Self {
            code: Code::EnhanceYourCalm,
            abuse: Some(abuse),
        }
    }
}

/// Where a header block stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Block {
    /// In the input, relative to what was given.
    Here(Range<usize>),
    /// In the session: it came in several frames.
    Kept,
}

/// What came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// The head of a new message. Its block must be read, by [`Session::read`], before anything else.
    Head {
        /// The stream's number.
        id: u32,
        /// Whether the message ends with it.
        end: Half,
        /// Where it stands.
        block: Block,
    },
    /// The trailers of a message. Their block must be read too.
    Trailers {
        /// The stream.
        key: Key,
        /// Where they stand.
        block: Block,
    },
    /// Bytes of a body; whether they are the last, the stream says.
    Data {
        /// The stream.
        key: Key,
        /// Where they stand in the input.
        at: Range<usize>,
    },
    /// A stream is over: the other end reset it.
    Reset {
        /// The stream.
        key: Key,
    },
    /// A stream that did not begin, or is over for long: the other end was told so.
    Refused {
        /// Why.
        code: Code,
    },
    /// A stream is over: it broke the rules, and the other end was told.
    Failed {
        /// The stream.
        key: Key,
        /// Why.
        code: Code,
    },
    /// More may be sent.
    Window,
    /// The answer to our PING.
    Pong,
    /// The other end will begin no more streams.
    GoAway,
}

/// What a look at the input gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// Bytes of the input that are done with.
    pub used: usize,
    /// What came with them; `None`: the rest of the input must be kept until more has come.
    pub event: Option<Event>,
}

/// What the next frame must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expected {
    /// The words that a client begins with.
    Preface,
    /// SETTINGS.
    Settings,
    /// Any.
    Frame,
}

/// A header block that goes on in further frames.
#[derive(Debug)]
struct Unfinished {
    stream: u32,
    end: Half,
    fault: Option<Code>,
    frames: u32,
}

/// A payload that is handed on as it comes.
#[derive(Clone, Copy, Debug)]
struct Body {
    id: u32,
    /// `None`: nobody wants it.
    key: Option<Key>,
    left: usize,
    padding: usize,
    end: Half,
}

/// Our way out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Leaving {
    No,
    /// The other end knows that the end is near.
    Told,
    /// Streams above this number are not looked at.
    After(u32),
}

/// One connection, seen from the end that is asked.
#[derive(Debug)]
pub struct Session<T> {
    limits: Limits,
    decoder: Decoder,
    encoder: Encoder,
    /// Streams under way.
    pub streams: Streams<T>,
    meters: Meters,
    expected: Expected,
    unfinished: Option<Unfinished>,
    block: Vec<u8>,
    block_limit: usize,
    body: Option<Body>,
    /// Bytes of a payload that means nothing.
    skip: usize,
    leaving: Leaving,
    /// Whether our SETTINGS were answered: until then the other end does not know our limits.
    agreed: bool,
    initial_send: u32,
    send: i64,
    receive: i64,
    /// How often the other end could send again after it could hardly send anything ([`Session::is_shut`]).
    pub openings: u32,
    taken: u32,
    /// What is to be sent.
    pub out: Vec<u8>,
    /// How much of it answers what the other end sends for nothing.
    pub owed: usize,
}

/// What one table counts before anything else was agreed on (RFC 9113, 6.5.2).
const DEFAULT_TABLE: u32 = 4096;

/// How many times as large as what was sent a list of fields may be, beyond what the tables hold.
const AMPLIFIED: usize = 10;

/// Bytes that a header block may take beyond the size of the list: what its frames and their encoding cost.
const BLOCK_SLACK: usize = 16 * 1024;

impl<T> Session<T> {
    /// A connection that a client begins; what it must be told first waits to be sent. `list` is the largest list of
    /// fields that is taken.
    pub fn new(limits: Limits, list: usize) -> Self {
        let mut session = Self {
            limits,
            decoder: Decoder::new(limits.header_table as usize),
            encoder: Encoder::default(),
            streams: Streams::new(limits.streams),
            meters: Meters::default(),
            expected: Expected::Preface,
            unfinished: None,
            block: Vec::new(),
            block_limit: list + BLOCK_SLACK,
            body: None,
            skip: 0,
            leaving: Leaving::No,
            agreed: false,
            initial_send: DEFAULT_WINDOW,
            send: i64::from(DEFAULT_WINDOW),
            receive: i64::from(limits.connection_window),
            openings: 0,
            taken: 0,
            out: Vec::new(),
            owed: 0,
        };
        let settings = [
            (Setting::HeaderTableSize, limits.header_table),
            (Setting::EnablePush, 0),
            (Setting::MaxConcurrentStreams, limits.streams),
            (Setting::InitialWindowSize, limits.stream_window),
            (
                Setting::MaxHeaderListSize,
                u32::try_from(list).unwrap_or(u32::MAX),
            ),
        ];
        let websockets = [(Setting::EnableConnectProtocol, 1)];
        let told: Vec<_> = match limits.websockets {
            WebSockets::Off => settings.to_vec(),
            WebSockets::On => settings.into_iter().chain(websockets).collect(),
        };
        frame::settings(&told, &mut session.out);
        let more = limits.connection_window.saturating_sub(DEFAULT_WINDOW);
        if more > 0 {
            frame::window_update(0, more, &mut session.out);
        }
        session
    }

    /// Whether a stream may be a WebSocket.
    pub fn websockets(&self) -> WebSockets {
        self.limits.websockets
    }

    /// Bytes of memory that it takes.
    pub fn weight(&self) -> usize {
        self.decoder.weight()
            + self.encoder.weight()
            + self.streams.weight()
            + self.block.capacity()
            + self.out.capacity()
    }

    /// Gives back what only a connection under load needs.
    pub fn rest(&mut self) {
        self.streams.shrink();
        self.decoder.shrink();
    }

    /// Whether something was begun whose end has not come: a header block, or the preface.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.is_some() || self.expected != Expected::Frame
    }

    /// What a block may come to, at most. Whoever repeats a line of the tables for a byte each makes much of little, and what
    /// a client has sent says how much of it we may hold (E-059): each line of its table once, as much again for lines that
    /// everybody knows, and ten times what was sent. No honest block comes near.
    pub fn most_of(&self, block: &Block) -> usize {
        let sent = match block {
            Block::Here(at) => at.len(),
            Block::Kept => self.block.len(),
        };
        2 * self.limits.header_table.max(DEFAULT_TABLE) as usize + AMPLIFIED * sent
    }

    /// Reads a header block, whole.
    pub fn read(
        &mut self,
        block: &Block,
        input: &[u8],
        each: impl FnMut(Line<'_>),
    ) -> Result<(), Lost> {
        let read = match block {
            Block::Here(at) => {
                let block = input.get(at.clone()).unwrap_or_default();
                self.decoder.decode(block, each)
            }
            Block::Kept => {
                let block = std::mem::take(&mut self.block);
                self.decoder.decode(&block, each)
            }
        };
        read.map_err(|_| Lost::from(Code::Compression))
    }

    /// A stream whose head was read begins.
    pub fn open(&mut self, id: u32, remote: Half, declared: Option<u64>, own: T) -> Key {
        self.streams.insert(Stream {
            id,
            remote,
            local: Half::Open,
            ending: None,
            // Until it has our settings the other end goes by what holds without any (RFC 9113, 6.9.3).
            receive: i64::from(if self.agreed {
                self.limits.stream_window
            } else {
                self.limits.stream_window.max(DEFAULT_WINDOW)
            }),
            taken: 0,
            send: i64::from(self.initial_send),
            left: declared,
            own,
        })
    }

    /// The work of a stream is over; what its owner kept with it.
    pub fn close(&mut self, key: Key) -> Option<T> {
        self.streams.remove(key).map(|stream| stream.own)
    }
}

#[cfg(test)]
mod tests;
