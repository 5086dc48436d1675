//! The secret of a site: what instances share and clients must not know.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac, rand};

/// Shortest file that is a secret, in bytes.
pub const MIN_SECRET: usize = 16;

/// A key made from `runtime.secret_file`, or a random one of this process.
#[derive(Clone)]
pub struct Secret {
    key: Arc<hmac::Key>,
    /// Says whether two are the same; the key cannot be made of it.
    mark: [u8; 32],
    origin: Origin,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Origin {
    File,
    Process,
}

impl Secret {
    fn new(text: &[u8], origin: Origin) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, text);
        let mut mark = [0; 32];
        mark.copy_from_slice(hmac::sign(&key, b"tidegate mark 1").as_ref());
        Self {
            key: Arc::new(key),
            mark,
            origin,
        }
    }

    /// The key that is made from what stands in a file.
    pub fn from_text(text: &[u8]) -> Self {
        Self::new(text, Origin::File)
    }

    /// A key that lasts as long as whoever holds it; `None` where the system gives no random numbers.
    pub fn random() -> Option<Self> {
        let mut key = [0; digest::SHA256_OUTPUT_LEN];
        rand::fill(&mut key).ok()?;
        Some(Self::new(&key, Origin::Process))
    }

    /// The HMAC-SHA256 of these parts, none of which has a zero byte: they cannot run together.
    pub fn sign(&self, parts: &[&str]) -> hmac::Tag {
        let mut mac = hmac::Context::with_key(&self.key);
        for part in parts {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        mac.sign()
    }

    /// Says whether two are the same; it is no secret itself.
    pub fn mark(&self) -> [u8; 32] {
        self.mark
    }

    /// Whether no other process has it.
    pub fn is_of_this_process(&self) -> bool {
        self.origin == Origin::Process
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.mark == other.mark
    }
}

impl Eq for Secret {}

/// It is never shown.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2, with what ends a part: what signs is the HMAC-SHA256 that others compute.
    #[test]
    fn parts_are_signed_one_behind_the_other() {
        let secret = Secret::from_text(b"Jefe");
        let whole = hmac::sign(&secret.key, b"what do ya want\0for nothing?\0");
        let parts = secret.sign(&["what do ya want", "for nothing?"]);
        assert_eq!(whole.as_ref(), parts.as_ref());
        let standard = hmac::sign(&secret.key, b"what do ya want for nothing?");
        assert_eq!(standard.as_ref()[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }
}
