//! What the endpoints of one cluster share: how many may be ejected, and who is slow among them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{LatencyRule, Moment};

/// Between two attempts to eject somebody where the share is used up, in milliseconds: under a failure of
/// everything each request would count all endpoints otherwise.
const PAUSE: u64 = 100;

/// One cluster's guard over ejections. Kept over a reload by the cluster's name.
#[derive(Debug, Default)]
pub struct Crowd {
    ejecting: Mutex<()>,
    /// No room before then, in milliseconds.
    full_until: AtomicU64,
    /// Nobody is ejected: there is nothing to look at.
    asleep: AtomicBool,
    compared: AtomicU64,
}

impl Crowd {
    /// Held while somebody counts and ejects, so that two workers cannot both take the last place; `None` when
    /// there was no room a moment ago.
    pub fn ejecting(&self, now: Moment) -> Option<MutexGuard<'_, ()>> {
        if now.millis() < self.full_until.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.ejecting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// There was no room.
    pub fn full(&self, now: Moment) {
        self.full_until
            .store(now.millis() + PAUSE, Ordering::Relaxed);
    }

    /// Somebody is ejected. To be called after that is visible in the endpoint's own state: whoever finds the crowd
    /// awake then finds the endpoint, too.
    pub fn wake(&self) {
        self.asleep.store(false, Ordering::Release);
    }

    /// Whether somebody may be ejected. The crowd sleeps from here on, unless it is woken again.
    pub fn awake(&self) -> bool {
        !self.asleep.load(Ordering::Relaxed) && !self.asleep.swap(true, Ordering::AcqRel)
    }

    /// Whether the last comparison of times was so long ago; if so it is now.
    pub fn compares(&self, now: Moment, every: Duration) -> bool {
        let last = Moment::from_millis(self.compared.load(Ordering::Relaxed));
        let due = last.until(now) >= every;
        if due {
            self.compared.store(now.millis(), Ordering::Relaxed);
        }
        due
    }
}

/// How many of `count` endpoints `percent` of them are: rounded down, but one at least of two or more, or a
/// small cluster would never eject anybody.
pub fn most_ejected(count: usize, percent: u8) -> usize {
    let share = count.saturating_mul(usize::from(percent)) / 100;
    if percent > 0 && count > 1 {
        share.max(1)
    } else {
        share
    }
}

/// A normal distribution's standard deviation is this many median absolute deviations (Leys et al. 2013).
const SIGMA: f64 = 1.4826;

/// Peers that are all alike have no deviation, and any difference would be infinitely large: a tenth of
/// the median is taken then.
const LEAST: f64 = 0.1;

/// Fewer than this many have no middle to be far from.
const PEERS: usize = 3;

/// The position of the one whose mean time stands out most, if it stands out enough. Medians are not moved by the
/// very values that are looked for, as a mean and its deviation would be.
pub fn slowest(means: &[Option<f64>], rule: &LatencyRule) -> Option<usize> {
    let known: Vec<f64> = means.iter().flatten().copied().collect();
    if known.len() < PEERS {
        return None;
    }
    let middle = median(known.clone())?;
    let deviation = median(known.iter().map(|mean| (mean - middle).abs()).collect())?;
    let sigma = (SIGMA * deviation).max(LEAST * middle);
    let limit = (f64::from(rule.deviations) * sigma).max(rule.min_excess.as_secs_f64() * 1e3);
    let (worst, mean) = means
        .iter()
        .enumerate()
        .filter_map(|(at, mean)| Some((at, (*mean)?)))
        .max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    (mean - middle > limit).then_some(worst)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    let half = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let (_, middle, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    Some(*middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: LatencyRule = LatencyRule {
        deviations: 5,
        window: Duration::from_secs(10),
        min_requests: 20,
        min_excess: Duration::from_millis(25),
    };

    fn of(means: &[f64]) -> Option<usize> {
        let means: Vec<_> = means.iter().map(|mean| Some(*mean)).collect();
        slowest(&means, &RULE)
    }

    #[test]
    fn the_share_is_rounded_down_but_not_to_nobody() {
        for (count, percent, most) in [
            (20, 50, 10),
            (3, 50, 1),
            (2, 50, 1),
            (5, 10, 1),
            (1, 50, 0),
            (1, 100, 1),
            (4, 100, 4),
            (20, 0, 0),
        ] {
            assert_eq!(most_ejected(count, percent), most, "{percent} % of {count}");
        }
    }

    #[test]
    fn the_slow_one_stands_out() {
        assert_eq!(of(&[10.0, 11.0, 100.0, 9.0]), Some(2));
        assert_eq!(of(&[10.0, 11.0, 12.0, 9.0]), None, "a usual spread");
        assert_eq!(of(&[1.0, 1.0, 20.0, 1.0]), None, "too little to mind");
        assert_eq!(of(&[10.0, 500.0]), None, "who is right?");
        assert_eq!(
            of(&[10.0, 200.0, 190.0, 210.0, 205.0]),
            None,
            "fast is no fault"
        );
        assert_eq!(
            of(&[50.0, 100.0, 150.0, 200.0, 250.0]),
            None,
            "a wide spread"
        );
    }

    #[test]
    fn who_was_hardly_asked_has_no_say() {
        let means = [Some(10.0), None, Some(300.0), None, Some(12.0)];
        assert_eq!(slowest(&means, &RULE), Some(2));
        assert_eq!(slowest(&[None, Some(300.0), Some(1.0)], &RULE), None);
    }

    #[test]
    fn a_crowd_sleeps_until_it_is_woken() {
        let crowd = Crowd::default();
        assert!(crowd.awake(), "at first nobody knows");
        assert!(!crowd.awake());
        crowd.wake();
        assert!(crowd.awake() && !crowd.awake());
    }

    #[test]
    fn no_room_is_asked_for_again_after_a_pause() {
        let crowd = Crowd::default();
        let at = Moment::from_millis;
        assert!(crowd.ejecting(at(5)).is_some());
        crowd.full(at(5));
        assert!(crowd.ejecting(at(104)).is_none());
        assert!(crowd.ejecting(at(105)).is_some());
    }
}
