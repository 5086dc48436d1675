//! Strings in the code of RFC 7541, appendix B.
//!
//! The code is canonical: ordered by length and then by symbol, codes count upwards. So the lengths say everything,
//! and all tables are made from them at compile time.

use super::Malformed;

/// Length of the code of every byte, in bits.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// The longest code has so many bits, and so has the end of a string, which may never be written out.
const LONGEST: usize = 30;

/// Codes up to this length are found by one look.
const FAST: u32 = 9;

/// A code, or what a look found.
#[derive(Clone, Copy)]
struct Code {
    bits: u32,
    len: u8,
}

/// The tables that follow from [`LENGTHS`].
struct Tables {
    codes: [Code; 256],
    /// By the next nine bits: a symbol and the length of its code; 0: the code is longer.
    fast: [(u8, u8); 1 << FAST],
    /// All symbols in the order of their codes.
    symbols: [u8; 256],
    /// For each length: one past its last code.
    ends: [u32; LONGEST + 1],
    /// For each length: what must be added to a code to get its symbol's place.
    places: [u32; LONGEST + 1],
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated at compile time"
)]
const fn tables() -> Tables {
    let mut made = Tables {
        codes: [Code { bits: 0, len: 0 }; 256],
        fast: [(0, 0); 1 << FAST],
        symbols: [0; 256],
        ends: [0; LONGEST + 1],
        places: [0; LONGEST + 1],
    };
    let (mut code, mut place, mut len) = (0u32, 0usize, 1usize);
    while len <= LONGEST {
        code <<= 1;
        made.places[len] = (place as u32).wrapping_sub(code);
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == len {
                made.codes[symbol] = Code {
                    bits: code,
                    len: len as u8,
                };
                made.symbols[place] = symbol as u8;
                if len as u32 <= FAST {
                    let free = FAST - len as u32;
                    let mut rest = 0;
                    while rest < 1 << free {
                        made.fast[((code << free) | rest) as usize] = (symbol as u8, len as u8);
                        rest += 1;
                    }
                }
                place += 1;
                code += 1;
            }
            symbol += 1;
        }
        made.ends[len] = code;
        len += 1;
    }
    made
}

static TABLES: Tables = tables();

/// Appends what `coded` stands for. At most 8 times as long as `coded` divided by 5.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.reserve(coded.len() * 8 / 5 + 1);
    // The next bits stand at the top.
    let (mut window, mut bits) = (0u64, 0u32);
    let mut rest = coded.iter();
    loop {
        while bits <= 56 {
            let Some(&byte) = rest.next() else { break };
            window |= u64::from(byte) << (56 - bits);
            bits += 8;
        }
        let index = usize::try_from(window >> (64 - FAST)).unwrap_or_default();
        let (symbol, len) = match TABLES.fast.get(index) {
            Some(&(symbol, len @ 1..)) => (symbol, u32::from(len)),
            _ => match longer(window) {
                Some(found) => found,
                // 30 ones: the end of the string, or the padding of one that is nearly over.
                None => return padding(window, bits),
            },
        };
        if len > bits {
            return padding(window, bits);
        }
        out.push(symbol);
        window <<= len;
        bits -= len;
    }
}

/// The symbol of a code of more than nine bits.
fn longer(window: u64) -> Option<(u8, u32)> {
    for (len, (&end, &place)) in TABLES.ends.iter().zip(&TABLES.places).enumerate().skip(10) {
        let code = u32::try_from(window >> (64 - len)).unwrap_or(u32::MAX);
        if code < end {
            let symbol = TABLES.symbols.get(place.wrapping_add(code) as usize)?;
            return Some((*symbol, u32::try_from(len).unwrap_or(u32::MAX)));
        }
    }
    None
}

/// What is left must be fewer than eight bits, all ones (RFC 7541, 5.2).
fn padding(window: u64, bits: u32) -> Result<(), Malformed> {
    let ones = match bits {
        0 => return Ok(()),
        1..=7 => u64::MAX << (64 - bits),
        _ => return Err(Malformed),
    };
    if window & ones == ones {
        Ok(())
    } else {
        Err(Malformed)
    }
}

fn code(byte: u8) -> Code {
    let none = Code { bits: 0, len: 0 };
    TABLES.codes.get(usize::from(byte)).copied().unwrap_or(none)
}

/// How many bytes the code of `plain` takes.
pub(super) fn coded_len(plain: &[u8]) -> usize {
    let bits: usize = plain.iter().map(|&byte| usize::from(code(byte).len)).sum();
    bits.div_ceil(8)
}

/// Appends the code of `plain`.
pub(super) fn encode(plain: &[u8], out: &mut Vec<u8>) {
    let (mut window, mut bits) = (0u64, 0u32);
    for &byte in plain {
        let code = code(byte);
        window = (window << code.len) | u64::from(code.bits);
        bits += u32::from(code.len);
        while bits >= 8 {
            bits -= 8;
            out.push((window >> bits).to_be_bytes()[7]);
        }
    }
    if bits > 0 {
        let free = 8 - bits;
        out.push(((window << free) | ((1 << free) - 1)).to_be_bytes()[7]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(coded, &mut out).ok().map(|()| out)
    }

    #[test]
    fn every_byte_has_its_code() {
        let all: Vec<u8> = (0..=255).collect();
        let mut coded = Vec::new();
        encode(&all, &mut coded);
        assert_eq!(coded.len(), coded_len(&all));
        assert_eq!(decoded(&coded).unwrap(), all);
        for byte in 0..=255u8 {
            let mut coded = Vec::new();
            encode(&[byte], &mut coded);
            assert_eq!(decoded(&coded).unwrap(), [byte]);
        }
    }

    /// RFC 7541, C.4.1 and C.6.1.
    #[test]
    fn examples_of_the_standard() {
        let examples: [(&str, &[u8]); 3] = [
            (
                "www.example.com",
                b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
            ),
            ("302", b"\x64\x02"),
            (
                "Mon, 21 Oct 2013 20:13:21 GMT",
                b"\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff",
            ),
        ];
        for (plain, expected) in examples {
            let mut coded = Vec::new();
            encode(plain.as_bytes(), &mut coded);
            assert_eq!(coded, expected, "{plain}");
            assert_eq!(decoded(expected).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn padding_is_less_than_a_byte_of_ones_and_the_end_is_not_written() {
        assert_eq!(decoded(b"").unwrap(), b"");
        assert_eq!(decoded(b"\x1f").unwrap(), b"a", "three ones");
        assert_eq!(decoded(b"\x1e"), None, "a zero in the padding");
        assert_eq!(decoded(b"\x1f\xff"), None, "eleven bits of padding");
        assert_eq!(decoded(b"\xff"), None, "a whole byte of padding");
        assert_eq!(decoded(b"\xff\xff\xff\xff"), None, "the end of a string");
        assert_eq!(decoded(b"\x1f\xff\xff\xff\xff"), None);
        assert_eq!(decoded(b"\xff\xff\xff"), None, "an unfinished code");
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(plain in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut coded = Vec::new();
            encode(&plain, &mut coded);
            prop_assert_eq!(coded.len(), coded_len(&plain));
            prop_assert_eq!(decoded(&coded).unwrap(), plain);
        }

        #[test]
        fn no_input_grows_beyond_its_bound(coded in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(plain) = decoded(&coded) {
                prop_assert!(plain.len() <= coded.len() * 8 / 5);
                let mut again = Vec::new();
                encode(&plain, &mut again);
                prop_assert_eq!(again, coded);
            }
        }
    }
}
