//! Bytes a second, by key: when what was moved is paid for.
//!
//! A lane is one moment: until then everything that went through it takes at its rate. Who moves bytes pushes the moment on and then
//! waits for it, so that of several who share a lane each moves one piece in turn, and nobody is counted or queued. While a lane owes more
//! than [`MOST`], nobody moves any: else many at once would bring it into a debt that all who come after them wait for. So at any time what
//! was moved is at most the rate times the time, [`SLACK`], [`MOST`], and one piece for each worker.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const SHARDS: usize = 32;
/// Most lanes of a shard that nobody is in, and that are remembered for what is not paid for yet. Paid ones do not count.
const MOST_IDLE: usize = 4096;
/// Who comes late is not late by its own fault: timers are coarse. In nanoseconds.
const SLACK: u64 = 10_000_000;
const SECOND: u128 = 1_000_000_000;
/// What a lane may owe while pieces are still moved, in nanoseconds.
const MOST: u64 = 2_000_000_000;

/// One lane. Times are nanoseconds of one clock.
#[derive(Debug, Default)]
pub struct Lane(AtomicU64);

impl Lane {
    /// When all that was moved is paid for.
    pub fn due(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// How long even those wait whose turn it is, because the lane owes too much. It is until half of what it may owe is paid for: a
    /// wait for each piece would wake all for each.
    pub fn crowded(&self, now: u64) -> u64 {
        match self.due().saturating_sub(now) {
            0..=MOST => 0,
            debt => debt - MOST / 2,
        }
    }

    /// So many bytes were moved, at so many a second; when they are paid for.
    pub fn moved(&self, bytes: usize, rate: u64, now: u64) -> u64 {
        let time = (bytes as u128 * SECOND).div_ceil(u128::from(rate.max(1)));
        let time = u64::try_from(time).unwrap_or(u64::MAX);
        let after = |due: u64| {
            let from = due.max(now.saturating_sub(SLACK));
            from.saturating_add(time)
        };
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| Some(after(due)));
        before.map_or(now, after)
    }
}

/// Lanes by key: those that somebody is in, and those that are not paid for.
#[derive(Debug, Default)]
pub struct Lanes {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    lanes: HashMap<u128, Arc<Lane>>,
    /// How many there may be before it is looked through.
    full: usize,
}

impl Lanes {
    /// The lane of a key.
    pub fn enter(&self, key: u128, now: u64) -> Arc<Lane> {
        let index = usize::try_from(key % SHARDS as u128).unwrap_or_default();
        let [first, ..] = &self.shards;
        let shard = self.shards.get(index).unwrap_or(first);
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = shard.lanes.get(&key) {
            return Arc::clone(lane);
        }
        if shard.lanes.len() >= shard.full {
            shard.sweep(now);
        }
        Arc::clone(shard.lanes.entry(key).or_default())
    }

    /// Lanes that are remembered.
    pub fn len(&self) -> usize {
        let shards = self.shards.iter();
        shards
            .map(|shard| {
                let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                shard.lanes.len()
            })
            .sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shard {
    /// Forgets what is done with. Looked through again when twice as many are there: each new key pays for a few.
    fn sweep(&mut self, now: u64) {
        let mut idle = 0;
        self.lanes.retain(|_, lane| {
            if Arc::strong_count(lane) > 1 {
                return true;
            }
            if lane.due() <= now {
                return false;
            }
            idle += 1;
            idle <= MOST_IDLE
        });
        self.full = (self.lanes.len() * 2).max(16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;
    const START: u64 = 1_000 * 1_000_000_000;

    /// Those who share a lane, each with pieces of one size, until so many seconds are over: bytes of each.
    fn share(lane: &Lane, rate: u64, pieces: &[usize], seconds: u64) -> Vec<usize> {
        let end = START + seconds * 1_000_000_000;
        let mut moved = vec![0; pieces.len()];
        let mut due = vec![lane.due().max(START); pieces.len()];
        loop {
            let (who, now) = due
                .iter()
                .copied()
                .enumerate()
                .min_by_key(|it| it.1)
                .unwrap();
            if now >= end {
                return moved;
            }
            moved[who] += pieces[who];
            due[who] = lane.moved(pieces[who], rate, now);
        }
    }

    #[test]
    fn one_alone_gets_the_rate() {
        for (rate, piece) in [
            (1024, 64 * KIB),
            (100 * 1024, KIB),
            (1 << 30, 64 * KIB),
            (7, 1),
        ] {
            let lane = Lane::default();
            let [moved] = share(&lane, rate, &[piece], 100)[..] else {
                unreachable!()
            };
            let (least, most) = (rate * 100, rate * 101 + 2 * piece as u64);
            assert!(
                (least..=most).contains(&(moved as u64)),
                "{rate} {piece}: {moved}"
            );
        }
    }

    #[test]
    fn those_who_share_get_the_same() {
        let lane = Lane::default();
        let moved = share(&lane, 1 << 20, &[16 * KIB; 10], 100);
        let all: usize = moved.iter().sum();
        assert!(
            (100 << 20..=(101 << 20) + 10 * 16 * KIB).contains(&all),
            "{all}"
        );
        let (least, most) = (moved.iter().min().unwrap(), moved.iter().max().unwrap());
        assert!(most - least <= 16 * KIB, "{moved:?}");
    }

    /// Who waits for its own turn only, before it moves its first piece, and whoever comes back without having waited.
    #[test]
    fn many_at_once_owe_no_more_than_few() {
        const MANY: usize = 1000;
        let lane = Lane::default();
        let (rate, piece, seconds) = (1 << 20, 64 * KIB, 20);
        let mut now = START;
        let mut due = vec![START; MANY];
        let mut moved = 0;
        while now < START + seconds * 1_000_000_000 {
            for due in &mut due {
                let wait = due.saturating_sub(now).max(lane.crowded(now));
                if wait == 0 {
                    *due = lane.moved(piece, rate, now);
                    moved += piece as u64;
                    assert!(lane.due() - now <= MOST + 62_500_000 + SLACK);
                }
            }
            now += 1_000_000;
        }
        let most = rate * (seconds + 2) + 2 * piece as u64;
        assert!((rate * seconds..=most).contains(&moved), "{moved}");
    }

    #[test]
    fn coming_late_costs_nothing_and_resting_earns_little() {
        let lane = Lane::default();
        let mut now = START;
        let mut moved = 0;
        while now < START + 10_000_000_000 {
            moved += 64 * KIB;
            let due = lane.moved(64 * KIB, 100 << 20, now);
            // Short waits are saved up; a timer fires up to 2 ms late.
            if due >= now + 5_000_000 {
                now = due + 2_000_000;
            }
        }
        assert!(moved >= 1000 << 20, "{moved}");
        let rested = lane.moved(KIB, 1024, now + 3_600_000_000_000);
        assert!(rested >= now + 3_600_000_000_000 + 1_000_000_000 - SLACK);
    }

    #[test]
    fn who_leaves_and_comes_back_finds_the_debt() {
        let lanes = Lanes::default();
        let due = lanes.enter(7, START).moved(KIB, 1024, START);
        assert_eq!(lanes.enter(7, START).due(), due);
        assert_eq!(lanes.enter(8, START).due(), 0);
    }

    #[test]
    fn those_that_are_paid_for_make_nobody_forget_a_debt() {
        let lanes = Lanes::default();
        let late = START + 2_000_000_000;
        let owing: Vec<u128> = (0..100_000).filter(|key| key % 50 == 0).collect();
        for key in 0..100_000 {
            lanes
                .enter(key, START)
                .moved(KIB, if key % 50 == 0 { 1 } else { 1 << 10 }, START);
        }
        for key in 100_000..300_000 {
            lanes.enter(key, late);
        }
        assert!(lanes.len() < 250_000, "it was looked through");
        assert!(owing.iter().all(|&key| lanes.enter(key, late).due() > late));
    }

    #[test]
    fn what_is_paid_for_is_forgotten() {
        let lanes = Lanes::default();
        let held = lanes.enter(0, START);
        for key in 1..100_000 {
            lanes.enter(key, START).moved(KIB, 1 << 10, START);
        }
        assert!(lanes.len() >= 99_000, "they are in debt");
        for key in 100_000..200_000_u128 {
            lanes.enter(key, START + 2_000_000_000);
        }
        assert!(lanes.len() < 120_000, "{}", lanes.len());
        held.moved(KIB, 1, START);
        assert!(lanes.enter(0, START).due() > START, "it was held");
        for key in 0..1_000_000_u128 {
            lanes.enter(key, START).moved(KIB, 1, START);
        }
        assert!(lanes.len() <= 3 * MOST_IDLE * SHARDS, "{}", lanes.len());
    }
}
