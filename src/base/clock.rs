//! The only reads of the clock.
//!
//! Durations come from the monotonic clock, so a jump of the wall clock (NTP, leap second, an
//! operator) never fires or stretches a timeout; the wall clock is for display only.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::ops::{Add, AddAssign};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

const SECOND: u64 = 1_000_000_000;

/// A moment of the monotonic clock (`CLOCK_MONOTONIC`, `clock_gettime(2)`), in nanoseconds.
///
/// One word, where the standard library's has two and asks 37 instructions for a difference: a request needs a dozen of
/// them. What is out of range, 584 years from the boot, stays at its end.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Instant(NonZeroU64);

impl Instant {
    const fn new(nanos: u64) -> Self {
        match NonZeroU64::new(nanos) {
            Some(nanos) => Self(nanos),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Time since `earlier`, zero when the order is reversed.
    #[inline]
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// This much later; `None` beyond the end of time.
    #[inline]
    pub const fn checked_add(self, time: Duration) -> Option<Self> {
        match self.0.checked_add(nanos(time)) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// This much earlier; `None` before the boot.
    #[inline]
    pub const fn checked_sub(self, time: Duration) -> Option<Self> {
        match self.0.get().checked_sub(nanos(time)) {
            None | Some(0) => None,
            Some(nanos) => Some(Self::new(nanos)),
        }
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }
}

impl AddAssign<Duration> for Instant {
    #[inline]
    fn add_assign(&mut self, time: Duration) {
        *self = *self + time;
    }
}

impl From<Instant> for tokio::time::Instant {
    /// The same moment for the runtime's timers; one that has passed is now.
    fn from(at: Instant) -> Self {
        Self::now() + between(now(), at)
    }
}

/// A duration in nanoseconds, at most 584 years.
#[inline]
const fn nanos(time: Duration) -> u64 {
    time.as_secs()
        .saturating_mul(SECOND)
        .saturating_add(time.subsec_nanos() as u64)
}

/// The monotonic clock.
#[inline]
pub fn now() -> Instant {
    // It fails for clocks that are not there, and this one always is. (The reading that rustix has of its own ends the process
    // under valgrind, by which instructions are counted.)
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or(TimeSpec::new(0, 0));
    let seconds = now.tv_sec().cast_unsigned().saturating_mul(SECOND);
    Instant::new(seconds.saturating_add(now.tv_nsec().cast_unsigned()))
}

/// Wall-clock time since the Unix epoch; zero if the clock stands before it.
#[expect(clippy::disallowed_methods, reason = "the one home of clock reads")]
pub fn wall() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The wall clock as HTTP tells it (IMF-fixdate, RFC 9110, 5.6.7), made once a second on each thread.
pub fn http_date() -> [u8; 29] {
    const LENGTH: usize = 29;
    thread_local! {
        static LAST: Cell<(u64, [u8; LENGTH])> = const { Cell::new((u64::MAX, [b' '; LENGTH])) };
    }
    let second = wall().as_secs();
    let (made_at, made) = LAST.get();
    if made_at == second {
        return made;
    }
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
    // The form has a fixed length.
    let made = text.as_bytes().try_into().unwrap_or(made);
    LAST.set((second, made));
    made
}

/// `at` as nanoseconds that fit an atomic: since a moment that is the same for the whole process. Never 0,
/// so that 0 can say "never".
#[inline]
pub const fn stamp(at: Instant) -> u64 {
    at.0.get()
}

/// A moment of the monotonic clock as microseconds since the Unix epoch, so that windows begin at whole minutes and
/// several processes agree on them. The wall clock is asked once: its jumps move nothing.
#[inline]
pub fn micros(at: Instant) -> u64 {
    const MICRO: u64 = 1_000;
    // What the wall clock was ahead, when it was asked.
    static AHEAD: OnceLock<u64> = OnceLock::new();
    let ahead = AHEAD.get_or_init(|| nanos(wall()).saturating_sub(stamp(now())) / MICRO);
    (stamp(at) / MICRO).saturating_add(*ahead)
}

/// Time from `earlier` to `later`, zero when the order is reversed.
#[inline]
pub const fn between(earlier: Instant, later: Instant) -> Duration {
    later.duration_since(earlier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_one_word_and_stays_within_its_ends() {
        assert_eq!(size_of::<Option<Instant>>(), size_of::<u64>());
        let (start, second) = (now(), Duration::from_secs(1));
        assert!(start <= now());
        assert_eq!((start + second).duration_since(start), second);
        assert_eq!(start.duration_since(start + second), Duration::ZERO);
        assert_eq!((start + second).checked_sub(second), Some(start));
        assert_eq!(start.checked_sub(Duration::MAX), None);
        assert_eq!(start.checked_add(Duration::MAX), None);
        assert_eq!(start + Duration::MAX, start + Duration::MAX + second);
        assert!(stamp(start) > 0 && stamp(start + second) == stamp(start) + SECOND);
    }

    #[test]
    fn windows_go_by_the_epoch_and_by_this_clock() {
        let start = now();
        let later = start + Duration::from_mins(1);
        assert_eq!(micros(later) - micros(start), 60_000_000);
        let apart = (nanos(wall()) / 1_000).abs_diff(micros(now()));
        assert!(
            apart < 3_600_000_000,
            "{apart} microseconds from the wall clock"
        );
    }
}
