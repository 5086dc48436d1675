//! Raw → [`Snapshot`]: every room compiles its part, all that is wrong is told at once.

use std::sync::Arc;

use super::Snapshot;
use super::settings::{self, ProcessSettings};
use super::{spoken, trial};
use crate::base::hash::HashKey;
use crate::base::{ClusterName, ListenerName};
use crate::cluster::{self, Cluster, Site};
use crate::config::raw::tls::ClientAuth::{Optional, Required};
use crate::config::types::Secret;
use crate::config::{Beside, Code, Diagnostic, Diagnostics, Files, Spanned, raw};
use crate::record::AccessLog;
use crate::route::Maintenance;
use crate::{filter, limiter, listener, route, tls};

/// What outlives a configuration, by identity. One for the process.
#[derive(Debug, Default)]
pub struct Live {
    /// What is known of endpoints.
    pub clusters: cluster::Live,
    /// What is known of the keys of limiters.
    pub limiters: limiter::Live,
    /// What is known of TLS.
    pub tls: tls::Live,
    /// What filters know.
    pub filters: filter::Live,
    /// What is out of service.
    pub maintenance: Arc<Maintenance>,
}

/// What a configuration is compiled for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// To start with.
    Start,
    /// To follow one that runs with these settings: what takes effect only at the start must be the same.
    Follow(&'a ProcessSettings),
}

/// Compiles a whole configuration, or tells all that is wrong with it.
pub fn compile(
    raw: &raw::Config,
    files: &Files,
    live: &Live,
    purpose: Purpose<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Snapshot> {
    note_certificates(raw, files.beside());
    let process = settings::compile(raw, purpose, diagnostics);
    let access_log = AccessLog::compile(&raw.log.access, diagnostics);
    let site = settings::site(raw, &live.clusters, diagnostics);
    let (names, clusters) = clusters(raw, &site, live, diagnostics);
    let listener_names: Vec<ListenerName> = raw
        .listeners
        .iter()
        .filter_map(|listener| ListenerName::parse(&listener.name).ok())
        .collect();
    let limiters = limiter::compile(raw, &live.limiters, diagnostics);
    let parts = filter::Parts {
        limiters: &limiters,
        live: &live.limiters,
        files: files.beside(),
        kept: &live.filters,
        clusters: &names,
        passwords: filter::Terms::compile(&raw.runtime.passwords, diagnostics),
    };
    let pages = filter::pages::compile(raw, &names, &live.filters, files.beside(), diagnostics);
    let seed = raw.runtime.hash_seed.as_ref();
    let known = route::Clusters {
        names: &names,
        hash: HashKey::configured(seed.map(|seed| seed.as_str())),
    };
    let common = tls::Common {
        // Instances that make the same keys of it resume each other's sessions; one of this process would say no more than none.
        secret: site.secret.filter(|secret| !secret.is_of_this_process()),
        key_log: settings::key_log(raw, diagnostics),
    };
    let ground = tls::Ground {
        live: &live.tls,
        common: &common,
    };
    let listeners = listener::compile(raw, known, parts, ground, diagnostics);
    let routes = route::compile(raw, &listener_names, known, parts, diagnostics);
    if diagnostics.has_errors() {
        return None;
    }
    let routes = routes?;
    let listeners = listeners?;
    spoken::check(raw, &routes, &clusters, diagnostics);
    spoken::datagrams(raw, &listeners, &clusters, diagnostics);
    let snapshot = Snapshot {
        listeners: listeners.into_iter().map(Arc::new).collect(),
        routes: Arc::new(routes),
        clusters,
        pages: pages?,
        maintenance: Arc::clone(&live.maintenance),
        limiters: limiters.into_vec(),
        process: process?,
        access_log: access_log?,
        fingerprint: files.fingerprint(),
    };
    trial::run(&raw.tests, &snapshot, diagnostics);
    (!diagnostics.has_errors()).then_some(snapshot)
}

/// Certificates and keys are watched: new ones take effect when they stand there, wrong ones change nothing. Those of listeners
/// are exchanged in place; what clusters ask of endpoints is part of what connections are pooled by, so it is compiled anew.
fn note_certificates(raw: &raw::Config, beside: &Beside) {
    let listeners = raw
        .listeners
        .iter()
        .filter_map(|listener| listener.tls.as_ref());
    for own in listeners {
        for certificate in own.certificates.iter() {
            let files = [
                &certificate.certificate,
                &certificate.key,
                &certificate.pkcs12,
                &certificate.ocsp,
            ];
            for file in files.into_iter().flatten() {
                beside.note_renewed(file, tls::MAX_FILE);
            }
            if let Some(Secret::File(file)) = certificate.password.as_deref() {
                beside.note_renewed(file, tls::MAX_FILE);
            }
        }
        let auth = own.client_auth.as_ref().map(|auth| &***auth);
        if let Some(Optional(clients) | Required(clients)) = auth {
            beside.note_renewed(&clients.ca, tls::MAX_FILE);
            if let Some(crl) = &clients.crl {
                beside.note_renewed(crl, tls::MAX_LISTS);
            }
        }
    }
    let clusters = raw.clusters.iter().filter_map(|(_, raw)| raw.tls.as_ref());
    for tls in clusters {
        let files = [&tls.ca, &tls.certificate, &tls.key, &tls.pkcs12];
        for file in files.into_iter().flatten() {
            beside.note(file, tls::MAX_FILE);
        }
        if let Some(Secret::File(file)) = tls.password.as_deref() {
            beside.note(file, tls::MAX_FILE);
        }
    }
}

/// Names and clusters, sorted by name: both in the same order when nothing is wrong.
fn clusters(
    raw: &raw::Config,
    site: &Site,
    live: &Live,
    diagnostics: &mut Diagnostics,
) -> (Vec<ClusterName>, Vec<Arc<Cluster>>) {
    let mut named: Vec<(ClusterName, &raw::Cluster)> = raw
        .clusters
        .iter()
        .filter_map(|(name, raw)| Some((cluster_name(name, diagnostics)?, raw)))
        .collect();
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    let defaults = &raw.defaults.cluster;
    let clusters = named
        .iter()
        .filter_map(|(name, raw)| {
            cluster::compile(name, raw, defaults, site, &live.clusters, diagnostics)
        })
        .map(Arc::new)
        .collect();
    (named.into_iter().map(|(name, _)| name).collect(), clusters)
}

fn cluster_name(raw: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<ClusterName> {
    ClusterName::parse(raw)
        .map_err(|error| {
            let found = raw.escape_debug();
            let message = format!("`{found}` is not a name for a cluster");
            diagnostics
                .push(Diagnostic::error(Code::BadName, raw.span, message).label(error.to_string()));
        })
        .ok()
}
