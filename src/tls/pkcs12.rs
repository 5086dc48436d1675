//! PKCS#12 (RFC 7292): a certificate, its chain and its key in one file under a password.
//!
//! What is read is what programs of today write: encryption by PBES2 (PBKDF2 and AES in CBC, RFC 8018), a MAC of the file by the
//! password. RC2 and 3DES, which they wrote before, are told with the command that converts the file.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_128_KEY_LEN, AES_256, AES_256_KEY_LEN, AES_CBC_IV_LEN, DecryptionContext,
    PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{digest, hmac, pbkdf2};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_cert::der::Tag;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};

use super::der::{inside, only, place, row, sequence};

/// What a file holds, in no order.
pub(super) struct Store {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// Why it cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// It is none, or a part of one.
    Malformed,
    /// It is not what was encrypted with this password, or not with this one.
    Password,
    /// It is made in a way that this build does not know.
    Foreign(ObjectIdentifier),
    /// So many keys are in it, and not one.
    Keys(usize),
    /// There is no certificate in it.
    NoCertificate,
    /// To open it takes too much work.
    Work,
}

/// Before 2021 programs encrypted with RC2 and 3DES.
const LEGACY: &str = "1.2.840.113549.1.12.1.";

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("is not PKCS#12, or not all of it"),
            Self::Password => f.write_str("cannot be opened with this password, or is damaged"),
            Self::Foreign(oid) if oid.to_string().starts_with(LEGACY) => f.write_str(
                "is encrypted with RC2 or 3DES, which this build does not know; `openssl pkcs12 -legacy -in OLD -nodes | openssl pkcs12 \
                 -export -out NEW` makes it anew",
            ),
            Self::Foreign(oid) => write!(f, "is made by {oid}, which this build does not know"),
            Self::Keys(count) => write!(f, "has {count} private keys in PKCS#12, and not one"),
            Self::NoCertificate => f.write_str("has no certificate in PKCS#12"),
            Self::Work => write!(f, "takes more than {MOST_ROUNDS} rounds of hashing to open"),
        }
    }
}

type Read<T> = Result<T, Fault>;

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.1");
const ENCRYPTED: ObjectIdentifier = oid("1.2.840.113549.1.7.6");
const KEY: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.1");
const SHROUDED_KEY: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.2");
const CERTIFICATE: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.3");
const X509: ObjectIdentifier = oid("1.2.840.113549.1.9.22.1");
const PBES2: ObjectIdentifier = oid("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = oid("1.2.840.113549.1.5.12");

/// A file whose keys take more rounds than this, all together, would keep a reload busy for more than seconds.
const MOST_ROUNDS: u32 = 10_000_000;

/// What a file is opened with.
struct Opener<'p> {
    password: &'p str,
    /// How many rounds its keys may still take.
    left: u32,
}

/// Reads a file.
pub(super) fn open(file: &[u8], password: &str) -> Read<Store> {
    let whole = only(file, Tag::Sequence).and_then(row);
    let (safe, mac) = match whole.as_deref() {
        Some([_, safe]) => (*safe, None),
        Some([_, safe, mac]) => (*safe, Some(*mac)),
        _ => return Err(Fault::Malformed),
    };
    let safe = content(safe, DATA)?;
    let mut opener = Opener {
        password,
        left: MOST_ROUNDS,
    };
    if let Some(mac) = mac {
        opener.check(mac, safe)?;
    }
    let (mut certificates, mut keys) = (Vec::new(), Vec::new());
    let parts = only(safe, Tag::Sequence).and_then(row);
    for part in parts.ok_or(Fault::Malformed)? {
        let clear;
        let bags = match kind(part)? {
            ENCRYPTED => {
                clear = opener.encrypted(part)?;
                &clear
            }
            _ => content(part, DATA)?,
        };
        let bags = only(bags, Tag::Sequence).and_then(row);
        for bag in bags.ok_or(Fault::Malformed)? {
            let value = explicit(bag)?;
            match kind(bag)? {
                KEY => keys.push(value.to_vec()),
                SHROUDED_KEY => {
                    let pair = only(value, Tag::Sequence).and_then(row);
                    let Some([how, bytes]) = pair.as_deref() else {
                        return Err(Fault::Malformed);
                    };
                    let bytes = inside(*bytes, Tag::OctetString);
                    keys.push(opener.decrypt(*how, bytes.ok_or(Fault::Malformed)?)?);
                }
                CERTIFICATE => {
                    let bag = AnyRef::try_from(value).map_err(|_| Fault::Malformed)?;
                    if kind(bag)? == X509 {
                        let der = only(explicit(bag)?, Tag::OctetString);
                        certificates.push(der.ok_or(Fault::Malformed)?.to_vec().into());
                    }
                }
                // Lists of what was revoked, and secrets: not asked for.
                _ => {}
            }
        }
    }
    if certificates.is_empty() {
        return Err(Fault::NoCertificate);
    }
    let count = keys.len();
    match (keys.pop(), count) {
        (Some(key), 1) => Ok(Store {
            certificates,
            key: PrivatePkcs8KeyDer::from(key).into(),
        }),
        _ => Err(Fault::Keys(count)),
    }
}

/// What a value says that it is: its first part.
fn kind(value: AnyRef<'_>) -> Read<ObjectIdentifier> {
    let parts = sequence(value).ok_or(Fault::Malformed)?;
    parts
        .first()
        .and_then(|first| first.decode_as().ok())
        .ok_or(Fault::Malformed)
}

/// What stands second in a value, under the tag that is kept for it.
fn explicit(value: AnyRef<'_>) -> Read<&[u8]> {
    let parts = sequence(value).ok_or(Fault::Malformed)?;
    parts
        .get(1)
        .and_then(|second| inside(*second, place(0, true)))
        .ok_or(Fault::Malformed)
}

/// The bytes of a content of this kind.
fn content(value: AnyRef<'_>, wanted: ObjectIdentifier) -> Read<&[u8]> {
    match kind(value)? {
        found if found == wanted => {
            only(explicit(value)?, Tag::OctetString).ok_or(Fault::Malformed)
        }
        found => Err(Fault::Foreign(found)),
    }
}

impl Opener<'_> {
    /// Whether the file is whole, and made under this password (RFC 7292, 4).
    fn check(&mut self, mac: AnyRef<'_>, safe: &[u8]) -> Read<()> {
        let (found, salt, times) = match sequence(mac).as_deref() {
            Some([found, salt]) => (*found, *salt, NonZeroU32::MIN),
            Some([found, salt, times]) => (*found, *salt, self.rounds(*times)?),
            _ => return Err(Fault::Malformed),
        };
        let salt = inside(salt, Tag::OctetString).ok_or(Fault::Malformed)?;
        let found = sequence(found);
        let Some([how, tag]) = found.as_deref() else {
            return Err(Fault::Malformed);
        };
        let tag = inside(*tag, Tag::OctetString).ok_or(Fault::Malformed)?;
        let known = [
            (
                "1.3.14.3.2.26",
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
                hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            ),
            ("2.16.840.1.101.3.4.2.1", &digest::SHA256, hmac::HMAC_SHA256),
            ("2.16.840.1.101.3.4.2.2", &digest::SHA384, hmac::HMAC_SHA384),
            ("2.16.840.1.101.3.4.2.3", &digest::SHA512, hmac::HMAC_SHA512),
        ];
        let how = kind(*how)?;
        let one = known.into_iter().find(|(name, ..)| oid(name) == how);
        let (_, hash, algorithm) = one.ok_or(Fault::Foreign(how))?;
        let key = mac_key(hash, salt, times, self.password);
        hmac::verify(&hmac::Key::new(algorithm, key.as_ref()), safe, tag)
            .map_err(|_| Fault::Password)
    }

    /// The bytes of a content that is encrypted.
    fn encrypted(&mut self, value: AnyRef<'_>) -> Read<Vec<u8>> {
        let data = only(explicit(value)?, Tag::Sequence).and_then(row);
        let Some([_, content]) = data.as_deref() else {
            return Err(Fault::Malformed);
        };
        match sequence(*content).as_deref() {
            Some([_, how, bytes]) => {
                let bytes = inside(*bytes, place(0, false)).ok_or(Fault::Malformed)?;
                self.decrypt(*how, bytes)
            }
            _ => Err(Fault::Malformed),
        }
    }

    /// PBES2 (RFC 8018, 6.2).
    fn decrypt(&mut self, how: AnyRef<'_>, bytes: &[u8]) -> Read<Vec<u8>> {
        if kind(how)? != PBES2 {
            return Err(Fault::Foreign(kind(how)?));
        }
        let parts = sequence(how).unwrap_or_default();
        let parameters = parts.get(1).and_then(|it| sequence(*it));
        let Some([derive, cipher]) = parameters.as_deref() else {
            return Err(Fault::Malformed);
        };
        if kind(*derive)? != PBKDF2 {
            return Err(Fault::Foreign(kind(*derive)?));
        }
        let parts = sequence(*derive).unwrap_or_default();
        let derive = parts.get(1).and_then(|it| sequence(*it));
        let Some([salt, times, others @ ..]) = derive.as_deref() else {
            return Err(Fault::Malformed);
        };
        let salt = inside(*salt, Tag::OctetString).ok_or(Fault::Malformed)?;
        // The length of the key may stand before the function, and follows from the cipher.
        let function = others.iter().find(|it| it.header().tag() == Tag::Sequence);
        let function = match function.map(|it| kind(*it)).transpose()? {
            None => pbkdf2::PBKDF2_HMAC_SHA1,
            Some(found) => function_of(found)?,
        };
        let (algorithm, len) = match kind(*cipher)? {
            found if found == oid("2.16.840.1.101.3.4.1.2") => (&AES_128, AES_128_KEY_LEN),
            found if found == oid("2.16.840.1.101.3.4.1.42") => (&AES_256, AES_256_KEY_LEN),
            found => return Err(Fault::Foreign(found)),
        };
        let parts = sequence(*cipher).unwrap_or_default();
        let start = parts.get(1).and_then(|it| inside(*it, Tag::OctetString));
        let start = start.and_then(|start| <[u8; AES_CBC_IV_LEN]>::try_from(start).ok());
        let start = start.ok_or(Fault::Malformed)?;
        let mut key = [0; AES_256_KEY_LEN];
        let key = key.get_mut(..len).unwrap_or_default();
        let times = self.rounds(*times)?;
        pbkdf2::derive(function, times, salt, self.password.as_bytes(), key);
        let key =
            UnboundCipherKey::new(algorithm, key).and_then(PaddedBlockDecryptingKey::cbc_pkcs7);
        let context = DecryptionContext::Iv128(FixedLength::from(start));
        let mut bytes = bytes.to_vec();
        let clear = key.and_then(|key| Ok(key.decrypt(&mut bytes, context)?.len()));
        bytes.truncate(clear.map_err(|_| Fault::Password)?);
        Ok(bytes)
    }

    fn rounds(&mut self, value: AnyRef<'_>) -> Read<NonZeroU32> {
        let rounds: NonZeroU32 = value
            .decode_as()
            .ok()
            .and_then(NonZeroU32::new)
            .ok_or(Fault::Malformed)?;
        self.left = self.left.checked_sub(rounds.get()).ok_or(Fault::Work)?;
        Ok(rounds)
    }
}

/// By which function keys are derived (RFC 8018, B.1.2).
fn function_of(found: ObjectIdentifier) -> Read<pbkdf2::Algorithm> {
    let known = [
        ("1.2.840.113549.2.7", pbkdf2::PBKDF2_HMAC_SHA1),
        ("1.2.840.113549.2.9", pbkdf2::PBKDF2_HMAC_SHA256),
        ("1.2.840.113549.2.10", pbkdf2::PBKDF2_HMAC_SHA384),
        ("1.2.840.113549.2.11", pbkdf2::PBKDF2_HMAC_SHA512),
    ];
    let one = known.into_iter().find(|(name, _)| oid(name) == found);
    one.map(|(_, function)| function)
        .ok_or(Fault::Foreign(found))
}

/// RFC 7292, B.2, for a key of a MAC (3) that is as long as what the function gives.
fn mac_key(
    hash: &'static digest::Algorithm,
    salt: &[u8],
    times: NonZeroU32,
    password: &str,
) -> digest::Digest {
    // In UTF-16, with a zero at its end.
    let units = password.encode_utf16().chain([0]);
    let password: Vec<u8> = units.flat_map(u16::to_be_bytes).collect();
    let block = hash.block_len();
    let filled = |text: &[u8]| -> Vec<u8> {
        let len = text.len().next_multiple_of(block);
        text.iter().copied().cycle().take(len).collect()
    };
    let mut first = digest::Context::new(hash);
    first.update(&vec![3; block]);
    first.update(&filled(salt));
    first.update(&filled(&password));
    let mut key = first.finish();
    for _ in 1..times.get() {
        key = digest::digest(hash, key.as_ref());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_file_together_take_no_more_than_so_much_work() {
        let times = |text: &'static [u8]| AnyRef::try_from(text).unwrap();
        let most = times(&[2, 4, 0, 0x98, 0x96, 0x80]);
        let opener = |left| Opener { password: "", left };
        let mut fresh = opener(MOST_ROUNDS);
        assert_eq!(fresh.rounds(times(&[2, 1, 0])), Err(Fault::Malformed));
        assert_eq!(fresh.rounds(times(&[2, 1, 0xff])), Err(Fault::Malformed));
        assert_eq!(fresh.rounds(most).map(NonZeroU32::get), Ok(MOST_ROUNDS));
        assert_eq!(fresh.rounds(times(&[2, 1, 1])), Err(Fault::Work));
        assert_eq!(opener(9).rounds(times(&[2, 1, 10])), Err(Fault::Work));
    }
}
