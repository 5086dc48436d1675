//! Whether it is of use to ask the store.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Failures in a row after which nobody waits for the store any more.
const FAILURES: u32 = 5;

/// Open from the start: until there is a connection, there is nobody to ask.
#[derive(Debug)]
pub struct Breaker {
    open: AtomicBool,
    failures: AtomicU32,
    answered: AtomicU64,
    failed: AtomicU64,
    skipped: AtomicU64,
}

/// What became of questions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Answered.
    pub ok: u64,
    /// Not answered, or not in time.
    pub error: u64,
    /// Not asked: the breaker was open, or too many waited.
    pub skipped: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            open: AtomicBool::new(true),
            failures: AtomicU32::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        }
    }
}

impl Breaker {
    /// Whether nobody should ask.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.open.store(false, Ordering::Relaxed);
    }

    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    pub(super) fn succeeded(&self, questions: u64) {
        self.answered.fetch_add(questions, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
    }

    /// Counts failures, each for itself; too many in a row open it.
    pub(super) fn failed(&self, questions: u64) {
        self.failed.fetch_add(questions, Ordering::Relaxed);
        let more = u32::try_from(questions).unwrap_or(u32::MAX);
        let before = self.failures.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) >= FAILURES {
            self.open();
        }
    }

    pub(super) fn skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// What became of questions so far.
    pub fn counts(&self) -> Counts {
        Counts {
            ok: self.answered.load(Ordering::Relaxed),
            error: self.failed.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
        }
    }
}
