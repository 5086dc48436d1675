//! The lines of a head that holds nothing unusual, found in one pass.
//!
//! 64 bytes at a time become sets of bits: where lines end, where colons stand, and which bytes are no plain ASCII. The
//! lines are walked along these sets, so a byte is looked at once, whoever asks about it. What a head of every day holds
//! is taken; anything else (a head that is not whole, a tab, blanks in a row, a byte above 0x7E, a lone CR or LF, a line
//! without a name) is left to the tokeniser, which knows what is allowed and says what is wrong. What is taken here, it takes alike:
//! a test and a fuzz target hold that.

use wide::u8x16;

use crate::message::{Care, Field, Known, Span};

/// Bytes that are looked at together.
const BLOCK: usize = 64;

/// Where the lines of a head are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Lines {
    /// Length of the first line, without its end.
    pub(super) first: usize,
    /// Length of the head, with the empty line.
    pub(super) len: usize,
}

/// What stands in a block, a bit for each byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Marks {
    /// LF.
    ends: u64,
    colons: u64,
    /// 0x20 to 0x7E.
    plain: u64,
}

impl Marks {
    #[inline]
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut marks = Self {
            ends: 0,
            colons: 0,
            plain: 0,
        };
        let (parts, _) = block.as_chunks::<16>();
        for (part, at) in parts.iter().zip([0, 16, 32, 48]) {
            let bytes = u8x16::new(*part);
            let set = |found: u8x16| u64::from(found.to_bitmask()) << at;
            let above = bytes - u8x16::splat(b' ');
            marks.ends |= set(bytes.simd_eq(u8x16::splat(b'\n')));
            marks.colons |= set(bytes.simd_eq(u8x16::splat(b':')));
            marks.plain |= set(above.min(u8x16::splat(b'~' - b' ')).simd_eq(above));
        }
        marks
    }
}

/// Finds the lines of the head that `input` begins with, and puts those of its fields into `fields`, which are empty; `None`: look closer.
/// There may be `count` of them, with names so long.
#[inline]
pub(super) fn find(
    input: &[u8],
    count: usize,
    longest_name: usize,
    fields: &mut Vec<Field>,
) -> Option<Lines> {
    let mut cursor = Cursor::new(input)?;
    let mut line = cursor.end()? + 1;
    let [first @ .., b'\r', b'\n'] = input.get(..line)? else {
        return None;
    };
    loop {
        if input.get(line) == Some(&b'\r') {
            return (cursor.end()? == line + 1 && cursor.is_plain_before()).then_some(Lines {
                first: first.len(),
                len: line + 2,
            });
        }
        let colon = cursor.colon()?;
        let end = cursor.end()?;
        let name = input.get(line..colon)?;
        let known = Known::of(name);
        let is_name = match known {
            // One of ours is a token.
            Known::Other | Known::XForwarded => is_plain_name(name, input.get(line..)?),
            _ => true,
        };
        let [value @ .., b'\r'] = input.get(colon + 1..end)? else {
            return None;
        };
        let value = match value {
            [b' ', rest @ ..] => rest,
            all => all,
        };
        let is_trimmed = !matches!(value, [b' ', ..] | [.., b' ']);
        if name.len() > longest_name || fields.len() == count || !is_name || !is_trimmed {
            return None;
        }
        let from = end - 1 - value.len();
        fields.push(Field {
            name: Span::new(line, colon),
            value: Span::new(from, from + value.len()),
            line_end: Span::new(0, end + 1).end,
            known,
            care: Care::Usual,
        });
        line = end + 1;
    }
}

/// Whether a name, which `rest` begins with, is of letters, digits, `-` and `_` alone, as nearly all are.
#[inline]
fn is_plain_name(name: &[u8], rest: &[u8]) -> bool {
    let set = 1u32.checked_shl(u32::try_from(name.len()).unwrap_or(u32::MAX));
    if let (Some(bytes), Some(set @ 2..=0x1_0000)) = (rest.first_chunk::<16>(), set) {
        let bytes = u8x16::new(*bytes);
        let within = |bytes: u8x16, first: u8, last: u8| {
            let above = bytes - u8x16::splat(first);
            above.min(u8x16::splat(last - first)).simd_eq(above)
        };
        let plain = within(bytes | u8x16::splat(0x20), b'a', b'z')
            | within(bytes, b'0', b'9')
            | bytes.simd_eq(u8x16::splat(b'-'))
            | bytes.simd_eq(u8x16::splat(b'_'));
        return !plain.to_bitmask() & (set - 1) == 0;
    }
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.iter().all(is_plain)
}

/// Walks along the sets of one block after another.
struct Cursor<'a> {
    input: &'a [u8],
    /// Where the block begins.
    at: usize,
    /// LFs that were not passed yet.
    ends: u64,
    /// Colons behind the last LF that was passed.
    colons: u64,
    /// What may not stand in a head.
    odd: u64,
    /// The set of the last LF that was passed.
    passed: u64,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn new(input: &'a [u8]) -> Option<Self> {
        let mut cursor = Self {
            input,
            at: 0,
            ends: 0,
            colons: 0,
            odd: 0,
            passed: 0,
        };
        cursor.load(0)?;
        Some(cursor)
    }

    /// Looks at the block that begins where it is. `lone` is 1 if a byte before it must be the CR of its first.
    #[inline]
    fn load(&mut self, lone: u64) -> Option<()> {
        let rest = self.input.get(self.at..).filter(|rest| !rest.is_empty())?;
        let marks = if let Some(block) = rest.first_chunk() {
            Marks::of(block)
        } else {
            let mut block = [b' '; BLOCK];
            block.get_mut(..rest.len())?.copy_from_slice(rest);
            Marks::of(&block)
        };
        (self.ends, self.colons) = (marks.ends, marks.colons);
        // What is not plain is an LF, or the byte before one, of which is seen that it is a CR where the line is taken.
        self.odd = (!marks.plain & !(marks.ends | marks.ends >> 1)) | (lone & !marks.ends);
        Some(())
    }

    /// Goes on to the next block, if all of this one may stand in a head.
    #[inline]
    fn advance(&mut self) -> Option<()> {
        const LAST: u64 = 1 << (BLOCK - 1);
        if self.odd & !LAST != 0 {
            return None;
        }
        self.at += BLOCK;
        self.load(self.odd >> (BLOCK - 1))
    }

    /// The next LF.
    #[inline]
    fn end(&mut self) -> Option<usize> {
        while self.ends == 0 {
            self.advance()?;
        }
        let bit = self.ends.trailing_zeros();
        self.passed = 1 << bit;
        self.ends &= self.ends - 1;
        self.colons &= self.passed.wrapping_neg();
        Some(self.at + bit as usize)
    }

    /// The next colon, where it stands before the next LF.
    #[inline]
    fn colon(&mut self) -> Option<usize> {
        while self.colons == 0 {
            if self.ends != 0 {
                return None;
            }
            self.advance()?;
        }
        let bit = self.colons.trailing_zeros();
        // An LF that stands before it has a lower bit.
        let before = self.ends & (1u64 << bit).wrapping_sub(1);
        (before == 0).then_some(self.at + bit as usize)
    }

    /// Whether all of the block before the last LF may stand in a head.
    #[inline]
    fn is_plain_before(&self) -> bool {
        self.odd & (self.passed - 1) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::limits::ResponseLimits;
    use crate::http1::request::{HeadLimits, parse};
    use crate::http1::response;
    use crate::message::forwarded::Proto;
    use crate::message::path::Policy;
    use crate::message::{Method, RequestHead};

    #[test]
    fn a_block_is_told_byte_by_byte() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..2000 {
            let block: [u8; BLOCK] = std::array::from_fn(|_| match rng.u8(..4) {
                0 => rng.u8(..),
                1 => *rng.choice(b"\r\n:\t \x7f~\x1f\x80").unwrap(),
                _ => rng.u8(b'a'..=b'z'),
            });
            let set = |is: fn(u8) -> bool| {
                let bits = (0..).zip(block).filter(|&(_, byte)| is(byte));
                bits.fold(0, |set, (bit, _)| set | 1u64 << bit)
            };
            let wanted = Marks {
                ends: set(|byte| byte == b'\n'),
                colons: set(|byte| byte == b':'),
                plain: set(|byte| matches!(byte, b' '..=b'~')),
            };
            assert_eq!(Marks::of(&block), wanted);
        }
    }

    const LIMITS: HeadLimits = HeadLimits {
        request_line: 300,
        headers: 600,
        count: 12,
        name: 40,
        path: Policy::DEFAULT,
        own: Proto::Http,
    };

    /// In tests both readers are asked, and what they say is compared, for whatever `lines` takes.
    #[test]
    fn what_is_taken_the_tokeniser_takes_alike() {
        let mut rng = fastrand::Rng::with_seed(2);
        let (mut taken, mut left) = (0, 0);
        for _ in 0..60_000 {
            let mut input = head(&mut rng);
            for _ in 0..rng.usize(..3) {
                spoil(&mut rng, &mut input);
            }
            let mut fields = Vec::new();
            match find(&input, LIMITS.count, LIMITS.name, &mut fields) {
                Some(_) => taken += 1,
                None => left += 1,
            }
            let mut head = RequestHead::default();
            let _ = parse(&input, &LIMITS, &mut head);
            let limits = ResponseLimits::DEFAULT;
            let _ = response::parse(&input, Method::Get, &limits, &mut fields);
        }
        assert!(taken > 5_000 && left > 10_000, "{taken} {left}");
    }

    fn head(rng: &mut fastrand::Rng) -> Vec<u8> {
        let first = [
            "GET /PAD HTTP/1.1",
            "POST http://a/b?c:d HTTP/1.0",
            "HTTP/1.1 200 OK",
            "HTTP/1.0 404",
            "HTTP/1.1 503 ",
        ];
        // Every structure comes to every place of a block.
        let pad = "x".repeat(rng.usize(..BLOCK));
        let mut text = format!("{}\r\n", rng.choice(first).unwrap().replace("PAD", &pad));
        for _ in 0..rng.usize(..14) {
            let name = rng.choice([
                "Host",
                "a",
                "Content-Length",
                "X-Forwarded-User",
                "!#$%&'*+",
            ]);
            let value = "v:x".repeat(rng.usize(..40));
            let blank = rng.choice(["", " ", " ", " ", "  "]).unwrap();
            let after = rng.choice(["", "", "", "", "", "", "", " "]).unwrap();
            text.extend([name.unwrap(), ":", blank, &value, after, "\r\n"]);
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend((0..rng.usize(..100)).map(|_| 0u8));
        bytes
    }

    fn spoil(rng: &mut fastrand::Rng, input: &mut Vec<u8>) {
        const ODD: &[u8] = b"\r\n\r\n:: \t\0\x7f\x80\xff/aHP1\"<>[]^{|}\\#";
        let at = rng.usize(..input.len());
        let byte = *rng.choice(ODD).unwrap();
        match rng.u8(..4) {
            0 => input[at] = byte,
            1 => input.insert(at, byte),
            2 => drop(input.remove(at)),
            _ => input.truncate(at.max(1)),
        }
    }
}
