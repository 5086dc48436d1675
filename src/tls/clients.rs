//! Certificates of clients: who must show one, which are accepted, and what is known of one afterwards.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, CommonState, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;

use super::certificate::{authorities, revocations};
use super::files::{Content, LoadError, MAX_FILE, MAX_LISTS, Part};
use super::provider::provider;
use super::x509::{Facts, hex};
use crate::base::{Detail, clock};
use crate::config::raw::tls::{ClientAuth, ClientCa};
use crate::config::{Code, Diagnostic, Diagnostics};
use crate::message::forwarded::{Header, Headers};
use crate::record::ClientCertificate;

/// Most bytes of names of authorities that clients are told of: they stand beside others behind a length of two bytes (RFC 8446, 4.3.2).
const MAX_HINTS: usize = 60_000;

/// What is asked of clients, as a number of which nobody can make a second: what a session was verified by is its own
/// (E-123). Of the listener's content, not of its paths, so that it is the same on every instance.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Mark(pub(super) [u8; digest::SHA256_OUTPUT_LEN]);

impl Mark {
    /// In hexadecimal.
    pub(super) fn text(self) -> String {
        hex(&self.0)
    }

    /// As a number; never 0.
    pub(super) fn number(self) -> u64 {
        let bytes = self.0.first_chunk().copied().unwrap_or_default();
        u64::from_ne_bytes(bytes).max(1)
    }
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Manner {
    Optional,
    Required,
}

/// What is asked of clients, as the operator says it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Demands {
    manner: Manner,
    /// Who signs their certificates.
    pub(super) ca: PathBuf,
    crl: Option<PathBuf>,
    names: Vec<Box<str>>,
}

/// What is asked of clients, with what is in the files.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub(super) mark: Mark,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// Until when all the lists are good, in seconds since the Unix epoch.
    lists_until: u64,
}

impl Clients {
    /// Until when all the lists are good, in seconds since the Unix epoch; `None` without an end.
    pub(super) fn lists_until(&self) -> Option<u64> {
        Some(self.lists_until).filter(|until| *until < u64::MAX)
    }

    /// Whether a list of what was revoked is too old.
    pub(super) fn lists_expired(&self) -> bool {
        self.lists_until < clock::wall().as_secs()
    }
}

impl Demands {
    /// Compiles `client_auth`; `None` as well where something is wrong.
    pub(super) fn compile(raw: &ClientAuth, diagnostics: &mut Diagnostics) -> Option<Self> {
        let (manner, raw) = match raw {
            ClientAuth::Off => return None,
            ClientAuth::Optional(raw) => (Manner::Optional, raw),
            ClientAuth::Required(raw) => (Manner::Required, raw),
        };
        Some(Self {
            manner,
            ca: raw.ca.value.0.clone(),
            crl: raw.crl.as_ref().map(|crl| crl.value.0.clone()),
            names: names(raw, diagnostics),
        })
    }

    /// Reads the files, each once.
    pub(super) fn read(&self) -> Vec<Content> {
        let ca = Content::read(&self.ca, Part::Authorities, MAX_FILE);
        let crl = self.crl.as_ref();
        let crl = crl.map(|crl| Content::read(crl, Part::Lists, MAX_LISTS));
        std::iter::once(ca).chain(crl).collect()
    }

    /// Makes of what stood in the files what handshakes go by.
    pub(super) fn load(&self, contents: Vec<Content>) -> Result<Clients, Vec<LoadError>> {
        let mut contents = contents.into_iter();
        let trusted = contents.next().map_or(Ok(Vec::new()), authorities);
        let trusted = trusted.and_then(|all| {
            let mut roots = RootCertStore::empty();
            for one in &all {
                roots
                    .add(one.clone())
                    .map_err(|why| LoadError::unfit(&self.ca, Part::Authorities, why))?;
            }
            Ok((all, roots))
        });
        let revoked = contents.next().map_or(Ok(Vec::new()), revocations);
        let ((trusted, roots), revoked) = match (trusted, revoked) {
            (Ok(trusted), Ok(revoked)) => (trusted, revoked),
            (trusted, revoked) => {
                return Err(trusted.err().into_iter().chain(revoked.err()).collect());
            }
        };
        let mark = self.mark(&trusted, &revoked);
        let ends = revoked.iter().filter_map(|list| {
            let next = <CertificateList>::from_der(list)
                .ok()?
                .tbs_cert_list
                .next_update?;
            Some(next.to_unix_duration().as_secs())
        });
        let lists_until = ends.min().unwrap_or(u64::MAX);
        // Clients are told whose certificates are asked for, where that fits.
        let hints: usize = roots
            .subjects()
            .iter()
            .map(|name| 2 + name.as_ref().len())
            .sum();
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider()));
        let builder = match hints {
            ..=MAX_HINTS => builder,
            _ => builder.clear_root_hint_subjects(),
        };
        let builder = match self.manner {
            Manner::Optional => builder.allow_unauthenticated(),
            Manner::Required => builder,
        };
        // A list that is too old says nothing of those who were revoked since: then nobody is let in.
        let builder = builder.with_crls(revoked).enforce_revocation_expiration();
        let inner = builder.build().map_err(|why| {
            let (path, part) = match &self.crl {
                Some(crl) => (crl, Part::Lists),
                None => (&self.ca, Part::Authorities),
            };
            vec![LoadError::unfit(path, part, why)]
        })?;
        let names = self.names.clone();
        Ok(Clients {
            mark,
            lists_until,
            verifier: if names.is_empty() {
                inner
            } else {
                Arc::new(Named { inner, names })
            },
        })
    }

    fn mark(
        &self,
        trusted: &[CertificateDer<'_>],
        revoked: &[CertificateRevocationListDer<'_>],
    ) -> Mark {
        let mut mark = digest::Context::new(&digest::SHA256);
        let mut part = |bytes: &[u8]| {
            mark.update(&bytes.len().to_be_bytes());
            mark.update(bytes);
        };
        part(match self.manner {
            Manner::Optional => b"optional",
            Manner::Required => b"required",
        });
        part(&trusted.len().to_be_bytes());
        for one in trusted {
            part(one);
        }
        part(&revoked.len().to_be_bytes());
        for one in revoked {
            part(one);
        }
        for name in &self.names {
            part(name.as_bytes());
        }
        let mut whole = [0; digest::SHA256_OUTPUT_LEN];
        whole.copy_from_slice(mark.finish().as_ref());
        Mark(whole)
    }
}

fn names(raw: &ClientCa, diagnostics: &mut Diagnostics) -> Vec<Box<str>> {
    let Some(listed) = &raw.subject_alt_names else {
        return Vec::new();
    };
    if listed.is_empty() || listed.iter().any(|name| name.is_empty()) {
        diagnostics.push(
            Diagnostic::error(Code::Empty, listed.span, "there is nothing in it")
                .hint("leave the key away"),
        );
    }
    listed.iter().map(|name| name.as_str().into()).collect()
}

/// Accepts what `inner` accepts, if it has one of these names.
#[derive(Debug)]
struct Named {
    inner: Arc<dyn ClientCertVerifier>,
    names: Vec<Box<str>>,
}

impl ClientCertVerifier for Named {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .inner
            .verify_client_cert(certificate, intermediates, now)?;
        let facts = Facts::read(certificate)
            .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if self.names.iter().any(|name| facts.is_for(name)) {
            Ok(verified)
        } else {
            Err(Error::InvalidCertificate(CertificateError::NotValidForName))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// What is known of the certificate that a client showed in a handshake that is done, or in the one whose session it
/// resumed: that one is verified no more, so here its time is (E-123). `told` are the fields that endpoints hear of it in.
pub fn client_certificate(
    common: &CommonState,
    told: Headers,
) -> Result<Option<ClientCertificate>, Detail> {
    let Some([certificate, chain @ ..]) = common.peer_certificates() else {
        return Ok(None);
    };
    let facts = Facts::read(certificate).ok_or(Detail::Certificate)?;
    if facts.not_after < clock::wall().as_secs() {
        return Err(Detail::Expired);
    }
    let fingerprint = &facts.fingerprint;
    let mut lines = String::new();
    if told.has(Header::XForwardedClientCert) {
        // A String takes everything.
        let _ = write!(lines, "X-Forwarded-Client-Cert: Hash={fingerprint}");
        element(&mut lines, "Subject", &plain(&facts.subject));
        for uri in &facts.uris {
            element(&mut lines, "URI", &plain(uri));
        }
        for name in &facts.names {
            element(&mut lines, "DNS", &plain(name));
        }
        lines.push_str("\r\n");
    }
    // RFC 9440, 2: a byte sequence of RFC 8941, and a list of them, the certificate itself left out.
    if told.has(Header::ClientCert) {
        let _ = write!(lines, "Client-Cert: :{}:\r\n", STANDARD.encode(certificate));
    }
    if told.has(Header::ClientCertChain) && !chain.is_empty() {
        let chain: Vec<String> = chain
            .iter()
            .map(|one| format!(":{}:", STANDARD.encode(one)))
            .collect();
        let _ = write!(lines, "Client-Cert-Chain: {}\r\n", chain.join(", "));
    }
    let names: Vec<String> = facts
        .names
        .iter()
        .map(|name| &**name)
        .chain(facts.beside())
        .map(|name| escaped(name, "\\,"))
        .collect();
    Ok(Some(ClientCertificate {
        subject: plain(&facts.subject).into(),
        issuer: plain(&facts.issuer).into(),
        serial: facts.serial.into(),
        fingerprint: fingerprint.as_str().into(),
        names: names.join(",").into(),
        lines: lines.into_bytes().into(),
    }))
}

/// One more element of XFCC: in quotes, inside of which quotes and backslashes are escaped. Envoy quotes the subject alone; a name
/// with `;` or `,` would begin an element of its own there.
fn element(lines: &mut String, key: &str, value: &str) {
    let _ = write!(lines, ";{key}=\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            lines.push('\\');
        }
        lines.push(c);
    }
    lines.push('"');
}

/// A text of visible ASCII and spaces: whatever else an authority signed is escaped as RFC 4514 does it, so that it can stand
/// in a field (E-040).
fn plain(text: &str) -> String {
    escaped(text, "")
}

/// The same of a name in a list, where these are escaped too: so two lists never look alike.
fn escaped(text: &str, also: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut buf = [0; 4];
    for c in text.chars() {
        if (c.is_ascii_graphic() || c == ' ') && !also.contains(c) {
            out.push(c);
        } else {
            for byte in c.encode_utf8(&mut buf).bytes() {
                let _ = write!(out, "\\{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_signed_can_end_a_line_or_an_element() {
        assert_eq!(plain("CN=Zoë\r\nX: 1"), "CN=Zo\\C3\\AB\\0D\\0AX: 1");
        assert_eq!(escaped("a\\2C", "\\,"), "a\\5C2C");
        assert_eq!(escaped("a,", "\\,"), "a\\2C");
        let mut lines = String::new();
        element(&mut lines, "Subject", "CN=a\";Hash=b\\,O=c");
        assert_eq!(lines, ";Subject=\"CN=a\\\";Hash=b\\\\,O=c\"");
    }
}
