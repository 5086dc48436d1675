//! Keyed hashing: the same key and seed give the same number on every instance and after a restart.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

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

    /// Hashes `bytes` under this key (SipHash-1-3).
    pub fn hash(self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(bytes);
        hasher.finish()
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
