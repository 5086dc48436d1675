//! Deadlines over a second: one store per change of state, one sweep per tick.
//!
//! A connection owns one [`Timer`]. Setting it is a store into a cell; every [`TICK`] the worker sweeps all
//! timers, marks those that are due and wakes their tasks, which look at the mark. A deadline therefore fires
//! between its value and its value plus two ticks, and never early.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use slab::Slab;

use crate::base::clock::Instant;

/// How often deadlines are looked at.
pub const TICK: Duration = Duration::from_millis(100);

const NEVER: u64 = u64::MAX;

/// [`TICK`] in milliseconds.
const MILLIS: u64 = TICK.subsec_millis() as u64;

/// A point in coarse time: ticks since the worker started. [`Tick::NEVER`] is later than all others.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Tick(pub(super) u64);

impl Tick {
    /// When the worker started.
    pub const START: Self = Self(0);

    /// No deadline.
    pub const NEVER: Self = Self(NEVER);

    /// The tick that is at least `time` after this one; zero means never.
    #[inline]
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        if time.is_zero() {
            return Self::NEVER;
        }
        // In 64 bits: this is asked several times for each request.
        let millis = time.as_secs().saturating_mul(1000) + u64::from(time.subsec_millis());
        let ticks = millis.div_ceil(MILLIS);
        Self(self.0.saturating_add(ticks).saturating_add(1))
    }

    /// The same for a length that was made before.
    #[must_use]
    pub fn later(self, time: Ticks) -> Self {
        match time {
            Ticks(u32::MAX) => Self::NEVER,
            Ticks(ticks) => Self(self.0.saturating_add(ticks.into())),
        }
    }
}

/// A length of coarse time, in half of a word: for what is kept for as long as a connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ticks(u32);

impl From<Duration> for Ticks {
    /// Zero, and what is longer than a machine lives, is never.
    fn from(time: Duration) -> Self {
        Self(u32::try_from(Tick(0).plus(time).0).unwrap_or(u32::MAX))
    }
}

/// Why a timer woke its task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fired {
    /// Its time has come.
    Due,
    /// All timers, or those of its group, were told to.
    Told,
}

/// All timers of one worker.
#[derive(Debug)]
pub struct Deadlines {
    timers: RefCell<Slab<Weak<Timer>>>,
    start: Instant,
    now: Cell<u64>,
    /// No timer is due before this tick: most sweeps need not look at any.
    earliest: Cell<u64>,
}

impl Deadlines {
    /// No timers, at tick 0.
    pub fn new(start: Instant) -> Rc<Self> {
        Rc::new(Self {
            timers: RefCell::new(Slab::new()),
            start,
            now: Cell::new(0),
            earliest: Cell::new(NEVER),
        })
    }

    /// The current tick.
    pub fn tick(&self) -> Tick {
        Tick(self.now.get())
    }

    /// The tick that is at least `after` away; zero means never.
    pub fn after(&self, after: Duration) -> Tick {
        self.tick().plus(after)
    }

    /// How long it is until `tick`, to the tick; `None` if it never comes.
    pub fn until(&self, tick: Tick) -> Option<Duration> {
        if tick == Tick::NEVER {
            return None;
        }
        let ticks = tick.0.saturating_sub(self.now.get());
        Some(TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX)))
    }

    /// How long ago `tick` was, to the tick.
    pub fn since(&self, tick: Tick) -> Duration {
        let ticks = self.now.get().saturating_sub(tick.0);
        TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    /// How many timers there are.
    pub fn len(&self) -> usize {
        self.timers.borrow().len()
    }

    /// Whether there is no timer.
    pub fn is_empty(&self) -> bool {
        self.timers.borrow().is_empty()
    }

    /// Moves the clock to `now` and wakes every task whose deadline has passed.
    pub fn sweep(&self, now: Instant) {
        let elapsed = now.duration_since(self.start).as_millis() / TICK.as_millis();
        let tick = u64::try_from(elapsed).unwrap_or(NEVER - 1);
        self.now.set(tick);
        if self.earliest.get() > tick {
            return;
        }
        let mut earliest = NEVER;
        self.each(|timer| {
            let due = timer.due.get();
            if timer.fired.get().is_some() {
                return;
            }
            if due > tick {
                earliest = earliest.min(due);
                return;
            }
            timer.fire(Fired::Due);
        });
        self.earliest.set(earliest);
    }

    /// Brings every idle timer's deadline down to `within`, of one group or of all: the start of a drain.
    pub fn shorten_idle(&self, within: Duration, group: Option<u64>) {
        let due = self.after(within).0;
        self.each(|timer| {
            let ours = group.is_none_or(|group| group == timer.group.get());
            if ours && timer.idle.get() && timer.due.get() > due {
                timer.due.set(due);
            }
        });
        self.earliest.set(self.earliest.get().min(due));
    }

    /// Marks every timer as due and wakes its task: the forced end of a drain.
    pub fn fire_all(&self) {
        self.fire(None);
    }

    /// The same for one group.
    pub fn fire_group(&self, group: u64) {
        self.fire(Some(group));
    }

    fn fire(&self, group: Option<u64>) {
        self.each(|timer| {
            if group.is_none_or(|group| group == timer.group.get()) {
                timer.fire(Fired::Told);
            }
        });
    }

    /// Looks at all of them. Nothing that it does may end one: who holds a timer is woken and not run.
    fn each(&self, mut look: impl FnMut(&Timer)) {
        for (_, timer) in &*self.timers.borrow() {
            if let Some(timer) = timer.upgrade() {
                look(&timer);
            }
        }
    }
}

/// One connection's deadline. One allocation for all of it: there is one for each silent connection.
pub struct Timer {
    due: Cell<u64>,
    group: Cell<u64>,
    waker: Cell<Option<Waker>>,
    deadlines: Rc<Deadlines>,
    key: u32,
    fired: Cell<Option<Fired>>,
    /// Shortened when its owner is on its way out: nothing is lost by closing it.
    idle: Cell<bool>,
}

impl std::fmt::Debug for Timer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Timer");
        shown.field("due", &self.due).field("fired", &self.fired);
        shown.finish_non_exhaustive()
    }
}

impl Timer {
    /// A timer that is not set, in a group that can be shortened together.
    pub fn new(deadlines: &Rc<Deadlines>, group: u64) -> Rc<Self> {
        Rc::new_cyclic(|this| {
            let key = deadlines.timers.borrow_mut().insert(Weak::clone(this));
            Self {
                due: Cell::new(NEVER),
                group: Cell::new(group),
                waker: Cell::new(None),
                deadlines: Rc::clone(deadlines),
                // A worker has fewer than that: each is of a socket, or of an exchange.
                key: u32::try_from(key).unwrap_or(u32::MAX),
                fired: Cell::new(None),
                idle: Cell::new(false),
            }
        })
    }

    fn fire(&self, why: Fired) {
        self.fired.set(Some(why));
        if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }

    /// Sets the deadline to `tick`.
    #[inline]
    pub fn set(&self, tick: Tick) {
        self.due.set(tick.0);
        let earliest = &self.deadlines.earliest;
        earliest.set(earliest.get().min(tick.0));
        self.fired.set(None);
        self.idle.set(false);
    }

    /// Sets the deadline of a connection that waits for its next request.
    pub fn set_idle(&self, tick: Tick) {
        self.set(tick);
        self.idle.set(true);
    }

    /// Moves it to another group.
    pub fn regroup(&self, group: u64) {
        self.group.set(group);
    }

    /// The clock that this timer lives by.
    pub fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// Whether the deadline has passed since it was last set.
    #[inline]
    pub fn fired(&self) -> bool {
        self.why_fired().is_some()
    }

    /// The same, and why. Who was told to is so whatever the time.
    #[inline]
    pub fn why_fired(&self) -> Option<Fired> {
        self.fired.get()
    }

    /// Makes the sweep wake the current task. Must be called by the task that waits, once per task.
    pub fn watch(&self, context: &Context<'_>) {
        let waker = self.waker.take();
        let same = waker.filter(|waker| waker.will_wake(context.waker()));
        self.waker
            .set(Some(same.unwrap_or_else(|| context.waker().clone())));
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let mut timers = self.deadlines.timers.borrow_mut();
        let removed = timers.try_remove(self.key as usize);
        debug_assert!(removed.is_some(), "a timer is removed once, by its owner");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_after_and_never_before() {
        let start = crate::base::clock::now();
        let deadlines = Deadlines::new(start);
        let timer = Timer::new(&deadlines, 7);
        timer.set(deadlines.after(Duration::from_secs(1)));
        deadlines.sweep(start + Duration::from_secs(1));
        assert!(
            !timer.fired(),
            "not before a whole second has surely passed"
        );
        deadlines.sweep(start + Duration::from_millis(1200));
        assert!(timer.fired());
        timer.set(Tick::NEVER);
        deadlines.sweep(start + Duration::from_secs(1_000_000));
        assert!(!timer.fired());
        drop(timer);
        assert!(deadlines.is_empty());
    }

    #[test]
    fn a_drain_shortens_idle_timers_only() {
        let start = crate::base::clock::now();
        let deadlines = Deadlines::new(start);
        let (idle, busy) = (Timer::new(&deadlines, 7), Timer::new(&deadlines, 7));
        idle.set_idle(deadlines.after(Duration::from_secs(75)));
        busy.set(deadlines.after(Duration::from_secs(75)));
        deadlines.shorten_idle(Duration::from_secs(1), Some(8));
        deadlines.sweep(start + Duration::from_secs(2));
        assert!(!idle.fired(), "another group");
        deadlines.shorten_idle(Duration::from_millis(1), None);
        deadlines.sweep(start + Duration::from_secs(3));
        assert!(idle.fired() && !busy.fired());
        busy.regroup(9);
        deadlines.fire_group(7);
        assert!(!busy.fired(), "it has left the group");
        deadlines.sweep(start + Duration::from_secs(100));
        assert_eq!(busy.why_fired(), Some(Fired::Due));
        deadlines.fire_all();
        assert_eq!(busy.why_fired(), Some(Fired::Told));
    }
}
