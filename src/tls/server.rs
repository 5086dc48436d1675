//! The server's side: what a listener shows and accepts.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, crypto::aws_lc_rs};

use super::Live;
use super::certificate::{Certificate, Files};
use super::clients::{Clients, Mark};
use super::provider::provider;
use super::table::{Names, Table};
use crate::base::{ListenerName, clock};
use crate::config::raw::tls::{Certificate as RawCertificate, ListenerTls, TlsVersion};
use crate::config::{Code, Diagnostic, Diagnostics, Severity, Spanned};
use crate::net::Session;

/// Protocols of ALPN that this build speaks on http listeners, the best first.
const PROTOCOLS: &[&str] = &["h2", "http/1.1"];

/// What of a listener's TLS outlives its configuration.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Handshakes under way, over all workers.
    handshakes: AtomicUsize,
}

/// Whose tickets: a session is resumed where what was asked of the client is what is asked now, and nowhere else. rustls
/// does not verify a client's certificate again when it resumes (E-123).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Whose {
    listener: ListenerName,
    clients: Option<Mark>,
}

/// Makes and opens session tickets; the keys are its own, and rotate.
pub(super) struct Tickets(Option<Arc<dyn ProducesTickets>>);

impl Tickets {
    fn new() -> Self {
        let made = aws_lc_rs::Ticketer::new();
        Self(
            made.inspect_err(|error| tracing::error!(%error, "no keys for session tickets"))
                .ok(),
        )
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

/// A handshake's place among those under way.
#[derive(Debug)]
pub struct HandshakeSlot(Arc<Standing>);

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What an operator says of a listener's TLS: two that say the same are the same.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Policy {
    certificates: Vec<Files>,
    clients: Option<Clients>,
    min_version: MinVersion,
    alpn: Vec<Box<str>>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum MinVersion {
    #[default]
    Tls12,
    Tls13,
}

/// TLS of one listener.
pub struct ServerTls {
    policy: Policy,
    config: Arc<ServerConfig>,
    resolver: Arc<Resolver>,
    standing: Arc<Standing>,
    /// Held, so that the next configuration finds them.
    _tickets: Arc<Tickets>,
}

impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        self.policy == other.policy
    }
}

impl Eq for ServerTls {}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.policy.fmt(f)
    }
}

impl ServerTls {
    /// Compiles `[listeners.tls]`: reads the certificates and tells what is wrong with them.
    pub fn compile(
        raw: &Spanned<ListenerTls>,
        listener: &ListenerName,
        inside: Inside,
        live: &Live,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.count(Severity::Error);
        let policy = Policy {
            certificates: raw.certificates.iter().map(|it| files(it)).collect(),
            min_version: match raw.min_version.as_deref() {
                None | Some(TlsVersion::Tls12) => MinVersion::Tls12,
                Some(TlsVersion::Tls13) => MinVersion::Tls13,
            },
            alpn: alpn(raw, inside, diagnostics),
            clients: raw
                .client_auth
                .as_ref()
                .and_then(|auth| Clients::compile(auth, diagnostics)),
        };
        let certificates = certificates(raw, diagnostics);
        if diagnostics.count(Severity::Error) > before {
            return None;
        }
        let standing = live.listeners.keep_or_make(listener, Standing::default);
        let whose = Whose {
            listener: listener.clone(),
            clients: policy.clients.as_ref().map(|clients| clients.mark),
        };
        let tickets = live.tickets.keep_or_make(&whose, Tickets::new);
        let resolver = Arc::new(Resolver(Table::new(certificates)));
        let config = Arc::new(policy.config(&resolver, &tickets));
        Some(Self {
            policy,
            config,
            resolver,
            standing,
            _tickets: tickets,
        })
    }

    /// The server's side of a new connection.
    pub fn session(&self) -> Result<Session, rustls::Error> {
        Session::server(&self.config)
    }

    /// What is asked of clients, as a number; 0: nothing.
    pub fn asked(&self) -> u64 {
        let clients = self.policy.clients.as_ref();
        clients.map_or(0, |clients| clients.mark.number())
    }

    /// Takes a place among the handshakes under way; `None` when there are `most`. 0: any number.
    pub fn begin(&self, most: usize) -> Option<HandshakeSlot> {
        let before = self.standing.handshakes.fetch_add(1, Ordering::Relaxed);
        let slot = HandshakeSlot(Arc::clone(&self.standing));
        (most == 0 || before < most).then_some(slot)
    }

    /// Whether a client that was shown a certificate for these names would have been shown one for the same for `name` too.
    pub fn covers(&self, shown: u64, name: &str) -> bool {
        self.resolver.0.covers(Names(shown), name)
    }
}

impl Policy {
    fn config(&self, resolver: &Arc<Resolver>, tickets: &Tickets) -> ServerConfig {
        let versions = match self.min_version {
            MinVersion::Tls12 => rustls::ALL_VERSIONS,
            MinVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
        // The provider has suites for both versions, so that it can only succeed; should that change, TLS 1.3 is left.
        let builder = builder
            .with_protocol_versions(versions)
            .unwrap_or_else(|error| {
                tracing::error!(%error, "no suites for all versions of TLS");
                ServerConfig::builder_with_provider(Arc::clone(provider()))
                    .with_protocol_versions(rustls::DEFAULT_VERSIONS)
                    .unwrap_or_else(|_| ServerConfig::builder())
            });
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(resolver) as Arc<_>;
        let builder = match &self.clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(&clients.verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols = self.alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
        // RFC 7627: without it, resumption in TLS 1.2 can be turned against a client (triple handshakes).
        config.require_ems = true;
        // Sessions live in tickets alone: what this process remembers of them, nobody can fill.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match &tickets.0 {
            Some(tickets) => config.ticketer = Arc::clone(tickets),
            None => config.send_tls13_tickets = 0,
        }
        config
    }
}

fn files(raw: &RawCertificate) -> Files {
    Files {
        chain: raw.certificate.value.0.clone(),
        key: raw.key.value.0.clone(),
    }
}

fn certificates(raw: &ListenerTls, diagnostics: &mut Diagnostics) -> Vec<Arc<Certificate>> {
    if raw.certificates.is_empty() {
        diagnostics.push(
            Diagnostic::error(
                Code::Empty,
                raw.certificates.span,
                "`certificates` is empty",
            )
            .label("there is nothing to show to clients"),
        );
    }
    let mut loaded = Vec::with_capacity(raw.certificates.len());
    for one in raw.certificates.iter() {
        match Certificate::load(&files(one)) {
            Ok(certificate) => {
                warn_of_time(one, &certificate, diagnostics);
                loaded.push(Arc::new(certificate));
            }
            Err(error) => {
                diagnostics.push(error.diagnostic(one.certificate.span, one.key.span));
            }
        }
    }
    loaded
}

/// A certificate that is not valid now is shown all the same: a client that does not look is served, one that does is
/// told.
fn warn_of_time(raw: &RawCertificate, certificate: &Certificate, diagnostics: &mut Diagnostics) {
    let now = clock::wall().as_secs();
    let facts = certificate.facts();
    let what = if facts.not_after < now {
        "has expired"
    } else if facts.not_before > now {
        "is not valid yet"
    } else {
        return;
    };
    let message = format!("`{}` {what}", raw.certificate.value.display());
    diagnostics.push(
        Diagnostic::warning(Code::CertificateTime, raw.certificate.span, message)
            .note("clients that check it refuse the connection"),
    );
}

fn alpn(raw: &ListenerTls, inside: Inside, diagnostics: &mut Diagnostics) -> Vec<Box<str>> {
    let Some(listed) = &raw.alpn else {
        if inside == Inside::Anything {
            return Vec::new();
        }
        return PROTOCOLS.iter().map(|&name| name.into()).collect();
    };
    if listed.is_empty() {
        diagnostics.push(
            Diagnostic::error(Code::Empty, listed.span, "`alpn` is empty")
                .label("no client that asks could agree on a protocol"),
        );
    }
    let mut names = Vec::with_capacity(listed.len());
    for name in listed.iter() {
        match name.as_str() {
            known if PROTOCOLS.contains(&known) => names.push(known.into()),
            any if inside == Inside::Anything => names.push(any.into()),
            other => diagnostics.push(
                Diagnostic::error(
                    Code::BadValue,
                    name.span,
                    format!(
                        "`{}` is not a protocol of http listeners",
                        other.escape_debug()
                    ),
                )
                .label("allowed are `h2` and `http/1.1`"),
            ),
        }
    }
    names
}

/// What is spoken under TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Inside {
    /// HTTP: the protocols are those that we speak.
    Http,
    /// Whatever the endpoint speaks: without a list any protocol is agreed to.
    Anything,
}

/// What a client asked for, and what it was shown.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hello {
    /// The server's name, in lower case.
    pub name: Option<Box<str>>,
    /// What names the certificate was for, see [`ServerTls::covers`]; `None`: there was none to show.
    pub shown: Option<u64>,
}

thread_local! {
    /// What the last hello of this thread said. rustls asks for a certificate in the middle of a call that is made
    /// for one connection, and has no other way to say for which.
    static LAST: RefCell<Option<Hello>> = const { RefCell::new(None) };
}

/// Takes what the hello said that was read by the call just made, if it read one.
pub fn last_hello() -> Option<Hello> {
    LAST.with_borrow_mut(Option::take)
}

/// Finds certificates by name.
struct Resolver(Table);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let schemes = hello.signature_schemes();
        let (shown, key) = self.0.choose(name.as_deref(), schemes).unzip();
        LAST.set(Some(Hello {
            name: name.map(Into::into),
            shown: shown.map(|Names(shown)| shown),
        }));
        key
    }
}
