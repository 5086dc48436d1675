//! What things are called in logs and metrics.

use rustls::{CertificateError, CipherSuite, Error, NamedGroup, ProtocolVersion};

use crate::base::Detail;
use crate::net::HandshakeError;

/// A version of the protocol.
pub fn version(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "1.2",
        ProtocolVersion::TLSv1_3 => "1.3",
        _ => "other",
    }
}

/// A group of a key exchange, as IANA calls it.
pub fn group(group: NamedGroup) -> &'static str {
    match group {
        NamedGroup::X25519MLKEM768 => "X25519MLKEM768",
        NamedGroup::X25519 => "x25519",
        NamedGroup::secp256r1 => "secp256r1",
        NamedGroup::secp384r1 => "secp384r1",
        NamedGroup::secp521r1 => "secp521r1",
        _ => "other",
    }
}

/// A suite, as IANA calls it; rustls's own names spell TLS 1.3 differently.
pub fn suite(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("other"),
    }
}

/// Which kind of failure that was.
pub fn detail(error: &HandshakeError) -> Detail {
    match error {
        HandshakeError::Eof => Detail::Eof,
        HandshakeError::Io(_) => Detail::Reset,
        HandshakeError::Tls(error) => match error {
            Error::AlertReceived(_) => Detail::Alert,
            Error::NoApplicationProtocol => Detail::Alpn,
            Error::PeerIncompatible(_) => Detail::Incompatible,
            Error::InvalidCertificate(error) => certificate(error),
            Error::NoCertificatesPresented | Error::InvalidCertRevocationList(_) => {
                Detail::Certificate
            }
            _ => Detail::Malformed,
        },
    }
}

fn certificate(error: &CertificateError) -> Detail {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            Detail::Expired
        }
        E::UnknownIssuer => Detail::UnknownIssuer,
        E::NotValidForName | E::NotValidForNameContext { .. } => Detail::NameMismatch,
        E::Revoked => Detail::Revoked,
        _ => Detail::Certificate,
    }
}
