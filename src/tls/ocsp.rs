//! Answers of an authority on whether a certificate is revoked (OCSP, RFC 6960): whether one may be shown with a certificate.
//! Who signed it is for clients to check, who need not believe us.

use std::fmt;
use std::ops::RangeInclusive;

use aws_lc_rs::digest;
use x509_cert::Certificate;
use x509_cert::der::asn1::{AnyRef, GeneralizedTime, ObjectIdentifier};
use x509_cert::der::{Decode, Encode, Tag};

use super::der::{inside, only, place, row, sequence};

/// An answer that may be shown.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) der: Vec<u8>,
    /// From when until when, in seconds since the Unix epoch; without an end in it: for ever.
    pub(super) good: RangeInclusive<u64>,
}

/// Why one may not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// It is none, or a part of one.
    Malformed,
    /// It says that there is no answer, and this is why.
    Failed(u8),
    /// It is about other certificates.
    Foreign,
    /// It says that the certificate is revoked.
    Revoked,
    /// It says that the certificate is not known.
    Unknown,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("has no answer of OCSP in DER, or not all of it"),
            Self::Failed(status) => {
                write!(
                    f,
                    "has an answer of OCSP that is none: its status is {status}"
                )
            }
            Self::Foreign => f.write_str("has an answer of OCSP about another certificate"),
            Self::Revoked => {
                f.write_str("has an answer of OCSP that says that the certificate is revoked")
            }
            Self::Unknown => {
                f.write_str("has an answer of OCSP that does not know the certificate")
            }
        }
    }
}

const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// Reads an answer, and what it says of a certificate.
pub(super) fn read(der: Vec<u8>, certificate: &[u8]) -> Result<Answer, Fault> {
    let certificate = Certificate::from_der(certificate).map_err(|_| Fault::Malformed)?;
    let good = good(&der, &certificate)?;
    Ok(Answer { der, good })
}

fn good(der: &[u8], certificate: &Certificate) -> Result<RangeInclusive<u64>, Fault> {
    let whole = only(der, Tag::Sequence).and_then(row).unwrap_or_default();
    let status = whole.first().and_then(|it| inside(*it, Tag::Enumerated));
    let bytes = match (status, whole.get(1)) {
        (Some([0]), Some(bytes)) => *bytes,
        (Some(&[other]), _) if other != 0 => return Err(Fault::Failed(other)),
        _ => return Err(Fault::Malformed),
    };
    let answers = answers(bytes).ok_or(Fault::Malformed)?;
    for answer in answers {
        let parts = sequence(answer).ok_or(Fault::Malformed)?;
        let [about, status, this, rest @ ..] = parts.as_slice() else {
            return Err(Fault::Malformed);
        };
        if !is_about(*about, certificate).ok_or(Fault::Malformed)? {
            continue;
        }
        let Tag::ContextSpecific { number, .. } = status.header().tag() else {
            return Err(Fault::Malformed);
        };
        return match number.value() {
            0 => {
                let next = rest.iter().find_map(|it| inside(*it, place(0, true)));
                let next = next.map(GeneralizedTime::from_der).transpose();
                match (this.decode_as::<GeneralizedTime>(), next) {
                    (Ok(this), Ok(next)) => Ok(seconds(this)..=next.map_or(u64::MAX, seconds)),
                    _ => Err(Fault::Malformed),
                }
            }
            1 => Err(Fault::Revoked),
            _ => Err(Fault::Unknown),
        };
    }
    Err(Fault::Foreign)
}

fn seconds(time: GeneralizedTime) -> u64 {
    time.to_unix_duration().as_secs()
}

/// The single answers in a basic one.
fn answers(bytes: AnyRef<'_>) -> Option<Vec<AnyRef<'_>>> {
    let parts = row(only(inside(bytes, place(0, true))?, Tag::Sequence)?)?;
    let [kind, bytes] = parts.as_slice() else {
        return None;
    };
    if kind.decode_as::<ObjectIdentifier>().ok()? != BASIC {
        return None;
    }
    let basic = row(only(inside(*bytes, Tag::OctetString)?, Tag::Sequence)?)?;
    let data = sequence(*basic.first()?)?;
    // A version may stand first; who answers, and when, stand before the answers.
    let skip = usize::from(data.first()?.header().tag() == place(0, true));
    sequence(*data.get(skip + 2)?)
}

/// Whether an answer is about this certificate: its number, and its authority's name; how that is hashed must be known.
fn is_about(about: AnyRef<'_>, certificate: &Certificate) -> Option<bool> {
    let parts = sequence(about)?;
    let [how, name, _, serial] = parts.as_slice() else {
        return None;
    };
    let tbs = certificate.tbs_certificate();
    if inside(*serial, Tag::Integer)? != tbs.serial_number().as_bytes() {
        return Some(false);
    }
    let how: ObjectIdentifier = sequence(*how)?.first()?.decode_as().ok()?;
    let hash = match how {
        SHA1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        SHA256 => &digest::SHA256,
        SHA384 => &digest::SHA384,
        SHA512 => &digest::SHA512,
        _ => return Some(false),
    };
    let issuer = tbs.issuer().to_der().ok()?;
    Some(inside(*name, Tag::OctetString)? == digest::digest(hash, &issuer).as_ref())
}
