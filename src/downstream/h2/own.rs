//! What belongs to one stream.

use std::cell::Cell;
use std::rc::Rc;

use super::runner::Runner;
use crate::base::{Detail, Error, Reason};
use crate::http1::trailers::Trailers;

/// What ends a stream's message, behind all of its bytes.
#[derive(Debug, Default)]
pub(super) enum Tail {
    /// More is to come.
    #[default]
    None,
    /// Its last byte.
    End,
    /// These field lines.
    Trailers(Vec<u8>),
}

/// What belongs to one stream.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) runner: Rc<Runner>,
    /// Bytes of the request's body that nobody has read.
    pub(super) inbox: Vec<u8>,
    /// How many of them have been read by now.
    pub(super) read: usize,
    pub(super) trailers: Trailers,
    /// Bytes of the response that no window has room for.
    pub(super) outbox: Vec<u8>,
    pub(super) sent: usize,
    pub(super) tail: Tail,
    /// Where its last byte stands among all that the connection sends.
    pub(super) upto: u64,
    /// Whether it waits for the kernel.
    pub(super) waits: Cell<bool>,
    /// Whether it is a WebSocket, or asks to be one.
    pub(super) tunnel: bool,
    /// Whether nobody reads what the client still sends.
    pub(super) lingers: bool,
    /// What of it is charged by now.
    pub(super) charged: usize,
    /// Why it is over before its end.
    failed: Option<(Reason, Detail)>,
}

impl Own {
    pub(super) fn new(runner: &Rc<Runner>) -> Self {
        Self {
            runner: Rc::clone(runner),
            inbox: Vec::new(),
            read: 0,
            trailers: Trailers::default(),
            outbox: Vec::new(),
            sent: 0,
            tail: Tail::None,
            upto: 0,
            waits: Cell::new(false),
            tunnel: false,
            lingers: false,
            charged: 0,
            failed: None,
        }
    }

    /// Why it is over before its end.
    pub(super) fn failed(&self) -> Option<Error> {
        self.failed
            .map(|(reason, detail)| Error::new(reason, detail))
    }

    /// It is over before its end.
    pub(super) fn fail(&mut self, reason: Reason, detail: Detail) {
        self.failed.get_or_insert((reason, detail));
        self.runner.wake();
    }

    /// How many bytes no window has room for.
    pub(super) fn blocked(&self) -> usize {
        self.outbox.len() - self.sent
    }

    /// Bytes of memory that it holds.
    pub(super) fn weight(&self) -> usize {
        let Trailers {
            lines, unlisted, ..
        } = &self.trailers;
        let behind = match &self.tail {
            Tail::Trailers(lines) => lines.capacity(),
            Tail::None | Tail::End => 0,
        };
        let trailers = lines.capacity() + unlisted.capacity() + behind;
        self.inbox.capacity() + self.outbox.capacity() + trailers
    }
}
