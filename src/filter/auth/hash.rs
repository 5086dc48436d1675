//! Hashes of passwords, as `htpasswd` and `argon2` write them.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::Terms;

/// The hash of one password.
#[derive(Debug)]
pub(super) enum Hash {
    /// `$2y$10$…`
    Bcrypt(String),
    /// `$argon2id$v=19$m=…,t=…,p=…$salt$hash`
    Argon2 {
        engine: Argon2<'static>,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
}

/// Most work that one check may take, beside what [`Terms`] say.
const MAX_PASSES: u32 = 32;
const MAX_LANES: u32 = 16;

impl Hash {
    /// Reads it, or says what is wrong; that never shows any of it.
    pub(super) fn parse(text: &str, terms: Terms) -> Result<Self, &'static str> {
        if text.starts_with("$argon2") {
            return argon2_of(text, terms).unwrap_or(Err("not a hash of argon2"));
        }
        let cost = ["$2y$", "$2b$", "$2a$"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix));
        let Some(cost) = cost else {
            return Err("neither bcrypt (`htpasswd -B`) nor argon2");
        };
        match cost
            .split_once('$')
            .map(|(cost, rest)| (cost.parse::<u32>(), rest.len()))
        {
            Some((Ok(cost), 53)) if cost > terms.bcrypt_cost && cost < 32 => {
                Err("its cost is above `runtime.passwords.bcrypt_cost`")
            }
            Some((Ok(4..=31), 53)) if text.is_ascii() => Ok(Self::Bcrypt(text.to_owned())),
            _ => Err("not a hash of bcrypt"),
        }
    }

    /// Whether it is the hash of this password. Takes as long for every password, and long.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(text) => bcrypt::verify(password, text).unwrap_or(false),
            Self::Argon2 { engine, salt, hash } => {
                let mut made = vec![0; hash.len()];
                engine.hash_password_into(password, salt, &mut made).is_ok()
                    && verify_slices_are_equal(&made, hash).is_ok()
            }
        }
    }

    /// What tells it from every other.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bcrypt(text) => text.as_bytes(),
            Self::Argon2 { hash, .. } => hash,
        }
    }
}

/// `None`: the text has not the form.
fn argon2_of(text: &str, terms: Terms) -> Option<Result<Hash, &'static str>> {
    let mut parts = text.strip_prefix('$')?.split('$');
    let algorithm = match parts.next()? {
        "argon2id" => Algorithm::Argon2id,
        "argon2i" => Algorithm::Argon2i,
        "argon2d" => Algorithm::Argon2d,
        _ => return None,
    };
    if parts.next()? != "v=19" {
        return Some(Err("only version 19 of argon2"));
    }
    let mut numbers = parts.next()?.split(',');
    let mut number = |name: &str| numbers.next()?.strip_prefix(name)?.parse::<u32>().ok();
    let (memory, passes, lanes) = (number("m=")?, number("t=")?, number("p=")?);
    let decoded = |part: &str| STANDARD_NO_PAD.decode(part).ok();
    let (salt, hash) = (decoded(parts.next()?)?, decoded(parts.next()?)?);
    if parts.next().is_some() || numbers.next().is_some() || !(16..=64).contains(&hash.len()) {
        return None;
    }
    if memory > terms.argon2_kib {
        let why = "it asks for more memory than `runtime.passwords.argon2_memory`";
        return Some(Err(why));
    }
    if passes > MAX_PASSES || lanes > MAX_LANES {
        return Some(Err("it asks for more than 32 passes or 16 lanes"));
    }
    let params = Params::new(memory, passes, lanes, Some(hash.len())).ok()?;
    Some(Ok(Hash::Argon2 {
        engine: Argon2::new(algorithm, Version::V0x13, params),
        salt,
        hash,
    }))
}
