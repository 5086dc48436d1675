//! Shares: `0.25` and percent.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::refuse;
use crate::config::diagnostic::Code;

/// A whole number of percent, 0-100.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Percent(pub u8);

/// A share, 0.0-1.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Ratio(pub f64);

struct PercentReader;

impl Visitor<'_> for PercentReader {
    type Value = Percent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of percent, 0-100")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Percent, E> {
        u8::try_from(number)
            .ok()
            .filter(|percent| *percent <= 100)
            .map(Percent)
            .ok_or_else(|| {
                refuse(
                    Code::BadValue,
                    format!("`{number}` percent: allowed are 0 to 100"),
                    None,
                )
            })
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PercentReader)
    }
}

struct RatioReader;

impl Visitor<'_> for RatioReader {
    type Value = Ratio;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0.0 to 1.0")
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Ratio, E> {
        if (0.0..=1.0).contains(&number) {
            return Ok(Ratio(number));
        }
        Err(refuse(
            Code::BadValue,
            format!("`{number}` is not a share: allowed are 0.0 to 1.0"),
            (1.0..=100.0)
                .contains(&number)
                .then(|| format!("{number} percent is {}", number / 100.0)),
        ))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Ratio, E> {
        self.visit_f64(number as f64)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RatioReader)
    }
}
