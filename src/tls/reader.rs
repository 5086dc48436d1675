//! Bytes as TLS lays them out.

/// Takes numbers and vectors off the front.
pub(super) struct Reader<'b>(pub(super) &'b [u8]);

impl<'b> Reader<'b> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub(super) fn short(&mut self) -> Option<u16> {
        let (bytes, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*bytes))
    }

    /// What stands behind its own length, of one byte.
    pub(super) fn vector8(&mut self) -> Option<Self> {
        let length = usize::from(self.byte()?);
        self.take(length).map(Self)
    }

    /// The same with a length of two bytes.
    pub(super) fn vector16(&mut self) -> Option<Self> {
        let length = usize::from(self.short()?);
        self.take(length).map(Self)
    }

    /// The same with a length of three bytes.
    pub(super) fn vector24(&mut self) -> Option<Self> {
        let high = usize::from(self.byte()?);
        let length = high << 16 | usize::from(self.short()?);
        self.take(length).map(Self)
    }
}
