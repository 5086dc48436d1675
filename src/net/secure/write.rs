//! The sending side: plaintext to records, as many as there are in one send, and the end of it.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use super::flow::Job;
use super::{Farewell, SCRATCH, SEND, Secure};
use crate::net::io::Io;

/// Whether the kernel took a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sent {
    Whole,
    Part,
}

impl Secure {
    /// Encrypts and writes. What is ready is with the kernel in full: as long as ciphertext is left it is pending, and
    /// the same bytes must be offered again (more may follow them), as with any TLS library.
    pub(in crate::net) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Io,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.promised == 0 {
            if let Some(kind) = self.broken.filter(|kind| *kind != ErrorKind::UnexpectedEof) {
                return Poll::Ready(Err(kind.into()));
            }
            let first = first.get(..SEND).unwrap_or(first);
            let second = second.get(..SEND - first.len()).unwrap_or(second);
            let total = first.len() + second.len();
            if total == 0 {
                return Poll::Ready(Ok(0));
            }
            if self.encrypt_and_write(cx, io, first, second)? == Sent::Whole {
                return Poll::Ready(Ok(total));
            }
            self.promised = total;
        }
        ready!(self.flow.poll_flush(cx, io))?;
        let taken = std::mem::take(&mut self.promised);
        debug_assert!(
            taken <= first.len() + second.len(),
            "other bytes than before"
        );
        Poll::Ready(Ok(taken.min(first.len() + second.len())))
    }

    /// See [`Stream::is_partly_written`](crate::net::Stream::is_partly_written).
    pub(in crate::net) fn is_partly_written(&self) -> bool {
        self.promised > 0 && (self.parted || self.flow.written > 0)
    }

    fn encrypt_and_write(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Io,
        first: &[u8],
        second: &[u8],
    ) -> io::Result<Sent> {
        self.take_over()?;
        SCRATCH.with_borrow_mut(|scratch| {
            let place = &mut scratch.outgoing;
            // In front of the data: what a handshake or a key update left to say.
            let waiting = self.flow.out.get(self.flow.written..).unwrap_or_default();
            let before = waiting.len();
            if place.len() < before {
                place.resize(before, 0);
            }
            if let Some(front) = place.get_mut(..before) {
                front.copy_from_slice(waiting);
            }
            self.flow.out = Vec::new();
            self.flow.written = 0;
            let mut job = Job::Write {
                first,
                second,
                place,
                at: before,
            };
            let mut held = std::mem::take(&mut self.held);
            let used = self.session.advance(&mut held, &mut job, &mut self.flow);
            let Job::Write { place, at, .. } = job else {
                return Err(ErrorKind::InvalidInput.into());
            };
            match used {
                Ok(used) => held.drain(..used.min(held.len())),
                Err(error) => {
                    self.broken = Some(ErrorKind::InvalidData);
                    return Err(io::Error::new(ErrorKind::InvalidData, error));
                }
            };
            self.held = held;
            if at == before {
                return Err(ErrorKind::BrokenPipe.into());
            }
            let data = place.get(..at).unwrap_or_default();
            let taken = match io.poll_write(cx, data) {
                Poll::Ready(taken) => taken?,
                Poll::Pending => 0,
            };
            if taken == at {
                return Ok(Sent::Whole);
            }
            self.flow.out = data.get(taken..).unwrap_or_default().to_vec();
            self.parted = taken > before;
            Ok(Sent::Part)
        })
    }

    /// Says that nothing more follows, then closes the sending side.
    pub(in crate::net) fn poll_shutdown(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Io,
    ) -> Poll<io::Result<()>> {
        self.say_farewell();
        ready!(self.flow.poll_flush(cx, io))?;
        io.poll_shutdown(cx)
    }

    fn say_farewell(&mut self) {
        if self.farewell == Farewell::Due
            && self
                .broken
                .is_none_or(|kind| kind == ErrorKind::UnexpectedEof)
            && !self.session.is_handshaking()
        {
            let mut held = std::mem::take(&mut self.held);
            let said = self
                .session
                .advance(&mut held, &mut Job::Close, &mut self.flow);
            if said.is_err() {
                self.broken = Some(ErrorKind::InvalidData);
            }
        }
        self.farewell = Farewell::Settled;
    }

    /// The coming close is not to be taken for an end.
    pub(in crate::net) fn break_off(&mut self) {
        self.farewell = Farewell::Settled;
    }

    /// As far as it goes without waiting: for a connection that is dropped. Data that was not told to be written is not: whoever
    /// offered it may have sent it elsewhere since; and behind a gap nothing can be read.
    pub(in crate::net) fn part(&mut self, io: &mut Io) {
        if self.promised > 0 {
            return;
        }
        let Some(taken) = io.settle() else {
            return;
        };
        self.flow.written += taken;
        if self.farewell == Farewell::Due {
            self.say_farewell();
        }
        let rest = self.flow.out.get(self.flow.written..).unwrap_or_default();
        if !rest.is_empty() {
            let _ = io.try_write(rest);
        }
    }
}
