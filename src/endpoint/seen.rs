//! What attempts have shown of an endpoint: how fast it answers, how often it fails, and how long it asked to be
//! left alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::base::clock::{self, Instant};

/// One attempt, as far as it is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seen {
    /// What came of it.
    pub outcome: Outcome,
    /// From the start of the attempt to the response's head, or to its failure.
    pub took: Duration,
    /// When that was.
    pub at: Instant,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// A final head.
    Answered {
        /// Its status.
        status: u16,
        /// What a 429 or 503 says in Retry-After.
        retry_after: Option<Duration>,
    },
    /// A connection for a session of layer 4, whose bytes say nothing that could be judged.
    Connected,
    /// None, and the endpoint is to blame: no connection, a reset, silence, nonsense; or the response broke off.
    Failed,
    /// Nobody waits any longer. It would have taken this long at least.
    Abandoned,
}

impl Outcome {
    /// Whether this endpoint could not serve the request, where another one might.
    pub const fn is_failure(&self) -> bool {
        match self {
            Self::Answered { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            Self::Failed => true,
            Self::Connected | Self::Abandoned => false,
        }
    }
}

/// How long an observation counts: after this time 37 % of it is left (Finagle's and linkerd's default).
const DECAY: f64 = 10.0;

/// What it costs to ask an endpoint that always fails, in seconds, beside the time that it takes. An endpoint that
/// refuses at once would otherwise be the fastest of all and draw all requests (E-212). In proportion to the
/// share of failures, so that one in a thousand costs a millisecond and not the endpoint's share.
const PENALTY: f64 = 1.0;

/// The longest that a Retry-After is heeded: an endpoint must not take itself out for good.
const MAX_HOLD: Duration = Duration::from_mins(1);

/// Running averages over the attempts at one endpoint, of all workers.
///
/// Peak EWMA (Finagle's `p2c PeakEwma`, linkerd): a response that took longer than the average *is* the average
/// from then on; shorter ones bring it down with a decay by time, as do pauses. So one bad answer is
/// noticed at once and a recovery is believed slowly. Relaxed atomics without a lock: two workers that observe at
/// the same time may lose one of the two observations, which an average survives.
#[derive(Debug, Default)]
pub struct Pace {
    cell: CachePadded<Cell>,
}

/// One line of cache, read as a whole by a pick and written as a whole by an observation.
#[derive(Debug, Default)]
struct Cell {
    /// Stamp of the last observation; 0: none yet.
    at: AtomicU64,
    /// Seconds, bits of an `f64`.
    time: AtomicU64,
    /// 0.0-1.0, bits of an `f64`.
    failing: AtomicU64,
    /// Stamp up to which the endpoint asked to be left alone.
    held: AtomicU64,
}

impl Pace {
    /// Takes an observation into the averages.
    pub fn observe(&self, seen: &Seen) {
        let (cell, at) = (&self.cell, clock::stamp(seen.at));
        let before = self.averages(at);
        let took = seen.took.as_secs_f64();
        let (time, failing) = match (before, seen.outcome) {
            (None, Outcome::Abandoned) => (took, 0.0),
            (None, outcome) => (took, f64::from(u8::from(outcome.is_failure()))),
            // Says only that it takes longer than this.
            (Some(now), Outcome::Abandoned) if took <= now.time => return,
            (Some(now), Outcome::Abandoned) => (took, now.failing),
            (Some(now), outcome) => {
                let time = took.max(now.kept * now.last + (1.0 - now.kept) * took);
                let one = f64::from(u8::from(outcome.is_failure()));
                (time, now.failing + (1.0 - now.kept) * one)
            }
        };
        cell.time.store(time.to_bits(), Ordering::Relaxed);
        cell.failing.store(failing.to_bits(), Ordering::Relaxed);
        cell.at.store(at, Ordering::Relaxed);
        if let Outcome::Answered {
            retry_after: Some(pause),
            ..
        } = seen.outcome
        {
            let until = seen.at.checked_add(pause.min(MAX_HOLD)).unwrap_or(seen.at);
            cell.held.store(clock::stamp(until), Ordering::Relaxed);
        }
    }

    /// What the endpoint costs at `now`, in seconds: its time with the penalty for its failures. `None` before the
    /// first observation.
    #[inline]
    pub fn cost(&self, now: Instant) -> Option<f64> {
        let averages = self.averages(clock::stamp(now))?;
        Some(averages.failing * PENALTY + averages.time)
    }

    /// The average time to a response's head, as it was after the last observation.
    pub fn time(&self) -> Option<Duration> {
        let seconds = f64::from_bits(self.cell.time.load(Ordering::Relaxed));
        (self.cell.at.load(Ordering::Relaxed) != 0).then(|| Duration::from_secs_f64(seconds))
    }

    /// Whether the endpoint asked to be left alone at `now`.
    #[inline]
    pub fn is_held(&self, now: Instant) -> bool {
        let until = self.cell.held.load(Ordering::Relaxed);
        until != 0 && clock::stamp(now) < until
    }

    #[inline]
    fn averages(&self, at: u64) -> Option<Averages> {
        let before = self.cell.at.load(Ordering::Relaxed);
        if before == 0 {
            return None;
        }
        let pause = Duration::from_nanos(at.saturating_sub(before)).as_secs_f64();
        let kept = left_after(pause);
        let last = f64::from_bits(self.cell.time.load(Ordering::Relaxed));
        Some(Averages {
            kept,
            last,
            time: last * kept,
            failing: f64::from_bits(self.cell.failing.load(Ordering::Relaxed)) * kept,
        })
    }
}

/// How much of an observation counts after so many seconds. Between two answers of a busy endpoint they are few, and to so many the
/// series is as exact as the function, which is a call; so is `mul_add` where the processor is not known to have it.
fn left_after(pause: f64) -> f64 {
    let part = pause / DECAY;
    if part < 1e-3 {
        1.0 - part * (1.0 - part * (0.5 - part / 6.0))
    } else {
        (-part).exp()
    }
}

/// The averages at a point in time.
#[derive(Clone, Copy)]
struct Averages {
    /// How much of the last ones is left.
    kept: f64,
    /// Time, as it was after the last observation.
    last: f64,
    /// Time, decayed: who was not asked for long is worth another try.
    time: f64,
    /// Share of failures, decayed.
    failing: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_pauses_decay_as_long_ones_do() {
        for step in 0..2000 {
            let pause = f64::from(step) * 1e-5;
            let exact = (-pause / DECAY).exp();
            assert!((left_after(pause) - exact).abs() < 1e-13, "{pause}");
        }
    }

    struct Rig {
        pace: Pace,
        start: Instant,
    }

    impl Rig {
        fn new() -> Self {
            Self {
                pace: Pace::default(),
                start: clock::now(),
            }
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        fn see(&self, at: u64, took: u64, outcome: Outcome) {
            self.pace.observe(&Seen {
                outcome,
                took: Duration::from_millis(took),
                at: self.at(at),
            });
        }

        fn cost(&self, at: u64) -> f64 {
            self.pace.cost(self.at(at)).unwrap()
        }
    }

    const FINE: Outcome = Outcome::Answered {
        status: 200,
        retry_after: None,
    };

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 0.02 * b.abs() + 1e-6, "{a} is not {b}");
    }

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_slowly() {
        let rig = Rig::new();
        assert_eq!(rig.pace.cost(rig.at(0)), None);
        rig.see(0, 10, FINE);
        near(rig.cost(0), 0.010);
        rig.see(100, 500, FINE);
        near(rig.cost(100), 0.500);
        for at in 1..=100 {
            rig.see(100 + at * 100, 10, FINE);
        }
        // Ten seconds later 37 % of the difference are left.
        near(rig.cost(10_100), 0.010 + 0.490 / std::f64::consts::E);
    }

    #[test]
    fn who_is_not_asked_is_forgotten_too() {
        let rig = Rig::new();
        rig.see(0, 1000, FINE);
        near(rig.cost(10_000), 1.0 / std::f64::consts::E);
        near(rig.cost(30_000), (-3f64).exp());
        assert_eq!(rig.pace.time(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn failures_cost_in_proportion() {
        let dead = Rig::new();
        let flaky = Rig::new();
        for at in 0..1000 {
            dead.see(at * 10, 0, Outcome::Failed);
            let outcome = if at % 100 == 0 { Outcome::Failed } else { FINE };
            flaky.see(at * 10, 5, outcome);
        }
        near(dead.cost(10_000), PENALTY);
        let extra = flaky.cost(10_000) - 0.005;
        assert!(
            extra < 0.4,
            "one of the first, then one in a hundred: {extra}"
        );
        let busy = Rig::new();
        busy.see(0, 1, FINE);
        busy.see(
            1,
            1,
            Outcome::Answered {
                status: 503,
                retry_after: None,
            },
        );
        assert!(busy.cost(1) > 0.001_05);
    }

    #[test]
    fn a_refusal_may_ask_for_a_pause_but_not_for_ever() {
        let rig = Rig::new();
        let refusal = |seconds| Outcome::Answered {
            status: 503,
            retry_after: Some(Duration::from_secs(seconds)),
        };
        rig.see(0, 1, refusal(2));
        assert!(rig.pace.is_held(rig.at(1_999)) && !rig.pace.is_held(rig.at(2_001)));
        rig.see(3_000, 1, refusal(u64::MAX));
        assert!(rig.pace.is_held(rig.at(62_000)) && !rig.pace.is_held(rig.at(63_001)));
    }

    #[test]
    fn an_abandoned_attempt_only_raises() {
        let rig = Rig::new();
        rig.see(0, 100, FINE);
        rig.see(1, 50, Outcome::Abandoned);
        near(rig.cost(1), 0.100);
        rig.see(2, 3_000, Outcome::Abandoned);
        near(rig.cost(2), 3.0);
    }
}
