//! How long an endpoint lets a connection rest, as far as was seen.
//!
//! An endpoint that closes idle connections without saying when (`Keep-Alive: timeout=`) closes some of them just as a
//! request is on its way. What must not be sent twice goes over a connection that has rested for less than half of what
//! others were seen to live through (E-200, F-04).

use std::cell::Cell;
use std::time::Duration;

use crate::net::deadline::{Deadlines, Tick};

/// A rest so short that no endpoint's clock ends it. Before anything was seen it is all that is believed, and the traffic
/// that rests for longer opens some connections more until a sweep has looked.
const TRUSTED: Duration = Duration::from_millis(10);

/// How long an endpoint is taken for one that closes connections without a word, after it has.
pub const SUSPECT: Duration = Duration::from_mins(1);

/// What was seen of one endpoint's connections.
#[derive(Debug)]
pub struct Rests {
    /// The longest rest after which one was still open.
    open: Cell<Duration>,
    /// The shortest after which one was closed: of an address with several servers behind it, one may close what another keeps.
    closed: Cell<Duration>,
    /// Until when `closed` says something.
    known: Cell<Tick>,
    /// Until when each connection is looked at, as one was found closed or with bytes that nobody had asked for.
    suspect: Cell<Tick>,
}

impl Default for Rests {
    fn default() -> Self {
        Self {
            open: Cell::new(Duration::ZERO),
            closed: Cell::new(Duration::MAX),
            known: Cell::new(Tick::START),
            suspect: Cell::new(Tick::START),
        }
    }
}

impl Rests {
    /// A connection was found open and silent when it had rested for so long.
    #[inline]
    pub fn open(&self, rest: Duration) {
        if self.open.get() < rest {
            self.open.set(rest);
        }
    }

    /// A connection was found closed, or talking, when it had rested for so long.
    pub fn closed(&self, rest: Duration, clock: &Deadlines) {
        let soon = clock.after(SUSPECT);
        self.suspect.set(soon);
        let shortest = self.closed.get();
        let forgotten = clock.tick() >= self.known.get();
        if forgotten || rest < shortest {
            self.closed.set(rest);
        }
        // One that lived for much longer does not say it again: a restart, which closes all there are, is forgotten.
        if forgotten || rest / 2 <= shortest {
            self.known.set(soon);
        }
    }

    /// Whether one was closed of late.
    #[inline]
    pub fn is_suspect(&self, clock: &Deadlines) -> bool {
        clock.tick() < self.suspect.get()
    }

    /// Whether the endpoint's clock does not end a connection that has rested for so long: half of what was seen, as that
    /// clock began before ours and has a grain of its own.
    #[inline]
    pub fn is_safe(&self, rest: Duration, clock: &Deadlines) -> bool {
        if rest <= TRUSTED {
            return true;
        }
        let limit = if clock.tick() < self.known.get() {
            self.open.get().min(self.closed.get())
        } else {
            self.open.get()
        };
        rest <= limit / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn half_of_what_was_lived_through_is_safe() {
        let start = clock::now();
        let clock = Deadlines::new(start);
        let rests = Rests::default();
        let safe = |rest| rests.is_safe(ms(rest), &clock);
        assert!(safe(10) && !safe(11), "nothing was seen");
        rests.open(ms(9800));
        rests.open(ms(800));
        assert!(safe(4900) && !safe(4901));
        // Another server behind the same address closes sooner.
        rests.closed(ms(5000), &clock);
        rests.open(ms(9900));
        rests.closed(ms(5100), &clock);
        assert!(safe(2500) && !safe(2501));
        // A restart closes all there are. Closes that come much later do not keep it in mind.
        rests.closed(ms(2), &clock);
        assert!(safe(10) && !safe(11));
        clock.sweep(start + SUSPECT / 2);
        rests.closed(ms(5000), &clock);
        assert!(!safe(11));
        clock.sweep(start + SUSPECT * 5 / 4);
        assert!(safe(4950) && !safe(4951));
        rests.closed(ms(5000), &clock);
        assert!(safe(2500) && !safe(2501));
    }

    #[test]
    fn an_endpoint_is_suspect_for_a_while() {
        let start = clock::now();
        let clock = Deadlines::new(start);
        let rests = Rests::default();
        assert!(!rests.is_suspect(&clock));
        rests.closed(ms(1), &clock);
        assert!(rests.is_suspect(&clock));
        clock.sweep(start + SUSPECT * 2);
        assert!(!rests.is_suspect(&clock));
    }
}
