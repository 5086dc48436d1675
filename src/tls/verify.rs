//! Whether the certificate of an endpoint is one that is accepted.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::provider::provider;
use super::x509::Facts;

/// What is asked of a certificate.
#[derive(Debug)]
pub(super) enum Demand {
    /// A chain to one of these, and the name that was asked for.
    Name(Arc<RootCertStore>),
    /// A chain to one of these, and one of these names.
    Pinned(Arc<RootCertStore>, Vec<Box<str>>),
    /// Nothing.
    Any,
}

#[derive(Debug)]
pub(super) struct Verifier(pub(super) Demand);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (Demand::Name(roots) | Demand::Pinned(roots, _)) = &self.0 else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
        match &self.0 {
            Demand::Pinned(_, pins) => {
                let facts = Facts::read(certificate);
                let facts =
                    facts.ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
                if !pins.iter().any(|pin| facts.is_for(pin)) {
                    return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
                }
            }
            _ => verify_server_name(&parsed, name)?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
