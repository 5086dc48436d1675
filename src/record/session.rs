//! The record of a session of layer 4: a connection or a flow. It has no head and no status.

use std::rc::Rc;
use std::sync::Arc;

use super::exchange::Record;
use super::facts::ConnectionFacts;
use super::journal::Journal;
use crate::base::clock::Instant;
use crate::message::RequestHead;
use crate::metrics::{ExchangeCells, SessionCells};

pub use crate::net::bind::Transport;

/// Where a record counts. Is one of those under way while it lives.
#[derive(Debug)]
pub(super) enum Counts {
    Exchange(Arc<ExchangeCells>),
    Session(Arc<SessionCells>, Transport),
    /// Nowhere, and no line is written: it is a part of another exchange.
    Nowhere,
}

impl Counts {
    pub(super) fn exchange(cells: Arc<ExchangeCells>) -> Self {
        cells.active.inc();
        Self::Exchange(cells)
    }

    fn session(cells: &Arc<SessionCells>, transport: Transport) -> Self {
        cells.active.inc();
        Self::Session(Arc::clone(cells), transport)
    }

    /// What a session is carried by; `None`: it is an exchange.
    pub(super) fn transport(&self) -> Option<&'static str> {
        match self {
            Self::Exchange(_) | Self::Nowhere => None,
            Self::Session(_, transport) => Some(transport.as_str()),
        }
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        match self {
            Self::Exchange(cells) => cells.active.dec(),
            Self::Session(cells, _) => cells.active.dec(),
            Self::Nowhere => {}
        }
    }
}

impl Record {
    /// Opens the record of a session that began at `at`. `cells` are those of the listener without a cluster.
    pub fn session(
        journal: &Rc<Journal>,
        facts: &Rc<ConnectionFacts>,
        transport: Transport,
        cells: &Arc<SessionCells>,
        at: Instant,
    ) -> Self {
        let counts = Counts::session(cells, transport);
        Self::begun(journal, facts, None, counts, at)
    }

    /// Opens the record of what is asked on behalf of another exchange, which has a record of its own: this one is written nowhere.
    pub fn aside(
        journal: &Rc<Journal>,
        facts: &Rc<ConnectionFacts>,
        head: Box<RequestHead>,
        at: Instant,
    ) -> Self {
        Self::begun(journal, facts, Some(head), Counts::Nowhere, at)
    }

    /// The session's cluster is known: its cells count.
    pub fn bound(&mut self, cells: &Arc<SessionCells>) {
        if let Counts::Session(_, transport) = self.counts {
            self.counts = Counts::session(cells, transport);
        }
    }
}
