//! What a certificate says of itself.

use std::fmt::Write;

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// What is shown of a certificate, and what it is chosen by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Facts {
    /// DNS names, in lower case; a first label `*` stands for any one label.
    pub names: Vec<Box<str>>,
    /// Who it was made for (RFC 4514).
    pub subject: String,
    /// Who signed it (RFC 4514).
    pub issuer: String,
    /// Its number, in hexadecimal.
    pub serial: String,
    /// From when it is valid, in seconds since the Unix epoch.
    pub not_before: u64,
    /// Until when it is valid, in seconds since the Unix epoch.
    pub not_after: u64,
}

impl Facts {
    /// Reads a certificate in DER; `None` when it is not one.
    pub fn read(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let tbs = certificate.tbs_certificate();
        let mut names = Vec::new();
        if let Ok(Some((_, SubjectAltName(listed)))) = tbs.get_extension::<SubjectAltName>() {
            for name in listed {
                if let GeneralName::DnsName(name) = name {
                    names.push(name.as_str().to_ascii_lowercase().into_boxed_str());
                }
            }
        }
        let validity = tbs.validity();
        let serial = tbs.serial_number().as_bytes();
        Some(Self {
            names,
            subject: tbs.subject().to_string(),
            issuer: tbs.issuer().to_string(),
            serial: hex(serial),
            not_before: validity.not_before.to_unix_duration().as_secs(),
            not_after: validity.not_after.to_unix_duration().as_secs(),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
