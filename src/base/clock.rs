//! The only reads of the clock.
//!
//! Durations come from the monotonic clock, so a jump of the wall clock (NTP, leap second, an
//! operator) never fires or stretches a timeout; the wall clock is for display only.

use std::sync::OnceLock;
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

/// `at` as nanoseconds that fit an atomic: since a moment that is the same for the whole process. Never 0,
/// so that 0 can say "never".
pub fn stamp(at: Instant) -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    // In 64 bits: this is asked several times for each request.
    let since = between(*ORIGIN.get_or_init(now), at);
    let whole = since.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(u64::from(since.subsec_nanos())).max(1)
}

/// A moment of the monotonic clock as microseconds since the Unix epoch, so that windows begin at whole minutes and
/// several processes agree on them. The wall clock is asked once: its jumps move nothing.
pub fn micros(at: Instant) -> u64 {
    static ORIGIN: OnceLock<(Instant, u64)> = OnceLock::new();
    // In 64 bits: this is asked for each decision of a limiter.
    let whole = |time: Duration| {
        let seconds = time.as_secs().saturating_mul(1_000_000);
        seconds.saturating_add(u64::from(time.subsec_micros()))
    };
    let (origin, epoch) = ORIGIN.get_or_init(|| (now(), whole(wall())));
    if at >= *origin {
        epoch.saturating_add(whole(between(*origin, at)))
    } else {
        epoch.saturating_sub(whole(between(at, *origin)))
    }
}

/// Time from `earlier` to `later`, zero when the order is reversed.
#[inline]
pub fn between(earlier: Instant, later: Instant) -> Duration {
    later.saturating_duration_since(earlier)
}
