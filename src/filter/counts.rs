//! Counts by a word out of a few: what filters tell of what they did.

use std::sync::atomic::{AtomicU64, Ordering};

/// As many counts as there are words.
#[derive(Debug)]
pub(super) struct Counts<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Counts<N> {
    /// One more of the word at this place.
    pub(super) fn add(&self, at: usize) {
        if let Some(count) = self.0.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Each of the words with its count.
    pub(super) fn by(&self, words: [&'static str; N]) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.iter().map(|it| it.load(Ordering::Relaxed));
        words.into_iter().zip(counts)
    }
}
