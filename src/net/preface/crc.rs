//! CRC-32C (Castagnoli), as RFC 4960 has it in appendix B.

/// The checksum of several pieces, one behind the other. Bit by bit: it is asked for once for a connection, for a few hundred
/// bytes.
pub(super) fn crc32c<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    let mut crc = u32::MAX;
    for byte in pieces.into_iter().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4.
    #[test]
    fn known_values() {
        assert_eq!(crc32c([&b"123456789"[..]]), 0xE306_9283);
        assert_eq!(crc32c([&[0; 16][..], &[0; 16]]), 0x8A91_36AA);
        assert_eq!(crc32c([&[0xFF; 32][..]]), 0x62A8_AB43);
    }
}
