//! The text of a query: percent-encoded, and compared and counted as it is meant.

use std::borrow::Cow;

use super::KeyValue;
use crate::base::hash::Hasher128;

impl<'a> KeyValue<'a> {
    /// The bytes that it means; `None`: it is an address.
    pub fn bytes(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Encoded(text) if is_encoded(text) => Some(Cow::Owned(decoded(text).collect())),
            Self::Bytes(bytes) | Self::Encoded(bytes) => Some(Cow::Borrowed(bytes)),
            Self::Addr(_) => None,
        }
    }
}

/// The first parameter of a name, as it was written. The name is compared as it is meant.
pub(super) fn parameter<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut pairs = query.split(|&byte| byte == b'&');
    let pair = pairs.find(|pair| is_named(pair, name))?;
    let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
    Some(pair.get(at + 1..).unwrap_or_default())
}

/// Whether a parameter has this name, which is compared as it is meant.
pub(super) fn is_named(pair: &[u8], name: &[u8]) -> bool {
    let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
    let key = pair.get(..at).unwrap_or_default();
    key == name || (is_encoded(key) && decoded(key).eq(name.iter().copied()))
}

pub(super) fn is_encoded(text: &[u8]) -> bool {
    memchr::memchr2(b'%', b'+', text).is_some()
}

/// The bytes of a query's text: `a%62c` and `abc` must be one client.
pub(super) fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let digit = |at: usize| {
        let byte = *text.get(at)?;
        char::from(byte).to_digit(16)
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *text.get(at)?;
        at += 1;
        Some(match byte {
            b'+' => b' ',
            b'%' => match (digit(at), digit(at + 1)) {
                (Some(high), Some(low)) => {
                    at += 2;
                    u8::try_from(high * 16 + low).unwrap_or(byte)
                }
                _ => byte,
            },
            byte => byte,
        })
    })
}

/// Puts what a text means into a hash, as if it stood there plainly.
pub(super) fn feed(text: &[u8], hasher: &mut Hasher128) {
    let (mut word, mut length) = (0, 0_u64);
    for byte in decoded(text) {
        word |= u64::from(byte) << (length % 8 * 8);
        length += 1;
        if length.is_multiple_of(8) {
            hasher.word(std::mem::take(&mut word));
        }
    }
    if !length.is_multiple_of(8) {
        hasher.word(word);
    }
    hasher.word(length);
}
