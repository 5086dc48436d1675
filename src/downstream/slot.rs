//! Places in which exchanges are run, one after another. The future of an exchange is of some thousand bytes: it is made
//! where it runs, and what is handed over is only what it begins with.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::exchange::{self, Disposition, Downstream, Opening};
use crate::net::Timer;

/// What is handed over.
pub(super) struct Job<D> {
    pub(super) opening: Opening,
    pub(super) down: D,
    pub(super) timer: Rc<Timer>,
}

/// A place for exchanges with this kind of client.
pub(super) struct Slot<D> {
    desk: Rc<Desk<D>>,
    work: Pin<Box<dyn Future<Output = Infallible>>>,
}

/// Where an exchange is handed over, and what came of it.
struct Desk<D> {
    job: RefCell<Option<Job<D>>>,
    done: Cell<Option<Disposition>>,
}

async fn work<D: Downstream>(desk: Rc<Desk<D>>) -> Infallible {
    loop {
        poll_fn(|_| match &*desk.job.borrow() {
            None => Poll::Pending,
            Some(_) => Poll::Ready(()),
        })
        .await;
        // It stays where it is made: to await it as a value is to copy all of it, what it has not used yet included. What it
        // begins with it takes from the desk itself.
        let begin = || {
            let job = desk.job.take()?;
            Some((job.opening, job.down, job.timer))
        };
        if let Some(done) = pin!(exchange::run(begin)).await {
            desk.done.set(Some(done));
        }
    }
}

impl<D: Downstream + 'static> Slot<D> {
    /// One that has nothing to do.
    pub(super) fn new() -> Self {
        let desk = Rc::new(Desk {
            job: RefCell::default(),
            done: Cell::new(None),
        });
        Self {
            work: Box::pin(work(Rc::clone(&desk))),
            desk,
        }
    }

    /// Hands over an exchange; the one before must be done.
    pub(super) fn begin(&self, job: Job<D>) {
        *self.desk.job.borrow_mut() = Some(job);
    }

    /// Goes on with it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Disposition> {
        match self.work.as_mut().poll(cx) {
            Poll::Ready(never) => match never {},
            Poll::Pending => self.desk.done.take().map_or(Poll::Pending, Poll::Ready),
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

    /// A slot that runs this.
    pub(super) fn begin(&self, job: Job<D>) -> Slot<D> {
        let slot = self.0.borrow_mut().pop().unwrap_or_else(Slot::new);
        slot.begin(job);
        slot
    }

    /// Keeps one whose exchange is done.
    pub(super) fn keep(&self, slot: Slot<D>) {
        let mut slots = self.0.borrow_mut();
        if slots.len() < SLOTS {
            slots.push(slot);
        }
    }
}
