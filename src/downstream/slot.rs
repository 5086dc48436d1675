//! Places in which exchanges are run, one after another. The future of an exchange is of some thousand bytes: it is made
//! where it runs, and what is handed over is only what it begins with.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::exchange::{self, Desk, Disposition, Downstream, Opening};
use crate::net::Timer;

/// A place for exchanges with this kind of client.
pub(super) struct Slot<D> {
    table: Rc<Table<D>>,
    work: Pin<Box<dyn Future<Output = Infallible>>>,
}

/// Where an exchange is handed over, and what came of it.
struct Table<D> {
    desk: Desk<D>,
    done: Cell<Option<Disposition>>,
}

async fn work<D: Downstream>(table: Rc<Table<D>>) -> Infallible {
    loop {
        poll_fn(|_| {
            if table.desk.is_laid() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        // It stays where it is made: to await it as a value is to copy all of it, what it has not used yet included.
        if let Some(done) = pin!(exchange::run(&table.desk)).await {
            table.done.set(Some(done));
        }
    }
}

impl<D: Downstream + 'static> Slot<D> {
    /// One that has nothing to do.
    pub(super) fn new() -> Self {
        let table = Rc::new(Table {
            desk: Desk::default(),
            done: Cell::new(None),
        });
        Self {
            work: Box::pin(work(Rc::clone(&table))),
            table,
        }
    }

    /// Hands over an exchange; the one before must be done.
    #[inline]
    pub(super) fn begin(&self, opening: Opening, down: D, timer: &Rc<Timer>) {
        self.table.desk.lay(opening, down, timer);
    }

    /// Goes on with it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Disposition> {
        match self.work.as_mut().poll(cx) {
            Poll::Ready(never) => match never {},
            Poll::Pending => self.table.done.take().map_or(Poll::Pending, Poll::Ready),
        }
    }
}

impl<D> fmt::Debug for Slot<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

/// Slots that nothing runs in.
pub(super) struct Idle<D>(RefCell<Vec<Slot<D>>>);

/// Of a worker, so many are kept.
const SLOTS: usize = 1024;

impl<D: Downstream + 'static> Idle<D> {
    pub(super) const fn none() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// One of them, or a new one.
    #[inline]
    pub(super) fn take(&self) -> Slot<D> {
        self.0.borrow_mut().pop().unwrap_or_else(Slot::new)
    }

    /// Keeps one whose exchange is done.
    pub(super) fn keep(&self, slot: Slot<D>) {
        let mut slots = self.0.borrow_mut();
        if slots.len() < SLOTS {
            slots.push(slot);
        }
    }
}
