//! A quick no to whether a name is among some.

/// What lengths the names among some have. Every field of a head is asked about, and of most this says that they are not
/// among them, without looking at the names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sieve(pub(super) u64);

impl Sieve {
    const fn bit(name: &[u8]) -> u64 {
        1 << (name.len() % 64)
    }

    pub(super) const fn note(&mut self, name: &[u8]) {
        self.0 |= Self::bit(name);
    }

    pub(super) const fn may_have(self, name: &[u8]) -> bool {
        self.0 & Self::bit(name) != 0
    }
}
