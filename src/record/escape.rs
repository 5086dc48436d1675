//! Makes any bytes safe inside one quoted value of one line (E-143).
//!
//! The same escapes serve JSON and the text format: what a terminal, a line reader or a reader of
//! right-to-left text could be fooled by never leaves as it came in.

/// Bytes of one value that are written; the rest is cut off.
pub(super) const MAX_VALUE: usize = 2048;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// What a byte needs.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Class {
    Plain,
    Escape,
    Multibyte,
}

#[inline]
const fn class(byte: u8) -> Class {
    match byte {
        0..0x20 | b'"' | b'\\' | 0x7f => Class::Escape,
        0x80.. => Class::Multibyte,
        _ => Class::Plain,
    }
}

/// Cuts a value to what is written of it.
pub(super) fn cut(value: &[u8]) -> &[u8] {
    value.get(..MAX_VALUE).unwrap_or(value)
}

/// Whether the value may stand without quotes in the text format: printable ASCII without space, quote
/// and backslash, and neither empty nor the mark for an absent value.
pub(super) fn is_bare(value: &[u8]) -> bool {
    !value.is_empty()
        && value != b"-"
        && value
            .iter()
            .all(|byte| *byte > b' ' && class(*byte) == Class::Plain)
}

/// Appends the value in quotes. A byte that is not UTF-8 becomes `\\xNN` (an escaped backslash, so that the
/// line stays valid JSON).
pub(super) fn quoted(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    let mut rest = value;
    loop {
        let run = rest
            .iter()
            .position(|byte| class(*byte) != Class::Plain)
            .unwrap_or(rest.len());
        let (plain, special) = rest.split_at(run);
        out.extend_from_slice(plain);
        let Some(byte) = special.first() else { break };
        let taken = if class(*byte) == Class::Multibyte {
            multibyte(out, special)
        } else {
            ascii(out, *byte);
            1
        };
        rest = special.get(taken..).unwrap_or_default();
    }
    out.push(b'"');
}

fn ascii(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => unicode(out, u32::from(byte)),
    }
}

fn unicode(out: &mut Vec<u8>, code: u32) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        push_hex(out, code >> shift);
    }
}

fn push_hex(out: &mut Vec<u8>, nibble: u32) {
    let digit = HEX.get((nibble & 15) as usize).copied().unwrap_or(b'0');
    out.push(digit);
}

/// Appends one character from the front of `bytes`, which begins with a byte of 0x80 or above; says how
/// many bytes it took.
fn multibyte(out: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let longest = bytes.get(..4).unwrap_or(bytes);
    let valid = match std::str::from_utf8(longest) {
        Ok(text) => text,
        Err(error) => longest
            .get(..error.valid_up_to())
            .and_then(|valid| std::str::from_utf8(valid).ok())
            .unwrap_or_default(),
    };
    let Some(character) = valid.chars().next() else {
        let byte = bytes.first().copied().map_or(0, u32::from);
        out.extend_from_slice(b"\\\\x");
        push_hex(out, byte >> 4);
        push_hex(out, byte);
        return 1;
    };
    if is_deceptive(character) {
        unicode(out, u32::from(character));
    } else {
        let mut utf8 = [0; 4];
        out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
    }
    character.len_utf8()
}

/// C1 controls (terminal escapes), line separators, zero-width and bidirectional marks, byte order mark.
/// All of them are in the basic plane.
const fn is_deceptive(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &[u8]) -> String {
        let mut out = Vec::new();
        quoted(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_byte_leaves_as_printable_valid_json() {
        for byte in 0..=255_u8 {
            let line = text(&[b'a', byte, b'b']);
            assert!(
                line.bytes().all(|b| (0x20..0x7f).contains(&b)),
                "{byte:#x}: {line:?}"
            );
            let parsed: String = serde_json::from_str(&line).unwrap();
            if byte < 0x80 {
                assert_eq!(parsed, format!("a{}b", char::from(byte)));
            } else {
                assert_eq!(parsed, format!("a\\x{byte:02x}b"));
            }
        }
    }

    #[test]
    fn honest_text_passes_and_deceptive_text_does_not() {
        assert_eq!(text("/grüße/日本/🦀".as_bytes()), "\"/grüße/日本/🦀\"");
        for code in (0x80..=0x9f)
            .chain(0x202a..=0x202e)
            .chain(0x2066..=0x2069)
            .chain([0x2028, 0x2029, 0x200f, 0xfeff])
        {
            let character = char::from_u32(code).unwrap();
            let line = text(character.to_string().as_bytes());
            assert_eq!(line, format!("\"\\u{code:04x}\""));
        }
    }

    #[test]
    fn broken_utf8_is_shown_byte_by_byte() {
        assert_eq!(text(b"\xe6\x97"), r#""\\xe6\\x97""#);
        assert_eq!(text(b"\xffa\xc3\xa9"), "\"\\\\xffaé\"");
        assert_eq!(text(b"\xed\xa0\x80"), r#""\\xed\\xa0\\x80""#);
    }

    #[test]
    fn only_plain_values_stand_bare() {
        assert!(is_bare(b"/a?b=c"));
        for value in [
            b"".as_slice(),
            b"-",
            b"a b",
            b"a\"",
            b"a\\",
            b"\x7f",
            b"\xc3\xa9",
        ] {
            assert!(!is_bare(value), "{value:?}");
        }
        assert_eq!(cut(&[0; 5000]).len(), MAX_VALUE);
    }
}
