//! A line of those that wait for a place: first come, first served, until it is overloaded.
//!
//! A burst is served in order: whoever can have a place within `timeout` gets it. Where more come than can be served,
//! order serves nobody: every answer is as late as it may be, and so is every refusal. So a line that is **overloaded**
//! serves the newest first and tells the others soon.
//!
//! - *It begins* when for a whole `timeout`, without a break, the first in line had waited for over a tenth of it, and
//!   somebody was refused within the last half of it. A line that refuses nobody is long, not overloaded.
//! - *While it lasts*, a place goes to the newest, and all but the newest give up once they have waited for a tenth of
//!   `timeout`. Only while no more wait than a quarter of those that got a place within such a tenth is it served in
//!   order: nobody is passed over where order costs nothing.
//! - *It ends* when nobody was refused for half of `timeout`.
//!
//! This is the adaptive LIFO with controlled delay of B. Maurer, "Fail at Scale" (ACM Queue 13:8, 2015), after `CoDel`
//! (K. Nichols, V. Jacobson, 2012); their two constants are shares of the one key that an operator sets.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::clock::Instant;

/// The share of `timeout` that is a long wait, and all that an overloaded line grants.
const SHORT: u32 = 10;
/// An overloaded line is short again when it is no longer than this share of those that got a place lately.
const RELIEF: u64 = 4;

/// Who stands where; later ones have larger numbers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Ticket(u64);

/// Why somebody in line is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Call {
    /// One place was given back.
    Place,
    /// There may be places, and nobody knows how many: who finds one lets the next look.
    Chance,
    /// It is to give up: the line is overloaded.
    GiveUp,
}

/// Whether order serves anybody.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// First come, first served.
    #[default]
    Calm,
    /// The newest first; others soon give up.
    Overloaded,
}

#[derive(Debug)]
struct Waiter<W> {
    since: Instant,
    /// How it is told.
    bell: W,
}

/// A line. `W` is how one who waits is told that it was called.
#[derive(Debug)]
pub struct Line<W> {
    next: u64,
    /// In the order of their arrival.
    waiting: BTreeMap<Ticket, Waiter<W>>,
    /// Those that were called and have not come yet.
    called: BTreeMap<Ticket, (Waiter<W>, Call)>,
    /// How long one may wait, as the last who came said.
    timeout: Duration,
    mode: Mode,
    /// Since when the first in line has had a long wait behind it.
    late: Option<Instant>,
    /// When somebody was last refused.
    refused: Option<Instant>,
    /// Places given in this period of a tenth of `timeout`, and in the one before.
    given: (u64, u64),
    period: Option<Instant>,
}

impl<W: Default> Default for Line<W> {
    fn default() -> Self {
        Self {
            next: 0,
            waiting: BTreeMap::new(),
            called: BTreeMap::new(),
            timeout: Duration::ZERO,
            mode: Mode::Calm,
            late: None,
            refused: None,
            given: (0, 0),
            period: None,
        }
    }
}

impl<W: Default> Line<W> {
    /// Whether somebody waits, or was called and has not left.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.called.is_empty()
    }

    /// Whether it is overloaded.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Joins at the end. Those that are to give up are `told`.
    pub fn join(&mut self, timeout: Duration, now: Instant, told: &mut Vec<W>) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.timeout = timeout;
        let waiter = Waiter {
            since: now,
            bell: W::default(),
        };
        self.waiting.insert(ticket, waiter);
        self.judge(now, told);
        ticket
    }

    /// Somebody was refused: at the door, or because its time was up.
    pub fn refuse(&mut self, now: Instant) {
        self.refused = Some(now);
    }

    /// Calls the next in line. It and those that are to give up are `told`.
    pub fn call(&mut self, call: Call, now: Instant, told: &mut Vec<W>) {
        self.judge(now, told);
        let next = if self.mode == Mode::Calm || self.is_short() {
            self.waiting.pop_first()
        } else {
            self.waiting.pop_last()
        };
        let Some((ticket, mut waiter)) = next else {
            return;
        };
        if call == Call::Place {
            self.count_place(now);
        }
        told.push(std::mem::take(&mut waiter.bell));
        self.called.insert(ticket, (waiter, call));
    }

    /// Whether this one was called. It stands in line again until it leaves, so a look in vain costs no turn. Otherwise
    /// `bell` is how it will be told.
    pub fn answer(&mut self, ticket: Ticket, bell: impl FnOnce(&mut W)) -> Option<Call> {
        if let Some((waiter, call)) = self.called.remove(&ticket) {
            if call != Call::GiveUp {
                self.waiting.insert(ticket, waiter);
            }
            return Some(call);
        }
        if let Some(waiter) = self.waiting.get_mut(&ticket) {
            bell(&mut waiter.bell);
        }
        None
    }

    /// Leaves. A call that it has not answered is for somebody else.
    pub fn leave(&mut self, ticket: Ticket, now: Instant, told: &mut Vec<W>) -> Option<Call> {
        self.waiting.remove(&ticket);
        let (_, unanswered) = self.called.remove(&ticket).unzip();
        self.judge(now, told);
        unanswered.filter(|&call| call != Call::GiveUp)
    }

    fn count_place(&mut self, now: Instant) {
        let length = self.timeout / SHORT;
        let age = now.duration_since(*self.period.get_or_insert(now));
        if age >= length {
            let before = if age < length * 2 { self.given.0 } else { 0 };
            self.given = (0, before);
            self.period = Some(now);
        }
        self.given.0 += 1;
    }

    /// Whether the first in line has had a long wait.
    fn is_late(&self, now: Instant) -> bool {
        let first = self.waiting.first_key_value();
        first.is_some_and(|(_, first)| now.duration_since(first.since) >= self.timeout / SHORT)
    }

    /// Whether those that wait will be served soon in any order.
    fn is_short(&self) -> bool {
        self.waiting.len() as u64 <= self.given.0.max(self.given.1) / RELIEF
    }

    /// Judges the line, and tells those that are to give up.
    fn judge(&mut self, now: Instant, told: &mut Vec<W>) {
        let age = |since| now.duration_since(since);
        let refuses = self.refused.is_some_and(|at| age(at) < self.timeout / 2);
        match self.mode {
            Mode::Calm if !self.is_late(now) => self.late = None,
            Mode::Calm => {
                let since = *self.late.get_or_insert(now);
                if refuses && age(since) >= self.timeout {
                    self.mode = Mode::Overloaded;
                }
            }
            Mode::Overloaded if !refuses => {
                self.mode = Mode::Calm;
                self.late = None;
            }
            Mode::Overloaded => {}
        }
        if self.mode == Mode::Calm || self.is_short() {
            return;
        }
        while self.waiting.len() > 1 && self.is_late(now) {
            let Some((ticket, mut waiter)) = self.waiting.pop_first() else {
                break;
            };
            told.push(std::mem::take(&mut waiter.bell));
            self.called.insert(ticket, (waiter, Call::GiveUp));
        }
    }
}
