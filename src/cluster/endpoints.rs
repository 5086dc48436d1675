//! `endpoints` of a cluster → [`EndpointSet`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use super::Live;
use crate::base::addr::AddrError;
use crate::base::{ClusterName, EndpointAddr};
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned, raw};
use crate::endpoint::{Endpoint, EndpointKey, EndpointSet, MAX_WEIGHT};
use crate::health::HealthSpec;
use crate::upstream::ConnectSpec;

/// One endpoint as it was written, with meaning.
struct Entrant {
    addr: EndpointAddr,
    weight: u32,
    tier: u8,
}

pub(super) fn compile(
    cluster: &ClusterName,
    raw: &Spanned<Vec<Spanned<raw::Endpoint>>>,
    health: Option<&HealthSpec>,
    live: &Live,
    diagnostics: &mut Diagnostics,
) -> Option<EndpointSet> {
    if raw.is_empty() {
        diagnostics.push(
            Diagnostic::error(
                Code::Empty,
                raw.span,
                format!("cluster `{cluster}` has no endpoints"),
            )
            .hint("write at least one address, such as \"127.0.0.1:9001\""),
        );
        return None;
    }
    let mut seen: HashMap<EndpointAddr, Span> = HashMap::new();
    let mut entrants = Vec::with_capacity(raw.len());
    for raw in &raw.value {
        let Some(entrant) = entrant(raw, diagnostics) else {
            continue;
        };
        match seen.entry(entrant.addr.clone()) {
            Entry::Vacant(slot) => {
                slot.insert(raw.span);
                entrants.push(entrant);
            }
            Entry::Occupied(first) => diagnostics.push(
                Diagnostic::error(
                    Code::DuplicateEndpoint,
                    raw.span,
                    format!(
                        "endpoint `{}` stands twice in cluster `{cluster}`",
                        entrant.addr
                    ),
                )
                .also(*first.get(), "first here")
                .hint("give one of them a larger `weight` for a larger share"),
            ),
        }
    }
    if entrants.len() < raw.len() {
        return None;
    }
    let make = |entrant| Arc::new(endpoint(cluster, entrant, health, live));
    Some(EndpointSet::new(entrants.into_iter().map(make).collect()))
}

fn endpoint(
    cluster: &ClusterName,
    entrant: Entrant,
    health: Option<&HealthSpec>,
    live: &Live,
) -> Endpoint {
    let key = EndpointKey {
        cluster: cluster.clone(),
        addr: entrant.addr,
    };
    let state = live.endpoint(&key);
    let cell = |spec: &HealthSpec| state.health_cell(spec.fingerprint(), spec.policy.initial);
    Endpoint {
        text: key.addr.to_string().into(),
        weight: entrant.weight,
        tier: entrant.tier,
        spec: Arc::new(ConnectSpec {
            addr: key.addr.clone(),
        }),
        health: health.map(cell),
        key,
        state,
    }
}

fn entrant(raw: &Spanned<raw::Endpoint>, diagnostics: &mut Diagnostics) -> Option<Entrant> {
    let addr = addr(raw, diagnostics);
    let weight = weight(raw.weight.as_ref(), diagnostics);
    let tier = tier(raw, diagnostics);
    Some(Entrant {
        addr: addr?,
        weight: weight?,
        tier: tier?,
    })
}

fn addr(raw: &Spanned<raw::Endpoint>, diagnostics: &mut Diagnostics) -> Option<EndpointAddr> {
    let text = raw.address.as_str();
    let span = if raw.address.span.is_somewhere() {
        raw.address.span
    } else {
        raw.span
    };
    let cause = match EndpointAddr::parse(text) {
        Ok(addr) => return Some(addr),
        Err(cause) => cause,
    };
    if cause == AddrError::Shape && is_host_and_port(text) {
        diagnostics.unsupported(span, "endpoints by DNS name");
        return None;
    }
    let shown = text.escape_debug();
    let mut error = Diagnostic::error(
        Code::BadAddress,
        span,
        format!("`{shown}` is not the address of an endpoint"),
    )
    .note(cause.to_string());
    if let Some(hint) = hint(text) {
        error = error.hint(hint);
    }
    diagnostics.push(error);
    None
}

/// `name:port`, where an address ought to be.
fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let letters = host.bytes().any(|byte| byte.is_ascii_alphabetic());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    letters && host.bytes().all(plain) && port.parse::<u16>().is_ok_and(|port| port != 0)
}

fn hint(text: &str) -> Option<String> {
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split('/').next().unwrap_or(rest);
        return Some(format!("write the address alone: \"{host}\""));
    }
    if text.starts_with('/') {
        return Some(format!("for a unix socket write \"unix:{text}\""));
    }
    match text.parse::<IpAddr>().ok()? {
        IpAddr::V4(ip) => Some(format!("add the port: \"{ip}:80\"")),
        IpAddr::V6(ip) => Some(format!("add the port: \"[{ip}]:80\"")),
    }
}

fn weight(raw: Option<&Spanned<u32>>, diagnostics: &mut Diagnostics) -> Option<u32> {
    let Some(raw) = raw else {
        return Some(1);
    };
    if (1..=MAX_WEIGHT).contains(&raw.value) {
        return Some(raw.value);
    }
    let hint = if raw.value == 0 {
        "to drain an endpoint, remove it and reload: exchanges under way are finished, nothing new goes there"
    } else {
        "only the ratio of the weights counts: divide them all by the same number"
    };
    diagnostics.push(
        Diagnostic::error(
            Code::BadWeight,
            raw.span,
            format!("weight {} is not in 1-{MAX_WEIGHT}", raw.value),
        )
        .hint(hint),
    );
    None
}

fn tier(raw: &raw::Endpoint, diagnostics: &mut Diagnostics) -> Option<u8> {
    let backup = raw.backup.as_ref().filter(|backup| backup.value);
    match (backup, &raw.tier) {
        (None, None) => Some(0),
        (Some(_), None) => Some(1),
        (None, Some(tier)) => Some(tier.value),
        (Some(backup), Some(tier)) => {
            diagnostics.push(
                Diagnostic::error(
                    Code::Conflict,
                    tier.span,
                    "`tier` and `backup` cannot stand together",
                )
                .also(backup.span, "this means tier = 1")
                .hint("keep `tier`, the general form"),
            );
            None
        }
    }
}
