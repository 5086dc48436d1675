//! The server's side: what a listener shows and accepts.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls::SupportedProtocolVersion;

use super::clients::{Clients, Demands};
use super::files::Files;
use super::listed::{files, read};
use super::material::{Material, Read};
use super::slots::{HandshakeSlot, Slots};
use super::table::Names;

use super::tickets::{Tickets, Whose};
use super::x509::Facts;
use super::{Common, Ground, Live};
use crate::base::secret::Secret;
use crate::base::{ListenerName, clock};
use crate::config::raw::tls::{ListenerTls, TlsVersion};
use crate::config::{Code, Diagnostic, Diagnostics, Severity, Spanned};
use crate::net::Session;

/// Protocols of ALPN that this build speaks on http listeners, the best first.
const PROTOCOLS: &[&str] = &["h2", "http/1.1"];

/// What of a listener's TLS outlives its configuration.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Handshakes under way, over all workers.
    handshakes: Arc<Slots>,
    /// Files that were another, and were taken.
    renewed: AtomicU64,
    /// Files that were another, and were refused.
    refused: AtomicU64,
}

/// What an operator says of a listener's TLS: two that say the same are the same.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Policy {
    pub(super) common: Common,
    certificates: Vec<Files>,
    clients: Option<Demands>,
    pub(super) min_version: MinVersion,
    pub(super) alpn: Vec<Box<str>>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum MinVersion {
    #[default]
    Tls12,
    Tls13,
}

impl MinVersion {
    pub(super) fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => TLS13,
        }
    }
}

const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// TLS of one listener.
pub struct ServerTls {
    listener: ListenerName,
    policy: Policy,
    /// Exchanged when a file is another. A handshake looks once, and every request for another name than the handshake's: no
    /// worker waits for another there.
    material: ArcSwap<Material>,
    /// What is asked of clients, for those who look at every request.
    asked: AtomicU64,
    standing: Arc<Standing>,
}

/// A certificate that a listener shows.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Where it comes from.
    pub file: PathBuf,
    /// What it says of itself.
    pub facts: Facts,
    /// Until when the answer of its authority that is shown with it is good, in seconds since the Unix epoch.
    pub staple_until: Option<u64>,
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
        ground: Ground<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.count(Severity::Error);
        let auth = raw.client_auth.as_ref().map(|auth| &***auth);
        let policy = Policy {
            common: ground.common.clone(),
            certificates: files(raw, diagnostics),
            clients: auth.and_then(|auth| Demands::compile(auth, diagnostics)),
            min_version: match raw.min_version.as_deref() {
                None | Some(TlsVersion::Tls12) => MinVersion::Tls12,
                Some(TlsVersion::Tls13) => MinVersion::Tls13,
            },
            alpn: alpn(raw, inside, diagnostics),
        };
        let read = read(
            raw,
            auth,
            (&policy.certificates, policy.clients.as_ref()),
            diagnostics,
        );
        if diagnostics.count(Severity::Error) > before {
            return None;
        }
        let standing = ground
            .live
            .listeners
            .keep_or_make(listener, Standing::default);
        let material = material(listener, &policy, read, ground.live);
        Some(Self {
            listener: listener.clone(),
            asked: AtomicU64::new(material.asked()),
            material: ArcSwap::from_pointee(material),
            policy,
            standing,
        })
    }

    /// Looks at its files again, and takes what is new for the handshakes to come: what is whole and fits; what is
    /// not is told, and what was there before stays. Not for a thread that must answer soon.
    pub fn renew(&self, live: &Live) {
        let before = self.material.load_full();
        let mut read = before.read.clone();
        let news = read.again(&self.policy.certificates, self.policy.clients.as_ref());
        let listener = &self.listener;
        for error in &news.refused {
            tracing::error!(%listener, %error, "a file of TLS is refused; what was in it before stays");
        }
        for file in &news.renewed {
            tracing::info!(%listener, file = %file.display(), "a file of TLS is renewed");
        }
        for error in &news.bare {
            tracing::warn!(%listener, %error, "a certificate is renewed, and shown without an answer of OCSP");
        }
        for (file, why) in &news.stale {
            tracing::warn!(%listener, file = %file.display(), "an answer of OCSP {why}, and is not shown");
        }
        if news.renewed.is_empty() && news.refused.is_empty() {
            return;
        }
        let material = Arc::new(material(listener, &self.policy, read, live));
        let asked = material.asked();
        let gone = self.material.swap(material);
        self.asked.store(asked, Ordering::Relaxed);
        // Other demands on clients have other tickets, and nobody else asks for those that were.
        drop((gone, before));
        live.tickets.sweep();
        let count = |of: &AtomicU64, more: usize| of.fetch_add(more as u64, Ordering::Relaxed);
        count(&self.standing.renewed, news.renewed.len());
        count(&self.standing.refused, news.refused.len());
    }

    /// The server's side of a new connection, and what it asks of the client ([`ServerTls::asked`]).
    pub fn session(&self) -> Result<(Session, u64), rustls::Error> {
        let material = self.material.load();
        Ok((Session::server(&material.config)?, material.asked()))
    }

    /// Until when all lists of revoked certificates are good, in seconds since the Unix epoch; `None` without any, or without an end.
    pub fn lists_until(&self) -> Option<u64> {
        let material = self.material.load();
        material
            .read
            .clients
            .as_ref()
            .and_then(Clients::lists_until)
    }

    /// What is asked of clients, as a number; 0: nothing.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// What is shown, in the order of the configuration.
    pub fn shown(&self) -> Vec<Shown> {
        let material = self.material.load();
        let files = self.policy.certificates.iter();
        let certificates = material.read.certificates.iter();
        files
            .zip(certificates)
            .map(|(files, certificate)| Shown {
                file: files.named().to_path_buf(),
                facts: certificate.facts().clone(),
                staple_until: certificate.staple_until(),
            })
            .collect()
    }

    /// How many files were another and were taken, and how many were refused.
    pub fn renewals(&self) -> (u64, u64) {
        let Standing {
            renewed, refused, ..
        } = &*self.standing;
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        (count(renewed), count(refused))
    }

    /// Takes a place among the handshakes under way; `None` when there are `most`, and none of them has been there for long. 0: any number.
    pub fn begin(&self, most: usize) -> Option<HandshakeSlot> {
        self.standing.handshakes.take(most, clock::now())
    }

    /// Whether a client that was shown a certificate for these names would have been shown one for the same for `name` too.
    pub fn covers(&self, shown: u64, name: &str) -> bool {
        self.material.load().resolver.0.covers(Names(shown), name)
    }
}

fn material(listener: &ListenerName, policy: &Policy, read: Read, live: &Live) -> Material {
    let whose = Whose {
        listener: listener.clone(),
        clients: read.clients.as_ref().map(|clients| clients.mark),
        secret: policy.common.secret.as_ref().map(Secret::mark),
    };
    let make = || Tickets::new(&whose, policy.common.secret.as_ref());
    let tickets = live.tickets.keep_or_make(&whose, make);
    Material::new(policy, read, tickets)
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
