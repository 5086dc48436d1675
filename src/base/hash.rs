//! Keyed hashing: the same key and seed give the same number on every instance and after a restart.

use std::hash::{BuildHasher, Hasher, RandomState};

use siphasher::sip::SipHasher13;
use siphasher::sip128::{self, Hasher128 as _};

/// The seed where the configuration names none.
pub const DEFAULT_SEED: &str = "tidegate";

/// Two words that key a hash, made from the configured seed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HashKey(u64, u64);

impl HashKey {
    /// Makes a key from any text.
    pub fn from_seed(seed: &str) -> Self {
        let word = |salt: u64| {
            let mut hasher = SipHasher13::new_with_keys(salt, !salt);
            hasher.write(seed.as_bytes());
            hasher.finish()
        };
        Self(word(0x7469_6465_6761_7465), word(0x6861_7368_6b65_7973))
    }

    /// The key of a configuration with this `hash_seed`.
    pub fn configured(seed: Option<&str>) -> Self {
        Self::from_seed(seed.unwrap_or(DEFAULT_SEED))
    }

    /// Hashes `bytes` under this key (SipHash-1-3).
    pub fn hash(self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(bytes);
        hasher.finish()
    }

    /// A key that nobody outside can know: what a client chooses cannot be aimed at a place in a table.
    pub fn random() -> Self {
        let word = || RandomState::new().hash_one(());
        Self(word(), word())
    }

    /// A hash of 128 bits under this key, of what is written to it: wide enough to stand for its text.
    #[inline]
    pub fn hasher128(self) -> Hasher128 {
        Hasher128(sip128::SipHasher13::new_with_keys(self.0, self.1))
    }
}

impl HashKey {
    /// The hash of 128 bits of these bytes.
    #[inline]
    pub fn hash128(self, bytes: &[u8]) -> u128 {
        let mut hasher = self.hasher128();
        hasher.write(bytes);
        hasher.finish()
    }
}

/// See [`HashKey::hasher128`].
#[derive(Clone, Debug)]
pub struct Hasher128(sip128::SipHasher13);

impl Hasher128 {
    /// Adds bytes.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// The hash of all that was written.
    #[inline]
    pub fn finish(&self) -> u128 {
        self.0.finish128().as_u128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_hash() {
        let a = HashKey::from_seed("tidegate");
        assert_eq!(
            a.hash(b"client"),
            HashKey::from_seed("tidegate").hash(b"client")
        );
        assert_ne!(
            a.hash(b"client"),
            HashKey::from_seed("other").hash(b"client")
        );
    }
}
