//! When the next probe starts, as arithmetic.

use std::time::Duration;

use super::cell::HealthPolicy;

/// How far apart the first probes of new targets start, as long as the interval has room for all.
const STAGGER: Duration = Duration::from_millis(10);

/// Delay of the first probe of new target `number` out of `count`: soon when they are few, evenly over
/// the interval when they are many.
pub(super) fn first(policy: &HealthPolicy, number: u32, count: u32) -> Duration {
    let span = policy.interval.min(STAGGER.saturating_mul(count));
    span.mul_f64(f64::from(number) / f64::from(count.max(1)))
}

/// From the start of one probe to the start of the next.
pub(super) fn next(policy: &HealthPolicy, pace: Pace, rng: &mut fastrand::Rng) -> Duration {
    let interval = match pace {
        Pace::Settled => policy.interval,
        Pace::Hurry => policy.failing_interval,
    };
    let swing = (rng.f64() * 2.0 - 1.0) * policy.jitter.clamp(0.0, 1.0);
    interval.mul_f64(1.0 + swing)
}

/// How urgent the next probe is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pace {
    /// Healthy, and the last probe passed.
    Settled,
    /// Unhealthy, or the last probe failed.
    Hurry,
}

#[cfg(test)]
mod tests {
    use super::super::cell::Status;
    use super::*;

    fn policy(interval: u64, jitter: f64) -> HealthPolicy {
        HealthPolicy {
            interval: Duration::from_millis(interval),
            failing_interval: Duration::from_millis(interval.min(1000)),
            timeout: Duration::from_secs(2),
            max_response_time: Duration::ZERO,
            rise: 2,
            fall: 3,
            jitter,
            initial: Status::Healthy,
        }
    }

    #[test]
    fn few_start_soon_and_many_spread_out() {
        let policy = policy(5000, 0.1);
        assert_eq!(first(&policy, 0, 3), Duration::ZERO);
        assert_eq!(first(&policy, 2, 3), Duration::from_millis(20));
        assert_eq!(first(&policy, 5000, 10_000), Duration::from_millis(2500));
        assert!(first(&policy, 9999, 10_000) < policy.interval);
    }

    #[test]
    fn a_failing_endpoint_is_looked_at_sooner() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut pause = |interval, pace| next(&policy(interval, 0.0), pace, &mut rng);
        assert_eq!(pause(5000, Pace::Settled), Duration::from_secs(5));
        assert_eq!(pause(5000, Pace::Hurry), Duration::from_secs(1));
        assert_eq!(pause(200, Pace::Hurry), Duration::from_millis(200));
    }

    #[test]
    fn ten_thousand_targets_never_burst() {
        let policy = policy(5000, 0.1);
        let mut rng = fastrand::Rng::with_seed(2);
        let mut starts = vec![0u32; 600];
        for number in 0..10_000 {
            let mut at = first(&policy, number, 10_000);
            while let Some(slot) = starts.get_mut(usize::try_from(at.as_millis() / 100).unwrap()) {
                *slot += 1;
                at += next(&policy, Pace::Settled, &mut rng);
            }
        }
        // 10 000 in 5 s are 200 in each tenth of a second.
        let most = starts.iter().max().unwrap();
        assert!(*most <= 400, "{most} in one tenth of a second");
    }
}
