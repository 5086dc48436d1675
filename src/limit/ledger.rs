//! The memory ledger: one budget of bytes for everything that a peer can make us hold.
//!
//! Workers take credit from it in chunks and charge their buffers against that, so a request costs no shared counter.
//! How much of the budget is taken is a [`Level`]; each level sheds more, long before the kernel would choose whom
//! to end.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// What a worker takes at a time, and keeps at most twice.
const CHUNK: usize = 128 * 1024;

/// How much of the budget is taken.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Level {
    /// Less than 80 %: nothing is shed.
    #[default]
    Normal,
    /// From 80 %: little is read at a time, nothing is kept for another attempt, spare buffers are freed.
    Tight,
    /// From 90 %: idle connections are closed too, and answers end theirs.
    Short,
    /// From 95 %: requests and connections are refused too.
    Full,
}

impl Level {
    /// Every level, lowest first.
    pub const ALL: [Self; 4] = [Self::Normal, Self::Tight, Self::Short, Self::Full];

    /// As it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Tight => "tight",
            Self::Short => "short",
            Self::Full => "full",
        }
    }

    const fn of(taken: usize, budget: usize) -> Self {
        // Of a percent of the budget, so that nothing overflows.
        let percent = taken / (budget / 100 + 1);
        match percent {
            ..80 => Self::Normal,
            80..90 => Self::Tight,
            90..95 => Self::Short,
            _ => Self::Full,
        }
    }
}

/// The budget, and what workers have taken of it.
#[derive(Debug)]
pub struct Ledger {
    budget: AtomicUsize,
    taken: AtomicUsize,
    /// The level that was noted last.
    noted: AtomicU8,
    /// How often each level was entered from below.
    entered: [AtomicU64; Level::ALL.len()],
}

impl Ledger {
    /// A budget of which nothing is taken.
    pub fn new(budget: usize) -> Arc<Self> {
        Arc::new(Self {
            budget: AtomicUsize::new(budget),
            taken: AtomicUsize::new(0),
            noted: AtomicU8::new(0),
            entered: Default::default(),
        })
    }

    /// Another budget; what is taken stays taken.
    pub fn retune(&self, budget: usize) {
        self.budget.store(budget, Ordering::Relaxed);
    }

    /// Bytes.
    pub fn budget(&self) -> usize {
        self.budget.load(Ordering::Relaxed)
    }

    /// Bytes that workers have taken, what they have not charged yet included.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// The level now.
    pub fn level(&self) -> Level {
        Level::of(self.taken(), self.budget())
    }

    /// How often each level was entered from below.
    pub fn entered(&self) -> impl Iterator<Item = (Level, u64)> {
        let counts = self.entered.iter().map(|n| n.load(Ordering::Relaxed));
        Level::ALL.into_iter().zip(counts)
    }

    /// Notes the level; gives it to the one caller that finds it changed.
    pub fn note(&self) -> Option<Level> {
        let level = self.level();
        let before = self.noted.swap(level as u8, Ordering::Relaxed);
        if before == level as u8 {
            return None;
        }
        for (each, count) in Level::ALL.into_iter().zip(&self.entered) {
            if each as u8 > before && each <= level {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        Some(level)
    }
}

/// One worker's part of the ledger.
#[derive(Debug)]
pub struct Credit {
    ledger: Arc<Ledger>,
    /// Taken and not charged.
    left: Cell<usize>,
    level: Cell<Level>,
}

impl Credit {
    /// A worker that has taken nothing.
    pub fn new(ledger: &Arc<Ledger>) -> Rc<Self> {
        Rc::new(Self {
            ledger: Arc::clone(ledger),
            left: Cell::new(0),
            level: Cell::new(ledger.level()),
        })
    }

    /// The level when it was looked at last.
    #[inline]
    pub fn level(&self) -> Level {
        self.level.get()
    }

    /// Looks at the level: once a tick is often enough for one that other workers change.
    pub fn look(&self) -> Option<Level> {
        self.level.set(self.ledger.level());
        self.ledger.note()
    }

    fn take(&self, bytes: usize) {
        let left = self.left.get();
        if let Some(rest) = left.checked_sub(bytes) {
            self.left.set(rest);
            return;
        }
        let more = (bytes - left).next_multiple_of(CHUNK);
        self.ledger.taken.fetch_add(more, Ordering::Relaxed);
        self.left.set(left + more - bytes);
        self.level.set(self.ledger.level());
    }

    fn give(&self, bytes: usize) {
        let left = self.left.get() + bytes;
        if left <= 2 * CHUNK {
            self.left.set(left);
            return;
        }
        let back = left - CHUNK;
        self.ledger.taken.fetch_sub(back, Ordering::Relaxed);
        self.left.set(CHUNK);
        self.level.set(self.ledger.level());
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.ledger
            .taken
            .fetch_sub(self.left.get(), Ordering::Relaxed);
    }
}

/// What one holder of buffers is charged, until it is dropped.
#[derive(Debug)]
pub struct Charge {
    credit: Rc<Credit>,
    bytes: Cell<usize>,
}

impl Charge {
    /// A holder of nothing.
    pub fn new(credit: &Rc<Credit>) -> Self {
        Self {
            credit: Rc::clone(credit),
            bytes: Cell::new(0),
        }
    }

    /// It holds so much now.
    #[inline]
    pub fn set(&self, bytes: usize) {
        let before = self.bytes.replace(bytes);
        if bytes > before {
            self.credit.take(bytes - before);
        } else if bytes < before {
            self.credit.give(before - bytes);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn levels_are_shares_of_the_budget() {
        let ledger = Ledger::new(100 * MIB);
        let credit = Credit::new(&ledger);
        let charge = Charge::new(&credit);
        for (mib, level) in [
            (79, Level::Normal),
            (81, Level::Tight),
            (91, Level::Short),
            (96, Level::Full),
            (1000, Level::Full),
            (10, Level::Normal),
        ] {
            charge.set(mib * MIB);
            assert_eq!(credit.level(), level, "{mib} %");
            ledger.note();
        }
        let entered: Vec<_> = ledger.entered().map(|(_, count)| count).collect();
        assert_eq!(entered, [0, 1, 1, 1]);
        charge.set(96 * MIB);
        assert_eq!(ledger.note(), Some(Level::Full));
        assert_eq!(ledger.note(), None, "told once");
        ledger.retune(1000 * MIB);
        assert_eq!(ledger.level(), Level::Normal);
    }

    #[test]
    fn everything_comes_back() {
        let ledger = Ledger::new(100 * MIB);
        let credit = Credit::new(&ledger);
        let charges: Vec<_> = (0..1000).map(|_| Charge::new(&credit)).collect();
        for (at, charge) in charges.iter().enumerate() {
            charge.set(at * 1000);
        }
        assert!(ledger.taken() >= 499_500_000);
        for charge in &charges {
            charge.set(10);
        }
        assert!(ledger.taken() <= 10_000 + 2 * CHUNK);
        drop(charges);
        drop(credit);
        assert_eq!(ledger.taken(), 0);
    }

    /// What a request charges and gives back stays within the worker.
    #[test]
    fn a_small_charge_touches_nothing_shared() {
        let ledger = Ledger::new(100 * MIB);
        let credit = Credit::new(&ledger);
        let charge = Charge::new(&credit);
        charge.set(4096);
        let taken = ledger.taken();
        for _ in 0..1000 {
            charge.set(64 * 1024);
            charge.set(0);
            assert_eq!(ledger.taken(), taken);
        }
    }
}
