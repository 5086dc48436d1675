//! The cells: counters, gauges and histograms that cost a load and a store.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A counter with one writer. Adding is a relaxed load and store, not a locked instruction: a second
/// writer would lose counts, never corrupt them.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        let value = self.0.load(Ordering::Relaxed).wrapping_add(n);
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value now; from any thread.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A counter with any number of writers, for what is rare.
#[derive(Debug, Default)]
pub struct SharedCounter(AtomicU64);

impl SharedCounter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The value now.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are at the moment, of those that one worker owns.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// One more.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// One less.
    #[inline]
    pub fn dec(&self) {
        self.add(-1);
    }

    /// `n` more, or less when negative.
    #[inline]
    pub fn add(&self, n: i64) {
        let value = self.0.load(Ordering::Relaxed).wrapping_add(n);
        self.0.store(value, Ordering::Relaxed);
    }

    /// Exactly `n`.
    pub fn set(&self, n: i64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The value now; from any thread.
    pub fn read(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the buckets in milliseconds: those of OpenTelemetry's HTTP durations.
const BOUNDS_MS: [u64; 14] = [
    5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000,
];

/// Buckets, the last one without an upper bound.
const BUCKETS: usize = BOUNDS_MS.len() + 1;

const NANOS_PER_MS: u64 = 1_000_000;

/// A histogram of durations with one writer. Fifteen buckets and the sum are two cache lines.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_nanos: Counter,
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn observe(&self, duration: Duration) {
        let nanos = nanos(duration);
        let bucket = bucket(nanos);
        if let Some(counter) = self.buckets.get(bucket) {
            counter.inc();
        }
        self.sum_nanos.add(nanos);
    }
}

/// Whole nanoseconds; a `u64` holds 584 years of them.
#[inline]
fn nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .wrapping_mul(1_000_000_000)
        .wrapping_add(u64::from(duration.subsec_nanos()))
}

/// Finds the bucket from below: integers only, and nearly every exchange stops at the first compare.
#[inline]
fn bucket(nanos: u64) -> usize {
    let mut index = 0;
    for bound in BOUNDS_MS {
        if nanos <= bound * NANOS_PER_MS {
            return index;
        }
        index += 1;
    }
    index
}

/// The sum of histograms of several workers.
#[derive(Clone, Debug, Default)]
pub(super) struct Distribution {
    buckets: [u64; BUCKETS],
    sum_nanos: u64,
}

impl Distribution {
    /// Adds what a worker has counted.
    pub(super) fn absorb(&mut self, histogram: &Histogram) {
        for (sum, counter) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum = sum.wrapping_add(counter.read());
        }
        self.sum_nanos = self.sum_nanos.wrapping_add(histogram.sum_nanos.read());
    }

    /// Adds another sum.
    pub(super) fn merge(&mut self, other: &Self) {
        for (sum, more) in self.buckets.iter_mut().zip(other.buckets) {
            *sum = sum.wrapping_add(more);
        }
        self.sum_nanos = self.sum_nanos.wrapping_add(other.sum_nanos);
    }

    /// Observations in all buckets.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Sum of all observations in seconds.
    pub(super) fn sum_seconds(&self) -> f64 {
        self.sum_nanos as f64 / 1e9
    }

    /// Upper bound in seconds and observations up to it, without the last, unbounded bucket.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let counts = self.buckets.iter().scan(0_u64, |sum, n| {
            *sum += n;
            Some(*sum)
        });
        BOUNDS_MS
            .iter()
            .zip(counts)
            .map(|(ms, count)| (*ms as f64 / 1e3, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(5 * NANOS_PER_MS), 0);
        assert_eq!(bucket(5 * NANOS_PER_MS + 1), 1);
        assert_eq!(bucket(10_000 * NANOS_PER_MS), 13);
        assert_eq!(bucket(10_000 * NANOS_PER_MS + 1), 14);
        assert_eq!(bucket(u64::MAX), 14);
    }

    #[test]
    fn sums_are_exact_over_workers() {
        let (a, b) = (Histogram::default(), Histogram::default());
        a.observe(Duration::from_millis(4));
        b.observe(Duration::from_millis(20));
        b.observe(Duration::from_mins(1));
        let mut sum = Distribution::default();
        sum.absorb(&a);
        sum.absorb(&b);
        assert_eq!(sum.count(), 3);
        assert!((sum.sum_seconds() - 60.024).abs() < 1e-9);
        let below_25ms = sum
            .cumulative()
            .find(|(bound, _)| *bound >= 0.025)
            .map(|(_, count)| count);
        assert_eq!(below_25ms, Some(2));
        assert_eq!(size_of::<Histogram>(), 128);
    }
}
