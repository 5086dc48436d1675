//! The circuit breaker of a whole cluster: the same machine, asked once for each exchange.

use std::time::Duration;

use super::{BreakerPolicy, Circuit, Entry, Moment, Opening, Window};

/// State of one cluster's breaker. Kept over a reload by the cluster's name.
#[derive(Debug, Default)]
pub struct Breaker {
    /// Whether it is open.
    pub circuit: Circuit,
    answers: Window,
}

/// What an exchange that wants to go to the cluster gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gate {
    /// It goes.
    Free,
    /// It goes, and decides what becomes of the breaker.
    Trial,
    /// It does not; it may ask again after this.
    Shut(Duration),
}

/// How long somebody waits who found another exchange on trial.
const TRIAL: Duration = Duration::from_secs(1);

impl Breaker {
    /// An exchange wants to go to the cluster.
    #[inline]
    pub fn enter(&self, now: Moment) -> Gate {
        if self.circuit.is_closed() {
            return Gate::Free;
        }
        match self.circuit.enter() {
            Entry::Free => Gate::Free,
            Entry::Trial => Gate::Trial,
            Entry::Taken => Gate::Shut(TRIAL),
            Entry::Shut(until) => Gate::Shut(now.until(until)),
        }
    }

    /// An exchange that was let through so got a good answer. Whether that closed the breaker.
    #[inline]
    pub fn good(&self, policy: &BreakerPolicy, gate: Gate, now: Moment) -> bool {
        if gate == Gate::Trial {
            let closed = self.circuit.pass(policy.successes, now);
            if closed {
                self.answers.clear();
            }
            return closed;
        }
        self.answers.count(policy.window, now, 0);
        false
    }

    /// It failed. Whether that opened the breaker.
    pub fn bad(&self, policy: &BreakerPolicy, gate: Gate, now: Moment) -> Option<Opening> {
        if gate == Gate::Trial {
            return self.circuit.fail(&policy.timing, now, 0.0);
        }
        self.answers.count(policy.window, now, 1);
        let seen = self.answers.read(policy.window, now);
        if seen.part < u64::from(policy.failures) || seen.share() < policy.threshold {
            return None;
        }
        self.circuit.open(&policy.timing, now, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{State, Timing};
    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy {
        failures: 5,
        threshold: 0.5,
        window: Duration::from_mins(1),
        timing: Timing {
            base: Duration::from_secs(30),
            max: Duration::from_secs(30),
            jitter: 0.0,
        },
        successes: 3,
    };

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    #[test]
    fn five_failures_open_it_and_three_good_answers_close_it() {
        let breaker = Breaker::default();
        for second in 0..4 {
            assert_eq!(breaker.bad(&POLICY, Gate::Free, at(second)), None);
        }
        assert!(breaker.bad(&POLICY, Gate::Free, at(4)).is_some());
        assert_eq!(breaker.enter(at(14)), Gate::Shut(Duration::from_secs(20)));
        assert!(breaker.circuit.due(at(34)));
        for second in 34..37 {
            assert_eq!(breaker.enter(at(second)), Gate::Trial);
            assert_eq!(breaker.enter(at(second)), Gate::Shut(TRIAL));
            assert_eq!(breaker.good(&POLICY, Gate::Trial, at(second)), second == 36);
        }
        assert_eq!(breaker.enter(at(37)), Gate::Free);
        assert_eq!(
            breaker.bad(&POLICY, Gate::Free, at(37)),
            None,
            "a clean slate"
        );
    }

    #[test]
    fn a_failed_trial_opens_it_again() {
        let breaker = Breaker::default();
        for _ in 0..5 {
            breaker.bad(&POLICY, Gate::Free, at(0));
        }
        assert!(breaker.circuit.due(at(30)));
        assert_eq!(breaker.enter(at(30)), Gate::Trial);
        assert!(breaker.bad(&POLICY, Gate::Trial, at(31)).is_some());
        assert_eq!(breaker.circuit.state(), State::Open { until: at(61) });
    }

    #[test]
    fn a_few_failures_among_many_answers_do_not() {
        let breaker = Breaker::default();
        for number in 0..10_000_u64 {
            if number % 3 == 0 {
                assert_eq!(breaker.bad(&POLICY, Gate::Free, at(number / 200)), None);
            } else {
                breaker.good(&POLICY, Gate::Free, at(number / 200));
            }
        }
    }

    #[test]
    fn old_failures_do_not_count() {
        let breaker = Breaker::default();
        for second in 0..60 {
            let opened = breaker.bad(&POLICY, Gate::Free, at(second * 20));
            assert_eq!(opened, None, "three or four in a minute");
        }
    }
}
