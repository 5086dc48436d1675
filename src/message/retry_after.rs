//! Retry-After (RFC 9110, 10.2.3): a number of seconds or a date.

use std::time::Duration;

use super::{Known, ResponseHead};

/// How long the sender asks to be left alone, when it is `wall` (time since the Unix epoch). `None` without the field,
/// and for anything but a number and the one form of date that senders must use (RFC 9110, 5.6.7).
pub fn read(head: &ResponseHead<'_>, wall: Duration) -> Option<Duration> {
    let value = head.first(Known::RetryAfter)?;
    if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
        return Some(Duration::from_secs(number(value).unwrap_or(u64::MAX)));
    }
    Some(Duration::from_secs(date(value)?).saturating_sub(wall))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` → seconds since the Unix epoch.
fn date(text: &[u8]) -> Option<u64> {
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let rest = text.get(memchr::memmem::find(text, b", ")? + 2..)?;
    let (day, month, year) = (rest.get(..2)?, rest.get(3..6)?, rest.get(7..11)?);
    let (hour, minute, second) = (rest.get(12..14)?, rest.get(15..17)?, rest.get(18..20)?);
    if rest.get(20..)? != b" GMT" {
        return None;
    }
    let month = MONTHS.chunks(3).position(|name| name == month)? as u64;
    let days = days(number(year)?, month, number(day)?)?;
    let of_day = number(hour)? * 3600 + number(minute)? * 60 + number(second)?;
    Some(days * 86_400 + of_day)
}

/// Days from 1970-01-01; `month` counts from 0. Howard Hinnant's `days_from_civil`, for days that are not negative: years
/// begin in March, so that the leap day is the last of its year.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month < 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let (era, of_era) = (year / 400, year % 400);
    let march_month = (month + 10) % 12;
    let of_year = (153 * march_month + 2) / 5 + day.checked_sub(1)?;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_at_their_edges() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
            ("Mon, 01 Mar 2100 00:00:00 GMT", Some(4_107_542_400)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun Nov  6 08:49:37 1994", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Thu, 00 Jan 1969 00:00:00 GMT", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(date(text.as_bytes()), seconds, "{text}");
        }
    }
}
