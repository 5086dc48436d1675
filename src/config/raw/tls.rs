//! TLS of listeners and clusters.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{Choice, FilePath, Secret};

/// `[listeners.tls]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// Chosen by the server name that a client asks for, from the DNS names in the certificates; the first is shown to all others. Of two
    /// certificates for one name the client gets the one whose signatures it knows, ECDSA before RSA.
    pub certificates: Spanned<Vec<Spanned<Certificate>>>,
    /// Oldest version. Default: `1.2`.
    pub min_version: Option<Spanned<TlsVersion>>,
    /// Protocols offered, the preferred one first; a client that asks for none of them is refused. Default: `h2`, `http/1.1`.
    pub alpn: Option<Spanned<Vec<Spanned<String>>>>,
    /// Whether clients show a certificate. Default: `off`.
    pub client_auth: Option<Spanned<Choice<ClientAuth>>>,
}

/// One of `certificates`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// File with the certificate and its chain in PEM, the certificate itself first.
    pub certificate: Option<Spanned<FilePath>>,
    /// File with its private key in PEM, without a passphrase.
    pub key: Option<Spanned<FilePath>>,
    /// File with all of it in PKCS#12 (`.p12`, `.pfx`), in the place of `certificate` and `key`: one private key, its certificate and the chain.
    pub pkcs12: Option<Spanned<FilePath>>,
    /// Password of `pkcs12`. Default: an empty one.
    pub password: Option<Spanned<Secret>>,
    /// File with an answer of its authority that it is not revoked (OCSP, in DER), shown to clients that ask. Default: none.
    pub ocsp: Option<Spanned<FilePath>>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Whether clients show a certificate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// No.
    Off,
    /// They may: one that shows a wrong one is refused, one that shows none is served.
    Optional(ClientCa),
    /// They must.
    Required(ClientCa),
}

/// Which certificates of clients are accepted.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCa {
    /// File with the authorities that sign them, in PEM.
    pub ca: Spanned<FilePath>,
    /// File with lists of those that were revoked (CRL), in PEM: one of each authority in a chain, or the client is refused; so it
    /// is by a list that has expired. Default: none, nothing is revoked.
    pub crl: Option<Spanned<FilePath>>,
    /// Names of which a certificate must have one: DNS names, IP addresses, URIs (SPIFFE) or mail addresses. Default: any.
    pub subject_alt_names: Option<Spanned<Vec<Spanned<String>>>>,
}

/// `tls` of a cluster: TLS to its endpoints.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterTls {
    /// Name to ask for and to verify. Default: the name or the address of the endpoint.
    pub server_name: Option<Spanned<String>>,
    /// File with the authorities that sign certificates of endpoints, in PEM. Default: those that the system trusts.
    pub ca: Option<Spanned<FilePath>>,
    /// File with our own certificate and its chain in PEM, for endpoints that ask for one.
    pub certificate: Option<Spanned<FilePath>>,
    /// File with its private key in PEM, without a passphrase.
    pub key: Option<Spanned<FilePath>>,
    /// File with all of it in PKCS#12 (`.p12`, `.pfx`), in the place of `certificate` and `key`: one private key, its certificate and the chain.
    pub pkcs12: Option<Spanned<FilePath>>,
    /// Password of `pkcs12`. Default: an empty one.
    pub password: Option<Spanned<Secret>>,
    /// Protocols offered. Default: none.
    pub alpn: Option<Spanned<Vec<Spanned<String>>>>,
    /// Names of which an endpoint's certificate must have one, in the place of `server_name`: DNS names, IP addresses or URIs (SPIFFE).
    pub subject_alt_names: Option<Spanned<Vec<Spanned<String>>>>,
    /// Accepts any certificate of any endpoint: whoever is on the way can read and change everything. Default: `false`.
    pub danger_accept_any_certificate: Option<Spanned<bool>>,
}
