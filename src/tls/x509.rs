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
    /// Whether it has exactly this name: a DNS name in any case, an address, a URI or a mail address. It must have it as what it
    /// is: an authority that may sign names of one kind only could sign its text as another.
    pub fn is_for(&self, name: &str) -> bool {
        let among = |own: &[Box<str>]| own.iter().any(|own| **own == *name);
        if name.parse::<IpAddr>().is_ok() || name.contains('@') && !name.contains(':') {
            among(&self.others)
        } else if name.contains(':') {
            among(&self.uris)
        } else {
            self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
        }
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
                    // One without its sign could pass for an address.
                    GeneralName::Rfc822Name(mail) if mail.as_str().contains('@') => {
                        others.push(mail.as_str().into());
                    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    /// An authority that may sign names of one kind could sign the text of another as that.
    #[test]
    fn a_name_counts_as_what_it_is() {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![
            SanType::DnsName("Dns.test".try_into().unwrap()),
            SanType::URI("uri.test".try_into().unwrap()),
            SanType::URI("spiffe://test/ann".try_into().unwrap()),
            SanType::Rfc822Name("10.0.0.9".try_into().unwrap()),
            SanType::Rfc822Name("ann@mail.test".try_into().unwrap()),
            SanType::IpAddress([10, 0, 0, 1].into()),
        ];
        let key = KeyPair::generate().unwrap();
        let facts = Facts::read(params.self_signed(&key).unwrap().der()).unwrap();
        for (name, is) in [
            ("dns.test", true),
            ("uri.test", false),
            ("spiffe://test/ann", true),
            ("ann@mail.test", true),
            ("10.0.0.1", true),
            ("10.0.0.9", false),
        ] {
            assert_eq!(facts.is_for(name), is, "{name}");
        }
    }
}
