//! What a certificate says of itself.

use std::fmt::Write;
use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// What is shown of a certificate, and what it is chosen by.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Facts {
    /// DNS names, in lower case; a first label `*` stands for any one label.
    pub names: Vec<Box<str>>,
    /// URIs that it is for, as they are written.
    pub uris: Vec<Box<str>>,
    /// Addresses and mail addresses that it is for, as they are written.
    pub others: Vec<Box<str>>,
    /// Who it was made for (RFC 4514).
    pub subject: String,
    /// Who signed it (RFC 4514).
    pub issuer: String,
    /// Its number, in hexadecimal.
    pub serial: String,
    /// SHA-256 of all of it, in hexadecimal.
    pub fingerprint: String,
    /// From when it is valid, in seconds since the Unix epoch.
    pub not_before: u64,
    /// Until when it is valid, in seconds since the Unix epoch.
    pub not_after: u64,
}

impl Facts {
    /// Whether it has exactly this name: a DNS name in any case, an address, a URI or a mail address.
    pub fn is_for(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
            || self.beside().any(|own| *own == *name)
    }

    /// All names that are not DNS names.
    pub fn beside(&self) -> impl Iterator<Item = &str> {
        self.uris.iter().chain(&self.others).map(|name| &**name)
    }

    /// Reads a certificate in DER; `None` when it is not one.
    pub fn read(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let tbs = certificate.tbs_certificate();
        let (mut names, mut uris, mut others) = (Vec::new(), Vec::new(), Vec::new());
        if let Ok(Some((_, SubjectAltName(listed)))) = tbs.get_extension::<SubjectAltName>() {
            for name in listed {
                match name {
                    GeneralName::DnsName(name) => {
                        names.push(name.as_str().to_ascii_lowercase().into_boxed_str());
                    }
                    GeneralName::UniformResourceIdentifier(uri) => uris.push(uri.as_str().into()),
                    GeneralName::Rfc822Name(mail) => others.push(mail.as_str().into()),
                    GeneralName::IpAddress(octets) => {
                        others.extend(address(octets.as_bytes()).map(|it| it.to_string().into()));
                    }
                    _ => {}
                }
            }
        }
        let validity = tbs.validity();
        let serial = tbs.serial_number().as_bytes();
        Some(Self {
            names,
            uris,
            others,
            subject: tbs.subject().to_string(),
            issuer: tbs.issuer().to_string(),
            serial: hex(serial),
            fingerprint: hex(digest(&SHA256, der).as_ref()),
            not_before: validity.not_before.to_unix_duration().as_secs(),
            not_after: validity.not_after.to_unix_duration().as_secs(),
        })
    }
}

/// RFC 5280, 4.2.1.6: four octets or sixteen.
fn address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
