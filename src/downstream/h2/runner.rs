//! The tasks of streams. One that has done its work waits for the next stream, of whatever connection of the worker: so
//! a stream makes no task, no timer and no box.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::mux::Mux;
use super::side::Side;
use crate::downstream::slot::Slot;
use crate::exchange::Opening;
use crate::http2::{Code, Half, Key};
use crate::net::Timer;
use crate::net::deadline::Tick;
use crate::task;
use crate::worker::Local;

/// Tasks that a worker keeps.
const IDLE: usize = 512;

/// How long the rest of a request may take whose answer is whole. Most of those that are answered early are whole a moment
/// later; a client that sends more is told to stop (RFC 9113, 8.1).
const MOMENT: Duration = Duration::from_millis(100);

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
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The exchange runs.
    Runs,
    /// It is over, the client's request is not: what comes of that obeys the same rules, and is thrown away.
    Lingers,
    Done,
}

impl Work {
    /// Whether the client still sends a request whose answer is whole.
    fn lingers(&self) -> bool {
        self.mux.peek().streams.at(self.key).is_some_and(|stream| {
            stream.remote == Half::Open
                && stream.local == Half::Ended
                && stream.ending.is_none()
                && stream.own.failed().is_none()
        })
    }

    fn done(mut self, code: Option<Code>) {
        self.stage = Stage::Done;
        self.mux.close(self.key, code);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.stage != Stage::Done {
            self.mux.close(self.key, Some(Code::Internal));
        }
    }
}

impl Runner {
    /// One that has nothing to do.
    pub(super) fn take(local: &Local) -> Rc<Self> {
        RUNNERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            Rc::new(Self {
                timer: Timer::new(&local.deadlines, 0),
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
        slot.begin(opening, down, &self.timer);
        self.slot.replace(Some(slot));
        self.work.replace(Some(Work {
            mux: Rc::clone(mux),
            key,
            stage: Stage::Runs,
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
        let Some(mut work) = self.work.take() else {
            return Poll::Pending;
        };
        if work.stage == Stage::Runs {
            let Some(mut slot) = self.slot.take() else {
                return Poll::Pending;
            };
            match slot.poll(cx) {
                Poll::Ready(_) => {
                    self.slot.replace(Some(slot));
                }
                // Whoever waits for the client heard of it just now; whoever does not is dropped where it stands, which is
                // how a vanished client ends an exchange.
                Poll::Pending if work.mux.is_failed(work.key) => drop(slot),
                Poll::Pending => {
                    self.slot.replace(Some(slot));
                    self.work.replace(Some(work));
                    return Poll::Pending;
                }
            }
            if work.lingers() {
                work.stage = Stage::Lingers;
                work.mux.linger(work.key);
                self.timer.set(self.timer.deadlines().after(MOMENT));
            }
        }
        let late = work.stage == Stage::Lingers && self.timer.fired();
        if work.stage == Stage::Lingers && !late && work.lingers() {
            self.work.replace(Some(work));
            return Poll::Pending;
        }
        work.done(late.then_some(Code::NoError));
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
