//! A certificate with its chain and key: read, and checked before anyone sees it.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_cert::der::Decode;

use super::files::{Content, Files, LoadError, Part, Why};
use super::ocsp::Fault;
use super::provider::provider;
use super::x509::Facts;
use super::{ocsp, pkcs12};
use crate::base::clock;

/// A certificate that can be shown.
#[derive(Debug)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// The same with an answer of its authority, and when that is good.
    stapled: Option<Stapled>,
    pub(super) facts: Facts,
}

type Stapled = (Arc<CertifiedKey>, RangeInclusive<u64>);

impl Certificate {
    /// Reads and checks a certificate.
    pub fn load(files: &Files) -> Result<Self, LoadError> {
        Self::of(files.read())
    }

    /// Makes one of what stood in its files.
    pub(super) fn of(contents: Vec<Content>) -> Result<Self, LoadError> {
        match Self::with_fault(contents)? {
            (certificate, None) => Ok(certificate),
            (_, Some(fault)) => Err(fault),
        }
    }

    /// The same, without an answer of the authority where there is a fault in that, which is told.
    pub(super) fn with_fault(
        contents: Vec<Content>,
    ) -> Result<(Self, Option<LoadError>), LoadError> {
        let mut contents = contents.into_iter();
        let (Some(first), Some(second)) = (contents.next(), contents.next()) else {
            let nothing = LoadError::unfit(Path::new(""), Part::Chain, "it has no files");
            return Err(nothing);
        };
        let key = match first.part {
            Part::Store => stored(first, second),
            _ => paired(first, second),
        }?;
        let (stapled, fault) = match contents.next().map(|staple| stapled(&key, staple)) {
            None => (None, None),
            Some(Ok(stapled)) => (Some(stapled), None),
            Some(Err(fault)) => (None, Some(fault)),
        };
        let facts = key.cert.first().and_then(|end| Facts::read(end));
        let certificate = Self {
            facts: facts.unwrap_or_default(),
            stapled,
            key: Arc::new(key),
        };
        Ok((certificate, fault))
    }

    /// Whether it may be shown in the place of `before` in spite of a fault in the answer of its authority: it was renewed before that
    /// was, which must not keep it away until the one that is shown expires. Not where the answer says that it is revoked.
    pub(super) fn goes_without(&self, before: &Self, fault: &LoadError) -> bool {
        self.key.cert.first() != before.key.cert.first()
            && !matches!(fault.why, Why::Staple(Fault::Revoked))
    }

    /// What it says of itself.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// As it is shown now: an answer of its authority out of its time is worse than none, some clients refuse it.
    pub(super) fn shown(&self) -> &Arc<CertifiedKey> {
        match &self.stapled {
            Some((stapled, good)) if good.contains(&clock::wall().as_secs()) => stapled,
            _ => &self.key,
        }
    }

    /// Until when the answer of its authority is good, in seconds since the Unix epoch.
    pub fn staple_until(&self) -> Option<u64> {
        self.stapled.as_ref().map(|(_, good)| *good.end())
    }

    /// Why the answer of its authority is not shown now.
    pub(super) fn staple_fault(&self) -> Option<&'static str> {
        let (_, good) = self.stapled.as_ref()?;
        let now = clock::wall().as_secs();
        if *good.end() < now {
            Some("is too old")
        } else {
            (now < *good.start()).then_some("is not good yet")
        }
    }

    /// How cheap and how modern its signatures are; lower is better.
    pub(super) fn rank(&self) -> u8 {
        match self.key.key.algorithm() {
            SignatureAlgorithm::ECDSA => 0,
            SignatureAlgorithm::ED25519 => 1,
            _ => 2,
        }
    }
}

/// Two files in PEM.
fn paired(chain: Content, key: Content) -> Result<CertifiedKey, LoadError> {
    let (chain_at, key_at) = (chain.at(), key.at());
    let chain = parse_chain(&chain.bytes()?).map_err(|why| chain_at.fault(why))?;
    let facts = chain.first().and_then(|end| Facts::read(end));
    facts.ok_or_else(|| chain_at.fault(Why::BadCertificate))?;
    let key = parse_key(&key.bytes()?).map_err(|why| key_at.fault(why))?;
    let signer = signer(key).map_err(|why| key_at.fault(why))?;
    let key = CertifiedKey::new(chain, signer);
    match key.keys_match() {
        Ok(()) => Ok(key),
        Err(rustls::Error::InconsistentKeys(_)) => Err(key_at.fault(Why::Mismatch)),
        Err(_) => Err(chain_at.fault(Why::BadCertificate)),
    }
}

/// One file in PKCS#12. Its certificates are in any order: the key says which is the first, and each names the one that
/// signed it.
fn stored(store: Content, password: Content) -> Result<CertifiedKey, LoadError> {
    let (store_at, password_at) = (store.at(), password.at());
    let file = store.bytes()?;
    let password = password.bytes()?;
    // Wherever it came from, it was a text.
    let password = String::from_utf8_lossy(&password);
    let read = pkcs12::open(&file, &password).map_err(|fault| match fault {
        pkcs12::Fault::Password => password_at.fault(Why::Store(fault)),
        fault => store_at.fault(Why::Store(fault)),
    })?;
    let signer = signer(read.key).map_err(|why| store_at.fault(why))?;
    let mut left = read.certificates;
    let fits = |one: &CertificateDer<'static>| {
        let alone = CertifiedKey::new(vec![one.clone()], Arc::clone(&signer));
        alone.keys_match().is_ok()
    };
    let end = left.iter().position(fits);
    let end = end.ok_or_else(|| store_at.fault(Why::Mismatch))?;
    let mut chain = vec![left.swap_remove(end)];
    loop {
        let last = chain
            .last()
            .and_then(|last| x509_cert::Certificate::from_der(last).ok());
        let last = last.ok_or_else(|| store_at.fault(Why::BadCertificate))?;
        let issuer = last.tbs_certificate().issuer();
        // One that signed itself is known to clients, or not trusted by them.
        let above = left.iter().position(|one| {
            x509_cert::Certificate::from_der(one).is_ok_and(|one| {
                let one = one.tbs_certificate();
                one.subject() == issuer && one.subject() != one.issuer()
            })
        });
        match above {
            Some(above) => chain.push(left.swap_remove(above)),
            None => return Ok(CertifiedKey::new(chain, signer)),
        }
    }
}

fn stapled(key: &CertifiedKey, staple: Content) -> Result<Stapled, LoadError> {
    let at = staple.at();
    let end = key.cert.first().map_or(&[][..], |end| &**end);
    let answer = ocsp::read(staple.bytes()?, end).map_err(|fault| at.fault(Why::Staple(fault)))?;
    let mut stapled = CertifiedKey::new(key.cert.clone(), Arc::clone(&key.key));
    stapled.ocsp = Some(answer.der);
    Ok((Arc::new(stapled), answer.good))
}

fn signer(key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Why> {
    let signer = provider().key_provider.load_private_key(key);
    signer.map_err(|_| Why::BadKey)
}

/// The certificates of authorities.
pub(super) fn authorities(file: Content) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let at = file.at();
    parse_chain(&file.bytes()?).map_err(|why| at.fault(why))
}

/// Lists of certificates that were revoked.
pub(super) fn revocations(
    file: Content,
) -> Result<Vec<CertificateRevocationListDer<'static>>, LoadError> {
    let at = file.at();
    let pem = file.bytes()?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem).collect();
    match lists {
        Ok(lists) if lists.is_empty() => Err(at.fault(Why::NoList)),
        Ok(lists) => Ok(lists),
        Err(_) => Err(at.fault(Why::BadList)),
    }
}

fn parse_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Why> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(Why::NoCertificate),
        Ok(chain) => Ok(chain),
        Err(_) => Err(Why::BadCertificate),
    }
}

fn parse_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Why> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        if memchr::memmem::find(pem, b"ENCRYPTED").is_some() {
            Why::Encrypted
        } else {
            Why::NoKey
        }
    })
}
