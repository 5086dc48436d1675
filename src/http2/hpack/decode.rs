//! Blocks into lines.

use super::line::Line;
use super::table::Table;
use super::{DEFAULT_TABLE, Malformed, huffman, integer, statics};
use crate::message::Care;

/// Reads the blocks of one direction of a connection.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// What the other end was told that the table may count.
    allowed: usize,
    /// Texts of the line at hand that do not stand in the block as they are.
    spare: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(DEFAULT_TABLE)
    }
}

/// Where a text of the line at hand stands.
#[derive(Clone, Copy)]
enum Text<'b> {
    Block(&'b [u8]),
    Spare(usize, usize),
}

impl<'b> Text<'b> {
    fn of<'s>(self, spare: &'s [u8]) -> &'s [u8]
    where
        'b: 's,
    {
        match self {
            Self::Block(text) => text,
            Self::Spare(start, end) => spare.get(start..end).unwrap_or_default(),
        }
    }
}

impl Decoder {
    /// A decoder whose table may count so much: what our settings say.
    pub fn new(allowed: usize) -> Self {
        Self {
            table: Table::new(allowed.min(DEFAULT_TABLE)),
            allowed,
            spare: Vec::new(),
        }
    }

    /// Bytes of memory that it takes.
    pub fn weight(&self) -> usize {
        self.table.weight() + self.spare.capacity()
    }

    /// Gives back what only a block under way needs.
    pub fn shrink(&mut self) {
        self.spare = Vec::new();
    }

    /// Reads a whole block, and hands on each of its lines.
    pub fn decode(
        &mut self,
        block: &[u8],
        mut each: impl FnMut(Line<'_>),
    ) -> Result<(), Malformed> {
        let mut rest = block;
        let mut begun = false;
        while let Some((&first, tail)) = rest.split_first() {
            rest = tail;
            match first {
                0x80.. => {
                    let index = integer::read(first, 7, &mut rest)?;
                    each(self.line(index)?);
                }
                0x20..=0x3f => {
                    let size = integer::read(first, 5, &mut rest)?;
                    // Only before the first line (RFC 7541, 4.2), and within what we allow (6.3).
                    if begun || size > self.allowed {
                        return Err(Malformed);
                    }
                    self.table.resize(size);
                    continue;
                }
                0x40..=0x7f => self.literal(first, 6, Keep::Yes, &mut rest, &mut each)?,
                0x10..=0x1f => self.literal(first, 4, Keep::Never, &mut rest, &mut each)?,
                ..=0x0f => self.literal(first, 4, Keep::No, &mut rest, &mut each)?,
            }
            begun = true;
        }
        Ok(())
    }

    fn line(&self, index: usize) -> Result<Line<'_>, Malformed> {
        match index.checked_sub(statics::LEN + 1) {
            None => statics::line(index).ok_or(Malformed),
            Some(place) => self.table.line(place).ok_or(Malformed),
        }
    }

    fn literal(
        &mut self,
        first: u8,
        prefix: u32,
        keep: Keep,
        rest: &mut &[u8],
        each: &mut impl FnMut(Line<'_>),
    ) -> Result<(), Malformed> {
        self.spare.clear();
        let index = integer::read(first, prefix, rest)?;
        let name = match index {
            0 => self.text(rest)?,
            1..=statics::LEN => Text::Block(statics::line(index).ok_or(Malformed)?.name),
            _ => {
                let place = index - statics::LEN - 1;
                let name = self.table.line(place).ok_or(Malformed)?.name;
                // Copied, because remembering this line may push out that one.
                self.spare.extend_from_slice(name);
                Text::Spare(0, self.spare.len())
            }
        };
        let value = self.text(rest)?;
        let mut line = Line::new(name.of(&self.spare), value.of(&self.spare));
        if keep == Keep::Never {
            line.care = Care::NeverIndexed;
        }
        each(line);
        if keep == Keep::Yes {
            self.table.insert(&line, 0);
        }
        Ok(())
    }

    /// One string (RFC 7541, 5.2).
    fn text<'b>(&mut self, rest: &mut &'b [u8]) -> Result<Text<'b>, Malformed> {
        let (&first, tail) = rest.split_first().ok_or(Malformed)?;
        *rest = tail;
        let len = integer::read(first, 7, rest)?;
        let (text, tail) = rest.split_at_checked(len).ok_or(Malformed)?;
        *rest = tail;
        if first & 0x80 == 0 {
            return Ok(Text::Block(text));
        }
        let start = self.spare.len();
        huffman::decode(text, &mut self.spare)?;
        Ok(Text::Spare(start, self.spare.len()))
    }

    #[cfg(test)]
    pub(super) fn table(&self) -> &Table {
        &self.table
    }
}

/// Whether the line goes into the table.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Keep {
    Yes,
    No,
    /// Nor into anybody else's (RFC 7541, 6.2.3).
    Never,
}
