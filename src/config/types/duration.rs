//! `"250ms"`, `"5s"`, `"1m"`, `"1h"`.

use std::fmt;
use std::ops::Deref;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::refuse;
use crate::config::diagnostic::Code;

/// A length of time: a whole number and a unit (`ms`, `s`, `m`, `h`), up to 8760 hours.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Duration(pub std::time::Duration);

/// One year: longer is a slip of the finger, and clocks must be able to add it.
const MAX_MS: u64 = 8760 * 3_600_000;

impl Duration {
    /// As the standard library has it.
    pub fn get(self) -> std::time::Duration {
        self.0
    }

    /// Zero, which many keys read as "off" or "no limit".
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl Deref for Duration {
    type Target = std::time::Duration;

    fn deref(&self) -> &std::time::Duration {
        &self.0
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

fn parse<E: de::Error>(text: &str) -> Result<Duration, E> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let bad = |hint: String| {
        refuse(
            Code::BadDuration,
            format!("`{}` is not a duration", text.escape_debug()),
            Some(hint),
        )
    };
    let Ok(number) = number.parse::<u64>() else {
        return Err(bad(
            "write a whole number and a unit: \"250ms\", \"5s\", \"1m\", \"1h\"".to_owned(),
        ));
    };
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" => {
            return Err(bad(format!(
                "say the unit: \"{number}s\" or \"{number}ms\""
            )));
        }
        _ => {
            return Err(bad(
                "a whole number and one of the units `ms`, `s`, `m` and `h`, nothing between them"
                    .to_owned(),
            ));
        }
    };
    match number.checked_mul(unit_ms) {
        Some(ms) if ms <= MAX_MS => Ok(Duration(std::time::Duration::from_millis(ms))),
        _ => Err(bad("the longest duration is \"8760h\", a year".to_owned())),
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"5s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Duration, E> {
        Err(refuse(
            Code::BadDuration,
            format!("`{number}` is not a duration: it has no unit"),
            Some(format!(
                "durations are texts with a unit: \"{0}s\" or \"{0}ms\"",
                number.unsigned_abs()
            )),
        ))
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}
