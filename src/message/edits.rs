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
    /// Where a value is put together that needs what stands in `added`.
    scratch: Vec<u8>,
    /// The path towards the endpoint; empty: as the client asked for it.
    path: Vec<u8>,
    /// The authority towards the endpoint; empty: as the client asked for it.
    authority: Vec<u8>,
    /// The query towards the endpoint, if it is `Made` here: one that is empty is none.
    query: Vec<u8>,
    query_is: Query,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Query {
    #[default]
    AsAsked,
    Made,
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
        self.path.clear();
        self.authority.clear();
        self.query.clear();
        self.query_is = Query::AsAsked;
    }

    /// Whether the fields are passed on unchanged.
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
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.line(name, |out| out.extend_from_slice(value));
    }

    /// The same with a value that is made here. An empty one makes no field.
    pub fn add_made(&mut self, name: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
        let before = self.added.len();
        self.line(name, value);
        // Name, colon, space and line end are all there is.
        if self.added.len() == before + name.len() + 4 {
            self.added.truncate(before);
            self.lines.pop();
        }
    }

    /// Puts a value, made here, behind those that the fields of this name have by now, all in one field (RFC 9110, 5.3).
    /// `received` are the values that came. An empty one changes nothing.
    pub fn append<'v>(
        &mut self,
        name: &[u8],
        received: impl Iterator<Item = &'v [u8]>,
        value: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut whole = std::mem::take(&mut self.scratch);
        whole.clear();
        let mut join = |have: &[u8]| {
            if !have.is_empty() {
                whole.extend_from_slice(have);
                whole.extend_from_slice(b", ");
            }
        };
        if !self.drops(name) {
            received.for_each(&mut join);
        }
        self.values(name).for_each(&mut join);
        let before = whole.len();
        value(&mut whole);
        if whole.len() > before {
            self.set(name, &whole);
        }
        self.scratch = whole;
    }

    /// The values of the fields of this name that were added.
    pub fn values<'e>(&'e self, name: &'e [u8]) -> impl Iterator<Item = &'e [u8]> {
        let text = |from: u32, to: u32| self.added.get(from as usize..to as usize);
        let same = move |line: &&Line| {
            text(line.start, line.name_end).is_some_and(|have| have.eq_ignore_ascii_case(name))
        };
        let value = move |line: &Line| text(line.name_end + 2, line.end - 2).unwrap_or_default();
        self.lines.iter().filter(same).map(value)
    }

    /// Makes the path towards the endpoint anew, of what it is by now (`asked` is the head's); nothing made leaves it.
    /// What is made must be canonical, as the path of a head.
    pub fn remake_path<E>(
        &mut self,
        asked: &[u8],
        make: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.scratch.clear();
        let now = if self.path.is_empty() {
            asked
        } else {
            &self.path
        };
        make(now, &mut self.scratch)?;
        if !self.scratch.is_empty() {
            std::mem::swap(&mut self.path, &mut self.scratch);
        }
        Ok(())
    }

    /// The path towards the endpoint, where it is another.
    #[inline]
    pub fn path(&self) -> Option<&[u8]> {
        (!self.path.is_empty()).then_some(&self.path)
    }

    /// Makes the query towards the endpoint anew, of what it is by now (`asked` is the head's), if there is one.
    pub fn remake_query(&mut self, asked: Option<&[u8]>, make: impl FnOnce(&[u8], &mut Vec<u8>)) {
        self.scratch.clear();
        let mut made = std::mem::take(&mut self.scratch);
        if let Some(now) = self.query(asked) {
            make(now, &mut made);
            self.query_is = Query::Made;
            std::mem::swap(&mut self.query, &mut made);
        }
        self.scratch = made;
    }

    /// The query towards the endpoint; `asked` is the head's.
    #[inline]
    pub fn query<'e>(&'e self, asked: Option<&'e [u8]>) -> Option<&'e [u8]> {
        match self.query_is {
            Query::AsAsked => asked,
            Query::Made => Some(self.query.as_slice()).filter(|made| !made.is_empty()),
        }
    }

    /// Another authority towards the endpoint, canonical as that of a head.
    pub fn set_authority(&mut self, authority: &[u8]) {
        self.authority.clear();
        self.authority.extend_from_slice(authority);
    }

    /// The authority towards the endpoint, where it is another.
    #[inline]
    pub fn authority(&self) -> Option<&[u8]> {
        (!self.authority.is_empty()).then_some(&self.authority)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "added lines are configuration and parts of one head, far below 4 GiB"
    )]
    fn line(&mut self, name: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.added.len() as u32;
        self.added.extend_from_slice(name);
        let name_end = self.added.len() as u32;
        self.added.extend_from_slice(b": ");
        value(&mut self.added);
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

    #[test]
    fn values_join_what_came_and_what_was_added() {
        let came = [b"a".as_slice(), b"b"];
        let mut edits = Edits::default();
        edits.add(b"X-List", b"c");
        edits.append(b"x-list", came.into_iter(), |out| {
            out.extend_from_slice(b"d");
        });
        edits.append(b"x-list", came.into_iter(), |_| ());
        let lines: Vec<_> = edits.lines().collect();
        assert_eq!(lines, [b"x-list: a, b, c, d\r\n".as_slice()]);
        edits.remove(b"x-list");
        edits.append(b"x-list", came.into_iter(), |out| {
            out.extend_from_slice(b"e");
        });
        edits.add_made(b"x-none", |_| ());
        edits.add(b"x-empty", b"");
        let lines: Vec<_> = edits.lines().collect();
        assert_eq!(lines, [b"x-list: e\r\n".as_slice(), b"x-empty: \r\n"]);
    }
}
