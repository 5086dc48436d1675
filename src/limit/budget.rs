//! The retry budget: retries may be a share of the requests of the last ten seconds, and no more.
//!
//! A count of tries per request multiplies load exactly when endpoints are failing (E-202); a share of
//! the requests cannot. The floor keeps a quiet cluster able to retry at all.

use std::time::Duration;

use crate::base::clock::{self, Instant};

/// What was decided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Grant {
    /// The retry may go out, and is counted.
    Granted,
    /// The budget is spent; nothing is counted.
    Denied,
}

/// Slots of one second: the window is their sum.
const SLOTS: usize = 10;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u32,
    retries: u32,
}

/// A budget of retries over a sliding window of ten seconds. One belongs to one worker and one cluster.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    ratio: f64,
    floor: f64,
    slots: [Slot; SLOTS],
    requests: u64,
    retries: u64,
    /// Second of the window's newest slot, counted from `origin`.
    newest: u64,
    origin: Option<Instant>,
}

impl RetryBudget {
    /// Length of the window.
    pub const WINDOW: Duration = Duration::from_secs(SLOTS as u64);

    /// A budget of `ratio` retries per request (0.0-1.0 makes sense) and at least `min_per_second`
    /// retries a second whatever the traffic. Negative and undefined numbers count as zero.
    pub fn new(ratio: f64, min_per_second: f64) -> Self {
        Self {
            ratio: ratio.max(0.0),
            floor: min_per_second.max(0.0) * SLOTS as f64,
            slots: [Slot::default(); SLOTS],
            requests: 0,
            retries: 0,
            newest: 0,
            origin: None,
        }
    }

    /// The same observations under new numbers: what a reload does.
    pub fn retune(&mut self, ratio: f64, min_per_second: f64) {
        self.ratio = ratio.max(0.0);
        self.floor = min_per_second.max(0.0) * SLOTS as f64;
    }

    /// Counts one request (its first try).
    #[inline]
    pub fn deposit(&mut self, now: Instant) {
        let slot = self.advance(now);
        slot.requests = slot.requests.saturating_add(1);
        self.requests += 1;
    }

    /// Asks for one retry.
    pub fn withdraw(&mut self, now: Instant) -> Grant {
        self.advance(now);
        let allowed = self.ratio * self.requests as f64 + self.floor;
        if (self.retries + 1) as f64 > allowed {
            return Grant::Denied;
        }
        let slot = self.advance(now);
        slot.retries = slot.retries.saturating_add(1);
        self.retries += 1;
        Grant::Granted
    }

    /// Forgets the slots that have left the window and returns the newest one.
    fn advance(&mut self, now: Instant) -> &mut Slot {
        let origin = *self.origin.get_or_insert(now);
        let second = clock::between(origin, now).as_secs();
        let steps = second.saturating_sub(self.newest);
        for step in 1..=steps.min(SLOTS as u64) {
            let slot = Self::slot(&mut self.slots, self.newest + step);
            let old = std::mem::take(slot);
            self.requests = self.requests.saturating_sub(u64::from(old.requests));
            self.retries = self.retries.saturating_sub(u64::from(old.retries));
        }
        self.newest = self.newest.max(second);
        Self::slot(&mut self.slots, self.newest)
    }

    #[expect(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "the remainder is below SLOTS"
    )]
    fn slot(slots: &mut [Slot; SLOTS], second: u64) -> &mut Slot {
        &mut slots[(second % SLOTS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(budget: &mut RetryBudget, tries: u32, now: Instant) -> u32 {
        (0..tries)
            .filter(|_| budget.withdraw(now) == Grant::Granted)
            .count()
            .try_into()
            .unwrap()
    }

    #[test]
    fn retries_are_a_share_of_requests_over_the_floor() {
        let now = clock::now();
        let mut budget = RetryBudget::new(0.2, 3.0);
        assert_eq!(granted(&mut budget, 100, now), 30, "the floor alone");
        for _ in 0..1000 {
            budget.deposit(now);
        }
        assert_eq!(granted(&mut budget, 1000, now), 200, "the share on top");
    }

    #[test]
    fn what_left_the_window_no_longer_counts() {
        let start = clock::now();
        let mut budget = RetryBudget::new(0.5, 0.0);
        for _ in 0..10 {
            budget.deposit(start);
        }
        let late = start + Duration::from_secs(9);
        assert_eq!(granted(&mut budget, 10, late), 5);
        let later = start + RetryBudget::WINDOW;
        assert_eq!(granted(&mut budget, 1, later), 0, "the requests are gone");
        let much_later = start + Duration::from_secs(100_000);
        budget.deposit(much_later);
        budget.deposit(much_later);
        assert_eq!(granted(&mut budget, 5, much_later), 1);
    }

    #[test]
    fn a_clock_that_steps_back_changes_nothing() {
        let start = clock::now();
        let later = start + Duration::from_secs(5);
        let mut budget = RetryBudget::new(1.0, 0.0);
        budget.deposit(start);
        budget.deposit(later);
        budget.deposit(start);
        assert_eq!(granted(&mut budget, 9, start), 3);
    }

    #[test]
    fn a_storm_stays_within_the_share() {
        let start = clock::now();
        let mut budget = RetryBudget::new(0.2, 3.0);
        let (mut requests, mut retries) = (0u32, 0u32);
        for tick in 0..60_000u32 {
            let now = start + Duration::from_millis(u64::from(tick));
            budget.deposit(now);
            requests += 1;
            retries += granted(&mut budget, 2, now);
        }
        let bound = f64::from(requests) * 0.2 + 60.0 * 3.0 + 30.0;
        assert!(f64::from(retries) <= bound, "{retries} over {bound}");
        assert!(f64::from(retries) >= f64::from(requests) * 0.2);
    }

    #[test]
    fn nonsense_numbers_grant_nothing() {
        let mut budget = RetryBudget::new(f64::NAN, -1.0);
        budget.deposit(clock::now());
        assert_eq!(budget.withdraw(clock::now()), Grant::Denied);
    }
}
