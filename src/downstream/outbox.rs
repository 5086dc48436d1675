//! Bytes on their way to the client that the kernel has not taken yet.

use std::task::{Context, Poll, ready};

use crate::base::{Detail, Error, Reason};
use crate::net::{Stream, Tell};
use crate::worker::Local;

/// Up to this length a piece of body is copied behind its head, so that both leave in one plain send; above
/// it the two are sent from where they stand.
const JOIN: usize = 8 * 1024;

/// What waits to be written. Empty, and without memory, nearly always: the kernel takes a response at once.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How many of them the kernel has by now.
    taken: usize,
}

/// Writing failed: nobody is there to read.
pub(super) fn gone(error: std::io::Error) -> Error {
    Error::caused(Reason::ClientAbort, Detail::Reset, error)
}

impl Outbox {
    /// The buffer, to write a head into behind what waits.
    pub(super) fn buffer(&mut self, local: &Local) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = local.take_buffer();
        }
        &mut self.bytes
    }

    /// Bytes of memory that it takes.
    pub(super) fn weight(&self) -> usize {
        self.bytes.capacity()
    }

    /// How many bytes wait.
    pub(super) fn waiting(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// Gives the memory back.
    pub(super) fn release(&mut self, local: &Local) {
        local.give_buffer(std::mem::take(&mut self.bytes));
        self.taken = 0;
    }

    /// Gives `bytes` to the kernel, behind what waits; what it does not take waits too, unless it is given away.
    pub(super) fn write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        local: &Local,
        bytes: &[u8],
        tell: Tell,
    ) -> Result<(), Error> {
        let waiting = self.bytes.get(self.taken..).unwrap_or_default();
        let wrote = match (waiting.is_empty(), bytes.len()) {
            (true, 0) => return Ok(()),
            (true, _) => stream.poll_send(cx, bytes, tell),
            (false, ..=JOIN) => {
                self.bytes.extend_from_slice(bytes);
                return match self.poll_out(cx, stream, tell) {
                    Poll::Ready(result) => result,
                    Poll::Pending => Ok(()),
                };
            }
            (false, _) => stream.poll_write_two(cx, waiting, bytes),
        };
        let wrote = match wrote {
            Poll::Ready(Ok(wrote)) => wrote,
            Poll::Ready(Err(error)) => return Err(gone(error)),
            Poll::Pending => 0,
        };
        let waiting = self.waiting();
        if wrote < waiting {
            self.taken += wrote;
            self.bytes.extend_from_slice(bytes);
        } else {
            self.bytes.clear();
            self.taken = 0;
            let rest = bytes.get(wrote - waiting..).unwrap_or_default();
            if !rest.is_empty() {
                self.buffer(local).extend_from_slice(rest);
            }
        }
        Ok(())
    }

    /// Ready when the kernel has taken everything.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
    ) -> Poll<Result<(), Error>> {
        ready!(stream.poll_left(cx)).map_err(gone)?;
        self.poll_out(cx, stream, Tell::Always)
    }

    fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        tell: Tell,
    ) -> Poll<Result<(), Error>> {
        while let Some(rest @ [_, ..]) = self.bytes.get(self.taken..) {
            match stream.poll_send(cx, rest, tell) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Error::from(Reason::ClientAbort))),
                Poll::Ready(Ok(wrote)) => self.taken += wrote,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(gone(error))),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.bytes.clear();
        self.taken = 0;
        Poll::Ready(Ok(()))
    }
}
