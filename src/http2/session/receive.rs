//! Frames as they come.

use super::{Block, Body, Event, Expected, Leaving, Lost, Session, Step, Unfinished};
use crate::base::clock::Instant;
use crate::http2::code::Code;
use crate::http2::frame::{self, Flags, FrameHead, HEAD, Kind, MAX_FRAME, PREFACE};
use crate::http2::hpack::Line;
use crate::http2::limits::Abuse;
use crate::http2::streams::{Ending, Found, Half, Key};

/// What a frame gave.
pub(super) type Outcome = Result<Option<Event>, Lost>;

impl Flags {
    /// What becomes of the sender's side with a frame of DATA or HEADERS.
    const fn half(self) -> Half {
        if self.has(Self::END_STREAM) {
            Half::Ended
        } else {
            Half::Open
        }
    }
}

impl<T> Session<T> {
    /// Looks at what came, up to the first event. `input` is what the steps before left, and what came since.
    pub fn next(&mut self, input: &[u8], now: Instant) -> Result<Step, Lost> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            if self.expected == Expected::Preface {
                let len = rest.len().min(PREFACE.len());
                if rest.get(..len) != PREFACE.get(..len) {
                    return Err(Code::Protocol.into());
                }
                if len < PREFACE.len() {
                    return Ok(Step { used, event: None });
                }
                self.expected = Expected::Settings;
                used += len;
                continue;
            }
            if let Some(body) = self.body {
                let (taken, event) = self.go_on(body, used, rest.len());
                used += taken;
                if event.is_some() || self.body.is_some() {
                    return Ok(Step { used, event });
                }
                continue;
            }
            if self.skip > 0 {
                let skipped = self.skip.min(rest.len());
                self.skip -= skipped;
                used += skipped;
                if self.skip > 0 {
                    return Ok(Step { used, event: None });
                }
                continue;
            }
            let Some(head) = FrameHead::read(rest) else {
                return Ok(Step { used, event: None });
            };
            self.check(head)?;
            let len = head.len as usize;
            if matches!(head.kind, Kind::Data | Kind::Unknown) {
                // A padded frame's first byte says how much of it counts.
                let padded = head.kind == Kind::Data && head.flags.has(Flags::PADDED) && len > 0;
                let needed = HEAD + usize::from(padded);
                let Some(start) = rest.get(HEAD..needed) else {
                    return Ok(Step { used, event: None });
                };
                used += needed;
                if head.kind == Kind::Unknown {
                    self.meters.hit(Abuse::Priorities, &self.limits, now)?;
                    self.skip = len;
                } else if let Some(event) = self.data(head, start.first().copied(), now)? {
                    return Ok(Step {
                        used,
                        event: Some(event),
                    });
                }
                continue;
            }
            let Some(payload) = rest.get(HEAD..HEAD + len) else {
                return Ok(Step { used, event: None });
            };
            let start = used + HEAD;
            used = start + len;
            if let Some(event) = self.frame(head, payload, start, now)? {
                return Ok(Step {
                    used,
                    event: Some(event),
                });
            }
        }
    }

    /// Whether a frame may stand here at all (RFC 9113, 3.4, 4.2 and 4.3).
    fn check(&self, head: FrameHead) -> Result<(), Lost> {
        if self.expected == Expected::Settings
            && (head.kind != Kind::Settings || head.flags.has(Flags::ACK))
        {
            return Err(Code::Protocol.into());
        }
        if head.len > MAX_FRAME {
            return Err(Code::FrameSize.into());
        }
        match &self.unfinished {
            Some(block) if head.kind != Kind::Continuation || head.stream != block.stream => {
                Err(Code::Protocol.into())
            }
            None if head.kind == Kind::Continuation => Err(Code::Protocol.into()),
            _ => head.check().map_err(Lost::from),
        }
    }

    fn frame(&mut self, head: FrameHead, payload: &[u8], start: usize, now: Instant) -> Outcome {
        match head.kind {
            Kind::Headers => self.headers(head, payload, start, now),
            Kind::Continuation => self.continuation(head, payload, now),
            Kind::Priority => self.priority(head, payload, now),
            Kind::RstStream => self.rst_stream(head, now),
            Kind::Settings => self.settings(head, payload, now),
            Kind::Ping => self.ping(head, payload, now),
            Kind::GoAway => {
                self.meters.hit(Abuse::Priorities, &self.limits, now)?;
                Ok(Some(Event::GoAway))
            }
            Kind::WindowUpdate => self.window_update(head, payload, now),
            Kind::PushPromise | Kind::Data | Kind::Unknown => Err(Code::Protocol.into()),
        }
    }

    /// Bytes of the DATA frame under way.
    fn go_on(&mut self, mut body: Body, at: usize, here: usize) -> (usize, Option<Event>) {
        let data = body.left.min(here);
        let padding = body.padding.min(here - data);
        body.left -= data;
        body.padding -= padding;
        let done = body.left == 0 && body.padding == 0;
        self.body = (!done).then_some(body);
        // The stream may be over since the frame began, and its place another's.
        let wanted = body.key.filter(|&key| {
            let stream = self.streams.at(key);
            stream.is_some_and(|stream| stream.id == body.id && stream.ending.is_none())
        });
        let Some(key) = wanted else {
            self.consumed(None, data + padding);
            return (data + padding, None);
        };
        self.consumed(Some(key), padding);
        let ends = done && body.end == Half::Ended;
        if ends {
            self.ended(key);
        }
        let event = (data > 0 || ends).then_some(Event::Data {
            key,
            at: at..at + data,
        });
        (data + padding, event)
    }

    fn data(&mut self, head: FrameHead, padding: Option<u8>, now: Instant) -> Outcome {
        let len = head.len as usize;
        let padded = usize::from(padding.is_some());
        let padding = usize::from(padding.unwrap_or(0));
        let Some(data) = len.checked_sub(padded + padding) else {
            return Err(Code::Protocol.into());
        };
        if head.flags.has(Flags::PADDED) && len == 0 {
            return Err(Code::FrameSize.into());
        }
        let end = head.flags.half();
        // Padding and all: it counts, whatever becomes of the stream (RFC 9113, 6.9.1).
        self.receive -= i64::from(head.len);
        if self.receive < 0 {
            return Err(Code::FlowControl.into());
        }
        if data == 0 && end == Half::Open {
            self.meters.hit(Abuse::EmptyData, &self.limits, now)?;
        }
        let mut body = Body {
            id: head.stream,
            key: None,
            left: data,
            padding,
            end,
        };
        self.consumed(None, padded);
        match self.wanted(head.stream) {
            Found::Idle => Err(Code::Protocol.into()),
            Found::Over(Ending::ByUs) => {
                self.body = Some(body);
                self.over_too(head.stream, end);
                // Windows bound the rest.
                if head.len == 0 {
                    self.meters.hit(Abuse::Priorities, &self.limits, now)?;
                }
                Ok(None)
            }
            Found::Over(Ending::ByPeer | Ending::ByBoth) => {
                self.body = Some(body);
                self.tell(head.stream, Code::StreamClosed, now).map(Some)
            }
            Found::Over(Ending::Whole) | Found::Forgotten => Err(Code::StreamClosed.into()),
            Found::Open(key) => {
                let fault = self.take(key, head.len, data, end);
                if let Some(code) = fault {
                    self.body = Some(body);
                    return self.fail(key, code, now).map(Some);
                }
                body.key = Some(key);
                self.body = Some(body);
                if let Some(stream) = self.streams.at_mut(key) {
                    stream.taken += u32::try_from(padded).unwrap_or_default();
                }
                Ok(None)
            }
        }
    }

    /// The other end of a stream said all that it had to say.
    fn ended(&mut self, key: Key) {
        if let Some(stream) = self.streams.at_mut(key) {
            stream.remote = Half::Ended;
            if stream.local == Half::Ended {
                stream.ending = Some(Ending::Whole);
                self.meters.excuse(&self.limits);
            }
        }
    }

    /// Takes a DATA frame into a stream's accounts; what is wrong with it.
    fn take(&mut self, key: Key, len: u32, data: usize, end: Half) -> Option<Code> {
        let stream = self.streams.at_mut(key)?;
        if stream.remote == Half::Ended {
            return Some(Code::StreamClosed);
        }
        stream.receive -= i64::from(len);
        if stream.receive < 0 {
            return Some(Code::FlowControl);
        }
        // What was declared is what comes, no more and no less (RFC 9113, 8.1.1; E-050).
        if let Some(left) = &mut stream.left {
            match left.checked_sub(data as u64) {
                Some(rest) if rest == 0 || end == Half::Open => *left = rest,
                _ => return Some(Code::Protocol),
            }
        }
        None
    }

    fn headers(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        mut start: usize,
        now: Instant,
    ) -> Outcome {
        let mut rest = payload;
        let mut padding = 0;
        if head.flags.has(Flags::PADDED) {
            let (&count, tail) = rest
                .split_first()
                .ok_or_else(|| Lost::from(Code::FrameSize))?;
            (padding, rest) = (usize::from(count), tail);
            start += 1;
        }
        let mut fault = None;
        if head.flags.has(Flags::PRIORITY) {
            let (five, tail) = rest
                .split_at_checked(5)
                .ok_or_else(|| Lost::from(Code::FrameSize))?;
            if frame::number(five) & frame::MAX_STREAM == head.stream {
                fault = Some(Code::Protocol);
            }
            rest = tail;
            start += 5;
        }
        // It may take what is left for the block, and nothing before that (RFC 9113, 6.2).
        let len = rest.len().checked_sub(padding);
        let rest = len.and_then(|len| rest.get(..len));
        let rest = rest.ok_or_else(|| Lost::from(Code::Protocol))?;
        let unfinished = Unfinished {
            stream: head.stream,
            end: head.flags.half(),
            fault,
            frames: 0,
        };
        if head.flags.has(Flags::END_HEADERS) {
            let block = Block::Here(start..start + rest.len());
            return self.whole(&unfinished, block, rest, now);
        }
        self.block.clear();
        self.block.extend_from_slice(rest);
        self.unfinished = Some(unfinished);
        Ok(None)
    }

    fn continuation(&mut self, head: FrameHead, payload: &[u8], now: Instant) -> Outcome {
        let Some(mut unfinished) = self.unfinished.take() else {
            return Err(Code::Protocol.into());
        };
        unfinished.frames += 1;
        self.block.extend_from_slice(payload);
        if unfinished.frames > self.limits.continuations || self.block.len() > self.block_limit {
            return Err(Abuse::Continuations.into());
        }
        if head.flags.has(Flags::END_HEADERS) {
            return self.whole(&unfinished, Block::Kept, &[], now);
        }
        self.unfinished = Some(unfinished);
        Ok(None)
    }

    /// A header block that came in whole. One that nobody wants must be read all the same, because the tables of both ends
    /// change with it; `bytes` are those of a block that is here.
    fn whole(&mut self, of: &Unfinished, block: Block, bytes: &[u8], now: Instant) -> Outcome {
        let id = of.stream;
        match self.wanted(id) {
            Found::Open(key) => {
                let remote = self.streams.at(key).map(|stream| stream.remote);
                let left = self.streams.at(key).and_then(|stream| stream.left);
                let code = match (of.fault, remote, of.end) {
                    (_, Some(Half::Ended), _) => Code::StreamClosed,
                    (Some(fault), ..) => fault,
                    // Trailers end a message (RFC 9113, 8.1), and that at its declared length.
                    (_, _, Half::Open) => Code::Protocol,
                    _ if left.is_some_and(|left| left > 0) => Code::Protocol,
                    _ => {
                        self.ended(key);
                        return Ok(Some(Event::Trailers { key, block }));
                    }
                };
                self.discard(&block, bytes)?;
                self.fail(key, code, now).map(Some)
            }
            Found::Over(Ending::ByUs) => {
                // It was on its way when we had said that nobody wants it: reading it costs us what any other does.
                self.meters.hit(Abuse::Priorities, &self.limits, now)?;
                self.over_too(id, of.end);
                self.discard(&block, bytes).map(|()| None)
            }
            Found::Over(Ending::ByPeer | Ending::ByBoth) => {
                self.discard(&block, bytes)?;
                self.tell(id, Code::StreamClosed, now).map(Some)
            }
            Found::Over(Ending::Whole) => Err(Code::StreamClosed.into()),
            // One that was passed over cannot begin any more (RFC 9113, 5.1.1).
            Found::Forgotten => Err(Code::Protocol.into()),
            Found::Idle if id.is_multiple_of(2) => Err(Code::Protocol.into()),
            Found::Idle => {
                self.streams.last = id;
                self.meters.streams = self.meters.streams.saturating_add(1);
                let full = self.streams.len() >= self.limits.streams as usize;
                let refused = full.then_some(Code::RefusedStream);
                if let Some(code) = of.fault.or(refused) {
                    self.discard(&block, bytes)?;
                    self.refuse(id, code, now)?;
                    return Ok(Some(Event::Refused { code }));
                }
                Ok(Some(Event::Head {
                    id,
                    end: of.end,
                    block,
                }))
            }
        }
    }

    /// A stream that we ended is ended by its other end too: what it sends behind that was not on its way by then.
    fn over_too(&mut self, id: u32, end: Half) {
        if end == Half::Ended {
            self.streams.ended_too(id, Ending::ByBoth);
        }
    }

    fn discard(&mut self, block: &Block, bytes: &[u8]) -> Result<(), Lost> {
        let block = match block {
            Block::Here(_) => &Block::Here(0..bytes.len()),
            Block::Kept => block,
        };
        self.read(block, bytes, |_: Line<'_>| {})
    }

    /// What a stream is to us: one that came too late to be looked at is over.
    fn wanted(&self, id: u32) -> Found {
        if self.is_ignored(id) {
            Found::Over(Ending::ByUs)
        } else {
            self.streams.find(id)
        }
    }

    /// Whether a stream came too late to be looked at.
    pub(super) fn is_ignored(&self, id: u32) -> bool {
        matches!(self.leaving, Leaving::After(last) if id > last)
    }
}
