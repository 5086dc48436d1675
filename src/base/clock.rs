//! The only reads of the clock.
//!
//! Durations come from the monotonic clock, so a jump of the wall clock (NTP, leap second, an
//! operator) never fires or stretches a timeout; the wall clock is for display only.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock.
#[inline]
#[expect(clippy::disallowed_methods, reason = "the one home of clock reads")]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall-clock time since the Unix epoch; zero if the clock stands before it.
#[expect(clippy::disallowed_methods, reason = "the one home of clock reads")]
pub fn wall() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Time from `earlier` to `later`, zero when the order is reversed.
#[inline]
pub fn between(earlier: Instant, later: Instant) -> Duration {
    later.saturating_duration_since(earlier)
}
