//! What filters want changed in a head: gathered here, applied once by the writer.

use super::alias;

/// Changes to the fields of one head, kept in reusable buffers. Empty for most exchanges, and then free.
#[derive(Debug, Default)]
pub struct Edits {
    /// Names whose received lines are dropped, back to back in `text`.
    dropped: Vec<(u32, u32)>,
    text: Vec<u8>,
    /// Lines that are added, each with where its name ends.
    lines: Vec<Line>,
    added: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    start: u32,
    name_end: u32,
    end: u32,
}

impl Edits {
    /// Forgets everything but the allocations.
    pub fn clear(&mut self) {
        self.dropped.clear();
        self.text.clear();
        self.lines.clear();
        self.added.clear();
    }

    /// Whether the head is passed on unchanged.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.dropped.is_empty() && self.lines.is_empty()
    }

    /// Replaces every field of this name by one. Name and value must have been validated.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    /// Adds a field beside those of the same name. Name and value must have been validated.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "added lines are configuration, far below 4 GiB"
    )]
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        let start = self.added.len() as u32;
        self.added.extend_from_slice(name);
        let name_end = self.added.len() as u32;
        self.added.extend_from_slice(b": ");
        self.added.extend_from_slice(value);
        self.added.extend_from_slice(b"\r\n");
        self.lines.push(Line {
            start,
            name_end,
            end: self.added.len() as u32,
        });
    }

    /// Removes every field of this name, those that an earlier filter added included.
    #[expect(clippy::cast_possible_truncation, reason = "names are short")]
    pub fn remove(&mut self, name: &[u8]) {
        let added = &self.added;
        self.lines.retain(|line| {
            !added
                .get(line.start as usize..line.name_end as usize)
                .is_some_and(|have| have.eq_ignore_ascii_case(name))
        });
        if !self.drops(name) {
            let start = self.text.len() as u32;
            self.text.extend_from_slice(name);
            self.dropped.push((start, self.text.len() as u32));
        }
    }

    /// Whether a received field of this name is dropped.
    pub fn drops(&self, name: &[u8]) -> bool {
        self.dropped.iter().any(|&(start, end)| {
            self.text
                .get(start as usize..end as usize)
                .is_some_and(|dropped| dropped.eq_ignore_ascii_case(name))
        })
    }

    /// Whether a received field of this name, or of one that an origin may take for it (E-114), is dropped.
    pub fn drops_alias(&self, name: &[u8]) -> bool {
        self.dropped.iter().any(|&(start, end)| {
            self.text
                .get(start as usize..end as usize)
                .is_some_and(|dropped| alias::same(dropped, name))
        })
    }

    /// The lines to add, each `name: value CRLF`.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.lines
            .iter()
            .filter_map(|line| self.added.get(line.start as usize..line.end as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_changes_win() {
        let mut edits = Edits::default();
        edits.add(b"x-a", b"1");
        edits.set(b"X-A", b"2");
        edits.add(b"x-b", b"3");
        edits.remove(b"X-B");
        let lines: Vec<_> = edits.lines().collect();
        assert_eq!(lines, [b"X-A: 2\r\n".as_slice()]);
        assert!(edits.drops_alias(b"X_A") && !edits.drops(b"X_A"));
        assert!(edits.drops(b"x-a") && edits.drops(b"x-b") && !edits.drops(b"x-c"));
        edits.clear();
        assert!(edits.is_empty());
    }
}
