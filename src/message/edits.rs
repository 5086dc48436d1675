//! What filters want changed in a head: gathered here, applied once by the writer.

use super::alias;
use super::field::same;
use super::sieve::Sieve;

/// Changes to the fields of one head, kept in reusable buffers. Empty for most exchanges, and then free.
#[derive(Debug, Default)]
pub struct Edits {
    /// Names whose received lines are dropped, each behind its length in four bytes.
    dropped: Vec<u8>,
    drops: Sieve,
    /// Those of them, alike, of which a filter has found the value right.
    spent: Vec<u8>,
    /// Lines that are added, as they are written.
    added: Vec<u8>,
    adds: Sieve,
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

/// Changes that are the same for every head: prepared once, and then noted in two copies.
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    dropped: Box<[u8]>,
    drops: Sieve,
    added: Box<[u8]>,
    adds: Sieve,
}

/// Lines that are the same for every head, and the beginning of one more, whose value is made for each: noted in one copy.
#[derive(Clone, Debug)]
pub struct Begun {
    text: Box<[u8]>,
    /// How much of it is of the last line.
    start: usize,
    adds: Sieve,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Query {
    #[default]
    AsAsked,
    Made,
}

impl Fixed {
    /// Prepares removals of these names and lines of those. All must have been validated.
    pub fn new<'n>(
        names: impl IntoIterator<Item = &'n [u8]>,
        lines: impl IntoIterator<Item = (&'n [u8], &'n [u8])>,
    ) -> Self {
        let mut edits = Edits::default();
        for name in names {
            edits.remove(name);
        }
        for (name, value) in lines {
            edits.add(name, value);
        }
        Self {
            dropped: edits.dropped.into(),
            drops: edits.drops,
            added: edits.added.into(),
            adds: edits.adds,
        }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.dropped.is_empty() && self.added.is_empty()
    }
}

impl Begun {
    /// Prepares these lines, and one of this name whose value begins so. All must have been validated.
    pub fn new<'n>(
        lines: impl IntoIterator<Item = (&'n [u8], &'n [u8])>,
        name: &[u8],
        value: &[u8],
    ) -> Self {
        let mut edits = Edits::default();
        for (name, value) in lines {
            edits.add(name, value);
        }
        let before = edits.added.len();
        edits.adds.note(name);
        edits.added.extend_from_slice(name);
        edits.added.extend_from_slice(b": ");
        edits.added.extend_from_slice(value);
        Self {
            start: edits.added.len() - before,
            text: edits.added.into(),
            adds: edits.adds,
        }
    }
}

impl Edits {
    /// Forgets everything but the allocations.
    pub fn clear(&mut self) {
        self.dropped.clear();
        self.drops = Sieve::default();
        self.spent.clear();
        self.added.clear();
        self.adds = Sieve::default();
        self.path.clear();
        self.authority.clear();
        self.query.clear();
        self.query_is = Query::AsAsked;
    }

    /// Whether the fields are passed on unchanged.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.dropped.is_empty() && self.added.is_empty()
    }

    /// Notes what was prepared: the removals, those of lines of earlier filters included, and then the lines.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "most of its calls change one thing: what it asks is known where it stands"
    )]
    pub fn apply(&mut self, fixed: &Fixed) {
        if self.adds.0 & fixed.drops.0 != 0 {
            for name in names(&fixed.dropped) {
                self.take_back(name);
            }
        }
        if !fixed.dropped.is_empty() {
            self.dropped.extend_from_slice(&fixed.dropped);
            self.drops.0 |= fixed.drops.0;
        }
        if !fixed.added.is_empty() {
            self.added.extend_from_slice(&fixed.added);
            self.adds.0 |= fixed.adds.0;
        }
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
        }
    }

    /// Adds lines that were prepared, the last with a value (or the rest of one) that is made here. Where nothing is made
    /// there is no such line.
    #[inline]
    pub fn finish(&mut self, begun: &Begun, value: impl FnOnce(&mut Vec<u8>)) {
        self.added.extend_from_slice(&begun.text);
        self.adds.0 |= begun.adds.0;
        let before = self.added.len();
        value(&mut self.added);
        if self.added.len() == before {
            self.added.truncate(before - begun.start);
        } else {
            self.added.extend_from_slice(b"\r\n");
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
    pub fn values<'e>(&'e self, name: &[u8]) -> impl Iterator<Item = &'e [u8]> {
        let asked = if self.adds.may_have(name) {
            &*self.added
        } else {
            &[]
        };
        let value = move |line: &'e [u8]| {
            let (have, value) = split(line)?;
            same(have, name).then_some(value)
        };
        lines(asked).filter_map(value)
    }

    /// Makes the path towards the endpoint anew, of what it is by now (`asked` is the head's); nothing made leaves it.
    /// What is made must be canonical, as the path of a head.
    pub fn remake_path<E>(
        &mut self,
        asked: &[u8],
        make: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.scratch.clear();
        let (now, made) = if self.path.is_empty() {
            (asked, &mut self.path)
        } else {
            (&*self.path, &mut self.scratch)
        };
        if let Err(error) = make(now, made) {
            self.path.clear();
            return Err(error);
        }
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

    fn line(&mut self, name: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
        self.adds.note(name);
        self.added.extend_from_slice(name);
        self.added.extend_from_slice(b": ");
        value(&mut self.added);
        self.added.extend_from_slice(b"\r\n");
    }

    /// Removes every field of this name, those that an earlier filter added included.
    pub fn remove(&mut self, name: &[u8]) {
        if self.adds.may_have(name) {
            self.take_back(name);
        }
        if !self.drops(name) {
            self.drops.note(name);
            list(&mut self.dropped, name);
        }
    }

    /// The same of a credential that was found right: it goes no further, and still tells clients apart.
    pub fn spend(&mut self, name: &[u8]) {
        self.remove(name);
        list(&mut self.spent, name);
    }

    /// Whether what was received under this name says nothing any more, because a filter has set or removed it.
    pub fn disowns(&self, name: &[u8]) -> bool {
        self.drops(name) && !names(&self.spent).any(|spent| same(spent, name))
    }

    /// Takes back the lines of this name; those behind move up.
    fn take_back(&mut self, name: &[u8]) {
        let (mut kept, mut at) = (0, 0);
        loop {
            let line = lines(self.added.get(at..).unwrap_or_default()).next();
            let Some((length, same)) = line.map(|line| (line.len(), is_named(line, name))) else {
                break;
            };
            if !same {
                self.added.copy_within(at..at + length, kept);
                kept += length;
            }
            at += length;
        }
        self.added.truncate(kept);
    }

    /// Whether a received field of this name is dropped.
    #[inline]
    pub fn drops(&self, name: &[u8]) -> bool {
        self.drops.may_have(name) && self.lists(name)
    }

    /// Whether a received field of this name, or of one that an origin may take for it (E-114), is dropped.
    #[inline]
    pub fn drops_alias(&self, name: &[u8]) -> bool {
        self.drops.may_have(name) && self.lists_alias(name)
    }

    /// Not inlined, like its kin: every field is asked about, and few pass the sieve.
    #[inline(never)]
    fn lists_alias(&self, name: &[u8]) -> bool {
        let mut dropped = names(&self.dropped);
        dropped.any(|dropped| same(dropped, name) || alias::same(dropped, name))
    }

    #[inline(never)]
    fn lists(&self, name: &[u8]) -> bool {
        names(&self.dropped).any(|dropped| same(dropped, name))
    }

    /// The lines to add, each `name: value CRLF`, in one piece.
    #[inline]
    pub fn added(&self) -> &[u8] {
        &self.added
    }

    /// The same one by one.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        lines(&self.added)
    }
}

/// Adds a name to a list of them.
#[expect(clippy::cast_possible_truncation, reason = "names are short")]
fn list(names: &mut Vec<u8>, name: &[u8]) {
    names.extend_from_slice(&(name.len() as u32).to_le_bytes());
    names.extend_from_slice(name);
}

fn names(mut dropped: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = dropped.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        dropped = rest;
        Some(name)
    })
}

fn lines(added: &[u8]) -> impl Iterator<Item = &[u8]> {
    added.split_inclusive(|&byte| byte == b'\n')
}

fn is_named(line: &[u8], name: &[u8]) -> bool {
    split(line).is_some_and(|(have, _)| same(have, name))
}

/// Name and value of a line. No name has a colon.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
    Some((name, value.strip_prefix(b": ")?.strip_suffix(b"\r\n")?))
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
    fn what_is_prepared_is_noted_as_if_it_were_said() {
        let names = [b"x-a".as_slice(), b"x-b"];
        let fixed = Fixed::new(
            names,
            [(b"x-b".as_slice(), b"2".as_slice()), (b"x-c", b"3")],
        );
        let mut edits = Edits::default();
        edits.add(b"X-A", b"0");
        edits.add(b"x-z", b"0");
        edits.apply(&fixed);
        assert_eq!(edits.added(), b"x-z: 0\r\nx-b: 2\r\nx-c: 3\r\n");
        assert!(edits.drops(b"X-a") && edits.drops_alias(b"x_b") && !edits.drops(b"x-c"));
        edits.apply(&fixed);
        assert_eq!(edits.added(), b"x-z: 0\r\nx-c: 3\r\nx-b: 2\r\nx-c: 3\r\n");
        edits.remove(b"X-C");
        assert_eq!(edits.added(), b"x-z: 0\r\nx-b: 2\r\n");
    }

    #[test]
    fn a_line_that_is_begun_is_finished_or_not_there() {
        let begun = Begun::new([(b"x-a".as_slice(), b"1".as_slice())], b"x-b", b"2");
        let mut edits = Edits::default();
        edits.finish(&begun, |out| out.extend_from_slice(b"3"));
        assert_eq!(edits.added(), b"x-a: 1\r\nx-b: 23\r\n");
        edits.remove(b"x-b");
        edits.finish(&begun, |_| ());
        assert_eq!(edits.added(), b"x-a: 1\r\nx-a: 1\r\n");
    }

    #[test]
    fn a_path_is_made_of_what_it_is_by_now() {
        let mut edits = Edits::default();
        let mut make = |made: Result<&[u8], ()>| {
            let made = edits.remake_path(b"/a", |now, out| {
                out.extend_from_slice(now);
                out.extend_from_slice(made?);
                Ok(())
            });
            (made, edits.path().map(<[u8]>::to_vec))
        };
        assert_eq!(make(Ok(b"/b")), (Ok(()), Some(b"/a/b".to_vec())));
        assert_eq!(make(Ok(b"/c")), (Ok(()), Some(b"/a/b/c".to_vec())));
        assert_eq!(make(Err(())), (Err(()), None));
        assert_eq!(make(Err(())), (Err(()), None));
        edits.remake_path(b"/a", |_, _| Ok::<_, ()>(())).unwrap();
        assert_eq!(edits.path(), None);
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
