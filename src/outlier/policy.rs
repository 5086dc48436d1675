//! When something counts as failing, and for how long it stays away.

use std::time::Duration;

/// How long a circuit stays open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// The first time; the n-th takes n times as long.
    pub base: Duration,
    /// The longest.
    pub max: Duration,
    /// Share by which it may be shorter, by chance, so that many do not come back at the same moment.
    pub jitter: f64,
}

/// After this many times `base` of service one opening is forgiven.
const FORGIVE: u32 = 6;

impl Timing {
    /// How long the `times`-th opening takes; `chance` is in 0.0-1.0.
    pub fn length(&self, times: u32, chance: f64) -> Duration {
        let whole = self.base.saturating_mul(times.max(1)).min(self.max);
        whole.mul_f64(1.0 - self.jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0))
    }

    /// How many openings are forgiven after `served`.
    pub(super) fn forgiven(&self, served: Duration) -> u32 {
        let span = self.base.saturating_mul(FORGIVE).as_millis().max(1);
        u32::try_from(served.as_millis() / span).unwrap_or(u32::MAX)
    }
}

/// `[clusters.NAME.outlier]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutlierPolicy {
    /// Failures in a row that eject; `None`: any number is borne.
    pub consecutive: Option<u32>,
    /// Share of failures that ejects.
    pub rate: Option<FailureRate>,
    /// Time, compared with the peers', that ejects.
    pub latency: Option<LatencyRule>,
    /// How long an ejection takes.
    pub timing: Timing,
    /// Percent of the cluster that may be ejected; 0: nobody ever is.
    pub max_ejected: u8,
    /// Good answers in probation that bring an endpoint back.
    pub successes: u8,
}

/// Share of failures in a sliding window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailureRate {
    /// From this share on.
    pub threshold: f64,
    /// Over this time.
    pub window: Duration,
    /// With at least that many requests.
    pub min_requests: u32,
}

/// Mean time to the response's head, beside that of the peers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatencyRule {
    /// Standard deviations above the median, estimated from the median absolute deviation.
    pub deviations: u32,
    /// Over this time.
    pub window: Duration,
    /// With at least that many requests.
    pub min_requests: u32,
    /// And at least so much above the median.
    pub min_excess: Duration,
}

/// `breaker` of a cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// Failures within the window that open it.
    pub failures: u32,
    /// If they are at least this share of what was asked.
    pub threshold: f64,
    /// The window.
    pub window: Duration,
    /// How long it stays open.
    pub timing: Timing,
    /// Good answers in a row that close it again.
    pub successes: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_up_to_its_bound_and_never_beyond() {
        let timing = Timing {
            base: Duration::from_secs(10),
            max: Duration::from_secs(45),
            jitter: 0.1,
        };
        for (times, whole) in [(1, 10), (2, 20), (4, 40), (5, 45), (9999, 45)] {
            assert_eq!(timing.length(times, 0.0), Duration::from_secs(whole));
            let shortest = timing.length(times, 1.0);
            assert_eq!(shortest, Duration::from_secs(whole).mul_f64(0.9));
        }
        assert_eq!(timing.forgiven(Duration::from_secs(59)), 0);
        assert_eq!(timing.forgiven(Duration::from_secs(121)), 2);
    }
}
