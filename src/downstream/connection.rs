//! What a connection keeps between its exchanges.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::base::ListenerName;
use crate::drain::Phase;
use crate::http1::request::HeadLimits;
use crate::net::{Stream, Timer};
use crate::record::ConnectionFacts;
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
    /// Where the listener stands in the worker's view, and in which one.
    listener: Cell<(u64, Option<usize>)>,
}

impl Connection {
    pub(super) fn new(
        local: &Rc<Local>,
        listener: ListenerName,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Self {
        Self {
            stream: stream.into(),
            local: Rc::clone(local),
            timer: Rc::new(Timer::new(&local.deadlines, group(&listener))),
            facts: ConnectionFacts::new(listener, peer),
            input: RefCell::default(),
            listener: Cell::new((u64::MAX, None)),
        }
    }

    /// The view in effect and the listener's position in it. For a listener that was removed, the last view that
    /// had it, while that is kept for such connections.
    pub(super) fn current(&self) -> Option<(Rc<View>, usize)> {
        match self.position() {
            Some(position) => Some((self.local.view(), position)),
            None => self.local.retired(&self.facts.listener),
        }
    }

    fn position(&self) -> Option<usize> {
        let (epoch, position) = self.listener.get();
        if epoch == self.local.epoch() {
            return position;
        }
        let view = self.local.view();
        let position = view.listener(&self.facts.listener);
        self.listener.set((view.epoch, position));
        position
    }

    /// By what rules the next request is awaited.
    pub(super) fn terms(&self) -> Option<Terms> {
        let (view, position) = self.current()?;
        let spec = &view.listeners.get(position)?.spec;
        Some(Terms {
            limits: HeadLimits {
                request_line: spec.limits.request_line,
                headers: spec.limits.headers,
                count: spec.limits.header_count,
            },
            header: spec.timeouts.header,
            idle: match self.outlook() {
                Outlook::Stays => spec.timeouts.idle,
                Outlook::Ends => LAST_WAIT,
            },
        })
    }

    /// Whether this connection should go on after the exchange that it serves.
    pub(super) fn outlook(&self) -> Outlook {
        if self.local.drain.phase() == Phase::Serving && self.position().is_some() {
            Outlook::Stays
        } else {
            Outlook::Ends
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

/// How long a connection that is to end waits for one more request.
pub(super) const LAST_WAIT: Duration = Duration::from_secs(1);

/// By what rules the next request is awaited: copied, so that a silent connection holds no configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) limits: HeadLimits,
    /// First byte to whole head.
    pub(super) header: Duration,
    /// Silence between two requests.
    pub(super) idle: Duration,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outlook {
    /// It may serve further requests.
    Stays,
    /// It ends after this answer: the process drains, or the listener is gone.
    Ends,
}
