//! The table of one limiter, whatever its algorithm.

use super::meter::{Bucket, FixedWindow, SlidingLog, SlidingWindow};
use super::rule::{Algorithm, Decision, Rule};
use super::table::{Table, Tally};

/// Meters by key, of one kind.
#[derive(Debug)]
pub enum Meters {
    /// Token bucket and leaky bucket.
    Bucket(Table<Bucket>),
    /// Fixed window.
    Fixed(Table<FixedWindow>),
    /// Sliding window.
    Sliding(Table<SlidingWindow>),
    /// Sliding log.
    Log(Table<SlidingLog>),
}

macro_rules! each {
    ($meters:expr, $table:ident => $what:expr) => {
        match $meters {
            Meters::Bucket($table) => $what,
            Meters::Fixed($table) => $what,
            Meters::Sliding($table) => $what,
            Meters::Log($table) => $what,
        }
    };
}

impl Meters {
    /// No key yet, and at most so many.
    pub fn new(algorithm: Algorithm, most: usize) -> Self {
        match algorithm {
            Algorithm::TokenBucket | Algorithm::LeakyBucket => Self::Bucket(Table::new(most)),
            Algorithm::FixedWindow => Self::Fixed(Table::new(most)),
            Algorithm::SlidingWindow => Self::Sliding(Table::new(most)),
            Algorithm::SlidingLog => Self::Log(Table::new(most)),
        }
    }

    /// Asks for `cost` units of a key, by a rule of the algorithm that this was made for.
    #[inline(never)]
    pub fn take(&self, key: u128, rule: &Rule, cost: u32, now: u64) -> Decision {
        each!(self, table => table.take(key, rule, cost, now))
    }

    /// From now on at most so many keys.
    pub fn limit(&self, most: usize) {
        each!(self, table => table.limit(most));
    }

    /// Keys that are held.
    pub fn len(&self) -> usize {
        each!(self, table => table.len())
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory of the slots.
    pub fn bytes(&self) -> usize {
        each!(self, table => table.bytes())
    }

    /// Keys that were forgotten before they were done with.
    pub fn evicted(&self) -> u64 {
        each!(self, table => table.evicted())
    }

    /// What was decided so far.
    pub fn tally(&self) -> Tally {
        each!(self, table => table.tally())
    }
}
