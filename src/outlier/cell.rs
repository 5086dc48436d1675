//! What attempts have shown of one endpoint.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Moment, OutlierPolicy, Window};
use crate::metrics::EjectionCause;

/// Observations of one endpoint, by all workers. What is written for every attempt lies on lines of its own.
#[derive(Debug, Default)]
pub struct OutlierCell {
    /// Failures in a row.
    streak: AtomicU32,
    answers: Window,
    times: Window,
}

impl OutlierCell {
    /// An attempt ended well.
    #[inline]
    pub fn good(&self, policy: &OutlierPolicy, now: Moment) {
        // A store would take the line from other workers each time.
        if self.streak.load(Ordering::Relaxed) != 0 {
            self.streak.store(0, Ordering::Relaxed);
        }
        if let Some(rate) = &policy.rate {
            self.answers.count(rate.window, now, 0);
        }
    }

    /// An attempt failed. Why the endpoint ought to be ejected, if it ought to.
    pub fn bad(&self, policy: &OutlierPolicy, now: Moment) -> Option<EjectionCause> {
        let streak = self
            .streak
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        if let Some(rate) = &policy.rate {
            self.answers.count(rate.window, now, 1);
        }
        if policy.consecutive.is_some_and(|limit| streak >= limit) {
            return Some(EjectionCause::Consecutive);
        }
        let rate = policy.rate.as_ref()?;
        let seen = self.answers.read(rate.window, now);
        (seen.total >= u64::from(rate.min_requests) && seen.share() >= rate.threshold)
            .then_some(EjectionCause::FailureRate)
    }

    /// A response's head came after so long.
    #[inline]
    pub fn took(&self, policy: &OutlierPolicy, now: Moment, took: Duration) {
        if let Some(rule) = &policy.latency {
            let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            self.times.count(rule.window, now, millis);
        }
    }

    /// Mean time to the head, in milliseconds, if enough of them were seen.
    pub fn mean(&self, policy: &OutlierPolicy, now: Moment) -> Option<f64> {
        let rule = policy.latency.as_ref()?;
        let seen = self.times.read(rule.window, now);
        (seen.total >= u64::from(rule.min_requests.max(1))).then(|| seen.share())
    }

    /// Forgets what was seen: who comes back is judged by what it does then.
    pub fn forget(&self) {
        self.streak.store(0, Ordering::Relaxed);
        self.answers.clear();
        self.times.clear();
    }

    /// Failures in a row, for the status.
    pub fn streak(&self) -> u32 {
        self.streak.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::FailureRate;
    use super::super::{LatencyRule, Timing};
    use super::*;

    fn policy() -> OutlierPolicy {
        OutlierPolicy {
            consecutive: Some(5),
            rate: Some(FailureRate {
                threshold: 0.5,
                window: Duration::from_secs(10),
                min_requests: 20,
            }),
            latency: Some(LatencyRule {
                deviations: 5,
                window: Duration::from_secs(10),
                min_requests: 3,
                min_excess: Duration::from_millis(25),
            }),
            timing: Timing {
                base: Duration::from_secs(10),
                max: Duration::from_mins(5),
                jitter: 0.0,
            },
            max_ejected: 50,
            successes: 1,
        }
    }

    const NOW: Moment = Moment::from_millis(1000);

    #[test]
    fn five_in_a_row_and_not_four_and_a_good_one() {
        let cell = OutlierCell::default();
        let policy = policy();
        for _ in 0..4 {
            assert_eq!(cell.bad(&policy, NOW), None);
        }
        cell.good(&policy, NOW);
        for _ in 0..4 {
            assert_eq!(cell.bad(&policy, NOW), None);
        }
        assert_eq!(cell.bad(&policy, NOW), Some(EjectionCause::Consecutive));
    }

    #[test]
    fn every_other_one_is_too_many() {
        let cell = OutlierCell::default();
        let policy = policy();
        let mut ejected = Vec::new();
        for number in 0..30 {
            cell.good(&policy, NOW);
            if let Some(cause) = cell.bad(&policy, NOW) {
                ejected.push((number, cause));
            }
        }
        assert_eq!(ejected.first(), Some(&(9, EjectionCause::FailureRate)));
    }

    #[test]
    fn old_failures_are_forgotten() {
        let cell = OutlierCell::default();
        let policy = OutlierPolicy {
            consecutive: None,
            ..policy()
        };
        for second in 0..100 {
            let now = Moment::from_millis(second * 1000);
            assert_eq!(cell.bad(&policy, now), None, "ten in ten seconds at most");
        }
    }

    #[test]
    fn thresholds_belong_to_the_policy() {
        let cell = OutlierCell::default();
        for _ in 0..4 {
            cell.bad(&policy(), NOW);
        }
        let strict = OutlierPolicy {
            consecutive: Some(2),
            ..policy()
        };
        assert_eq!(cell.bad(&strict, NOW), Some(EjectionCause::Consecutive));
        let blind = OutlierPolicy {
            consecutive: None,
            rate: None,
            ..policy()
        };
        assert_eq!(cell.bad(&blind, NOW), None);
    }

    #[test]
    fn means_need_enough() {
        let cell = OutlierCell::default();
        let policy = policy();
        for millis in [10, 20] {
            cell.took(&policy, NOW, Duration::from_millis(millis));
        }
        assert_eq!(cell.mean(&policy, NOW), None);
        cell.took(&policy, NOW, Duration::from_millis(60));
        assert_eq!(cell.mean(&policy, NOW), Some(30.0));
        cell.forget();
        assert_eq!(cell.mean(&policy, NOW), None);
    }
}
