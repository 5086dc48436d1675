//! Names of exchanges: UUIDs of version 7 (RFC 9562, 5.7), which sort by the time at which they were made.
//!
//! Behind the time stand 26 bits that are the worker's, by chance, and a count of 48 bits that began by chance: ids of one
//! worker never meet, those of two workers or instances only if both agree within the same millisecond.

use super::exchange::Record;
use super::note::jot;
use crate::message::Known;
use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// `01890a5d-ac96-774b-bcce-b302099a8057`
pub(super) type Id = [u8; 36];

/// One worker's.
#[derive(Debug)]
pub(super) struct Ids {
    /// `-7aaa-bbbb-`
    middle: [u8; 11],
    count: Cell<u64>,
}

impl Ids {
    pub(super) fn new() -> Self {
        // Keyed by the operating system's random numbers.
        let random = RandomState::new();
        let chance = random.hash_one("worker");
        let mut middle = *b"-7000-8000-";
        hex(chance & 0xfff, &mut middle, 2, 3);
        hex(0x8000 | chance >> 12 & 0x3fff, &mut middle, 6, 4);
        Self {
            middle,
            count: Cell::new(random.hash_one("count")),
        }
    }

    /// The next one, at so many milliseconds since 1970.
    pub(super) fn next(&self, millis: u64) -> Id {
        let count = self.count.get();
        self.count.set(count.wrapping_add(1));
        let mut id = *b"00000000-0000-7000-8000-000000000000";
        hex(millis >> 16, &mut id, 0, 8);
        hex(millis, &mut id, 9, 4);
        if let Some(place) = id.get_mut(13..24) {
            place.copy_from_slice(&self.middle);
        }
        hex(count, &mut id, 24, 12);
        id
    }
}

/// Writes the last `width` hexadecimal digits of a number at `start`.
fn hex(mut number: u64, text: &mut [u8], start: usize, width: usize) {
    let Some(place) = text.get_mut(start..start + width) else {
        return;
    };
    for digit in place.iter_mut().rev() {
        let nibble = u8::try_from(number & 15).unwrap_or_default();
        *digit = if nibble < 10 {
            b'0' + nibble
        } else {
            b'a' - 10 + nibble
        };
        number >>= 4;
    }
}

/// Longest request id that is taken over from a trusted peer.
const MAX_TRUSTED_ID: usize = 128;

/// Whether the id of another may stand in our line and in our fields.
fn is_harmless(id: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:=+/@".contains(byte);
    (1..=MAX_TRUSTED_ID).contains(&id.len()) && id.iter().all(allowed)
}

impl Record {
    /// The request id: a UUID of version 7, or what a trusted peer sent.
    pub fn request_id(&self) -> &str {
        let id = match &self.trusted_id {
            Some(span) => span.of(&self.note),
            None => self.id.get_or_init(|| self.journal.request_id(self.begin)),
        };
        // Both are ASCII: made of hexadecimal digits, or checked when it was taken over.
        std::str::from_utf8(id).unwrap_or_default()
    }

    /// Takes over the id that the head has of a trusted peer: 1 to 128 letters, digits and `-._:=+/@`. Anything else
    /// is left aside.
    pub fn trust_request_id(&mut self) {
        let id = self
            .head
            .as_ref()
            .and_then(|head| head.first(Known::XRequestId));
        if let Some(id) = id.filter(|id| is_harmless(id)) {
            self.trusted_id = Some(jot(&mut self.note, id));
        }
    }

    /// Takes over the id of the exchange that it serves.
    pub fn named_as(&mut self, other: &Self) {
        let id = other.request_id().as_bytes();
        self.trusted_id = Some(jot(&mut self.note, id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_uuids_of_version_7_and_sort_by_time() {
        let (ours, theirs) = (Ids::new(), Ids::new());
        ours.count.set(u64::MAX - 1);
        let mut seen = HashSet::new();
        for millis in 0..1000 {
            for ids in [&ours, &theirs] {
                let id = ids.next(1_700_000_000_000 + millis);
                let text = std::str::from_utf8(&id).unwrap();
                let groups: Vec<_> = text.split('-').collect();
                let lengths: Vec<_> = groups.iter().map(|group| group.len()).collect();
                assert_eq!(lengths, [8, 4, 4, 4, 12], "{text}");
                let hex = |c: char| matches!(c, '0'..='9' | 'a'..='f' | '-');
                assert!(text.chars().all(hex), "{text}");
                assert!(groups[2].starts_with('7'), "{text}");
                assert!(groups[3].starts_with(['8', '9', 'a', 'b']), "{text}");
                let stamp = u64::from_str_radix(&text.replace('-', "")[..12], 16).unwrap();
                assert_eq!(stamp, 1_700_000_000_000 + millis);
                assert!(seen.insert(id), "{text}");
            }
        }
        assert!(ours.next(5)[..] < ours.next(6)[..]);
    }
}
