//! The gate of a cluster: how many exchanges may be in flight there, and the queue of those that wait.
//!
//! **No lock while nobody waits.** Taking and giving back are single atomic operations; the lock of a line is taken by
//! those that wait, and by those that give back what somebody waits for.
//!
//! **No wake-up is lost.** Who joins a line is counted and then looks for a place once more; who gives one back does so
//! and then looks at the count. The order of these four is sequentially consistent, so at least one sees the other.
//! A place that nobody gave back (an endpoint recovered) is found by [`Gate::nudge`].

use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::base::clock::{self, Instant};
use crate::limit::line::{Call, Line, Ticket};

/// What is waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Want {
    /// To be one of the cluster's exchanges in flight.
    Request,
    /// A connection to any endpoint.
    Connection,
}

/// How many may wait, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueTerms {
    /// How many; 0: nobody waits.
    pub size: u32,
    /// How long each; not zero.
    pub timeout: Duration,
}

#[derive(Debug, Default)]
struct Queue {
    count: CachePadded<AtomicU32>,
    line: Mutex<Line<Option<Waker>>>,
}

/// One for each cluster, shared by all workers and kept over a reload.
#[derive(Debug, Default)]
pub struct Gate {
    in_flight: CachePadded<AtomicU32>,
    requests: Queue,
    connections: Queue,
}

impl Gate {
    /// Takes a place among the exchanges in flight if fewer than `cap` are.
    pub fn admit(self: &Arc<Self>, cap: u32) -> Option<Permit> {
        let more = |taken| (taken < cap).then_some(taken + 1);
        self.in_flight
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more)
            .ok()?;
        Some(Permit(Arc::clone(self)))
    }

    /// Whether somebody waits for this.
    #[inline]
    pub fn is_waited_for(&self, want: Want) -> bool {
        self.queue(want).count.load(Ordering::SeqCst) > 0
    }

    /// How many wait.
    pub fn waiting(&self) -> u32 {
        let count = |queue: &Queue| queue.count.load(Ordering::SeqCst);
        count(&self.requests).saturating_add(count(&self.connections))
    }

    /// Joins the line, unless it is full.
    pub fn join(self: &Arc<Self>, want: Want, terms: QueueTerms, now: Instant) -> Option<Seat> {
        if terms.size == 0 {
            return None;
        }
        let queue = self.queue(want);
        let mut told = Vec::new();
        let mut line = queue.lock();
        if self.waiting() >= terms.size {
            line.refuse(now);
            return None;
        }
        queue.count.fetch_add(1, Ordering::SeqCst);
        let first = line.is_empty();
        let ticket = line.join(terms.timeout, now, &mut told);
        drop(line);
        wake(told);
        fence(Ordering::SeqCst);
        Some(Seat {
            gate: Arc::clone(self),
            want,
            ticket,
            // Those behind it are called by whoever finds a place without a call.
            standing: if first {
                Standing::Uncalled
            } else {
                Standing::Waits
            },
        })
    }

    /// One of these was given back: the next in line is called.
    #[inline]
    pub(super) fn freed(&self, want: Want) {
        if self.is_waited_for(want) {
            self.call(want, Call::Place, clock::now());
        }
    }

    /// Lets the first in line look for places that nobody gave back. To be called now and then.
    #[inline]
    pub fn nudge(&self, now: Instant) {
        for want in [Want::Request, Want::Connection] {
            if self.is_waited_for(want) {
                self.call(want, Call::Chance, now);
            }
        }
    }

    #[cold]
    fn call(&self, want: Want, call: Call, now: Instant) {
        let mut told = Vec::new();
        self.queue(want).lock().call(call, now, &mut told);
        wake(told);
    }

    fn queue(&self, want: Want) -> &Queue {
        match want {
            Want::Request => &self.requests,
            Want::Connection => &self.connections,
        }
    }
}

impl Queue {
    /// A panic leaves the line whole, so a poisoned lock is as good as a clean one.
    fn lock(&self) -> MutexGuard<'_, Line<Option<Waker>>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Outside of the lock: a waker of another worker is a system call.
fn wake(told: Vec<Option<Waker>>) {
    for waker in told.into_iter().flatten() {
        waker.wake();
    }
}

/// One of the exchanges that a cluster may have in flight.
#[derive(Debug)]
pub struct Permit(Arc<Gate>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.0.freed(Want::Request);
    }
}

/// What one who waits is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// Look for a place. Whoever finds one says so with [`Seat::took`].
    Look,
    /// Give up: the line is overloaded, and others are served first.
    GiveUp,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Waits,
    /// It may look once without having been called.
    Uncalled,
    /// It was told to look, for this cause.
    Looks(Call),
}

/// One who waits.
#[derive(Debug)]
pub struct Seat {
    gate: Arc<Gate>,
    want: Want,
    ticket: Ticket,
    standing: Standing,
}

impl Seat {
    /// Ready when it is this one's turn. Who looks in vain keeps its place in line and polls again.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<Turn> {
        if self.standing == Standing::Uncalled {
            self.standing = Standing::Looks(Call::Chance);
            return Poll::Ready(Turn::Look);
        }
        self.standing = Standing::Waits;
        let bell = |bell: &mut Option<Waker>| match bell {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *bell = Some(cx.waker().clone()),
        };
        let answer = self.gate.queue(self.want).lock().answer(self.ticket, bell);
        match answer {
            None => Poll::Pending,
            Some(Call::GiveUp) => Poll::Ready(Turn::GiveUp),
            Some(call) => {
                self.standing = Standing::Looks(call);
                Poll::Ready(Turn::Look)
            }
        }
    }

    /// It found a place, and leaves. Where one was found by chance, there may be more.
    pub fn took(mut self) {
        if self.standing != Standing::Looks(Call::Chance) {
            self.standing = Standing::Waits;
        }
    }

    /// It leaves because its time is up.
    pub fn refused(self, now: Instant) {
        self.gate.queue(self.want).lock().refuse(now);
    }
}

impl Drop for Seat {
    /// A call that was not answered, or not used, goes to the next in line.
    fn drop(&mut self) {
        let now = clock::now();
        let queue = self.gate.queue(self.want);
        let mut told = Vec::new();
        let mut line = queue.lock();
        if let Some(call) = line.leave(self.ticket, now, &mut told) {
            line.call(call, now, &mut told);
        }
        if let Standing::Looks(call) = self.standing {
            line.call(call, now, &mut told);
        }
        queue.count.fetch_sub(1, Ordering::SeqCst);
        drop(line);
        wake(told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    const TERMS: QueueTerms = QueueTerms {
        size: 8,
        timeout: Duration::from_secs(5),
    };

    /// Counts how often it was woken.
    #[derive(Debug, Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Bell {
        fn rung(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn poll(seat: &mut Seat, bell: &Arc<Bell>) -> Poll<Turn> {
        seat.poll(&Context::from_waker(&Arc::clone(bell).into()))
    }

    fn join(gate: &Arc<Gate>) -> (Seat, Arc<Bell>) {
        let seat = gate.join(Want::Request, TERMS, clock::now()).unwrap();
        (seat, Arc::default())
    }

    #[test]
    fn a_permit_that_is_given_back_calls_the_next() {
        let gate = Arc::new(Gate::default());
        let permit = gate.admit(1).unwrap();
        assert!(gate.admit(1).is_none());
        let (mut first, bell) = join(&gate);
        assert_eq!(poll(&mut first, &bell), Poll::Ready(Turn::Look), "uncalled");
        assert!(poll(&mut first, &bell).is_pending());
        let (mut second, other) = join(&gate);
        assert!(
            poll(&mut second, &other).is_pending(),
            "it is not the first"
        );
        drop(permit);
        assert_eq!((bell.rung(), other.rung()), (1, 0));
        assert_eq!(poll(&mut first, &bell), Poll::Ready(Turn::Look));
        let permit = gate.admit(1).unwrap();
        first.took();
        assert_eq!(other.rung(), 0, "there was one place");
        drop(permit);
        assert_eq!(other.rung(), 1);
    }

    #[test]
    fn a_call_that_is_not_used_goes_on() {
        let gate = Arc::new(Gate::default());
        let permit = gate.admit(1).unwrap();
        let mut seats: Vec<_> = (0..3).map(|_| join(&gate)).collect();
        for (seat, bell) in &mut seats {
            while poll(seat, bell).is_ready() {}
        }
        drop(permit);
        let (mut first, bell) = seats.remove(0);
        assert_eq!(poll(&mut first, &bell), Poll::Ready(Turn::Look));
        drop(first);
        let [(mut second, bell), (_third, last)] = <[_; 2]>::try_from(seats).unwrap();
        assert_eq!((bell.rung(), last.rung()), (1, 0));
        // What one finds by chance, the next may find too.
        gate.nudge(clock::now());
        assert_eq!(last.rung(), 1);
        assert_eq!(poll(&mut second, &bell), Poll::Ready(Turn::Look));
    }

    #[test]
    fn the_size_is_for_both_lines_and_zero_is_none() {
        let gate = Arc::new(Gate::default());
        let seats: Vec<_> = (0..8)
            .map(|at| {
                let want = [Want::Request, Want::Connection][at % 2];
                gate.join(want, TERMS, clock::now()).unwrap()
            })
            .collect();
        assert!(gate.join(Want::Request, TERMS, clock::now()).is_none());
        drop(seats);
        assert_eq!(gate.waiting(), 0);
        let terms = QueueTerms { size: 0, ..TERMS };
        assert!(gate.join(Want::Request, terms, clock::now()).is_none());
    }

    /// Threads that take and give back as fast as they can, with one place: nobody is forgotten.
    #[test]
    fn no_wake_up_is_lost() {
        let gate = Arc::new(Gate::default());
        let terms = QueueTerms { size: 64, ..TERMS };
        let rounds = 2000;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        let _permit = match gate.admit(1) {
                            Some(permit) => permit,
                            None => wait(&gate, terms),
                        };
                    }
                });
            }
        });
        assert_eq!(gate.waiting(), 0);
        assert!(gate.admit(1).is_some());
    }

    /// Waits in line on this thread; a minute of silence is a lost wake-up.
    fn wait(gate: &Arc<Gate>, terms: QueueTerms) -> Permit {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Arc::new(Unpark(std::thread::current())).into();
        let context = Context::from_waker(&waker);
        let began = clock::now();
        let mut seat = gate.join(Want::Request, terms, began).unwrap();
        loop {
            if seat.poll(&context).is_ready() {
                if let Some(permit) = gate.admit(1) {
                    seat.took();
                    return permit;
                }
                continue;
            }
            std::thread::park_timeout(Duration::from_mins(1));
            let waited = clock::between(began, clock::now());
            assert!(waited < Duration::from_mins(1), "a wake-up was lost");
        }
    }
}
