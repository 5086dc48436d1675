//! The client's side: what is asked of an endpoint, and what it is shown.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

use super::certificate::{Certificate, authorities};
use super::files::{Content, Files, MAX_FILE, Part};
use super::listed::warn_of_time;
use super::named::Named;
use super::provider::provider;
use super::server::Shown;
use super::verify::{Demand, Verifier};
use crate::config::raw::tls::ClusterTls;
use crate::config::{Code, Diagnostic, Diagnostics, Severity, Span, Spanned};
use crate::net::Session;

/// Sessions that are remembered for resumption, of each cluster: eight of each name.
const SESSIONS: usize = 8 * 256;

/// Whom the system trusts, read when the first cluster asks.
static SYSTEM: LazyLock<Vec<CertificateDer<'static>>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate of the system cannot be read");
    }
    found.certs
});

/// All that decides whether two connections may stand for each other, but for the name that is asked for. Content,
/// not paths: a file that is replaced makes another identity, and so other connections.
#[derive(Clone, Eq, Hash, PartialEq)]
struct Identity {
    trust: Trust,
    pins: Vec<Box<str>>,
    own: Vec<CertificateDer<'static>>,
    alpn: Vec<Vec<u8>>,
}

#[derive(Clone, Eq, Hash, PartialEq)]
enum Trust {
    System,
    Authorities(Vec<CertificateDer<'static>>),
    Anyone,
}

/// TLS towards the endpoints of one cluster.
pub struct ClientTls {
    identity: Identity,
    config: Arc<ClientConfig>,
    /// The name of all endpoints, where one is configured.
    name: Option<ServerName<'static>>,
    /// What endpoints that ask for a certificate are shown.
    shown: Option<Shown>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("name", &self.name)
            .field("pins", &self.identity.pins)
            .field("alpn", &self.identity.alpn.len())
            .field("unchecked", &(self.identity.trust == Trust::Anyone))
            .finish_non_exhaustive()
    }
}

/// TLS towards one endpoint. Equal where everything is: it is part of what connections are pooled by (E-171).
#[derive(Clone, Debug)]
pub struct TlsSpec {
    client: Arc<ClientTls>,
    name: ServerName<'static>,
}

impl PartialEq for TlsSpec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.client.identity == other.client.identity
    }
}

impl Eq for TlsSpec {}

impl Hash for TlsSpec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.client.identity.hash(state);
    }
}

impl TlsSpec {
    /// The client's side of a new connection.
    pub fn session(&self) -> Result<Session, rustls::Error> {
        let alpn = self.client.identity.alpn.clone();
        Session::client(&self.client.config, self.name.clone(), alpn)
    }

    /// The same endpoint, spoken to in these protocols.
    #[must_use]
    pub fn offering(&self, protocols: &[&[u8]]) -> Self {
        let client = &self.client;
        let identity = Identity {
            alpn: protocols.iter().map(|name| name.to_vec()).collect(),
            ..client.identity.clone()
        };
        Self {
            client: Arc::new(ClientTls {
                identity,
                config: Arc::clone(&client.config),
                name: client.name.clone(),
                shown: None,
            }),
            name: self.name.clone(),
        }
    }
}

impl ClientTls {
    /// Compiles `tls` of a cluster: reads its files and tells what is wrong with them.
    pub fn compile(raw: &Spanned<ClusterTls>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.count(Severity::Error);
        let name = raw
            .server_name
            .as_ref()
            .and_then(|name| server_name(name, diagnostics));
        let (own, shown) = own(raw, diagnostics).unzip();
        let trust = trust(raw, diagnostics);
        let list = |raw: Option<&Spanned<Vec<Spanned<String>>>>| -> Vec<String> {
            let all = raw.into_iter().flat_map(|list| list.value.iter());
            all.map(|one| one.value.clone()).collect()
        };
        let (pins, alpn) = (
            list(raw.subject_alt_names.as_ref()),
            list(raw.alpn.as_ref()),
        );
        for empty in [&raw.subject_alt_names, &raw.alpn].into_iter().flatten() {
            if empty.iter().any(|one| one.is_empty()) || empty.is_empty() {
                diagnostics.push(
                    Diagnostic::error(Code::Empty, empty.span, "there is nothing in it")
                        .hint("leave the key away"),
                );
            }
        }
        if diagnostics.count(Severity::Error) > before {
            return None;
        }
        let identity = Identity {
            trust,
            pins: pins.into_iter().map(Into::into).collect(),
            own: own.as_ref().map(|own| own.cert.clone()).unwrap_or_default(),
            alpn: alpn.into_iter().map(String::into_bytes).collect(),
        };
        Some(Self {
            config: Arc::new(identity.config(own)),
            identity,
            name,
            shown,
        })
    }

    /// The certificate of our own that endpoints are shown, if they ask for one.
    pub fn shown(&self) -> Option<&Shown> {
        self.shown.as_ref()
    }

    /// TLS towards an endpoint that is known by this name or address; `None`: there is no name to ask for.
    pub fn towards(self: &Arc<Self>, known: Option<&str>) -> Option<TlsSpec> {
        let name = match (&self.name, known) {
            (Some(name), _) => name.clone(),
            (None, Some(known)) => ServerName::try_from(known.to_owned()).ok()?,
            // Nothing is checked, and nothing can be asked for.
            (None, None) => return None,
        };
        Some(TlsSpec {
            client: Arc::clone(self),
            name,
        })
    }
}

impl Identity {
    fn config(&self, own: Option<CertifiedKey>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        match &self.trust {
            Trust::System => {
                let (_, unfit) = roots.add_parsable_certificates(SYSTEM.iter().cloned());
                if unfit > 0 {
                    tracing::debug!(unfit, "certificates of the system that cannot be used");
                }
            }
            Trust::Authorities(all) => {
                roots.add_parsable_certificates(all.iter().cloned());
            }
            Trust::Anyone => {}
        }
        let roots = Arc::new(roots);
        let demand = match (&self.trust, self.pins.as_slice()) {
            (Trust::Anyone, _) => Demand::Any,
            (_, []) => Demand::Name(roots),
            (_, pins) => Demand::Pinned(roots, pins.to_vec()),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider()));
        // The provider has suites for both versions.
        let builder = builder
            .with_safe_default_protocol_versions()
            .unwrap_or_else(|_| ClientConfig::builder());
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier(demand)));
        let mut config = match own {
            Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
            None => builder.with_no_client_auth(),
        };
        // These sessions were made by this verifier, for these names: they are this cluster's own.
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        // Behind the handshake records are made in `net::secure`.
        config.enable_secret_extraction = true;
        config
    }
}

fn server_name(
    raw: &Spanned<String>,
    diagnostics: &mut Diagnostics,
) -> Option<ServerName<'static>> {
    let name = ServerName::try_from(raw.value.clone()).ok();
    if name.is_none() {
        let shown = raw.escape_debug();
        let text = format!("`{shown}` is not a name that a certificate can be for");
        diagnostics.push(
            Diagnostic::error(Code::BadHost, raw.span, text)
                .hint("write a DNS name or an IP address, without a port"),
        );
    }
    name
}

fn own(raw: &Spanned<ClusterTls>, diagnostics: &mut Diagnostics) -> Option<(CertifiedKey, Shown)> {
    let named = Named::of_cluster(raw)?;
    let files = Files {
        source: named.source(diagnostics)?,
        staple: None,
    };
    match Certificate::load(&files) {
        Ok(certificate) => {
            let file = named.file()?;
            warn_of_time(
                file,
                certificate.facts(),
                "endpoints that check it refuse the connection",
                diagnostics,
            );
            let key = &certificate.key;
            let own = CertifiedKey::new(key.cert.clone(), Arc::clone(&key.key));
            let shown = Shown {
                file: file.value.0.clone(),
                facts: certificate.facts().clone(),
                staple_until: None,
            };
            Some((own, shown))
        }
        Err(error) => {
            diagnostics.push(error.diagnostic(named.span(error.part)));
            None
        }
    }
}

fn trust(raw: &ClusterTls, diagnostics: &mut Diagnostics) -> Trust {
    let unchecked = raw.danger_accept_any_certificate.filter(|it| it.value);
    if let Some(danger) = unchecked {
        let checks = [
            raw.ca.as_ref().map(|it| it.span),
            raw.subject_alt_names.as_ref().map(|it| it.span),
        ];
        for span in checks.into_iter().flatten() {
            diagnostics.push(
                Diagnostic::error(
                    Code::Conflict,
                    span,
                    "what is not checked cannot be demanded",
                )
                .also(danger.span, "accepts any certificate"),
            );
        }
        warn_of_danger(danger.span, diagnostics);
        return Trust::Anyone;
    }
    let Some(ca) = &raw.ca else {
        return Trust::System;
    };
    match authorities(Content::read(&ca.value, Part::Authorities, MAX_FILE)) {
        Ok(all) => {
            let mut roots = RootCertStore::empty();
            if all.iter().any(|one| roots.add(one.clone()).is_err()) {
                let text = format!(
                    "`{}` has a certificate that cannot be parsed",
                    ca.value.display()
                );
                diagnostics.push(Diagnostic::error(Code::BadCertificate, ca.span, text));
            }
            Trust::Authorities(all)
        }
        Err(error) => {
            diagnostics.push(error.diagnostic(ca.span));
            Trust::System
        }
    }
}

fn warn_of_danger(span: Span, diagnostics: &mut Diagnostics) {
    diagnostics.push(
        Diagnostic::warning(
            Code::UncheckedCertificate,
            span,
            "certificates of these endpoints are not checked",
        )
        .note("whoever is on the way to them can read and change everything")
        .hint("name the authority that signs them in `ca`, and the name in them in `server_name`"),
    );
}
