//! A connection's place in the counts of its listener.

use std::cell::Cell;
use std::sync::Arc;

use crate::base::clock::{self, Instant};
use crate::metrics::ListenerCells;

/// What is spoken on a connection, as far as counts tell it apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Spoken {
    /// Nothing was said yet.
    Nothing,
    /// What its listener is labelled with.
    Own,
    /// HTTP/2.
    Http2,
}

/// Counts a connection while it lives.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) cells: Arc<ListenerCells>,
    since: Instant,
    spoken: Cell<Spoken>,
}

impl Counted {
    pub(super) fn new(cells: &Arc<ListenerCells>) -> Self {
        cells.active.inc();
        Self {
            cells: Arc::clone(cells),
            since: clock::now(),
            spoken: Cell::new(Spoken::Nothing),
        }
    }

    /// It is known what is spoken. A counter goes up only, so a connection is not counted before.
    #[inline]
    pub(super) fn speaks(&self, spoken: Spoken) {
        if self.spoken.get() == Spoken::Nothing {
            self.spoken.set(spoken);
            if spoken == Spoken::Http2 {
                self.cells.http2.connections.inc();
                self.cells.http2.active.inc();
                self.cells.active.dec();
            } else {
                self.cells.accepted.inc();
            }
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.speaks(Spoken::Own);
        let took = clock::between(self.since, clock::now());
        if self.spoken.get() == Spoken::Http2 {
            self.cells.http2.active.dec();
            self.cells.http2.lasted(took);
        } else {
            self.cells.active.dec();
            self.cells.lasted(took);
        }
    }
}
