//! Keys that signatures are verified by: a JWK set (RFC 7517).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{Digest, SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::ParsedPublicKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::algorithm::Algorithm;

/// Most keys of a set.
const MAX_KEYS: usize = 256;

/// Where a set comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// A file of ours. What is wrong in it is told.
    File,
    /// Somebody else's, who may have keys that we do not know: they are passed over, as are secrets, which everybody could read
    /// there.
    Network,
}

/// What the next set is told by: no two of a process have the same, and 0 is none.
static SETS: AtomicU64 = AtomicU64::new(1);

/// Keys.
pub(in crate::filter) struct KeySet {
    keys: Vec<Key>,
    id: u64,
    /// SHA-256 of what it was read from.
    text: Digest,
}

struct Key {
    id: Option<Box<str>>,
    material: Material,
    /// By which alone it verifies, where it says so.
    pinned: Option<Algorithm>,
}

/// What is in a key decides by which algorithms it can verify; a token never does (RFC 8725, 3.1).
enum Material {
    Secret(Box<hmac::Key>),
    /// For each algorithm that it may be used with.
    Rsa(Vec<(Algorithm, ParsedPublicKey)>),
    Curve(Algorithm, ParsedPublicKey),
}

/// Two sets are alike when their keys are.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.keys.fmt(f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What became of a signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Checked {
    /// It is by one of the keys.
    Sound,
    /// It is not.
    Broken,
    /// There is no key that could have made it.
    NoKey,
}

impl KeySet {
    /// Reads a set.
    pub(super) fn parse(text: &[u8], origin: Origin) -> Result<Self, String> {
        let set: Value =
            serde_json::from_slice(text).map_err(|error| format!("not JSON: {error}"))?;
        let listed = set.get("keys").and_then(Value::as_array);
        let listed = listed.ok_or("not a JWK set: there is no list `keys`")?;
        if listed.len() > MAX_KEYS {
            return Err(format!("more than {MAX_KEYS} keys"));
        }
        let mut keys = Vec::new();
        for (place, raw) in (1..).zip(listed) {
            match (Key::parse(raw), origin) {
                (Ok(Some(key)), Origin::Network) if matches!(key.material, Material::Secret(_)) => {
                }
                (Ok(Some(key)), _) => keys.push(key),
                (Ok(None), _) | (Err(_), Origin::Network) => {}
                (Err(why), Origin::File) => return Err(format!("key {place}: {why}")),
            }
        }
        if keys.is_empty() {
            return Err("no key that verifies signatures".to_owned());
        }
        let id = SETS.fetch_add(1, Ordering::Relaxed);
        let text = digest(&SHA256, text);
        Ok(Self { keys, id, text })
    }

    /// Tells it from every other set.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Whether both were read from the same text.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.text() == other.text()
    }

    /// What tells its text from every other.
    pub(in crate::filter) fn text(&self) -> &[u8] {
        self.text.as_ref()
    }

    /// Checks a signature. With an id only keys of that id are tried, and those that have none.
    pub(super) fn check(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Checked {
        let may = |key: &&Key| match (id, key.id.as_deref()) {
            (Some(wanted), Some(id)) => wanted == id,
            (None, _) | (_, None) => true,
        };
        let mut found = Checked::NoKey;
        // More of them would be work that a token orders.
        for key in self
            .keys
            .iter()
            .filter(may)
            .filter(|key| key.does(algorithm))
            .take(8)
        {
            if key.verify(algorithm, message, signature) {
                return Checked::Sound;
            }
            found = Checked::Broken;
        }
        found
    }
}

impl Key {
    /// `None`: it is for something else.
    fn parse(raw: &Value) -> Result<Option<Self>, &'static str> {
        let text = |name: &str| raw.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|use_| use_ != "sig") {
            return Ok(None);
        }
        if let Some(for_) = raw.get("key_ops").and_then(Value::as_array)
            && !for_.iter().any(|op| op == "verify")
        {
            return Ok(None);
        }
        let bytes = |name: &str| {
            let text = text(name).ok_or("a part is missing")?;
            URL_SAFE_NO_PAD
                .decode(text)
                .map_err(|_| "a part is not base64url")
        };
        let pinned = match text("alg") {
            None => None,
            Some(name) => Some(Algorithm::parse(name).ok_or("an unknown `alg`")?),
        };
        let material = match text("kty").unwrap_or_default() {
            "oct" => secret(&bytes("k")?, pinned)?,
            "RSA" => Material::Rsa(rsa(&bytes("n")?, &bytes("e")?, pinned)?),
            "EC" => point(text("crv").unwrap_or_default(), &bytes("x")?, &bytes("y")?)?,
            "OKP" if text("crv") == Some("Ed25519") => on_curve(Algorithm::EdDsa, &bytes("x")?)?,
            _ => return Err("an unknown `kty` or `crv`"),
        };
        let key = Self {
            id: text("kid").map(Into::into),
            material,
            pinned,
        };
        match pinned {
            Some(algorithm) if !key.does(algorithm) => Err("`alg` is of another kind of key"),
            _ => Ok(Some(key)),
        }
    }

    fn does(&self, algorithm: Algorithm) -> bool {
        self.pinned.is_none_or(|pinned| pinned == algorithm)
            && match &self.material {
                Material::Secret(key) => algorithm.hmac() == Some(key.algorithm()),
                Material::Rsa(_) => algorithm.rsa().is_some(),
                Material::Curve(own, _) => *own == algorithm,
            }
    }

    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Rsa(keys) => keys
                .iter()
                .find(|(own, _)| *own == algorithm)
                .is_some_and(|(_, key)| key.verify_sig(message, signature).is_ok()),
            Material::Curve(_, key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

/// A secret says its algorithm, and is as long as what that makes (RFC 7518, 3.2).
fn secret(secret: &[u8], pinned: Option<Algorithm>) -> Result<Material, &'static str> {
    let hmac = pinned.and_then(Algorithm::hmac);
    let hmac = hmac.ok_or("a secret says its `alg`: HS256, HS384 or HS512")?;
    if secret.len() < hmac.digest_algorithm().output_len() {
        return Err("a secret is at least as long as what its `alg` makes: 32, 48 or 64 bytes");
    }
    Ok(Material::Secret(Box::new(hmac::Key::new(hmac, secret))))
}

fn rsa(
    n: &[u8],
    e: &[u8],
    pinned: Option<Algorithm>,
) -> Result<Vec<(Algorithm, ParsedPublicKey)>, &'static str> {
    // Some write leading zeros.
    let plain = |number: &[u8]| {
        let zeros = number.iter().take_while(|&&byte| byte == 0).count();
        number.get(zeros..).unwrap_or_default().to_vec()
    };
    let (n, e) = (plain(n), plain(e));
    if !(256..=1024).contains(&n.len()) || !(1..=8).contains(&e.len()) {
        return Err("an RSA key has 2048 to 8192 bits");
    }
    // RSAPublicKey (RFC 8017, A.1.1).
    let numbers = [der(2, &unsigned(n)), der(2, &unsigned(e))].concat();
    let encoded = der(0x30, &numbers);
    let mut keys = Vec::new();
    for algorithm in Algorithm::RSA {
        if let Some(with) = algorithm.rsa()
            && pinned.is_none_or(|pinned| pinned == algorithm)
        {
            let key = ParsedPublicKey::new(with, &encoded).map_err(|_| "not an RSA key")?;
            keys.push((algorithm, key));
        }
    }
    Ok(keys)
}

/// The first bit of a number of DER is its sign.
fn unsigned(mut number: Vec<u8>) -> Vec<u8> {
    if number.first().is_some_and(|first| first & 0x80 != 0) {
        number.insert(0, 0);
    }
    number
}

/// A value of DER (X.690, 8.1) of less than 64 KiB.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let head: &[u8] = match (high, low) {
        (0, ..0x80) => &[tag, low],
        (0, _) => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, content].concat()
}

fn on_curve(algorithm: Algorithm, point: &[u8]) -> Result<Material, &'static str> {
    let with = algorithm.curve().ok_or("an unknown `kty` or `crv`")?;
    let key = ParsedPublicKey::new(with, point).map_err(|_| "not a point of its curve")?;
    Ok(Material::Curve(algorithm, key))
}

fn point(curve: &str, x: &[u8], y: &[u8]) -> Result<Material, &'static str> {
    let (algorithm, size) = match curve {
        "P-256" => (Algorithm::Es256, 32),
        "P-384" => (Algorithm::Es384, 48),
        "P-521" => (Algorithm::Es512, 66),
        _ => return Err("an unknown `kty` or `crv`"),
    };
    if x.len() != size || y.len() != size {
        return Err("not a point of its curve");
    }
    // Uncompressed (SEC 1, 2.3.3).
    on_curve(algorithm, &[&[4], x, y].concat())
}
