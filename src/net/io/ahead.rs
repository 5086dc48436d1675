//! What was handed over to be sent with others', and stands in front of what is written next.

use std::io;
use std::task::{Context, Poll, ready};

use super::{Io, Socket};
use crate::net::bundle::{Fate, Ticket};
use crate::net::socket;

/// What is in front of what is to be written.
pub(super) enum Ahead {
    Nothing,
    /// The same, handed over before: what became of it.
    Sent(io::Result<usize>),
    /// The same, of which the kernel took nothing.
    Full,
}

impl Io {
    /// Ready when nothing has to leave before what is to be written.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Ahead> {
        let Some(ticket) = &self.sending else {
            return Poll::Ready(Ahead::Nothing);
        };
        let ahead = match ticket.fate() {
            Fate::Waits { .. } => {
                ticket.tell(cx, self.tell);
                return Poll::Pending;
            }
            Fate::Left(_) => match ready!(self.poll_rest(cx)) {
                Ok(()) => Ahead::Nothing,
                Err(error) => Ahead::Sent(Err(error)),
            },
            Fate::Gone => Ahead::Nothing,
            Fate::Asked(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => Ahead::Full,
            Fate::Asked(asked) => Ahead::Sent(asked),
            Fate::Failed(error) => Ahead::Sent(Err(error)),
        };
        self.sending = None;
        Poll::Ready(ahead)
    }

    /// Ready unless the kernel has not taken what was given away.
    #[inline]
    pub(in crate::net) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.sending {
            None => Poll::Ready(Ok(())),
            Some(_) => self.poll_after(cx),
        }
    }

    fn poll_after(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.fate() {
            Fate::Left(_) => self.poll_rest(cx),
            Fate::Failed(error) => Poll::Ready(Err(error)),
            Fate::Gone => {
                // Whoever asks next need not look.
                self.sending = None;
                Poll::Ready(Ok(()))
            }
            Fate::Waits { .. } | Fate::Asked(_) => Poll::Ready(Ok(())),
        }
    }

    /// Ready when the kernel has all of what was given away.
    pub(in crate::net) fn poll_given(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.poll_ahead(cx)) {
            Ahead::Sent(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// What became of what was handed over last.
    fn fate(&self) -> Fate {
        self.sending.as_ref().map_or(Fate::Gone, Ticket::fate)
    }

    /// Bytes that were given away and that the kernel has not taken.
    pub(in crate::net) fn left(&self) -> usize {
        match self.fate() {
            Fate::Left(left) => left,
            _ => 0,
        }
    }

    pub(in crate::net) fn holds_given(&self) -> bool {
        matches!(self.fate(), Fate::Left(_) | Fate::Waits { given: true })
    }

    #[inline]
    pub(in crate::net) fn is_bundled(&self) -> bool {
        matches!(self.fate(), Fate::Waits { .. } | Fate::Asked(_))
    }

    /// What is not sent yet is not to be sent any more.
    pub(in crate::net) fn forget(&mut self) {
        self.sending = None;
    }

    #[cold]
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(ticket) = self.sending.take() else {
            return Poll::Ready(Ok(()));
        };
        let mut left = ticket.take_left();
        while !left.is_empty() {
            match self.try_write(&left) {
                Ok(taken) => drop(left.drain(..taken)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.poll_writable(cx)?.is_pending() {
                        ticket.keep_left(left);
                        self.sending = Some(ticket);
                        return Poll::Pending;
                    }
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            Socket::Tcp(io) => io.poll_write_ready(cx),
            Socket::Unix(io) => io.poll_write_ready(cx),
        }
    }

    /// Waits no longer for what is sent with others: how much of what was offered the kernel has; the rest does not leave. `None`: of
    /// what was given away a part is missing, and behind it nothing can be sent.
    pub(in crate::net) fn settle(&mut self) -> Option<usize> {
        let Some(ticket) = self.sending.take() else {
            return Some(0);
        };
        let fate = ticket.fate();
        let given = ticket.into_given();
        if given.is_empty() {
            return Some(match fate {
                Fate::Asked(Ok(taken)) => taken,
                _ => 0,
            });
        }
        // Whatever the runtime has heard of the socket.
        let wrote = match &self.socket {
            Socket::Tcp(io) => socket::write(io, &given),
            Socket::Unix(io) => socket::write(io, &given),
        };
        matches!(wrote, Ok(wrote) if wrote == given.len()).then_some(0)
    }
}
