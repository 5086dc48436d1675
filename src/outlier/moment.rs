//! A point in time that fits into an atomic.

use std::time::Duration;

use crate::base::clock::{self, Instant};

/// Milliseconds since a moment that is the same for the whole process.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(u64);

const NANOS: u64 = 1_000_000;

impl Moment {
    /// The moment of `at`.
    #[inline]
    pub fn of(at: Instant) -> Self {
        Self(clock::stamp(at) / NANOS)
    }

    /// So many milliseconds after the first moment.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the first moment.
    #[inline]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The moment so much later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(millis(wait)))
    }

    /// From here to `later`; zero when that has passed.
    pub const fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
