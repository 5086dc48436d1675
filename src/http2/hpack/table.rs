//! The dynamic table: the same for both directions.

use std::collections::VecDeque;

use super::OVERHEAD;
use super::line::{Fit, Kind, Line};
use crate::message::Care;

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where its name begins; positions count from the table's first byte ever.
    start: usize,
    name: usize,
    value: usize,
    hash: u32,
    kind: Kind,
    fit: Fit,
}

/// Lines that both ends remember, newest first. Takes no memory before its first line.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    text: Vec<u8>,
    /// The position of the first byte in `text`.
    base: usize,
    size: usize,
    most: usize,
    /// Lines that were remembered since it began, as far as a number of 32 bits counts them.
    inserted: u32,
}

impl Table {
    pub(super) fn new(most: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            text: Vec::new(),
            base: 0,
            size: 0,
            most,
            inserted: 0,
        }
    }

    /// Bytes of memory that it takes.
    pub(super) fn weight(&self) -> usize {
        self.text.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// What it may count.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// It may count so much from now on; what is too much goes.
    pub(super) fn resize(&mut self, most: usize) {
        self.most = most;
        self.make_room(0);
    }

    fn make_room(&mut self, wanted: usize) {
        while self.size + wanted > self.most {
            let Some(oldest) = self.entries.pop_front() else {
                return;
            };
            self.size -= oldest.name + oldest.value + OVERHEAD;
        }
    }

    /// Remembers a line. One that is larger than the table empties it (RFC 7541, 4.4).
    pub(super) fn insert(&mut self, line: &Line<'_>, hash: u32) {
        let (name, value) = (line.name.len(), line.value.len());
        let size = name + value + OVERHEAD;
        self.make_room(size);
        if size > self.most {
            return;
        }
        if self.text.len() + name + value > self.most {
            self.forget();
        }
        let start = self.base + self.text.len();
        self.text.extend_from_slice(line.name);
        self.text.extend_from_slice(line.value);
        self.entries.push_back(Entry {
            start,
            name,
            value,
            hash,
            kind: line.kind,
            fit: line.fit,
        });
        self.size += size;
        self.inserted = self.inserted.wrapping_add(1);
    }

    /// The number of the newest line: they are counted from 1.
    pub(super) fn inserted(&self) -> u32 {
        self.inserted
    }

    /// Drops the text of lines that are gone.
    fn forget(&mut self) {
        let end = self.base + self.text.len();
        let first = self.entries.front().map_or(end, |oldest| oldest.start);
        self.text.drain(..first - self.base);
        self.base = first;
    }

    /// The line at this place; 0 is the newest.
    pub(super) fn line(&self, place: usize) -> Option<Line<'_>> {
        let at = self.entries.len().checked_sub(place + 1)?;
        self.entries.get(at).map(|entry| self.read(entry))
    }

    fn read(&self, entry: &Entry) -> Line<'_> {
        let start = entry.start - self.base;
        let middle = start + entry.name;
        Line {
            kind: entry.kind,
            name: self.text.get(start..middle).unwrap_or_default(),
            value: self
                .text
                .get(middle..middle + entry.value)
                .unwrap_or_default(),
            fit: entry.fit,
            care: Care::Usual,
        }
    }

    /// The place of a line that is remembered.
    pub(super) fn find(&self, line: &Line<'_>, hash: u32) -> Option<usize> {
        let same = |entry| self.is(entry, line, hash);
        self.entries.iter().rev().position(same)
    }

    /// Whether this line is the one at that place.
    pub(super) fn has(&self, place: usize, line: &Line<'_>, hash: u32) -> bool {
        let at = self.entries.len().checked_sub(place + 1);
        let entry = at.and_then(|at| self.entries.get(at));
        entry.is_some_and(|entry| self.is(entry, line, hash))
    }

    fn is(&self, entry: &Entry, line: &Line<'_>, hash: u32) -> bool {
        entry.hash == hash && {
            let own = self.read(entry);
            own.name == line.name && own.value == line.value
        }
    }

    /// The place of a line with this name.
    pub(super) fn find_name(&self, name: &[u8]) -> Option<usize> {
        self.entries
            .iter()
            .rev()
            .position(|entry| entry.name == name.len() && self.read(entry).name == name)
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }
}
