//! What a connection keeps between its exchanges.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::counted::{Counted, Spoken};
use super::linger::Patience;
use super::outbox::gone;
use crate::base::clock::Instant;
use crate::base::{Detail, Error, ListenerName, Peer, Reason};
use crate::drain::Phase;
use crate::exchange::Opening;
use crate::http1::request::HeadLimits;
use crate::limit::{Charge, Level};
use crate::listener::{H2c, ListenerSpec};
use crate::message::RequestHead;
use crate::metrics::Closed;
use crate::net::deadline::Tick;
use crate::net::{Stream, Timer};
use crate::record::ConnectionFacts;
use crate::upstream::Private;
use crate::worker::local::group;
use crate::worker::{Local, View};

/// One client connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) local: Rc<Local>,
    pub(super) timer: Rc<Timer>,
    pub(super) facts: Rc<ConnectionFacts>,
    /// Bytes that were read and belong to what comes next: the rest of a body, a pipelined request.
    pub(super) input: RefCell<Vec<u8>>,
    /// The connection to an endpoint that is this client's alone.
    pub(super) private: Private,
    /// Where the listener stands in the worker's view, and in which one.
    listener: Cell<(u64, Option<Place>)>,
    memory: Charge,
    /// How many more requests it may serve.
    requests: Cell<u32>,
    /// When it is old.
    old: Tick,
    /// What will have ended it.
    cause: Cell<Closed>,
    pub(super) counted: Counted,
}

impl Connection {
    pub(super) fn new(
        local: &Rc<Local>,
        listener: ListenerName,
        stream: Stream,
        peer: Peer,
        spec: &ListenerSpec,
        counted: Counted,
    ) -> Self {
        Self {
            stream,
            local: Rc::clone(local),
            memory: Charge::new(&local.credit),
            requests: Cell::new(spec.limits.requests()),
            old: local.deadlines.after(jittered(spec.timeouts.age)),
            cause: Cell::new(Closed::Client),
            counted,
            timer: Timer::new(&local.deadlines, group(&listener)),
            facts: ConnectionFacts::new(listener, peer),
            input: RefCell::default(),
            private: Private::default(),
            listener: Cell::new((u64::MAX, None)),
        }
    }

    /// Ready when the client has closed its sending side or is gone, and nothing waits unread before that.
    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<Error> {
        match self.stream.poll_peek(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(gone(error)),
            Poll::Ready(Ok(0)) => Poll::Ready(Error::new(Reason::ClientAbort, Detail::Eof)),
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
        }
    }

    /// The same for one that owes the rest of a body: it may be here already.
    pub(super) fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<Error> {
        if self.input.borrow().is_empty() {
            self.poll_end(cx)
        } else {
            Poll::Pending
        }
    }

    /// What an exchange begins with that came at `at`, in the configuration of now and not in the one of when this connection
    /// fell silent. It is counted. `None`: its listener is gone.
    pub(super) fn opening(
        &self,
        head: Box<RequestHead>,
        at: Instant,
        refused: Option<Error>,
    ) -> Option<Opening> {
        let (view, listener) = self.current()?;
        let cells = Arc::clone(&view.listeners.get(listener)?.unmatched);
        self.count_request();
        Some(Opening {
            local: Rc::clone(&self.local),
            view,
            listener,
            facts: Rc::clone(&self.facts),
            head,
            cells,
            at,
            refused,
        })
    }

    /// The view in effect and the listener's position in it. For a listener that was removed, the last view that
    /// had it, while that is kept for such connections.
    pub(super) fn current(&self) -> Option<(Rc<View>, usize)> {
        match self.place() {
            Some(place) => Some((self.local.view(), place.at as usize)),
            None => self.local.retired(&self.facts.listener),
        }
    }

    fn place(&self) -> Option<Place> {
        let (epoch, mut place) = self.listener.get();
        if epoch != self.local.epoch() {
            let view = self.local.view();
            let found = view.listener(&self.facts.listener);
            place = found.and_then(|at| {
                Some(Place {
                    at: u32::try_from(at).ok()?,
                    tls: view.listeners.get(at)?.spec.tls.is_some(),
                })
            });
            self.listener.set((view.epoch, place));
        }
        place
    }

    /// Makes the terms those of now, of another configuration perhaps. `false`: there are none any more.
    #[inline]
    pub(super) fn renew(&self, terms: &mut Terms) -> bool {
        if terms.epoch == self.local.epoch() {
            return true;
        }
        let now = self.terms();
        *terms = now.unwrap_or(*terms);
        now.is_some()
    }

    /// By what rules the next request is awaited.
    pub(super) fn terms(&self) -> Option<Terms> {
        let epoch = self.local.epoch();
        let (view, position) = self.current()?;
        let spec = &view.listeners.get(position)?.spec;
        Some(Terms {
            epoch,
            limits: spec.head(),
            h2c: match spec.tls {
                None => spec.h2c,
                // Over TLS the protocol is agreed on in the handshake (RFC 9113, 3.2).
                Some(_) => H2c::Off,
            },
            first_byte: spec.timeouts.first_byte,
            header: spec.timeouts.header,
            write: spec.timeouts.write,
            write_rate: spec.limits.write_rate,
            idle: spec.timeouts.idle,
            patience: Patience {
                time: spec.timeouts.linger,
                skip: spec.limits.skip,
                linger: spec.limits.linger,
            },
        })
    }

    /// Whether this connection should go on after the exchange that it serves.
    pub(super) fn outlook(&self) -> Outlook {
        if self.local.drain.phase() != Phase::Serving
            || self.place().is_none_or(|place| self.is_outgrown(place))
        {
            Outlook::Ends(Closed::Drain)
        } else if self.local.credit.level() >= Level::Short {
            Outlook::Ends(Closed::Overloaded)
        } else if self.requests.get() == 0 {
            Outlook::Ends(Closed::Requests)
        } else if self.old <= self.local.deadlines.tick() {
            Outlook::Ends(Closed::Age)
        } else {
            Outlook::Stays
        }
    }

    /// Whether the listener asks something else of clients by now than when this one came, or made its handshake: what it showed
    /// then, or need not show, says nothing any more (E-123).
    fn is_outgrown(&self, place: Place) -> bool {
        let Some(agreed) = self.facts.tls() else {
            return place.tls;
        };
        let view = self.local.view();
        let listener = view.listeners.get(place.at as usize);
        let tls = listener.and_then(|listener| listener.spec.tls.as_ref());
        tls.is_none_or(|tls| tls.asked() != agreed.asked)
    }

    /// Charges what it holds now, and so much more for its exchange.
    pub(super) fn weigh(&self, more: usize) {
        self.memory.set(
            CONNECTION
                + self.stream.weight()
                + self.facts.weight()
                + self.input.borrow().capacity()
                + more,
        );
    }

    /// It speaks HTTP/2: each request is a stream from now on.
    pub(super) fn multiplexes(&self, spec: &ListenerSpec) {
        self.counted.speaks(Spoken::Http2);
        self.requests.set(spec.limits.streams());
    }

    /// One more request begins.
    pub(super) fn count_request(&self) {
        self.counted.speaks(Spoken::Own);
        let left = self.requests.get();
        if left != u32::MAX {
            self.requests.set(left.saturating_sub(1));
        }
    }

    /// What will have ended it, as far as is known now.
    pub(super) fn ends_by(&self, cause: Closed) {
        self.cause.set(cause);
    }

    /// What ended it.
    pub(super) fn cause(&self) -> Closed {
        self.cause.get()
    }

    /// Moves bytes that were kept into `place`, from its beginning; how many.
    pub(super) fn take_input(&self, place: &mut [u8]) -> usize {
        let mut input = self.input.borrow_mut();
        let len = input.len().min(place.len());
        if let (Some(to), Some(from)) = (place.get_mut(..len), input.get(..len)) {
            to.copy_from_slice(from);
            input.drain(..len);
        }
        len
    }

    /// Puts bytes that were taken back in front of those that are kept.
    pub(super) fn give_back(&self, bytes: &[u8]) {
        if self.input.borrow().is_empty() {
            self.keep(bytes);
        } else {
            self.input.borrow_mut().splice(..0, bytes.iter().copied());
        }
    }

    /// Gives the memory of the input back while nothing is in it.
    pub(super) fn release(&self) {
        let mut input = self.input.borrow_mut();
        if input.is_empty() && input.capacity() > 0 {
            self.local.give_buffer(std::mem::take(&mut input));
        }
    }

    /// Keeps bytes for what comes next.
    pub(super) fn keep(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut input = self.input.borrow_mut();
        if input.capacity() == 0 {
            *input = self.local.take_buffer();
        }
        input.extend_from_slice(bytes);
    }
}

/// Where a listener stands in a view.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u32,
    /// Whether it asks for TLS.
    tls: bool,
}

/// What an open connection takes without any buffer: its task, timer and socket.
const CONNECTION: usize = 2 * 1024;

/// A tenth more or less, so that connections which came together do not come back together.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(0.9 + 0.2 * fastrand::f64())
}

/// How long a connection that is to end waits for one more request.
pub(super) const LAST_WAIT: Duration = Duration::from_secs(1);

/// By what rules the next request is awaited: copied, so that a silent connection holds no configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Of which configuration.
    epoch: u64,
    pub(super) limits: HeadLimits,
    /// Whether its first bytes may be those of HTTP/2.
    pub(super) h2c: H2c,
    /// Accepted to first byte.
    pub(super) first_byte: Duration,
    /// First byte to whole head.
    pub(super) header: Duration,
    /// Silence between two requests, of a connection that is to stay.
    pub(super) idle: Duration,
    /// Between two writes to a client that does not read.
    pub(super) write: Duration,
    /// Bytes a second that it has to take at least; 0: any speed will do.
    pub(super) write_rate: u64,
    /// What is done for a client that still sends when it has its answer.
    pub(super) patience: Patience,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outlook {
    /// It may serve further requests.
    Stays,
    /// It ends after this answer.
    Ends(Closed),
}
