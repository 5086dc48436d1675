//! What the streams of one connection share: the session, and what waits for the kernel.
//!
//! Streams write into one buffer and wake the connection's task, which runs behind all streams that are ready: so what a
//! batch of them has to say leaves in one write.

mod kernel;

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::own::{Own, Tail};
use crate::base::{Detail, Error, Reason};
use crate::downstream::connection::Connection;
use crate::http2::session::Fin;
use crate::http2::{Code, Half, Key, Session, response};
use crate::metrics::{ListenerCells, Scope};

/// Up to so many bytes may wait for the kernel before a stream that has more waits too.
const BACKLOG: usize = 64 * 1024;

/// What a stream sends at a time while others wait for the same window.
const TURN: usize = 16 * 1024;

/// One connection, as its streams see it.
#[derive(Debug)]
pub(super) struct Mux {
    pub(super) connection: Rc<Connection>,
    pub(super) cells: Arc<ListenerCells>,
    session: RefCell<Session<Own>>,
    /// Wakes the connection's task.
    waker: RefCell<Option<Waker>>,
    /// How much of what is to be sent the kernel has.
    taken: Cell<usize>,
    /// How much it has taken since the connection began.
    took: Cell<u64>,
    /// What streams hold, together.
    held: Cell<usize>,
    /// Streams that no window has room for, in the order of their turns.
    blocked: RefCell<VecDeque<(Key, u32)>>,
    /// Streams that wait for the kernel.
    waits: RefCell<Vec<(Key, u32)>>,
    /// The client closed its sending side.
    hung_up: Cell<bool>,
}

/// Whether there is more to do at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pumped {
    /// Only the kernel is waited for.
    More,
    /// No window has room.
    All,
}

impl Mux {
    pub(super) fn new(
        connection: &Rc<Connection>,
        cells: &Arc<ListenerCells>,
        session: Session<Own>,
    ) -> Rc<Self> {
        Rc::new(Self {
            connection: Rc::clone(connection),
            cells: Arc::clone(cells),
            session: RefCell::new(session),
            waker: RefCell::default(),
            taken: Cell::new(0),
            took: Cell::new(0),
            held: Cell::new(0),
            blocked: RefCell::default(),
            waits: RefCell::default(),
            hung_up: Cell::new(false),
        })
    }

    /// The session, with room to write into.
    pub(super) fn session(&self) -> RefMut<'_, Session<Own>> {
        let mut session = self.session.borrow_mut();
        if session.out.capacity() == 0 {
            session.out = self.connection.local.take_buffer();
        }
        session
    }

    /// The connection's task is this one.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &*waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
    }

    /// Lets the connection's task look at what there is to do.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Sends bytes of a response, and its end: what no window has room for waits.
    pub(super) fn send(&self, key: Key, bytes: &[u8], tail: Tail) {
        let mut session = self.session();
        let Some(stream) = session.streams.at_mut(key) else {
            return;
        };
        let id = stream.id;
        let mut rest = bytes;
        if stream.own.blocked() == 0 {
            let fin = match tail {
                Tail::End => Fin::Yes,
                Tail::None | Tail::Trailers(_) => Fin::No,
            };
            let sent = session.send_data(key, bytes, fin);
            rest = bytes.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                trail(&mut session, key, &tail);
                self.gave(&mut session, key);
                drop(session);
                return self.wake();
            }
            self.gave(&mut session, key);
        }
        if let Some(stream) = session.streams.at_mut(key) {
            let own = &mut stream.own;
            if own.blocked() == 0 {
                self.blocked.borrow_mut().push_back((key, id));
                if own.outbox.capacity() == 0 {
                    own.outbox = self.connection.local.take_buffer();
                }
            }
            own.outbox.extend_from_slice(rest);
            own.tail = tail;
            self.charge(own);
        }
        drop(session);
        self.wake();
    }

    /// Whether a stream's bytes have gone where they no longer are its own concern: they are few and wait for the kernel,
    /// or it has them.
    pub(super) fn poll_flush(&self, key: Key) -> Poll<Result<(), Error>> {
        let session = self.session.borrow();
        let Some(stream) = session.streams.at(key) else {
            return Poll::Ready(Err(Error::from(Reason::ClientAbort)));
        };
        if let Some(error) = stream.own.failed() {
            return Poll::Ready(Err(error));
        }
        if stream.own.blocked() == 0 {
            if self.is_clear(&session, &stream.own) {
                return Poll::Ready(Ok(()));
            }
            // One that no window has room for is called when its last byte has left it.
            if !stream.own.waits.replace(true) {
                self.waits.borrow_mut().push((key, stream.id));
            }
        }
        Poll::Pending
    }

    /// Bytes that were given and have not gone: those that the client keeps out by its windows, or else those that its
    /// kernel does. What other streams of the connection get through is no progress of this one (E-132).
    pub(super) fn unsent(&self, key: Key) -> usize {
        let session = self.session.borrow();
        let stream = session.streams.at(key);
        match stream.map_or(0, |stream| stream.own.blocked()) {
            0 => stream.map_or(0, |stream| {
                let left = stream.own.upto.saturating_sub(self.took.get());
                usize::try_from(left).unwrap_or(usize::MAX)
            }),
            blocked => blocked,
        }
    }

    /// Sends what windows have room for by now, each stream in its turn.
    pub(super) fn pump(&self) -> Pumped {
        let mut blocked = self.blocked.borrow_mut();
        if blocked.is_empty() {
            return Pumped::All;
        }
        let mut session = self.session();
        // So many streams in a row had no room: all of them.
        let mut idle = 0;
        let mut pumped = Pumped::All;
        while idle < blocked.len() {
            let Some((key, id)) = blocked.pop_front() else {
                break;
            };
            let Some(stream) = session.streams.at(key).filter(|at| at.id == id) else {
                continue;
            };
            if !self.is_clear(&session, &stream.own) {
                pumped = Pumped::More;
                blocked.push_back((key, id));
                idle += 1;
                continue;
            }
            let Some(stream) = session.streams.at_mut(key) else {
                continue;
            };
            let outbox = std::mem::take(&mut stream.own.outbox);
            let start = stream.own.sent;
            let end = outbox.len().min(start + TURN);
            let fin = match stream.own.tail {
                Tail::End if end == outbox.len() => Fin::Yes,
                _ => Fin::No,
            };
            let sent = session.send_data(key, outbox.get(start..end).unwrap_or_default(), fin);
            let upto = self.end(&session);
            let Some(stream) = session.streams.at_mut(key) else {
                continue;
            };
            let own = &mut stream.own;
            own.sent = start + sent;
            own.outbox = outbox;
            if sent > 0 {
                own.upto = upto;
            }
            idle = if sent == 0 { idle + 1 } else { 0 };
            if own.blocked() > 0 {
                blocked.push_back((key, id));
                continue;
            }
            self.connection
                .local
                .give_buffer(std::mem::take(&mut own.outbox));
            own.sent = 0;
            self.charge(own);
            own.runner.wake();
            let tail = std::mem::take(&mut own.tail);
            trail(&mut session, key, &tail);
            self.gave(&mut session, key);
        }
        pumped
    }

    /// The client closed its sending side: of streams whose requests are not whole nothing more comes.
    pub(super) fn hang_up(&self) {
        self.hung_up.set(true);
        for stream in self.session.borrow_mut().streams.iter_mut() {
            if stream.remote == Half::Open {
                stream.own.fail(Reason::ClientAbort, Detail::Eof);
            } else {
                // One that waits for a place leaves.
                stream.own.runner.wake();
            }
        }
    }

    /// Nothing has come for a while.
    pub(super) fn rest(&self) {
        self.session.borrow_mut().rest();
        self.blocked.take();
        self.waits.take();
    }

    /// Whether the client closed its sending side.
    pub(super) fn is_hung_up(&self) -> bool {
        self.hung_up.get()
    }

    /// What a stream holds has changed.
    pub(super) fn charge(&self, own: &mut Own) {
        let weight = own.weight();
        self.held.set(self.held.get() - own.charged + weight);
        own.charged = weight;
    }

    /// All streams are over before their end.
    pub(super) fn fail_all(&self, reason: Reason, detail: Detail) {
        for stream in self.session.borrow_mut().streams.iter_mut() {
            stream.own.fail(reason, detail);
        }
    }

    /// Whether a stream is over before its end.
    pub(super) fn is_failed(&self, key: Key) -> bool {
        let session = self.session.borrow();
        let stream = session.streams.at(key);
        stream.is_none_or(|stream| stream.own.failed().is_some())
    }

    /// The answer of a stream is whole. What its client still sends is thrown away, and so is what nobody has read.
    pub(super) fn linger(&self, key: Key) {
        let mut session = self.session();
        let Some(stream) = session.streams.at_mut(key) else {
            return;
        };
        let own = &mut stream.own;
        own.lingers = true;
        let unread = own.inbox.len() - own.read;
        // The connection's window opens for it again, so it must not be held.
        self.connection
            .local
            .give_buffer(std::mem::take(&mut own.inbox));
        own.read = 0;
        self.charge(own);
        session.unwanted(key, unread);
        drop(session);
        self.wake();
    }

    /// The work of a stream is over. With `code`, it is reset if it is not over itself.
    pub(super) fn close(&self, key: Key, code: Option<Code>) {
        // In a panic the session may be held by whoever panicked; the connection ends with it.
        let Ok(mut session) = self.session.try_borrow_mut() else {
            return;
        };
        if let Some(code) = code {
            session.reset(key, code);
        }
        if let Some(own) = session.close(key) {
            self.held.set(self.held.get() - own.charged);
            session.consumed(None, own.inbox.len() - own.read);
            let local = &self.connection.local;
            local.give_buffer(own.inbox);
            local.give_buffer(own.outbox);
        }
        drop(session);
        self.wake();
    }

    /// Counts a stream's error that the client is told of.
    pub(super) fn count(&self, scope: Scope, code: Code) {
        self.cells.http2.error(scope, code.number());
    }

    /// Charges what the connection and its streams hold.
    pub(super) fn weigh(&self) {
        let session = self.session.borrow();
        self.connection.weigh(session.weight() + self.held.get());
    }

    /// The session, to look at.
    pub(super) fn peek(&self) -> Ref<'_, Session<Own>> {
        self.session.borrow()
    }

    /// Whether the other end may still send a body.
    pub(super) fn remote(&self, key: Key) -> Half {
        let session = self.session.borrow();
        let stream = session.streams.at(key);
        stream.map_or(Half::Ended, |stream| stream.remote)
    }
}

/// Sends the trailers that wait for the last byte.
fn trail(session: &mut Session<Own>, key: Key, tail: &Tail) {
    if let Tail::Trailers(lines) = tail {
        session.send_headers(key, Fin::Yes, |encoder, out| {
            response::lines(lines, encoder, out);
        });
    }
}
