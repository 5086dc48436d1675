//! A sliding window of counts: eight slots on a circle of time, each an atomic word that knows its own turn.
//!
//! Cost of one count: a load, a comparison and one atomic addition on a line of cache of its own. Workers that
//! serve one endpoint at the same moment share that line, as they share its count of requests in flight. A
//! window for each worker would be free of that, but costs its memory once for every worker and endpoint, and
//! would let a failure be seen only by adding up all of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Moment;
use super::moment::millis;

/// Slots of a window. It slides by an eighth of its length.
const SLOTS: usize = 8;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Everything.
    pub total: u64,
    /// The part that stands out: failures; or, where times are counted, the sum of milliseconds.
    pub part: u64,
}

impl Tally {
    /// The part's share of the whole, 0.0 where nothing was counted.
    pub fn share(self) -> f64 {
        if self.total == 0 {
            return 0.0;
        }
        self.part as f64 / self.total as f64
    }
}

/// A slot's word: 24 bits of turn, 24 of part, 16 of total.
const TOTAL_BITS: u32 = 16;
const PART_BITS: u32 = 24;
const TOTAL_MAX: u64 = (1 << TOTAL_BITS) - 1;
const PART_MAX: u64 = (1 << PART_BITS) - 1;
const TURN_SHIFT: u32 = TOTAL_BITS + PART_BITS;
const TURN_MAX: u64 = u64::MAX >> TURN_SHIFT;

/// Counting stops this far below what a word can hold: additions of other threads that are under way must
/// not spill into the field above. A share over the first 65 000 of a slot is as good as one over all.
const MARGIN: u64 = 1 << 8;

/// The most that one count may add to the part: as many threads as the margin allows cannot fill its upper half.
const PART_MOST: u64 = PART_MAX / 2 / MARGIN;

const fn total_of(word: u64) -> u64 {
    word & TOTAL_MAX
}

const fn part_of(word: u64) -> u64 {
    word >> TOTAL_BITS & PART_MAX
}

const fn turn_of(word: u64) -> u64 {
    word >> TURN_SHIFT
}

/// Counts of the last while, by any number of threads.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Window {
    slots: [AtomicU64; SLOTS],
}

impl Window {
    /// Turn 0 is what an empty word says, so turns begin at 1.
    fn turn(length: Duration, now: Moment) -> u64 {
        let width = (millis(length) / SLOTS as u64).max(1);
        (now.millis() / width + 1) & TURN_MAX
    }

    fn slot(&self, turn: u64) -> Option<&AtomicU64> {
        self.slots.get(usize::try_from(turn).unwrap_or(0) % SLOTS)
    }

    /// Counts one, with so much of the part, in a window of this length.
    #[inline]
    pub fn count(&self, length: Duration, now: Moment, part: u64) {
        let turn = Self::turn(length, now);
        let Some(slot) = self.slot(turn) else { return };
        let one = part.min(PART_MOST) << TOTAL_BITS | 1;
        let word = slot.load(Ordering::Relaxed);
        if turn_of(word) == turn {
            if total_of(word) < TOTAL_MAX - MARGIN && part_of(word) < PART_MAX / 2 {
                slot.fetch_add(one, Ordering::Relaxed);
            }
            return;
        }
        // The first of a new turn sweeps the slot. Whoever loses the race counts into the winner's word.
        let fresh = turn << TURN_SHIFT | one;
        if slot
            .compare_exchange(word, fresh, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
        {
            slot.fetch_add(one, Ordering::Relaxed);
        }
    }

    /// What the last `length` holds.
    pub fn read(&self, length: Duration, now: Moment) -> Tally {
        let turn = Self::turn(length, now);
        let mut tally = Tally::default();
        for slot in &self.slots {
            let word = slot.load(Ordering::Relaxed);
            let age = turn.wrapping_sub(turn_of(word)) & TURN_MAX;
            if word != 0 && age < SLOTS as u64 {
                tally.total += total_of(word);
                tally.part += part_of(word);
            }
        }
        tally
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for slot in &self.slots {
            slot.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(8);

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn slides_by_an_eighth() {
        let window = Window::default();
        for second in 0..20 {
            window.count(LENGTH, at(second * 1000), second % 2);
        }
        let tally = |now| window.read(LENGTH, at(now));
        assert_eq!(tally(19_500), Tally { total: 8, part: 4 });
        assert_eq!(tally(22_500), Tally { total: 5, part: 3 });
        assert_eq!(tally(40_000), Tally::default());
        assert!((tally(19_500).share() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_full_slot_keeps_its_share() {
        let window = Window::default();
        for number in 0..200_000_u64 {
            window.count(LENGTH, at(10), number % 4 / 3);
        }
        let tally = window.read(LENGTH, at(10));
        assert!(tally.total > 65_000 && tally.total < 1 << 16, "{tally:?}");
        assert!((tally.share() - 0.25).abs() < 0.01, "{tally:?}");
    }

    #[test]
    fn sums_do_not_spill() {
        let window = Window::default();
        for _ in 0..1000 {
            window.count(LENGTH, at(10), u64::MAX);
        }
        let tally = window.read(LENGTH, at(10));
        assert!(tally.total > MARGIN && tally.part <= PART_MAX, "{tally:?}");
    }

    #[test]
    fn threads_count_together() {
        let window = Window::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5000).for_each(|n| window.count(LENGTH, at(n / 5), 0)));
            }
        });
        assert_eq!(window.read(LENGTH, at(1000)).total, 20_000);
    }

    #[test]
    fn cleared_is_empty() {
        let window = Window::default();
        window.count(LENGTH, at(0), 1);
        assert_eq!(window.read(LENGTH, at(0)).total, 1);
        window.clear();
        assert_eq!(window.read(LENGTH, at(0)), Tally::default());
    }
}
