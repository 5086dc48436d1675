//! Integers with a prefix (RFC 7541, 5.1).

use super::Malformed;

/// Largest integer that is read: nothing in a header block is that large.
const MAX: usize = 1 << 24;

/// Reads an integer whose first byte is `first`, of which `prefix` bits belong to it, and takes what follows from
/// `rest`.
pub(super) fn read(first: u8, prefix: u32, rest: &mut &[u8]) -> Result<usize, Malformed> {
    let most = (1usize << prefix) - 1;
    let value = usize::from(first) & most;
    if value < most {
        return Ok(value);
    }
    let mut value = value;
    // Four bytes hold all that is allowed; leading zeros are not worth more.
    for shift in [0, 7, 14, 21] {
        let (&byte, tail) = rest.split_first().ok_or(Malformed)?;
        *rest = tail;
        value += usize::from(byte & 0x7f) << shift;
        if value > MAX {
            return Err(Malformed);
        }
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

/// Appends an integer; `pattern` is what stands above the prefix.
#[inline]
pub(super) fn write(value: usize, prefix: u32, pattern: u8, out: &mut Vec<u8>) {
    let most = (1usize << prefix) - 1;
    let low = |value: usize| value.to_le_bytes()[0];
    if value < most {
        out.push(pattern | low(value));
        return;
    }
    out.push(pattern | low(most));
    write_rest(value - most, out);
}

fn write_rest(mut rest: usize, out: &mut Vec<u8>) {
    let low = |value: usize| value.to_le_bytes()[0];
    while rest >= 0x80 {
        out.push(low(rest) | 0x80);
        rest >>= 7;
    }
    out.push(low(rest));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(bytes: &[u8], prefix: u32) -> Result<(usize, usize), Malformed> {
        let (first, mut rest) = bytes.split_first().ok_or(Malformed)?;
        let value = read(*first, prefix, &mut rest)?;
        Ok((value, rest.len()))
    }

    /// RFC 7541, C.1.
    #[test]
    fn examples_of_the_standard() {
        for (value, prefix, expected) in [
            (10, 5, &b"\x0a"[..]),
            (1337, 5, b"\x1f\x9a\x0a"),
            (42, 8, b"\x2a"),
        ] {
            let mut out = Vec::new();
            write(value, prefix, 0, &mut out);
            assert_eq!(out, expected);
            assert_eq!(read_all(expected, prefix), Ok((value, 0)));
        }
    }

    #[test]
    fn an_integer_ends_and_has_a_bound() {
        assert!(read_all(b"\x1f", 5).is_err());
        assert!(read_all(b"\x1f\x80", 5).is_err());
        assert!(read_all(b"\x1f\xff\xff\xff\xff\x0f", 5).is_err());
        assert!(read_all(b"\x1f\x80\x80\x80\x80\x00", 5).is_err());
        assert_eq!(read_all(b"\x1f\x80\x00", 5), Ok((31, 0)));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(value in 0..=MAX, prefix in 1u32..=8) {
            let mut out = Vec::new();
            write(value, prefix, 0, &mut out);
            prop_assert_eq!(read_all(&out, prefix), Ok((value, 0)));
        }
    }
}
