//! The tasks of streams. One that has done its work waits for the next stream, of whatever connection of the worker: so
//! a stream makes no task, no timer and no box.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::mux::Mux;
use super::side::Side;
use crate::downstream::slot::{Job, Slot};
use crate::exchange::Opening;
use crate::http2::{Code, Key};
use crate::net::Timer;
use crate::net::deadline::Tick;
use crate::task;
use crate::worker::Local;

/// Tasks that a worker keeps.
const IDLE: usize = 512;

thread_local! {
    /// Tasks of this worker that have no stream.
    static RUNNERS: RefCell<Vec<Rc<Runner>>> = const { RefCell::new(Vec::new()) };
}

/// One task.
#[derive(Debug)]
pub(super) struct Runner {
    /// The deadlines of the exchange that it runs.
    pub(super) timer: Rc<Timer>,
    waker: RefCell<Option<Waker>>,
    slot: RefCell<Option<Slot<Side>>>,
    work: RefCell<Option<Work>>,
    started: Cell<bool>,
}

/// The stream that a task works for. Dropped before it is done, its stream broke: the exchange panicked.
#[derive(Debug)]
struct Work {
    mux: Rc<Mux>,
    key: Key,
    done: bool,
}

impl Work {
    fn done(mut self, code: Option<Code>) {
        self.done = true;
        self.mux.close(self.key, code);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.done {
            self.mux.close(self.key, Some(Code::Internal));
        }
    }
}

impl Runner {
    /// One that has nothing to do.
    pub(super) fn take(local: &Local) -> Rc<Self> {
        RUNNERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            Rc::new(Self {
                timer: Rc::new(Timer::new(&local.deadlines, 0)),
                waker: RefCell::default(),
                slot: RefCell::default(),
                work: RefCell::default(),
                started: Cell::new(false),
            })
        })
    }

    /// Runs an exchange for a stream.
    pub(super) fn start(self: &Rc<Self>, mux: &Rc<Mux>, key: Key, opening: Opening, down: Side) {
        let slot = self.slot.take().unwrap_or_else(Slot::new);
        slot.begin(Job {
            opening,
            down,
            timer: Rc::clone(&self.timer),
        });
        self.slot.replace(Some(slot));
        self.work.replace(Some(Work {
            mux: Rc::clone(mux),
            key,
            done: false,
        }));
        if self.started.replace(true) {
            self.wake();
        } else {
            let this = Rc::clone(self);
            task::spawn("stream", async move {
                poll_fn(|cx| {
                    this.timer.watch(cx);
                    this.waker.replace(Some(cx.waker().clone()));
                    Poll::Ready(())
                })
                .await;
                poll_fn(|cx| this.poll(cx)).await;
            });
        }
    }

    /// Lets it look at its stream again.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    fn poll(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(work) = self.work.take() else {
            return Poll::Pending;
        };
        let Some(mut slot) = self.slot.take() else {
            return Poll::Pending;
        };
        match slot.poll(cx) {
            Poll::Ready(_) => {
                self.slot.replace(Some(slot));
                work.done(None);
            }
            // Whoever waits for the client heard of it just now; whoever does not is dropped where it stands, which is
            // how a vanished client ends an exchange.
            Poll::Pending if work.mux.is_failed(work.key) => {
                drop(slot);
                work.done(None);
            }
            Poll::Pending => {
                self.slot.replace(Some(slot));
                self.work.replace(Some(work));
                return Poll::Pending;
            }
        }
        self.timer.set(Tick::NEVER);
        RUNNERS.with_borrow_mut(|runners| {
            if runners.len() < IDLE {
                runners.push(Rc::clone(self));
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
    }
}
