//! What a certificate is made of, in files: read once each time, so that what is compared is what is used.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{ocsp, pkcs12};
use crate::base::hash::HashKey;
use crate::config::types::{Secret, SecretError};
use crate::config::{Code, Diagnostic, Span};

/// Largest file that is read.
pub const MAX_FILE: u64 = 1 << 20;
/// Largest file of revoked certificates: authorities of the public have lists of millions of bytes.
pub const MAX_LISTS: u64 = 32 << 20;

/// Where a certificate comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Files {
    /// The certificate with its chain and its key.
    pub source: Source,
    /// An answer of its authority that is shown with it, in DER.
    pub staple: Option<PathBuf>,
}

/// Where a certificate and its key stand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// In two files, in PEM.
    Pem {
        /// The chain, the certificate itself first.
        chain: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// In one file, PKCS#12.
    Store {
        /// The file.
        path: PathBuf,
        /// What it is encrypted with; `None`: an empty text.
        password: Option<Secret>,
    },
}

impl Files {
    /// The file that the certificate is known by.
    pub fn named(&self) -> &Path {
        match &self.source {
            Source::Pem { chain, .. } => chain,
            Source::Store { path, .. } => path,
        }
    }

    /// Reads them, each once.
    pub(super) fn read(&self) -> Vec<Content> {
        let mut contents = match &self.source {
            Source::Pem { chain, key } => vec![
                Content::read(chain, Part::Chain, MAX_FILE),
                Content::read(key, Part::Key, MAX_FILE),
            ],
            Source::Store { path, password } => vec![
                Content::read(path, Part::Store, MAX_FILE),
                Content {
                    path: path.clone(),
                    part: Part::Password,
                    bytes: match password {
                        None => Ok(Vec::new()),
                        Some(secret) => secret
                            .resolve()
                            .map(String::into_bytes)
                            .map_err(Why::Secret),
                    },
                },
            ],
        };
        let staple = self.staple.as_ref();
        contents.extend(staple.map(|path| Content::read(path, Part::Staple, MAX_FILE)));
        contents
    }
}

/// What stood in a file when it was read.
#[derive(Debug)]
pub(super) struct Content {
    path: PathBuf,
    pub(super) part: Part,
    bytes: Result<Vec<u8>, Why>,
}

impl Content {
    /// Reads a file of at most so many bytes.
    pub(super) fn read(path: &Path, part: Part, most: u64) -> Self {
        Self {
            path: path.to_path_buf(),
            part,
            bytes: read(path, most),
        }
    }

    /// What stood in it.
    pub(super) fn bytes(self) -> Result<Vec<u8>, LoadError> {
        let (path, part) = (self.path, self.part);
        self.bytes.map_err(|why| LoadError { path, part, why })
    }

    /// Which file it is, for when it has been taken apart.
    pub(super) fn at(&self) -> At {
        At {
            path: self.path.clone(),
            part: self.part,
        }
    }
}

/// A file of which something is to be told.
#[derive(Debug)]
pub(super) struct At {
    path: PathBuf,
    part: Part,
}

impl At {
    pub(super) fn fault(&self, why: Why) -> LoadError {
        LoadError {
            path: self.path.clone(),
            part: self.part,
            why,
        }
    }
}

/// What stood in files, as a number: the same has the same one.
pub(super) fn mark(contents: &[Content]) -> u64 {
    let key = HashKey::from_seed("tls");
    contents.iter().fold(0, |all: u64, content| {
        let own = content.bytes.as_ref();
        all.rotate_left(16) ^ own.map_or(0, |bytes| key.hash(bytes).max(1))
    })
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

/// Why a certificate cannot be used.
#[derive(Debug)]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// Which of its files that is.
    pub part: Part,
    pub(super) why: Why,
}

/// One of the files of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The chain.
    Chain,
    /// The key.
    Key,
    /// All of it.
    Store,
    /// What that is encrypted with.
    Password,
    /// The answer of its authority.
    Staple,
    /// Who signs certificates of clients.
    Authorities,
    /// Lists of certificates of clients that were revoked.
    Lists,
}

#[derive(Debug)]
pub(super) enum Why {
    Read(io::Error),
    TooLarge(u64),
    NoCertificate,
    BadCertificate,
    NoKey,
    Encrypted,
    BadKey,
    Mismatch,
    Store(pkcs12::Fault),
    Secret(SecretError),
    Staple(ocsp::Fault),
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
            Why::Store(fault) => fault.fmt(f),
            Why::Secret(why) => write!(f, "has a password that cannot be had: {why}"),
            Why::Staple(fault) => fault.fmt(f),
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
