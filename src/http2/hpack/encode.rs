//! Lines into blocks.

use super::line::Line;
use super::table::Table;
use super::{DEFAULT_TABLE, OVERHEAD, huffman, integer, statics};
use crate::message::field::words;

/// Strings shorter than this are written as they are, where they are written once only.
const SHORT: usize = 16;

/// In so many places lines are looked for before the whole table is: an endpoint repeats a handful.
const PLACES: usize = 64;

/// Writes the blocks of one direction of a connection.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    /// By hash: the number of the line that was written last of those that share the place.
    places: [u32; PLACES],
    /// The smallest size that was agreed on since the last block, and the last one.
    change: Option<(usize, usize)>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            table: Table::new(DEFAULT_TABLE),
            places: [0; PLACES],
            change: None,
        }
    }
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum How {
    /// Remembered: it is likely to come again.
    Index,
    /// Not remembered: it differs from message to message.
    Once,
    /// Not remembered, here or by anybody behind us (RFC 7541, 7.1.3).
    Never,
}

fn how(name: &[u8], value: &[u8]) -> How {
    match name {
        b"set-cookie" | b"cookie" | b"authorization" | b"proxy-authorization" => How::Never,
        b"content-length" | b"etag" | b"last-modified" | b"location" | b"age" | b"expires"
        | b"content-range" | b"retry-after" | b"link" | b"x-request-id" => How::Once,
        _ if name.len() + value.len() + OVERHEAD > DEFAULT_TABLE / 4 => How::Once,
        _ => How::Index,
    }
}

/// A number by which a line is found quickly; whether it is the same is looked at then.
fn hash(name: &[u8], value: &[u8]) -> u32 {
    let ends = |text: &[u8]| {
        words(text).unwrap_or_else(|| {
            let fold = |all, &byte| all << 8 | u64::from(byte);
            (text.iter().fold(0, fold), 0)
        })
    };
    let ((first, last), (begin, end)) = (ends(name), ends(value));
    let mut mixed = (name.len() as u64) << 32 | value.len() as u64;
    for part in [first, last, begin, end] {
        mixed = (mixed ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    u32::try_from(mixed >> 32).unwrap_or_default()
}

impl Encoder {
    /// Bytes of memory that it takes.
    pub fn weight(&self) -> usize {
        self.table.weight()
    }

    /// The other end lets the table count so much. More than the usual size is not asked for.
    pub fn allow(&mut self, size: usize) {
        let size = size.min(DEFAULT_TABLE);
        if self.change.is_none() && size == self.table.most() {
            return;
        }
        let least = self.change.map_or(size, |(least, _)| least.min(size));
        self.change = Some((least, size));
    }

    /// Begins a block: first of all it says what the table counts from now on (RFC 7541, 4.2).
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        let Some((least, last)) = self.change.take() else {
            return;
        };
        if least < last {
            integer::write(least, 5, 0x20, out);
            self.table.resize(least);
        }
        integer::write(last, 5, 0x20, out);
        self.table.resize(last);
    }

    /// Writes a status.
    pub fn status(&mut self, status: u16, out: &mut Vec<u8>) {
        match statics::status(status) {
            Some(index) => integer::write(index, 7, 0x80, out),
            None => self.field(
                b":status",
                itoa::Buffer::new().format(status).as_bytes(),
                out,
            ),
        }
    }

    /// Writes a line. Its name is in lower case.
    pub fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let how = how(name, value);
        let line = Line::written(name, value);
        let mut hashed = 0;
        if how == How::Index {
            hashed = hash(name, value);
            if let Some(place) = self.find(&line, hashed) {
                integer::write(place + statics::LEN + 1, 7, 0x80, out);
                return;
            }
        }
        let known = statics::name(name);
        let index = known.or_else(|| {
            let place = self.table.find_name(name)?;
            Some(place + statics::LEN + 1)
        });
        let (prefix, pattern) = match how {
            How::Index => (6, 0x40),
            How::Once => (4, 0x00),
            How::Never => (4, 0x10),
        };
        integer::write(index.unwrap_or(0), prefix, pattern, out);
        if index.is_none() {
            string(name, out);
        }
        if how == How::Index {
            string(value, out);
            self.table.insert(&line, hashed);
            if let Some(number) = self.places.get_mut(hashed as usize % PLACES) {
                *number = self.table.inserted();
            }
        } else if value.len() < SHORT {
            plain(value, out);
        } else {
            string(value, out);
        }
    }

    /// The place of a line that is remembered.
    fn find(&mut self, line: &Line<'_>, hash: u32) -> Option<usize> {
        let inserted = self.table.inserted();
        let number = self.places.get_mut(hash as usize % PLACES)?;
        let likely = inserted.wrapping_sub(*number) as usize;
        if self.table.has(likely, line, hash) {
            return Some(likely);
        }
        let place = self.table.find(line, hash)?;
        *number = inserted.wrapping_sub(u32::try_from(place).unwrap_or_default());
        Some(place)
    }

    #[cfg(test)]
    pub(super) fn table(&self) -> &Table {
        &self.table
    }
}

fn plain(text: &[u8], out: &mut Vec<u8>) {
    integer::write(text.len(), 7, 0x00, out);
    out.extend_from_slice(text);
}

/// A string, coded if that is shorter.
fn string(text: &[u8], out: &mut Vec<u8>) {
    let coded = huffman::coded_len(text);
    if coded < text.len() {
        integer::write(coded, 7, 0x80, out);
        huffman::encode(text, out);
    } else {
        plain(text, out);
    }
}
