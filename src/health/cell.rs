//! What the probes of one address have shown, and the rise/fall machine over it.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::base::clock::Instant;

/// What an endpoint counts as.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Status {
    /// It may be picked.
    Healthy,
    /// It may not.
    Unhealthy,
}

impl Status {
    /// Log value and metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One probe's result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Observation {
    /// The check passed.
    Pass,
    /// It did not, or not in time.
    Fail,
}

/// When to probe and how many results in a row change the status.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HealthPolicy {
    /// From the start of one probe to the start of the next.
    pub interval: Duration,
    /// The same while the endpoint is unhealthy or its last probe failed; not longer than `interval`.
    pub failing_interval: Duration,
    /// The whole probe, from connect to the last byte that the check wants.
    pub timeout: Duration,
    /// A passing answer that took longer counts as a failure; zero: only `timeout` bounds it.
    pub max_response_time: Duration,
    /// Passes in a row that bring an unhealthy endpoint back; at least 1.
    pub rise: u32,
    /// Failures in a row that take a healthy endpoint out; at least 1.
    pub fall: u32,
    /// Share of the interval by which a start may move either way, 0.0-1.0.
    pub jitter: f64,
    /// What an endpoint is until its first probe.
    pub initial: Status,
}

/// A change of status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transition {
    /// The status from now on.
    pub to: Status,
    /// How many results in a row decided it.
    pub after: u32,
}

/// Whom a cell is about: it is told when the cell's status changed.
pub trait Patient: fmt::Debug + Send + Sync {
    /// One of its cells says otherwise than before.
    fn judged(&self);
}

/// Observations of one (cluster, address, check): written by the prober, read by every worker.
#[derive(Debug)]
pub struct HealthCell {
    word: AtomicU32,
    patient: Option<Weak<dyn Patient>>,
    /// For who looks: no pick does.
    last: Mutex<Option<LastProbe>>,
}

/// One probe, as it is shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastProbe {
    /// When it ended.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// Why it failed; `None`: it passed.
    pub failure: Option<Box<str>>,
}

impl HealthCell {
    /// A cell without observations.
    pub fn new(initial: Status) -> Self {
        let word = Word {
            status: initial,
            probed: Probed::Never,
            last: Observation::Pass,
            streak: 0,
        };
        Self::with(word)
    }

    fn with(word: Word) -> Self {
        Self {
            word: AtomicU32::new(word.pack()),
            patient: None,
            last: Mutex::default(),
        }
    }

    /// The cell of this patient.
    #[must_use]
    pub fn of(self, patient: Weak<dyn Patient>) -> Self {
        Self {
            patient: Some(patient),
            ..self
        }
    }

    /// Keeps what is shown of the last probe.
    pub fn note(&self, probe: LastProbe) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(probe);
    }

    /// The last probe; `None` before the first one.
    pub fn last_probe(&self) -> Option<LastProbe> {
        let last = self.last.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A cell for another check of the same endpoint: the status stays, the streak starts anew.
    #[must_use]
    pub fn successor(&self) -> Self {
        let word = Word {
            streak: 0,
            ..self.load()
        };
        Self::with(word)
    }

    /// What the endpoint counts as now.
    #[inline]
    pub fn status(&self) -> Status {
        if self.word.load(Ordering::Relaxed) & HEALTHY == 0 {
            Status::Unhealthy
        } else {
            Status::Healthy
        }
    }

    /// Whether the endpoint may be picked.
    #[inline]
    pub fn is_healthy(&self) -> bool {
        self.status() == Status::Healthy
    }

    /// Whether the endpoint is healthy and its last probe passed: nothing to hurry for.
    pub fn is_settled(&self) -> bool {
        let word = self.load();
        word.status == Status::Healthy && word.last == Observation::Pass
    }

    /// Takes one probe's result. The first one decides at once, in either direction: until then the
    /// status was an assumption. After that, `fall` failures or `rise` passes in a row change it.
    ///
    /// One prober writes a cell at a time.
    pub fn observe(&self, seen: Observation, policy: &HealthPolicy) -> Option<Transition> {
        let before = self.load();
        let (word, transition) = before.observe(seen, policy);
        self.word.store(word.pack(), Ordering::Relaxed);
        let patient = self.patient.as_ref().and_then(Weak::upgrade);
        if word.status != before.status
            && let Some(patient) = patient
        {
            patient.judged();
        }
        transition
    }

    fn load(&self) -> Word {
        Word::unpack(self.word.load(Ordering::Relaxed))
    }
}

const HEALTHY: u32 = 1;
const LAST_FAILED: u32 = 1 << 1;
const PROBED: u32 = 1 << 2;
const STREAK_SHIFT: u32 = 3;
const STREAK_MAX: u32 = u32::MAX >> STREAK_SHIFT;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Probed {
    Never,
    Before,
}

/// The cell's word, taken apart: the machine itself, without an atomic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Word {
    status: Status,
    probed: Probed,
    last: Observation,
    streak: u32,
}

impl Word {
    fn pack(self) -> u32 {
        let status = if self.status == Status::Healthy {
            HEALTHY
        } else {
            0
        };
        let last = if self.last == Observation::Fail {
            LAST_FAILED
        } else {
            0
        };
        let probed = if self.probed == Probed::Before {
            PROBED
        } else {
            0
        };
        status | last | probed | (self.streak.min(STREAK_MAX) << STREAK_SHIFT)
    }

    fn unpack(word: u32) -> Self {
        let set = |bit: u32| word & bit != 0;
        Self {
            status: if set(HEALTHY) {
                Status::Healthy
            } else {
                Status::Unhealthy
            },
            probed: if set(PROBED) {
                Probed::Before
            } else {
                Probed::Never
            },
            last: if set(LAST_FAILED) {
                Observation::Fail
            } else {
                Observation::Pass
            },
            streak: word >> STREAK_SHIFT,
        }
    }

    fn observe(self, seen: Observation, policy: &HealthPolicy) -> (Self, Option<Transition>) {
        let streak = if seen == self.last {
            self.streak.saturating_add(1).min(STREAK_MAX)
        } else {
            1
        };
        let (to, threshold) = match seen {
            Observation::Pass => (Status::Healthy, policy.rise),
            Observation::Fail => (Status::Unhealthy, policy.fall),
        };
        let decided = self.probed == Probed::Never || streak >= threshold;
        let changed = decided && to != self.status;
        let word = Self {
            status: if changed { to } else { self.status },
            probed: Probed::Before,
            last: seen,
            streak,
        };
        (word, changed.then_some(Transition { to, after: streak }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Observation::{Fail, Pass};

    fn policy(rise: u32, fall: u32) -> HealthPolicy {
        HealthPolicy {
            interval: Duration::from_secs(5),
            failing_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            max_response_time: Duration::ZERO,
            rise,
            fall,
            jitter: 0.0,
            initial: Status::Healthy,
        }
    }

    #[test]
    fn rise_and_fall_need_a_row() {
        let cell = HealthCell::new(Status::Healthy);
        let policy = policy(2, 3);
        let steps = [
            (Pass, None),
            (Fail, None),
            (Fail, None),
            (Pass, None),
            (Fail, None),
            (Fail, None),
            (
                Fail,
                Some(Transition {
                    to: Status::Unhealthy,
                    after: 3,
                }),
            ),
            (Fail, None),
            (Pass, None),
            (Fail, None),
            (Pass, None),
            (
                Pass,
                Some(Transition {
                    to: Status::Healthy,
                    after: 2,
                }),
            ),
        ];
        for (step, (seen, transition)) in steps.into_iter().enumerate() {
            assert_eq!(cell.observe(seen, &policy), transition, "step {step}");
        }
    }

    #[test]
    fn the_first_probe_decides_at_once() {
        let up = HealthCell::new(Status::Unhealthy);
        assert!(!up.is_healthy());
        let rose = up.observe(Pass, &policy(5, 5)).unwrap();
        assert_eq!(
            rose,
            Transition {
                to: Status::Healthy,
                after: 1
            }
        );
        assert!(up.is_healthy() && up.is_settled());

        let down = HealthCell::new(Status::Healthy);
        assert!(down.observe(Fail, &policy(5, 5)).is_some());
        assert!(!down.is_healthy());

        let as_assumed = HealthCell::new(Status::Healthy);
        assert_eq!(as_assumed.observe(Pass, &policy(5, 5)), None);
    }

    #[test]
    fn a_changed_threshold_judges_what_was_seen() {
        let cell = HealthCell::new(Status::Healthy);
        cell.observe(Pass, &policy(2, 5));
        cell.observe(Fail, &policy(2, 5));
        cell.observe(Fail, &policy(2, 5));
        assert!(cell.is_healthy() && !cell.is_settled());
        let fell = cell.observe(Fail, &policy(2, 3));
        assert_eq!(
            fell,
            Some(Transition {
                to: Status::Unhealthy,
                after: 3
            })
        );
    }

    #[test]
    fn a_successor_keeps_the_status_and_counts_anew() {
        let cell = HealthCell::new(Status::Healthy);
        cell.observe(Pass, &policy(2, 3));
        cell.observe(Fail, &policy(2, 3));
        cell.observe(Fail, &policy(2, 3));
        let next = cell.successor();
        assert!(next.is_healthy());
        assert_eq!(next.observe(Fail, &policy(2, 3)), None);
        assert_eq!(next.observe(Fail, &policy(2, 3)), None);
        assert!(next.observe(Fail, &policy(2, 3)).is_some());
    }

    #[test]
    fn a_long_streak_does_not_spill() {
        let word = Word {
            streak: STREAK_MAX,
            ..HealthCell::new(Status::Healthy).load()
        };
        assert_eq!(Word::unpack(word.pack()), word);
        let (next, _) = word.observe(Pass, &policy(1, 1));
        assert_eq!(next.streak, STREAK_MAX);
        assert_eq!(Word::unpack(next.pack()), next);
    }
}
