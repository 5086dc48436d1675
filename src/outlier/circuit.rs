//! The machine: closed → open → half-open → closed or open again, in one atomic word.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Moment, Timing};

/// What a circuit is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It serves.
    Closed,
    /// It does not.
    Open {
        /// Until then.
        until: Moment,
    },
    /// One request at a time is let through, and its answer decides.
    HalfOpen,
}

/// What a request that wants through gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Entry {
    /// Nothing special.
    Free,
    /// It is the one that decides; whoever got this owes the circuit an outcome, or [`Circuit::leave`].
    Trial,
    /// Another request is on trial.
    Taken,
    /// Nobody goes through until then.
    Shut(Moment),
}

/// A circuit opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Opening {
    /// How often it has, less what was forgiven.
    pub times: u32,
    /// For how long.
    pub length: Duration,
}

/// One circuit.
#[derive(Debug, Default)]
pub struct Circuit(AtomicU64);

/// The word: 2 bits of stage, 1 of a trial under way, 1 of "was found ill while open", 8 of good answers in
/// half-open, 12 of openings, 40 of a moment in milliseconds (34 years): since when closed, until when open.
const TIMES_MAX: u32 = (1 << 12) - 1;
const AT_SHIFT: u32 = 24;
const AT_MAX: u64 = u64::MAX >> AT_SHIFT;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Closed,
    Open,
    HalfOpen,
}

/// The word, taken apart: the machine itself, without an atomic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Word {
    stage: Stage,
    trial: bool,
    ill: bool,
    passed: u8,
    times: u32,
    at: Moment,
}

impl Word {
    fn pack(self) -> u64 {
        let stage = match self.stage {
            Stage::Closed => 0,
            Stage::Open => 1,
            Stage::HalfOpen => 2,
        };
        stage
            | u64::from(self.trial) << 2
            | u64::from(self.ill) << 3
            | u64::from(self.passed) << 4
            | u64::from(self.times.min(TIMES_MAX)) << 12
            | self.at.millis().min(AT_MAX) << AT_SHIFT
    }

    fn unpack(word: u64) -> Self {
        Self {
            stage: match word & 3 {
                0 => Stage::Closed,
                1 => Stage::Open,
                _ => Stage::HalfOpen,
            },
            trial: word >> 2 & 1 != 0,
            ill: word >> 3 & 1 != 0,
            passed: u8::try_from(word >> 4 & 0xff).unwrap_or(u8::MAX),
            times: u32::try_from(word >> 12 & u64::from(TIMES_MAX)).unwrap_or(TIMES_MAX),
            at: Moment::from_millis(word >> AT_SHIFT),
        }
    }

    fn opened(timing: &Timing, times: u32, now: Moment, chance: f64) -> (Self, Opening) {
        let times = times.min(TIMES_MAX);
        let length = timing.length(times, chance);
        let word = Self {
            stage: Stage::Open,
            trial: false,
            ill: false,
            passed: 0,
            times,
            at: now.after(length),
        };
        (word, Opening { times, length })
    }

    fn half_open(self) -> Self {
        Self {
            stage: Stage::HalfOpen,
            trial: false,
            ill: false,
            passed: 0,
            ..self
        }
    }
}

impl Circuit {
    fn load(&self) -> Word {
        Word::unpack(self.0.load(Ordering::Relaxed))
    }

    /// Applies `step` until no other thread came in between; what it returned, or `None` when it declined.
    fn change<T>(&self, mut step: impl FnMut(Word) -> Option<(Word, T)>) -> Option<T> {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let (next, result) = step(Word::unpack(seen))?;
            let swapped = self.0.compare_exchange_weak(
                seen,
                next.pack(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => return Some(result),
                Err(other) => seen = other,
            }
        }
    }

    /// Whether it serves as usual.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_multiple_of(4)
    }

    /// Whether a request would be let through now: it serves, or nobody is on trial.
    #[inline]
    pub fn admits(&self) -> bool {
        let word = self.0.load(Ordering::Relaxed);
        word.is_multiple_of(4) || word % 8 == 2
    }

    /// What it is.
    pub fn state(&self) -> State {
        let word = self.load();
        match word.stage {
            Stage::Closed => State::Closed,
            Stage::Open => State::Open { until: word.at },
            Stage::HalfOpen => State::HalfOpen,
        }
    }

    /// How often it opened, less what was forgiven.
    pub fn times(&self) -> u32 {
        self.load().times
    }

    /// Opens a closed circuit; `None` when it is closed no more. `chance` is in 0.0-1.0.
    pub fn open(&self, timing: &Timing, now: Moment, chance: f64) -> Option<Opening> {
        self.change(|word| {
            if word.stage != Stage::Closed {
                return None;
            }
            let served = word.at.until(now);
            let times = word.times.saturating_sub(timing.forgiven(served)) + 1;
            Some(Word::opened(timing, times, now, chance))
        })
    }

    /// Half-opens an open circuit whose time is over. Whether it did.
    pub fn due(&self, now: Moment) -> bool {
        let step = |word: Word| {
            let due = word.stage == Stage::Open && word.at <= now;
            due.then(|| (word.half_open(), ()))
        };
        self.change(step).is_some()
    }

    /// The same for one that somebody else looks after, too: an endpoint that its probes found ill while it was
    /// ejected and well again now was ejected for what is over, and need not wait. Whether it is half-open now.
    pub fn due_if_well(&self, now: Moment, healthy: bool) -> bool {
        self.change(|word| match word.stage {
            Stage::Open if word.at <= now || (word.ill && healthy) => {
                Some((word.half_open(), true))
            }
            Stage::Open if !healthy && !word.ill => Some((Word { ill: true, ..word }, false)),
            _ => None,
        })
        .unwrap_or(false)
    }

    /// A request wants through.
    #[inline]
    pub fn enter(&self) -> Entry {
        if self.is_closed() {
            return Entry::Free;
        }
        self.enter_slowly()
    }

    #[cold]
    fn enter_slowly(&self) -> Entry {
        self.change(|word| match word.stage {
            Stage::HalfOpen if !word.trial => Some((
                Word {
                    trial: true,
                    ..word
                },
                Entry::Trial,
            )),
            _ => None,
        })
        .unwrap_or_else(|| {
            let word = self.load();
            match word.stage {
                Stage::Closed => Entry::Free,
                Stage::Open => Entry::Shut(word.at),
                Stage::HalfOpen => Entry::Taken,
            }
        })
    }

    /// The request on trial got a good answer. Whether that closed the circuit.
    pub fn pass(&self, successes: u8, now: Moment) -> bool {
        self.change(|word| {
            if word.stage != Stage::HalfOpen {
                return None;
            }
            let passed = word.passed.saturating_add(1);
            if passed < successes {
                let next = Word {
                    trial: false,
                    passed,
                    ..word
                };
                return Some((next, false));
            }
            let next = Word {
                stage: Stage::Closed,
                trial: false,
                passed: 0,
                at: now,
                ..word
            };
            Some((next, true))
        })
        .unwrap_or(false)
    }

    /// The request on trial failed: open again, for longer.
    pub fn fail(&self, timing: &Timing, now: Moment, chance: f64) -> Option<Opening> {
        self.change(|word| {
            let half = word.stage == Stage::HalfOpen;
            half.then(|| Word::opened(timing, word.times + 1, now, chance))
        })
    }

    /// Nobody wants it open any more.
    pub fn close(&self, now: Moment) {
        self.change(|word| {
            let next = Word {
                stage: Stage::Closed,
                trial: false,
                ill: false,
                passed: 0,
                at: now,
                ..word
            };
            Some((next, ()))
        });
    }

    /// The request on trial ended without a verdict: the next one may try.
    pub fn leave(&self) {
        self.change(|word| {
            let held = word.stage == Stage::HalfOpen && word.trial;
            held.then_some((
                Word {
                    trial: false,
                    ..word
                },
                (),
            ))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIMING: Timing = Timing {
        base: Duration::from_secs(10),
        max: Duration::from_mins(5),
        jitter: 0.0,
    };

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    #[test]
    fn opens_waits_tries_and_closes() {
        let circuit = Circuit::default();
        assert_eq!(
            (circuit.state(), circuit.enter()),
            (State::Closed, Entry::Free)
        );
        let opening = circuit.open(&TIMING, at(1), 0.0).unwrap();
        assert_eq!(
            (opening.times, opening.length),
            (1, Duration::from_secs(10))
        );
        assert_eq!(circuit.open(&TIMING, at(1), 0.0), None, "it is open");
        assert_eq!(circuit.enter(), Entry::Shut(at(11)));
        assert!(!circuit.admits() && !circuit.due(at(10)));
        assert!(circuit.due(at(11)) && circuit.admits());
        assert_eq!(circuit.enter(), Entry::Trial);
        assert_eq!(circuit.enter(), Entry::Taken);
        assert!(!circuit.admits());
        assert!(!circuit.pass(2, at(12)), "one of two");
        assert_eq!(circuit.enter(), Entry::Trial);
        assert!(circuit.pass(2, at(13)) && circuit.is_closed());
    }

    #[test]
    fn a_failed_trial_opens_for_longer_and_service_is_forgiving() {
        let circuit = Circuit::default();
        circuit.open(&TIMING, at(0), 0.0).unwrap();
        assert!(circuit.due(at(10)));
        assert_eq!(circuit.enter(), Entry::Trial);
        let again = circuit.fail(&TIMING, at(10), 0.0).unwrap();
        assert_eq!((again.times, again.length), (2, Duration::from_secs(20)));
        assert!(circuit.due(at(30)) && circuit.enter() == Entry::Trial);
        assert!(circuit.pass(1, at(30)));
        // Sixty seconds of service forgive one, so this is the second again.
        let third = circuit.open(&TIMING, at(91), 0.0).unwrap();
        assert_eq!(third.times, 2);
    }

    #[test]
    fn a_trial_that_is_given_up_makes_room() {
        let circuit = Circuit::default();
        circuit.open(&TIMING, at(0), 0.0).unwrap();
        assert!(circuit.due(at(10)) && circuit.enter() == Entry::Trial);
        circuit.leave();
        assert_eq!(circuit.enter(), Entry::Trial);
    }

    #[test]
    fn who_was_ill_and_is_well_need_not_wait() {
        let circuit = Circuit::default();
        circuit.open(&TIMING, at(0), 0.0).unwrap();
        assert!(!circuit.due_if_well(at(1), true), "never found ill");
        assert!(!circuit.due_if_well(at(2), false));
        assert!(circuit.due_if_well(at(3), true) && circuit.admits());
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Open,
        Due,
        Enter,
        Pass,
        Fail,
        Leave,
    }

    proptest! {
        /// Whatever comes, in whatever order: at most one request is on trial, and only in half-open.
        #[test]
        fn one_trial_at_a_time(steps in prop::collection::vec(
            prop::sample::select(vec![Step::Open, Step::Due, Step::Enter, Step::Pass, Step::Fail, Step::Leave]), 1..200))
        {
            let circuit = Circuit::default();
            let mut on_trial = false;
            for (second, step) in (0u64..).zip(steps) {
                let now = at(second * 7);
                match step {
                    Step::Open => {
                        circuit.open(&TIMING, now, 0.5);
                    }
                    Step::Due => {
                        circuit.due(now);
                    }
                    Step::Enter => {
                        if circuit.enter() == Entry::Trial {
                            prop_assert!(!on_trial);
                            on_trial = true;
                        }
                    }
                    Step::Pass if on_trial => {
                        circuit.pass(2, now);
                        on_trial = false;
                    }
                    Step::Fail if on_trial => {
                        circuit.fail(&TIMING, now, 0.5);
                        on_trial = false;
                    }
                    Step::Leave if on_trial => {
                        circuit.leave();
                        on_trial = false;
                    }
                    Step::Pass | Step::Fail | Step::Leave => {}
                }
                prop_assert!(!on_trial || circuit.state() == State::HalfOpen);
                let word = circuit.load();
                prop_assert_eq!(Word::unpack(word.pack()), word);
            }
        }
    }
}
