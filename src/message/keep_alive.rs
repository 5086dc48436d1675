//! What an endpoint says of how long it keeps an idle connection.

use std::time::Duration;

/// Longest hint that is looked at: a year and more means never.
const MOST: u64 = 365 * 24 * 3600;

/// The `timeout` of a Keep-Alive field, in seconds: `timeout=5, max=100`.
pub fn timeout(value: &[u8]) -> Option<Duration> {
    value.split(|&byte| byte == b',').find_map(|part| {
        let (name, seconds) = part.split_at_checked(part.iter().position(|&byte| byte == b'=')?)?;
        if !name.trim_ascii().eq_ignore_ascii_case(b"timeout") {
            return None;
        }
        let digits = std::str::from_utf8(seconds.get(1..)?.trim_ascii()).ok()?;
        // `parse` takes a sign; a duration has none.
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = digits.parse::<u64>().ok().filter(|_| plain)?;
        Some(Duration::from_secs(seconds.min(MOST)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_hint_and_nothing_else() {
        let seconds = |value: &str| timeout(value.as_bytes()).map(|time| time.as_secs());
        assert_eq!(seconds("timeout=5"), Some(5));
        assert_eq!(seconds("max=100, Timeout = 60"), Some(60));
        assert_eq!(seconds("timeout=0"), Some(0));
        assert_eq!(seconds("timeout=18446744073709551615"), Some(MOST));
        for value in [
            "",
            "timeout",
            "timeout=",
            "timeout=+5",
            "timeout=-1",
            "timeout=5s",
            "timeouts=5",
            "max=5",
        ] {
            assert_eq!(seconds(value), None, "{value}");
        }
    }
}
