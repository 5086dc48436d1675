//! Keyed hashing: the same key and seed give the same number on every instance and after a restart.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

use siphasher::sip::SipHasher13;

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

    /// One such key for the life of this process.
    pub fn of_process() -> Self {
        static KEY: OnceLock<HashKey> = OnceLock::new();
        *KEY.get_or_init(Self::random)
    }

    /// A hash of 128 bits under this key, of what is written to it: wide enough to stand for its text.
    #[inline]
    pub const fn hasher128(self) -> Hasher128 {
        // "somepseudorandomlygeneratedbytes", and 0xee for 128 bits.
        Hasher128 {
            state: [
                self.0 ^ 0x736f_6d65_7073_6575,
                self.1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
                self.0 ^ 0x6c79_6765_6e65_7261,
                self.1 ^ 0x7465_6462_7974_6573,
            ],
            words: 0,
        }
    }

    /// The hash of 128 bits of these bytes.
    #[inline]
    pub fn hash128(self, bytes: &[u8]) -> u128 {
        let mut hasher = self.hasher128();
        hasher.write(bytes);
        hasher.word(bytes.len() as u64);
        hasher.finish()
    }
}

/// See [`HashKey::hasher128`]. It is SipHash-1-3 (J.-P. Aumasson, D. J. Bernstein) of whole words: what limits go by is one or
/// two of them, and nothing has to be gathered into words first, which costs more than the hash.
#[derive(Clone, Debug)]
pub struct Hasher128 {
    state: [u64; 4],
    words: u64,
}

impl Hasher128 {
    /// Adds a word.
    #[inline]
    pub fn word(&mut self, word: u64) {
        self.words += 1;
        self.absorb(word);
    }

    /// Adds bytes, filled up with zeros to whole words: what can be of any length is followed by it.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            for (place, byte) in last.iter_mut().zip(rest) {
                *place = *byte;
            }
            self.word(u64::from_le_bytes(last));
        }
    }

    #[inline]
    fn absorb(&mut self, word: u64) {
        self.state[3] ^= word;
        self.round();
        self.state[0] ^= word;
    }

    #[inline]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.state;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.state = [a, b, c, d];
    }

    /// The hash of all that was written.
    #[inline]
    pub fn finish(mut self) -> u128 {
        // The length in bytes, of which one byte is kept.
        self.absorb(self.words << 59);
        let mut half = |place: usize, mark: u64| {
            if let Some(word) = self.state.get_mut(place) {
                *word ^= mark;
            }
            for _ in 0..3 {
                self.round();
            }
            let [a, b, c, d] = self.state;
            u128::from(a ^ b ^ c ^ d)
        };
        let low = half(2, 0xee);
        half(1, 0xdd) << 64 | low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_hashed_as_siphash_does() {
        use siphasher::sip128::Hasher128 as _;
        let key = HashKey(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        for count in 0..40_u64 {
            let mut wanted = siphasher::sip128::SipHasher13::new_with_keys(key.0, key.1);
            let mut hasher = key.hasher128();
            for at in 0..count {
                let word = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                wanted.write(&word.to_le_bytes());
                hasher.word(word);
            }
            assert_eq!(hasher.finish(), wanted.finish128().as_u128(), "{count}");
        }
    }

    #[test]
    fn bytes_are_words_and_their_length_tells_them_apart() {
        let key = HashKey::from_seed("x");
        let mut whole = key.hasher128();
        whole.write(b"0123456789");
        let mut words = key.hasher128();
        words.word(u64::from_le_bytes(*b"01234567"));
        words.word(u64::from(u16::from_le_bytes(*b"89")));
        assert_eq!(whole.finish(), words.finish());
        assert_ne!(key.hash128(b"a"), key.hash128(b"a\0"));
        assert_ne!(key.hash128(b""), key.hash128(b"\0"));
    }

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
