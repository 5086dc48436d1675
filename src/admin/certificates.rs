//! What the interface shows of certificates: which there are, until when, and who shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::cluster::Cluster;
use crate::metrics::{Scrape, names};
use crate::tls::{Facts, Shown};

use super::context::{Context, Running};

/// One of `GET /api/v1/certificates`.
#[derive(Debug, Serialize)]
struct CertificateStatus {
    /// SHA-256 of it, in hexadecimal.
    fingerprint: String,
    names: Vec<String>,
    subject: String,
    issuer: String,
    serial: String,
    /// Seconds since the Unix epoch.
    not_before: u64,
    /// Seconds since the Unix epoch.
    not_after: u64,
    /// Who shows it, and where it comes from.
    shown_by: Vec<ShownBy>,
}

#[derive(Debug, Serialize)]
struct ShownBy {
    /// To clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<String>,
    /// To endpoints that ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    file: String,
    /// Until when the answer of its authority that is shown with it is good, in seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    staple_until: Option<u64>,
}

pub(super) fn router() -> Router<Arc<Context>> {
    Router::new().route("/api/v1/certificates", get(all))
}

async fn all(State(context): State<Arc<Context>>) -> Json<Vec<CertificateStatus>> {
    let running = context.running.borrow().clone();
    Json(certificates(&running))
}

/// Those that are in use, by fingerprint.
fn certificates(running: &Running) -> Vec<CertificateStatus> {
    let listeners = running.listeners.iter().flat_map(|listening| {
        let all = listening.tls.iter().flat_map(|tls| tls.shown());
        all.map(|shown| {
            let by = ShownBy {
                listener: Some(listening.name.to_string()),
                cluster: None,
                file: shown.file.display().to_string(),
                staple_until: shown.staple_until,
            };
            (shown.facts, by)
        })
    });
    let clusters = own(running).map(|(cluster, shown)| {
        let by = ShownBy {
            listener: None,
            cluster: Some(cluster.name.to_string()),
            file: shown.file.display().to_string(),
            staple_until: None,
        };
        (shown.facts.clone(), by)
    });
    let mut found: BTreeMap<String, CertificateStatus> = BTreeMap::new();
    for (facts, by) in listeners.chain(clusters) {
        let entry = found.entry(facts.fingerprint.clone());
        let status = entry.or_insert_with(|| CertificateStatus::of(facts));
        status.shown_by.push(by);
    }
    found.into_values().collect()
}

impl CertificateStatus {
    fn of(facts: Facts) -> Self {
        let dns = facts.names.iter().map(|name| &**name);
        Self {
            names: dns.chain(facts.beside()).map(str::to_owned).collect(),
            fingerprint: facts.fingerprint,
            subject: facts.subject,
            issuer: facts.issuer,
            serial: facts.serial,
            not_before: facts.not_before,
            not_after: facts.not_after,
            shown_by: Vec::new(),
        }
    }
}

/// What clusters show to their endpoints.
fn own(running: &Running) -> impl Iterator<Item = (&Cluster, &Shown)> {
    running.clusters.iter().filter_map(|cluster| {
        let shown = cluster.tls.as_ref()?.shown()?;
        Some((&**cluster, shown))
    })
}

/// Until when certificates are valid, and what became of their files.
pub(super) fn collect(running: &Running, scrape: &mut Scrape) {
    for listening in &running.listeners {
        let Some(tls) = &listening.tls else { continue };
        let listener = listening.name.as_str();
        let mut files = BTreeSet::new();
        for shown in tls.shown() {
            let file = shown.file.display().to_string();
            // One that is listed twice is one: equal labels would add up.
            if !files.insert(file.clone()) {
                continue;
            }
            let until = shown.facts.not_after as f64;
            scrape.gauge(&names::TLS_CERTIFICATE_NOT_AFTER, &[listener, &file], until);
            // Without a time in it, it is good for ever.
            if let Some(until) = shown.staple_until.filter(|until| *until < u64::MAX) {
                let until = until as f64;
                scrape.gauge(&names::TLS_STAPLE_NEXT_UPDATE, &[listener, &file], until);
            }
        }
        if let Some(until) = tls.lists_until() {
            scrape.gauge(&names::TLS_LISTS_NEXT_UPDATE, &[listener], until as f64);
        }
        let (renewed, refused) = tls.renewals();
        for (result, count) in [("ok", renewed), ("error", refused)] {
            scrape.add(&names::TLS_RENEWALS, &[listener, result], count);
        }
    }
    for (cluster, shown) in own(running) {
        let (name, file) = (cluster.name.as_str(), shown.file.display().to_string());
        let until = shown.facts.not_after as f64;
        scrape.gauge(&names::TLS_OWN_NOT_AFTER, &[name, &file], until);
    }
}
