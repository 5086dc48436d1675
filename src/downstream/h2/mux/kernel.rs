//! What of a connection waits for the kernel, and who waits with it.

use std::task::{Context, Poll};

use super::{BACKLOG, Mux};
use crate::base::{Detail, Error, Reason};
use crate::downstream::h2::own::Own;
use crate::http2::{Key, Session};

impl Mux {
    /// Where the next byte will stand among all that the connection sends.
    pub(super) fn end(&self, session: &Session<Own>) -> u64 {
        self.took.get() + self.backlog(session) as u64
    }

    /// Whether a stream may give more: the kernel has what it gave before, or little waits. What others wait with holds nobody up, and
    /// each waits with one piece.
    pub(super) fn is_clear(&self, session: &Session<Own>, own: &Own) -> bool {
        self.backlog(session) <= BACKLOG || own.upto <= self.took.get()
    }

    /// Bytes that wait for the kernel.
    pub(super) fn backlog(&self, session: &Session<Own>) -> usize {
        session.out.len() - self.taken.get()
    }

    /// Gives the kernel what waits; ready when it has everything.
    pub(in super::super) fn poll_write(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut session = self.session.borrow_mut();
        loop {
            let rest = session.out.get(self.taken.get()..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            match self.connection.stream.poll_write(cx, rest) {
                Poll::Ready(Ok(wrote @ 1..)) => {
                    self.taken.set(self.taken.get() + wrote);
                    self.took.set(self.took.get() + wrote as u64);
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Error::from(Reason::ClientAbort))),
                Poll::Ready(Err(error)) => {
                    let error = Error::caused(Reason::ClientAbort, Detail::Reset, error);
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => {
                    // A client that is slower than its endpoints may never have all of it: what it has is not kept (E-067).
                    if self.taken.get() >= session.out.len() / 2 {
                        session.out.drain(..self.taken.take());
                    }
                    session.owed = session.owed.min(self.backlog(&session));
                    self.release(&session);
                    return Poll::Pending;
                }
            }
        }
        self.taken.set(0);
        session.owed = 0;
        let mut out = std::mem::take(&mut session.out);
        out.clear();
        self.connection.local.give_buffer(out);
        self.release(&session);
        Poll::Ready(Ok(()))
    }

    /// A stream has given what stands last now.
    pub(in super::super) fn gave(&self, session: &mut Session<Own>, key: Key) {
        let end = self.end(session);
        if let Some(stream) = session.streams.at_mut(key) {
            stream.own.upto = end;
        }
    }

    /// Lets streams go on that waited for the kernel.
    fn release(&self, session: &Session<Own>) {
        self.waits.borrow_mut().retain(|&(key, id)| {
            let Some(stream) = session.streams.at(key).filter(|at| at.id == id) else {
                return false;
            };
            let clear = self.is_clear(session, &stream.own);
            if clear {
                stream.own.waits.set(false);
                stream.own.runner.wake();
            }
            !clear
        });
    }

    /// How much waits for the kernel, and how much it has taken so far.
    pub(in super::super) fn waiting(&self) -> (usize, u64) {
        let session = self.session.borrow();
        (self.backlog(&session), self.took.get())
    }
}
