//! Status codes: `200`, `"200"`, `"200-299"`.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::refuse;
use crate::config::diagnostic::Code;

/// One status code or a range of them, both ends included, 100-599.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StatusRange {
    /// First code.
    pub first: u16,
    /// Last code.
    pub last: u16,
}

impl StatusRange {
    /// Whether `status` is one of them.
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }

    /// Reads `200` or `200-299`.
    pub(in crate::config) fn parse(text: &str) -> Option<Self> {
        let code = |text: &str| {
            text.parse::<u16>()
                .ok()
                .filter(|code| (100..=599).contains(code))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (code(first)?, code(last)?);
        (first <= last).then_some(Self { first, last })
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = StatusRange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status code or a range such as \"200-299\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<StatusRange, E> {
        StatusRange::parse(text).ok_or_else(|| {
            refuse(
                Code::BadStatus,
                format!(
                    "`{}` is not a status code or a range of them",
                    text.escape_debug()
                ),
                Some("write 200, \"200\" or \"200-299\"; codes are 100 to 599".to_owned()),
            )
        })
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<StatusRange, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}
