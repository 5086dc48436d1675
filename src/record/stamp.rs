//! Wall-clock time as text: RFC 3339, UTC, milliseconds.

use std::time::Duration;

use crate::base::clock::{self, Instant};

/// Text length: `2026-01-31T23:59:59.999Z`.
const LENGTH: usize = 24;

/// Turns instants into text. The wall clock is read once in a while and the date is computed once per
/// second; what is left for a line is three digits.
#[derive(Debug)]
pub(super) struct Stamper {
    anchor: Instant,
    wall: Duration,
    second: u64,
    text: [u8; LENGTH],
}

impl Stamper {
    pub(super) fn new() -> Self {
        let mut stamper = Self {
            anchor: clock::now(),
            wall: clock::wall(),
            second: 0,
            text: *b"1970-01-01T00:00:00.000Z",
        };
        stamper.date(0);
        stamper
    }

    /// Reads both clocks again, so that steps of the wall clock are followed.
    pub(super) fn refresh(&mut self) {
        self.anchor = clock::now();
        self.wall = clock::wall();
    }

    /// The wall-clock time of `at`, in milliseconds since 1970.
    pub(super) fn millis(&self, at: Instant) -> u64 {
        u64::try_from(self.wall(at).as_millis()).unwrap_or(u64::MAX)
    }

    fn wall(&self, at: Instant) -> Duration {
        if at >= self.anchor {
            self.wall.saturating_add(at.duration_since(self.anchor))
        } else {
            self.wall.saturating_sub(self.anchor.duration_since(at))
        }
    }

    /// The wall-clock time of `at`.
    pub(super) fn text(&mut self, at: Instant) -> [u8; LENGTH] {
        let wall = self.wall(at);
        if wall.as_secs() != self.second {
            self.date(wall.as_secs());
        }
        digits(&mut self.text, 20, 3, u64::from(wall.subsec_millis()));
        self.text
    }

    fn date(&mut self, second: u64) {
        let (days, of_day) = (second / 86_400, second % 86_400);
        let (year, month, day) = civil(days);
        digits(&mut self.text, 0, 4, year);
        digits(&mut self.text, 5, 2, month);
        digits(&mut self.text, 8, 2, day);
        digits(&mut self.text, 11, 2, of_day / 3600);
        digits(&mut self.text, 14, 2, of_day / 60 % 60);
        digits(&mut self.text, 17, 2, of_day % 60);
        self.second = second;
    }
}

/// Writes `value` as `width` decimal digits at `start`.
fn digits(text: &mut [u8], start: usize, width: usize, mut value: u64) {
    for position in (start..start + width).rev() {
        if let Some(digit) = text.get_mut(position) {
            *digit = b'0' + u8::try_from(value % 10).unwrap_or_default();
        }
        value /= 10;
    }
}

/// Year, month and day of a day since 1970-01-01: Howard Hinnant's `civil_from_days`, for days that are not
/// negative. Years begin in March, so that the leap day is the last of its year.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_at_their_edges() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (1_709_164_800, "2024-02-29T00:00:00.007Z"),
            (1_735_689_599, "2024-12-31T23:59:59.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
        ] {
            let mut stamper = Stamper::new();
            stamper.wall = Duration::new(seconds, 7_000_000);
            let at = stamper.anchor;
            assert_eq!(stamper.text(at).as_slice(), expected.as_bytes());
        }
    }

    #[test]
    fn instants_before_and_after_the_anchor_are_placed() {
        let mut stamper = Stamper::new();
        stamper.wall = Duration::from_millis(10_500);
        let at = stamper.anchor;
        let later = at + Duration::from_millis(1_600);
        assert_eq!(&stamper.text(later), b"1970-01-01T00:00:12.100Z");
        if let Some(earlier) = at.checked_sub(Duration::from_millis(600)) {
            assert_eq!(&stamper.text(earlier), b"1970-01-01T00:00:09.900Z");
        }
    }
}
