//! TLS over a socket: records in, records out.
//!
//! rustls is used without its own buffers. Ciphertext is read into a buffer of the thread and decrypted there; plaintext
//! is encrypted into another, so that any number of records leaves in one send. What a connection holds itself is the
//! part of a record that has not come in whole, and what the kernel did not take: nothing while it is idle.

mod error;
mod flow;
mod key;
mod records;
mod session;
mod write;

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use rustls::CommonState;

use super::io::Io;
use super::socket::Quiet;
use flow::{Flow, Job};

pub use error::{HandshakeError, is_alert};
pub use session::Session;

/// Most plaintext in one record (RFC 8446, 5.1).
const RECORD: usize = 16 * 1024;
/// What encryption may add to it: header, padding and tag (RFC 5246, 6.2.3 allows more than any version needs).
const OVERHEAD: usize = 5 + 256;
/// Plaintext of one send.
const SEND: usize = 4 * RECORD;
/// Ciphertext of one read.
const READ: usize = 4 * (RECORD + OVERHEAD);
/// Most bytes of a handshake that are kept while a message is not whole: long chains of certificates fit.
const HANDSHAKE: usize = 32 * 1024;

/// What all connections of a thread share, each for the length of one call.
struct Scratch {
    incoming: Box<[u8]>,
    outgoing: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        incoming: vec![0; READ].into_boxed_slice(),
        outgoing: vec![0; SEND + 8 * OVERHEAD],
    });
}

/// How far we are with saying that we are done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Farewell {
    Due,
    /// `close_notify` was sent, or must not be: an unfinished message is not to look like a whole one.
    Settled,
}

/// A TLS connection's own state.
#[derive(Debug)]
pub(super) struct Secure {
    session: Session,
    flow: Flow,
    /// Ciphertext of a record that has not come in whole.
    held: Vec<u8>,
    /// Plaintext that was encrypted, but whose ciphertext the kernel has not taken in full.
    promised: usize,
    /// Whether the kernel has taken some of that ciphertext.
    parted: bool,
    farewell: Farewell,
    broken: Option<ErrorKind>,
    begun: Begun,
}

/// Whether a handshake has taken its first step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Begun {
    No,
    Yes,
}

impl Secure {
    /// Begins a handshake. `early` are bytes that were read from the socket already.
    pub(super) fn new(session: Session, early: &[u8]) -> Self {
        Self {
            session,
            flow: Flow::default(),
            held: early.to_vec(),
            promised: 0,
            parted: false,
            farewell: Farewell::Due,
            broken: None,
            begun: Begun::No,
        }
    }

    /// What was agreed upon in a handshake, until data was asked for or offered.
    pub(super) fn common(&self) -> Option<&CommonState> {
        self.session.common()
    }

    /// Memory that it holds beyond a socket's, as far as it is known.
    pub(super) fn weight(&self) -> usize {
        STATE + self.held.capacity() + self.flow.plain.capacity() + self.flow.out.capacity()
    }

    pub(super) fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Io,
    ) -> Poll<Result<(), HandshakeError>> {
        if self.begun == Begun::No {
            self.begun = Begun::Yes;
            // A client has the first word; and what came before the handshake belongs to it.
            let mut early = std::mem::take(&mut self.held);
            if let Err(error) = self.digest(&mut early, &mut []) {
                let _ = self.flow.poll_flush(cx, io);
                return Poll::Ready(Err(HandshakeError::Tls(error)));
            }
        }
        loop {
            if !self.session.is_handshaking() {
                // What is left to send goes with the first data, or when nothing more comes.
                return Poll::Ready(Ok(()));
            }
            ready!(self.flow.poll_flush(cx, io))?;
            if self.flow.ended {
                return Poll::Ready(Err(HandshakeError::Eof));
            }
            let filled = ready!(self.poll_fill(cx, io, &mut []));
            self.or_alert(cx, io, filled)?;
        }
    }

    /// Takes in ciphertext; how much plaintext came to `into`. What is left of it is kept.
    fn digest(&mut self, input: &mut [u8], into: &mut [u8]) -> Result<usize, rustls::Error> {
        let mut job = Job::Read { into, got: 0 };
        let used = self.session.advance(input, &mut job, &mut self.flow);
        let used = used.inspect_err(|_| self.broken = Some(ErrorKind::InvalidData))?;
        let rest = input.get(used..).unwrap_or_default();
        if self.session.is_handshaking() && rest.len() > HANDSHAKE {
            self.broken = Some(ErrorKind::InvalidData);
            return Err(rustls::Error::General("a handshake too long".to_owned()));
        }
        self.held.extend_from_slice(rest);
        match job {
            Job::Read { got, .. } => Ok(got),
            _ => Ok(0),
        }
    }

    /// Behind the handshake records are ours.
    #[inline]
    fn take_over(&mut self) -> io::Result<()> {
        if !self.held.is_empty() {
            return Ok(());
        }
        self.session.take_over().map_err(|error| {
            self.broken = Some(ErrorKind::InvalidData);
            io::Error::new(ErrorKind::InvalidData, error)
        })
    }

    /// Reads once, by `read`, and takes it in. `Ok(0)` with nothing kept and no end: only part of a record came.
    fn fill(
        &mut self,
        into: &mut [u8],
        read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.take_over()?;
        SCRATCH.with_borrow_mut(|scratch| {
            let held = self.held.len();
            // Not more than finds room, but a whole record always.
            let most = into.len().max(held + RECORD + OVERHEAD);
            let end = most.min(scratch.incoming.len());
            let place = scratch.incoming.get_mut(held..end).unwrap_or_default();
            if place.is_empty() {
                self.broken = Some(ErrorKind::InvalidData);
                return Poll::Ready(Err(ErrorKind::InvalidData.into()));
            }
            let read = match ready!(read(place)) {
                Ok(0) => {
                    self.broken = Some(ErrorKind::UnexpectedEof);
                    return Poll::Ready(Err(truncated()));
                }
                Ok(read) => read,
                Err(error) => {
                    self.broken = Some(error.kind());
                    return Poll::Ready(Err(error));
                }
            };
            let input = scratch.incoming.get_mut(..held + read).unwrap_or_default();
            if let Some(front) = input.get_mut(..held) {
                front.copy_from_slice(&self.held);
            }
            self.held = Vec::new();
            Poll::Ready(
                self.digest(input, into)
                    .map_err(|error| io::Error::new(ErrorKind::InvalidData, error)),
            )
        })
    }

    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Io,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.fill(into, |place| io.poll_read(cx, place))
    }

    /// What there is to read without asking the socket: `None`, nothing.
    fn at_hand(&self) -> Option<io::Result<usize>> {
        if !self.flow.plain.is_empty() {
            return Some(Ok(self.flow.plain.len() - self.flow.read));
        }
        if self.flow.ended {
            return Some(Ok(0));
        }
        match self.broken {
            Some(ErrorKind::UnexpectedEof) => Some(Err(truncated())),
            Some(kind) => Some(Err(kind.into())),
            None => None,
        }
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Io,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.at_hand() {
                Some(Ok(1..)) => return Poll::Ready(Ok(self.flow.give(buf))),
                Some(end) => return Poll::Ready(end),
                None => {}
            }
            match self.poll_fill(cx, io, buf) {
                Poll::Ready(Ok(0)) => {}
                Poll::Ready(done) => return Poll::Ready(self.or_alert(cx, io, done)),
                Poll::Pending => return self.poll_rest(cx, io),
            }
        }
    }

    pub(super) fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Io,
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(here) = self.at_hand() {
                return Poll::Ready(here);
            }
            match self.poll_fill(cx, io, &mut []) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(failed) => return Poll::Ready(self.or_alert(cx, io, failed)),
                Poll::Pending => return self.poll_rest(cx, io),
            }
        }
    }

    /// Nothing came: what we have to say for ourselves (tickets, answers to key updates) waits for no data.
    fn poll_rest<T>(&mut self, cx: &mut Context<'_>, io: &mut Io) -> Poll<io::Result<T>> {
        match self.flow.poll_flush(cx, io) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    }

    /// The peer is told what was wrong with its records.
    fn or_alert<T>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Io,
        result: io::Result<T>,
    ) -> io::Result<T> {
        if result.is_err() {
            let _ = self.flow.poll_flush(cx, io);
        }
        result
    }

    /// Whether something was said that nobody took.
    pub(super) fn talks(&self) -> bool {
        self.at_hand().is_some()
    }

    /// Whether an idle connection is open, and nothing came on it but what belongs to TLS itself (tickets, key updates).
    pub(super) fn quiet(&mut self, io: &Io) -> Quiet {
        for _ in 0..LOOKS {
            if self.at_hand().is_some() {
                return Quiet::No;
            }
            if io.quiet() == Quiet::Yes {
                return Quiet::Yes;
            }
            let read = self.fill(&mut [], |place| Poll::Ready(io.read_now(place)));
            if !matches!(read, Poll::Ready(Ok(_))) {
                return Quiet::No;
            }
        }
        Quiet::No
    }
}

/// So many bytes of a buffer from there on; it grows where that is needed.
fn place_for(buffer: &mut Vec<u8>, at: usize, length: usize) -> &mut [u8] {
    let end = at + length;
    if buffer.len() < end {
        buffer.resize(end, 0);
    }
    buffer.get_mut(at..end).unwrap_or_default()
}

/// How often an idle connection is read from before it is taken for one that talks without end.
const LOOKS: usize = 4;

/// What an idle connection keeps of it, with what rustls has: measured, rounded up.
const STATE: usize = 4 * 1024;

/// The socket ended, and the peer never said that it was done: what came may be half of it (RFC 8446, 6.1).
fn truncated() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "no close_notify")
}
