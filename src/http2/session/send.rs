//! What is sent.

use super::{Event, Leaving, Lost, Session};
use crate::base::clock::Instant;
use crate::http2::code::Code;
use crate::http2::frame::{self, Block, Flags, HEAD, MAX_FRAME, MAX_STREAM};
use crate::http2::hpack::Encoder;
use crate::http2::limits::Abuse;
use crate::http2::streams::{Ending, Half, Key};

/// Whether a side of a stream ends with what is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fin {
    /// More follows.
    No,
    /// It ends.
    Yes,
}

impl Fin {
    const fn flags(self) -> Flags {
        match self {
            Self::No => Flags::NONE,
            Self::Yes => Flags::END_STREAM,
        }
    }
}

/// What our PING says: its answer tells that what went before it was read.
pub(super) const NOTICE: [u8; 8] = *b"goingnow";

impl<T> Session<T> {
    /// Sends a header block on a stream, if it is not over.
    pub fn send_headers(
        &mut self,
        key: Key,
        fin: Fin,
        write: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) {
        let Some(stream) = self.streams.at_mut(key) else {
            return;
        };
        if stream.ending.is_some() || stream.local == Half::Ended {
            return;
        }
        let block = Block::begin(&mut self.out);
        self.encoder.begin(&mut self.out);
        write(&mut self.encoder, &mut self.out);
        block.end(stream.id, fin.flags(), MAX_FRAME, &mut self.out);
        self.meters.heads = self.meters.heads.saturating_add(1);
        self.sent(key, fin);
    }

    /// Sends of `bytes` what the windows allow; how many. The side ends with the last of them if `fin` says so.
    pub fn send_data(&mut self, key: Key, bytes: &[u8], fin: Fin) -> usize {
        let Some(stream) = self.streams.at_mut(key) else {
            return bytes.len();
        };
        if stream.ending.is_some() || stream.local == Half::Ended {
            return bytes.len();
        }
        let open = stream.send.min(self.send).max(0);
        let most = usize::try_from(open).unwrap_or_default().min(bytes.len());
        let sent = i64::try_from(most).unwrap_or_default();
        let (now, later) = bytes.split_at_checked(most).unwrap_or_default();
        stream.send -= sent;
        self.send -= sent;
        self.meters.bytes += most as u64;
        let id = stream.id;
        let mut pieces = now.chunks(MAX_FRAME as usize).peekable();
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none() && later.is_empty();
            let flags = if last { fin.flags() } else { Flags::NONE };
            frame::data(id, flags, piece, &mut self.out);
            self.meters.data = self.meters.data.saturating_add(1);
        }
        if bytes.is_empty() && fin == Fin::Yes {
            frame::data(id, Flags::END_STREAM, b"", &mut self.out);
            self.meters.data = self.meters.data.saturating_add(1);
        }
        if later.is_empty() {
            self.sent(key, fin);
        }
        most
    }

    fn sent(&mut self, key: Key, fin: Fin) {
        if fin == Fin::Yes
            && let Some(stream) = self.streams.at_mut(key)
        {
            stream.local = Half::Ended;
            if stream.remote == Half::Ended {
                stream.ending = Some(Ending::Whole);
                self.meters.excuse(&self.limits);
            }
        }
    }

    /// Resets a stream of our own accord, if it is not over.
    pub fn reset(&mut self, key: Key, code: Code) {
        let Some(stream) = self.streams.at_mut(key) else {
            return;
        };
        if stream.ending.is_none() {
            stream.ending = Some(Ending::ByUs);
            frame::rst_stream(stream.id, code, &mut self.out);
        }
    }

    /// Resets a stream that broke the rules.
    pub fn fail(&mut self, key: Key, code: Code, now: Instant) -> Result<Event, Lost> {
        // What was wrong may be what made it whole: trailers behind an answer.
        if let Some(stream) = self.streams.at_mut(key)
            && stream.ending == Some(Ending::Whole)
        {
            stream.ending = None;
        }
        self.reset(key, code);
        self.meters.hit(Abuse::Faults, &self.limits, now)?;
        self.owed += HEAD + 4;
        Ok(Event::Failed { key, code })
    }

    /// Resets a stream that did not begin: its head is not one that may be passed on, or there are too many.
    pub fn refuse(&mut self, id: u32, code: Code, now: Instant) -> Result<(), Lost> {
        self.streams.remember(id, Ending::ByUs);
        self.write_reset(id, code);
        if code == Code::RefusedStream && self.is_excused() {
            return Ok(());
        }
        Ok(self.meters.hit(Abuse::Faults, &self.limits, now)?)
    }

    /// Whether the other end is not to blame for a stream too many: it does not know how many there may be, or it counts
    /// those that are over and whose work here has not stopped yet as what they are.
    fn is_excused(&mut self) -> bool {
        if !self.agreed {
            return self.meters.is_early(&self.limits);
        }
        let open = self.streams.iter().filter(|stream| stream.ending.is_none());
        open.count() < self.limits.streams as usize && self.meters.excused()
    }

    /// Says that a stream is over, which it is already.
    pub(super) fn tell(&mut self, id: u32, code: Code, now: Instant) -> Result<Event, Lost> {
        self.write_reset(id, code);
        self.meters.hit(Abuse::Faults, &self.limits, now)?;
        Ok(Event::Refused { code })
    }

    fn write_reset(&mut self, id: u32, code: Code) {
        frame::rst_stream(id, code, &mut self.out);
        self.owed += HEAD + 4;
    }

    /// So many bytes of a stream's body are done with, and of the connection's. Its windows open again when half of them
    /// are.
    pub fn consumed(&mut self, key: Option<Key>, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or_default();
        if bytes == 0 {
            return;
        }
        self.taken += bytes;
        // Where much of it waits unread, half of it may never be done with: what the other end has left must not run out before.
        let half = self.limits.connection_window / 2;
        if self.taken >= half || i64::from(self.taken) >= self.receive {
            let shut = self.is_shut();
            if self.taken < half {
                // There may be one for each byte that comes.
                self.owed += HEAD + 4;
            }
            frame::window_update(0, self.taken, &mut self.out);
            self.receive += i64::from(self.taken);
            self.taken = 0;
            self.openings += u32::from(shut && !self.is_shut());
        }
        let Some(stream) = key.and_then(|key| self.streams.at_mut(key)) else {
            return;
        };
        stream.taken += bytes;
        if stream.taken >= self.limits.stream_window / 2
            && stream.remote == Half::Open
            && stream.ending.is_none()
        {
            frame::window_update(stream.id, stream.taken, &mut self.out);
            stream.receive += i64::from(stream.taken);
            stream.taken = 0;
        }
    }

    /// Whether the other end may hardly send anything, on whatever stream: we have not read what it sent.
    pub fn is_shut(&self) -> bool {
        self.receive < i64::from(MAX_FRAME)
    }

    /// So many bytes of a body came that nobody reads any more, because the answer is whole. The stream's window does not
    /// open again; when half of it is used the other end is told to stop (RFC 9113, 8.1).
    pub fn unwanted(&mut self, key: Key, bytes: usize) {
        self.consumed(None, bytes);
        let half = i64::from(self.limits.stream_window / 2);
        if self.streams.at(key).is_some_and(|at| at.receive < half) {
            self.reset(key, Code::NoError);
        }
    }

    /// Says that the end is near: streams that begin from now on may be too late. The answer to the PING tells that the
    /// other end has read it (RFC 9113, 6.8).
    pub fn warn(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Told;
            frame::go_away(MAX_STREAM, Code::NoError, &mut self.out);
            frame::ping(Flags::NONE, &NOTICE, &mut self.out);
        }
    }

    /// Says which stream was the last that is looked at. With a code that says what is wrong all streams are over, and of none anything
    /// follows: the other end may be gone, or read no further (RFC 9113, 5.4.1).
    pub fn leave(&mut self, code: Code) {
        let last = match self.leaving {
            Leaving::After(_) if code == Code::NoError => return,
            Leaving::After(last) => last,
            _ => self.streams.last,
        };
        self.leaving = Leaving::After(last);
        frame::go_away(last, code, &mut self.out);
        if code != Code::NoError {
            for stream in self.streams.iter_mut() {
                stream.ending.get_or_insert(Ending::ByUs);
            }
        }
    }
}
