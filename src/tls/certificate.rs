//! A certificate with its chain and key: read, and checked before anyone sees it.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::provider::provider;
use super::x509::Facts;
use crate::base::hash::HashKey;
use crate::config::{Code, Diagnostic, Span};

/// Largest file that is read.
pub const MAX_FILE: u64 = 1 << 20;
/// Largest file of revoked certificates: authorities of the public have lists of millions of bytes.
pub const MAX_LISTS: u64 = 32 << 20;

/// Where a certificate comes from.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Files {
    /// The chain, the certificate itself first, in PEM.
    pub chain: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// An answer of its authority that is shown with it, in DER.
    pub staple: Option<PathBuf>,
}

/// A certificate that can be shown.
#[derive(Debug)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) facts: Facts,
}

/// Why a certificate cannot be used.
#[derive(Debug)]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// Which of its two files that is.
    pub part: Part,
    why: Why,
}

/// One of the files of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The chain.
    Chain,
    /// The key.
    Key,
    /// The answer of its authority.
    Staple,
    /// Who signs certificates of clients.
    Authorities,
    /// Lists of certificates of clients that were revoked.
    Lists,
}

#[derive(Debug)]
enum Why {
    Read(io::Error),
    TooLarge(u64),
    NoCertificate,
    BadCertificate,
    NoKey,
    Encrypted,
    BadKey,
    Mismatch,
    BadStaple,
    NoList,
    BadList,
    Unfit(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.path.display())?;
        match &self.why {
            Why::Read(error) => write!(f, "cannot be read: {error}"),
            Why::TooLarge(most) => write!(f, "is larger than {} KiB", most >> 10),
            Why::NoCertificate => f.write_str("has no certificate in PEM"),
            Why::BadCertificate => f.write_str("has a certificate that cannot be parsed"),
            Why::NoKey => f.write_str("has no private key in PEM"),
            Why::Encrypted => f.write_str("has a key that is encrypted with a passphrase"),
            Why::BadKey => f.write_str("has a key that cannot be used"),
            Why::Mismatch => f.write_str("has a key that does not belong to the certificate"),
            Why::BadStaple => f.write_str("has no answer of OCSP in DER that says `successful`"),
            Why::NoList => f.write_str("has no list of revoked certificates in PEM"),
            Why::Unfit(why) => write!(f, "cannot be used: {why}"),
            Why::BadList => f.write_str("has a list of revoked certificates that cannot be parsed"),
        }
    }
}

impl std::error::Error for LoadError {}

impl LoadError {
    /// The same for the one who wrote the path.
    pub(super) fn diagnostic(&self, span: Span) -> Diagnostic {
        Diagnostic::error(Code::BadCertificate, span, self.to_string())
    }

    /// What is asked of clients cannot be made of this file, whatever it is that speaks against it.
    pub(super) fn unfit(path: &Path, part: Part, why: impl fmt::Display) -> Self {
        Self {
            path: path.to_path_buf(),
            part,
            why: Why::Unfit(why.to_string()),
        }
    }
}

impl Files {
    /// What stands in them now, as a number.
    pub(super) fn digest(&self) -> u64 {
        let staple = self.staple.as_ref();
        let staple = staple.map_or(0, |path| digest(path, MAX_FILE));
        digest(&self.chain, MAX_FILE).rotate_left(32)
            ^ digest(&self.key, MAX_FILE)
            ^ staple.rotate_left(16)
    }
}

impl Certificate {
    /// Reads and checks a certificate.
    pub fn load(files: &Files) -> Result<Self, LoadError> {
        let chain_error = |why| LoadError {
            path: files.chain.clone(),
            part: Part::Chain,
            why,
        };
        let key_error = |why| LoadError {
            path: files.key.clone(),
            part: Part::Key,
            why,
        };
        let chain = read(&files.chain, MAX_FILE).map_err(chain_error)?;
        let chain = parse_chain(&chain).map_err(chain_error)?;
        let facts = chain.first().and_then(|end| Facts::read(end));
        let facts = facts.ok_or(Why::BadCertificate).map_err(chain_error)?;
        let key = read(&files.key, MAX_FILE).map_err(key_error)?;
        let key = parse_key(&key).map_err(key_error)?;
        let signer = provider().key_provider.load_private_key(key);
        let signer = signer.map_err(|_| key_error(Why::BadKey))?;
        let mut key = CertifiedKey::new(chain, signer);
        match key.keys_match() {
            Ok(()) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(key_error(Why::Mismatch)),
            Err(_) => return Err(chain_error(Why::BadCertificate)),
        }
        if let Some(path) = &files.staple {
            let answer = read(path, MAX_FILE).and_then(successful);
            key.ocsp = Some(answer.map_err(|why| LoadError {
                path: path.clone(),
                part: Part::Staple,
                why,
            })?);
        }
        Ok(Self {
            key: Arc::new(key),
            facts,
        })
    }

    /// What it says of itself.
    pub fn facts(&self) -> &Facts {
        &self.facts
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

/// Reads the certificates of authorities.
pub(super) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    read(path, MAX_FILE)
        .and_then(|pem| parse_chain(&pem))
        .map_err(|why| LoadError {
            path: path.to_path_buf(),
            part: Part::Authorities,
            why,
        })
}

/// Reads lists of certificates that were revoked.
pub(super) fn revocations(
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, LoadError> {
    let parse = |pem: Vec<u8>| {
        let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem).collect();
        match lists {
            Ok(lists) if lists.is_empty() => Err(Why::NoList),
            Ok(lists) => Ok(lists),
            Err(_) => Err(Why::BadList),
        }
    };
    read(path, MAX_LISTS)
        .and_then(parse)
        .map_err(|why| LoadError {
            path: path.to_path_buf(),
            part: Part::Lists,
            why,
        })
}

/// What stands in a file now, as a number: the same content has the same one.
pub(super) fn digest(path: &Path, most: u64) -> u64 {
    match read(path, most) {
        Ok(bytes) => HashKey::from_seed("tls").hash(&bytes).max(1),
        Err(_) => 0,
    }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, Why> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(Why::Read)?;
    if bytes.len() as u64 > most {
        return Err(Why::TooLarge(most));
    }
    Ok(bytes)
}

/// An answer of OCSP that says `successful` (RFC 6960, 4.2.1). What it says then is between the authority and the client.
fn successful(der: Vec<u8>) -> Result<Vec<u8>, Why> {
    const SUCCESSFUL: [u8; 3] = [0x0a, 1, 0];
    // A sequence whose length is that of the file.
    let body = match der.as_slice() {
        [0x30, len @ ..=0x7f, body @ ..] if body.len() == usize::from(*len) => body,
        [0x30, 0x81, len, body @ ..] if body.len() == usize::from(*len) => body,
        [0x30, 0x82, high, low, body @ ..]
            if body.len() == usize::from(u16::from_be_bytes([*high, *low])) =>
        {
            body
        }
        _ => return Err(Why::BadStaple),
    };
    if body.starts_with(&SUCCESSFUL) {
        Ok(der)
    } else {
        Err(Why::BadStaple)
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
