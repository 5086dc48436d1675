//! Meters by key: bounded, sharded, and forgetting first what does not matter.
//!
//! Open addressing with linear probing over shards with a lock each; a slot is a key of 128 bits and a meter. Keys
//! are keyed hashes, so nobody outside can choose where they fall. A meter that is as good as new is dropped
//! whenever it is met; when a shard is full, the one of eight that is closest to that is forgotten and counted: the
//! keys that are most over their limit stay longest.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, MutexGuard};

use super::meter::Meter;
use super::rule::{Decision, Outcome, Over, Rule};

const SHARDS: usize = 256;

/// Slots of a shard when it gets its first key.
const FIRST: usize = 8;

/// Slots that are looked at for each new key, so that what is done with goes as fast as what is new comes.
const SWEPT: usize = 2;

/// Candidates of an eviction.
const CANDIDATES: usize = 8;

#[derive(Debug, Default)]
struct Slot<M> {
    /// 0: empty.
    key: u128,
    meter: M,
}

/// What was decided so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Went on.
    pub allow: u64,
    /// Had to wait.
    pub delay: u64,
    /// Were refused.
    pub deny: u64,
    /// Would have been refused.
    pub shadow_deny: u64,
}

impl Tally {
    /// Counts one decision.
    #[inline]
    pub fn count(&mut self, outcome: Outcome, over: Over) {
        let place = match (outcome, over) {
            (Outcome::Pass, _) => &mut self.allow,
            (Outcome::Delay(_), _) => &mut self.delay,
            (Outcome::Deny(_), Over::Shadow) => &mut self.shadow_deny,
            (Outcome::Deny(_), _) => &mut self.deny,
        };
        *place += 1;
    }

    /// Adds those of another.
    pub fn add(&mut self, other: Self) {
        self.allow += other.allow;
        self.delay += other.delay;
        self.deny += other.deny;
        self.shadow_deny += other.shadow_deny;
    }
}

#[derive(Debug)]
struct Shard<M> {
    slots: Vec<Slot<M>>,
    /// Under the lock that a decision takes anyhow: no line of cache of its own.
    tally: Tally,
    used: usize,
    /// Where the sweep goes on.
    hand: usize,
}

/// Meters by key.
#[derive(Debug)]
pub struct Table<M> {
    shards: Box<[CachePadded<Mutex<Shard<M>>>]>,
    most: AtomicUsize,
    evicted: AtomicU64,
}

impl<M: Meter> Table<M> {
    /// A table of at most so many keys.
    pub fn new(most: usize) -> Self {
        let empty = || Shard {
            slots: Vec::new(),
            tally: Tally::default(),
            used: 0,
            hand: 0,
        };
        Self {
            shards: (0..SHARDS)
                .map(|_| CachePadded::new(Mutex::new(empty())))
                .collect(),
            most: AtomicUsize::new(most),
            evicted: AtomicU64::new(0),
        }
    }

    /// From now on at most so many keys; what is over goes as new keys come.
    pub fn limit(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Looks at the meter of a key, which is made if it is not there.
    #[inline]
    pub fn with<R>(&self, key: u128, rule: &Rule, now: u64, look: impl FnOnce(&mut M) -> R) -> R {
        let key = taken(key);
        let mut shard = self.shard(key);
        let at = self.place(&mut shard, key, rule, now);
        shard.meter(at, look)
    }

    /// Asks the meter of a key for `cost` units.
    #[inline]
    pub fn take(&self, key: u128, rule: &Rule, cost: u32, now: u64) -> Decision {
        let key = taken(key);
        let mut shard = self.shard(key);
        let at = self.place(&mut shard, key, rule, now);
        let decision = shard.meter(at, |meter| meter.take(rule, cost, now));
        shard.tally.count(decision.outcome, rule.over());
        decision
    }

    /// Where the meter of a key is.
    #[inline]
    fn place(&self, shard: &mut Shard<M>, key: u128, rule: &Rule, now: u64) -> usize {
        match shard.find(key) {
            Ok(at) => at,
            Err(_) => self.admit(shard, key, rule, now),
        }
    }

    /// Takes in a key that is not there.
    #[inline(never)]
    fn admit(&self, shard: &mut Shard<M>, key: u128, rule: &Rule, now: u64) -> usize {
        let most = self.most.load(Ordering::Relaxed);
        // Keys do not fall evenly: an eighth more keeps what fits as a whole.
        let share = (most + most / 8).div_ceil(SHARDS).max(1);
        let evicted = shard.make_room(share, rule, now);
        self.evicted.fetch_add(evicted, Ordering::Relaxed);
        shard.insert(key)
    }

    /// Looks at the meter of a key if there is one.
    #[inline]
    pub fn peek<R>(&self, key: u128, look: impl FnOnce(&M) -> R) -> Option<R> {
        let key = taken(key);
        let shard = self.shard(key);
        let slot = shard.slots.get(shard.find(key).ok()?)?;
        Some(look(&slot.meter))
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.slots = Vec::new();
            (shard.used, shard.hand) = (0, 0);
        }
    }

    /// Keys that are held, those that nobody has met since they were done with included.
    pub fn len(&self) -> usize {
        let shards = self.shards.iter();
        shards.map(|shard| shard.lock().used).sum()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was decided so far.
    pub fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for shard in &self.shards {
            sum.add(shard.lock().tally);
        }
        sum
    }

    /// Memory of the slots, without what a meter holds elsewhere.
    pub fn bytes(&self) -> usize {
        let slots = |shard: &CachePadded<Mutex<Shard<M>>>| {
            let shard = shard.lock();
            shard.slots.capacity() * size_of::<Slot<M>>()
        };
        self.shards.iter().map(slots).sum()
    }

    /// Keys that were forgotten before they were done with.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// A meter is whole between two calls of it, so a panic under the lock leaves nothing half done.
    #[inline]
    #[expect(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "a byte is below SHARDS"
    )]
    fn shard(&self, key: u128) -> MutexGuard<'_, Shard<M>> {
        let shard = &self.shards[usize::from(key as u8)];
        shard.lock()
    }
}

/// A key as it stands in a slot: an empty one has 0.
#[inline]
fn taken(key: u128) -> u128 {
    key | u128::from(key == 0)
}

impl<M: Meter> Shard<M> {
    /// Where the search for a key begins: the upper half of its bits, spread over the slots.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "below the number of slots")]
    fn home(&self, key: u128) -> usize {
        (((key >> 64) * self.slots.len() as u128) >> 64) as usize
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        if at + 1 < self.slots.len() { at + 1 } else { 0 }
    }

    /// Where the key is, or the empty slot at which the search ended.
    #[inline]
    fn find(&self, key: u128) -> Result<usize, usize> {
        let mut at = self.home(key);
        while let Some(slot) = self.slots.get(at) {
            if slot.key == key {
                return Ok(at);
            }
            if slot.key == 0 {
                return Err(at);
            }
            at = self.next(at);
        }
        Err(at)
    }

    /// Looks at the meter at a place.
    #[inline]
    fn meter<R>(&mut self, at: usize, look: impl FnOnce(&mut M) -> R) -> R {
        let mut none = M::default();
        look(match self.slots.get_mut(at) {
            Some(slot) => &mut slot.meter,
            // It does not come to this: shards with a key have slots.
            None => &mut none,
        })
    }

    fn insert(&mut self, key: u128) -> usize {
        let (Ok(at) | Err(at)) = self.find(key);
        if let Some(slot) = self.slots.get_mut(at) {
            slot.key = key;
            slot.meter = M::default();
            self.used += 1;
        }
        at
    }

    /// Makes room for one more; gives how many were forgotten for it.
    fn make_room(&mut self, most: usize, rule: &Rule, now: u64) -> u64 {
        for _ in 0..SWEPT {
            if let Some(slot) = self.slots.get(self.hand)
                && slot.key != 0
                && slot.meter.idle_at(rule) <= now
            {
                self.remove(self.hand);
            } else {
                self.hand = self.next(self.hand);
            }
        }
        let mut evicted = 0;
        while self.used >= most && evicted < 2 {
            if !self.evict(rule, now) {
                break;
            }
            evicted += 1;
        }
        // At most four of five slots are taken.
        if (self.used + 1) * 5 > self.slots.len() * 4 {
            self.grow(rule, now);
        }
        evicted
    }

    /// Forgets one of the next few. Gives whether it mattered.
    fn evict(&mut self, rule: &Rule, now: u64) -> bool {
        let (mut best, mut seen, mut at) = (None, 0, self.hand);
        for _ in 0..self.slots.len() {
            if let Some(slot) = self.slots.get(at)
                && slot.key != 0
            {
                let idle = slot.meter.idle_at(rule);
                if best.is_none_or(|(sooner, _)| idle < sooner) {
                    best = Some((idle, at));
                }
                seen += 1;
                if seen == CANDIDATES {
                    break;
                }
            }
            at = self.next(at);
        }
        self.hand = at;
        match best {
            Some((idle, at)) => {
                self.remove(at);
                idle > now
            }
            None => false,
        }
    }

    /// Takes a key out and closes the gap, so that every search still finds its key before an empty slot.
    fn remove(&mut self, at: usize) {
        let len = self.slots.len();
        let from = |a: usize, b: usize| if b >= a { b - a } else { b + len - a };
        let (mut hole, mut at) = (at, at);
        loop {
            at = self.next(at);
            let key = self.slots.get(at).map_or(0, |slot| slot.key);
            if key == 0 {
                break;
            }
            if from(self.home(key), at) >= from(hole, at) {
                self.slots.swap(hole, at);
                hole = at;
            }
        }
        if let Some(slot) = self.slots.get_mut(hole) {
            *slot = Slot {
                key: 0,
                meter: M::default(),
            };
            self.used -= 1;
        }
    }

    /// Moves what is not done with into slots enough: four of seven are taken then.
    fn grow(&mut self, rule: &Rule, now: u64) {
        let old = std::mem::take(&mut self.slots);
        let live = |slot: &Slot<M>| slot.key != 0 && slot.meter.idle_at(rule) > now;
        let used = old.iter().filter(|slot| live(slot)).count();
        let len = (used * 7 / 4).max(FIRST);
        self.slots = Vec::with_capacity(len);
        self.slots.resize_with(len, || Slot {
            key: 0,
            meter: M::default(),
        });
        (self.used, self.hand) = (0, 0);
        for slot in old {
            if live(&slot) {
                let at = self.insert(slot.key);
                if let Some(place) = self.slots.get_mut(at) {
                    place.meter = slot.meter;
                }
            }
        }
    }
}
