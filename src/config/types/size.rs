//! `"512B"`, `"64KiB"`, `"10MiB"`, `"1GiB"`.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::refuse;
use crate::config::diagnostic::Code;

/// A number of bytes: a whole number and a unit (`B`, `KiB`, `MiB`, `GiB`), up to 2^53 bytes.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct ByteSize(pub u64);

const MAX: u64 = 1 << 53;

impl ByteSize {
    /// Bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

fn parse<E: de::Error>(text: &str) -> Result<ByteSize, E> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let bad = |hint: String| {
        refuse(
            Code::BadSize,
            format!("`{}` is not a size", text.escape_debug()),
            Some(hint),
        )
    };
    let Ok(number) = number.parse::<u64>() else {
        return Err(bad(
            "write a whole number and a unit: \"512B\", \"64KiB\", \"10MiB\"".to_owned(),
        ));
    };
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "" => {
            return Err(bad(format!(
                "say the unit: \"{number}B\" or \"{number}KiB\""
            )));
        }
        _ => {
            let near = match unit.as_bytes().first() {
                Some(b'k' | b'K') => "KiB",
                Some(b'm' | b'M') => "MiB",
                Some(b'g' | b'G') => "GiB",
                _ => return Err(bad("units are `B`, `KiB`, `MiB` and `GiB`".to_owned())),
            };
            return Err(bad(format!(
                "units are powers of 1024: `B`, `KiB`, `MiB` and `GiB`; did you mean \"{number}{near}\"?"
            )));
        }
    };
    match number.checked_mul(1 << shift) {
        Some(bytes) if bytes <= MAX => Ok(ByteSize(bytes)),
        _ => Err(bad("the largest size is 8388608 GiB".to_owned())),
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"64KiB\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
        parse(text)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<ByteSize, E> {
        Err(refuse(
            Code::BadSize,
            format!("`{number}` is not a size: it has no unit"),
            Some(format!(
                "sizes are texts with a unit: \"{0}B\" or \"{0}KiB\"",
                number.unsigned_abs()
            )),
        ))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}
