//! How an exchange begins.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::Exchange;
use crate::base::Error;
use crate::base::clock::Instant;
use crate::limit::Charge;
use crate::message::RequestHead;
use crate::message::forwarded::{self, Trust};
use crate::metrics::ExchangeCells;
use crate::net::Timer;
use crate::record::{ConnectionFacts, Record};
use crate::worker::{Local, View};

/// What an exchange begins with.
pub struct Opening {
    /// The worker's own.
    pub local: Rc<Local>,
    /// Its configuration, from its first byte to its last.
    pub view: Rc<View>,
    /// The listener's position in it.
    pub listener: usize,
    /// Of the client's connection.
    pub facts: Rc<ConnectionFacts>,
    /// The head, which came in whole, or the part of it that is known.
    pub head: Box<RequestHead>,
    /// Those of the listener without a route.
    pub cells: Arc<ExchangeCells>,
    /// When the first byte came.
    pub at: Instant,
    /// Why the head was not accepted: all that is left to do is to say so.
    pub refused: Option<Error>,
}

/// Where an exchange is handed over. Each part has a place of its own, so that it is moved into the exchange from here, and not
/// with the others through the hands of whoever carries them: together they are of some hundred bytes.
pub struct Desk<D> {
    laid: Cell<bool>,
    pub(super) opening: Cell<Option<Opening>>,
    pub(super) down: Cell<Option<D>>,
    pub(super) timer: Cell<Option<Rc<Timer>>>,
}

impl<D> Default for Desk<D> {
    fn default() -> Self {
        Self {
            laid: Cell::new(false),
            opening: Cell::new(None),
            down: Cell::new(None),
            timer: Cell::new(None),
        }
    }
}

impl<D> fmt::Debug for Desk<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl<D> Desk<D> {
    /// Lays an exchange there; the one before must have been taken.
    #[inline]
    pub fn lay(&self, opening: Opening, down: D, timer: &Rc<Timer>) {
        self.opening.set(Some(opening));
        self.down.set(Some(down));
        self.timer.set(Some(Rc::clone(timer)));
        self.laid.set(true);
    }

    /// Whether one was laid since it was asked last.
    #[inline]
    pub fn is_laid(&self) -> bool {
        self.laid.take()
    }
}

impl Exchange {
    /// Opens it. Made where it stays: it is large.
    pub(super) fn begin(opening: Opening) -> Self {
        let Opening {
            local,
            view,
            listener,
            facts,
            head,
            cells,
            at,
            ..
        } = opening;
        Self {
            record: Record::open(&local.journal, &facts, head, cells, at),
            kit: local.take_kit(),
            trust: Trust::Stranger,
            client: facts.source().ip(),
            started: at,
            own: None,
            rested: None,
            retry_after: None,
            route: None,
            pages: None,
            memory: Charge::new(&local.credit),
            _among: local.begin_exchange(),
            local,
            view,
            listener,
        }
    }

    /// Looks at who sent it, and whom that speaks for.
    pub(super) fn recognise(&mut self) {
        if let Some(listener) = self.view.listeners.get(self.listener) {
            self.pages = listener.spec.pages;
            let (peer, trusted) = (self.client, &listener.spec.trusted);
            self.trust = forwarded::trust(peer, trusted);
            if self.trust == Trust::Proxy {
                self.client = forwarded::client(peer, self.record.head(), trusted);
                self.record.client(self.client);
                // It may have named the exchange already.
                self.record.trust_request_id();
            }
            let (trust, identity) = (self.trust, &listener.spec.identity);
            forwarded::disbelieve(self.record.head_mut(), trust, identity);
        }
    }
}
