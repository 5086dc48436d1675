//! What the handshakes of a listener go by: made of files, and made anew when one of them is another.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};

use super::certificate::Certificate;
use super::clients::{Clients, Demands};
use super::files::{Files, LoadError, mark};
use super::provider::provider;
use super::resolver::Resolver;
use super::server::Policy;
use super::table::Table;
use super::tickets::{Shown, Tickets};

/// What a policy's files hold: the one half of what handshakes go by, the policy is the other.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) certificates: Vec<Arc<Certificate>>,
    pub(super) clients: Option<Clients>,
    /// Of what was in the files when they were looked at last, in the same order: also of files that were refused.
    looked: Vec<u64>,
}

/// What came of looking at the files again.
#[derive(Debug, Default)]
pub(super) struct News {
    /// What is another now.
    pub(super) renewed: Vec<PathBuf>,
    /// Answers of authorities among that which are not shown now, and why.
    pub(super) stale: Vec<(PathBuf, &'static str)>,
    /// Certificates among that whose answers are none for them: they are shown without.
    pub(super) bare: Vec<LoadError>,
    /// What was refused; what was there before stays.
    pub(super) refused: Vec<LoadError>,
}

impl Read {
    /// Reads everything; what cannot be used is told with the position of its certificate, `None` for what is asked of clients.
    pub(super) fn all(
        certificates: &[Files],
        clients: Option<&Demands>,
        refuse: &mut dyn FnMut(Option<usize>, &LoadError),
    ) -> Self {
        let mut read = Self {
            certificates: Vec::with_capacity(certificates.len()),
            clients: None,
            looked: Vec::with_capacity(certificates.len() + 1),
        };
        for (at, files) in certificates.iter().enumerate() {
            let contents = files.read();
            read.looked.push(mark(&contents));
            match Certificate::of(contents) {
                Ok(certificate) => read.certificates.push(Arc::new(certificate)),
                Err(error) => refuse(Some(at), &error),
            }
        }
        if let Some(demands) = clients {
            let contents = demands.read();
            read.looked.push(mark(&contents));
            match demands.load(contents) {
                Ok(clients) => read.clients = Some(clients),
                Err(errors) => errors.iter().for_each(|error| refuse(None, error)),
            }
        }
        read
    }

    /// Looks at the files again. Each certificate with its key is taken or refused by itself.
    pub(super) fn again(&mut self, files: &[Files], clients: Option<&Demands>) -> News {
        let mut news = News::default();
        let mut looked = self.looked.iter_mut();
        for (files, (own, seen)) in files
            .iter()
            .zip(self.certificates.iter_mut().zip(&mut looked))
        {
            let contents = files.read();
            let now = mark(&contents);
            if std::mem::replace(seen, now) == now {
                continue;
            }
            match Certificate::with_fault(contents) {
                Ok((certificate, Some(fault))) if !certificate.goes_without(own, &fault) => {
                    news.refused.push(fault);
                }
                Ok((certificate, fault)) => {
                    let staple = files.staple.clone();
                    news.stale.extend(staple.zip(certificate.staple_fault()));
                    news.bare.extend(fault);
                    *own = Arc::new(certificate);
                    news.renewed.push(files.named().to_path_buf());
                }
                Err(error) => news.refused.push(error),
            }
        }
        if let (Some(demands), Some(seen)) = (clients, looked.next()) {
            let contents = demands.read();
            let now = mark(&contents);
            if std::mem::replace(seen, now) != now {
                match demands.load(contents) {
                    Ok(clients) => {
                        self.clients = Some(clients);
                        news.renewed.push(demands.ca.clone());
                    }
                    Err(errors) => news.refused.extend(errors),
                }
            }
        }
        news
    }
}

/// What handshakes go by.
pub(super) struct Material {
    pub(super) read: Read,
    pub(super) config: Arc<ServerConfig>,
    pub(super) resolver: Arc<Resolver>,
    /// Held, so that whoever makes the next one finds them.
    _tickets: Arc<Tickets>,
}

impl Material {
    /// What is asked of clients, as a number; 0: nothing.
    pub(super) fn asked(&self) -> u64 {
        let clients = self.read.clients.as_ref();
        clients.map_or(0, |clients| clients.mark.number())
    }

    pub(super) fn new(policy: &Policy, read: Read, tickets: Arc<Tickets>) -> Self {
        let resolver = Arc::new(Resolver(Table::new(read.certificates.clone())));
        Self {
            config: Arc::new(config(policy, &read, &resolver, &tickets)),
            read,
            resolver,
            _tickets: tickets,
        }
    }
}

fn config(
    policy: &Policy,
    read: &Read,
    resolver: &Arc<Resolver>,
    tickets: &Tickets,
) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
    // The provider has suites for both versions, so that it can only succeed; should that change, TLS 1.3 is left.
    let builder = builder
        .with_protocol_versions(policy.min_version.versions())
        .unwrap_or_else(|error| {
            tracing::error!(%error, "no suites for all versions of TLS");
            ServerConfig::builder_with_provider(Arc::clone(provider()))
                .with_protocol_versions(rustls::DEFAULT_VERSIONS)
                .unwrap_or_else(|_| ServerConfig::builder())
        });
    let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(resolver) as Arc<_>;
    let builder = match &read.clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::clone(&clients.verifier)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols = policy
        .alpn
        .iter()
        .map(|it| it.as_bytes().to_vec())
        .collect();
    // RFC 7627: without it, resumption in TLS 1.2 can be turned against a client (triple handshakes).
    config.require_ems = true;
    // Behind the handshake records are made in `net::secure`.
    config.enable_secret_extraction = true;
    // Sessions live in tickets alone: what this process remembers of them, nobody can fill.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if let Some(file) = &policy.common.key_log {
        config.key_log = Arc::new(file.clone());
    }
    match &tickets.0 {
        Some(tickets) => {
            let tickets = Arc::clone(tickets);
            config.ticketer = match &read.clients {
                Some(clients) => Arc::new(Shown {
                    tickets,
                    lists_until: clients.lists_until().unwrap_or(u64::MAX),
                }),
                None => tickets,
            };
        }
        None => config.send_tls13_tickets = 0,
    }
    config
}
