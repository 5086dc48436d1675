//! Exact status codes: a dense row for the common ones, a short list for the rest.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::cell::Counter;

/// Codes with a counter of their own in every row.
const COMMON: [u16; 25] = [
    200, 201, 204, 206, 301, 302, 304, 307, 308, 400, 401, 403, 404, 408, 413, 414, 429, 431, 499,
    500, 501, 502, 503, 504, 0,
];

/// Other codes that a row remembers; an endpoint that invents more gets [`OVERFLOW`].
const MAX_OTHER: usize = 32;

/// Stands for every code beyond [`MAX_OTHER`].
const OVERFLOW: u16 = u16::MAX;

/// Status 0: the attempt ended without a response.
pub(super) const NO_RESPONSE: u16 = 0;

/// Counts by exact status code. One writer.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Codes {
    common: [Counter; COMMON.len()],
    other: Mutex<Vec<(u16, u64)>>,
}

#[inline]
const fn index(code: u16) -> Option<usize> {
    Some(match code {
        200 => 0,
        201 => 1,
        204 => 2,
        206 => 3,
        301 => 4,
        302 => 5,
        304 => 6,
        307 => 7,
        308 => 8,
        400 => 9,
        401 => 10,
        403 => 11,
        404 => 12,
        408 => 13,
        413 => 14,
        414 => 15,
        429 => 16,
        431 => 17,
        499 => 18,
        500 => 19,
        501 => 20,
        502 => 21,
        503 => 22,
        504 => 23,
        NO_RESPONSE => 24,
        _ => return None,
    })
}

impl Codes {
    /// Counts one response.
    #[inline]
    pub(super) fn count(&self, code: u16) {
        match index(code).and_then(|index| self.common.get(index)) {
            Some(counter) => counter.inc(),
            None => self.count_other(code),
        }
    }

    #[cold]
    fn count_other(&self, code: u16) {
        let mut other = self.other.lock().unwrap_or_else(PoisonError::into_inner);
        let code = if other.len() < MAX_OTHER || other.iter().any(|(known, _)| *known == code) {
            code
        } else {
            OVERFLOW
        };
        match other.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => other.push((code, 1)),
        }
    }

    /// Adds this row to `sums`.
    pub(super) fn sum_into(&self, sums: &mut CodeSums) {
        for (code, counter) in COMMON.iter().zip(&self.common) {
            sums.add(*code, counter.read());
        }
        let other = self.other.lock().unwrap_or_else(PoisonError::into_inner);
        for (code, count) in other.iter() {
            sums.add(*code, *count);
        }
    }
}

/// Rows of several workers, added up.
#[derive(Debug, Default)]
pub(super) struct CodeSums(BTreeMap<u16, u64>);

impl CodeSums {
    fn add(&mut self, code: u16, count: u64) {
        if count > 0 {
            *self.0.entry(code).or_default() += count;
        }
    }

    /// Label value and count of every code that occurred.
    pub(super) fn iter(&self) -> impl Iterator<Item = (String, u64)> {
        self.0.iter().map(|(code, count)| (label(*code), *count))
    }
}

fn label(code: u16) -> String {
    match code {
        NO_RESPONSE => "none".to_owned(),
        OVERFLOW => super::OTHER.to_owned(),
        code => code.to_string(),
    }
}

/// Classes of status codes, by [`class`].
pub(super) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Position in [`CLASSES`].
#[inline]
pub(super) const fn class(status: u16) -> usize {
    match status {
        100..=199 => 1,
        200..=299 => 2,
        300..=399 => 3,
        400..=499 => 4,
        500..=999 => 5,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_and_its_index_agree() {
        for (position, code) in COMMON.iter().enumerate() {
            assert_eq!(index(*code), Some(position));
        }
    }

    #[test]
    fn invented_codes_cannot_make_series_without_end() {
        let codes = Codes::default();
        for code in 600..800 {
            codes.count(code);
        }
        codes.count(600);
        codes.count(200);
        let mut sums = CodeSums::default();
        codes.sum_into(&mut sums);
        let rows: Vec<_> = sums.iter().collect();
        assert_eq!(rows.len(), MAX_OTHER + 2);
        assert_eq!(rows.iter().map(|(_, count)| count).sum::<u64>(), 202);
        assert!(rows.contains(&("_other".to_owned(), 168)));
        assert!(rows.contains(&("600".to_owned(), 2)));
    }
}
