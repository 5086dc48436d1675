//! `endpoints` of a cluster → [`Member`]s.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use super::Live;
use super::members::{Member, Place};
use crate::base::addr::AddrError;
use crate::base::{ClusterName, EndpointAddr};
use crate::config::raw::endpoint::State;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned, raw};
use crate::dns::Query;
use crate::endpoint::{Admin, MAX_WEIGHT};
use crate::tls::{ClientTls, TlsSpec};

pub(super) fn compile(
    cluster: &ClusterName,
    raw: &Spanned<Vec<Spanned<raw::Endpoint>>>,
    tls: Option<&Arc<ClientTls>>,
    live: &Live,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Member>> {
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
    let mut seen: HashMap<String, Span> = HashMap::new();
    let mut members = Vec::with_capacity(raw.len());
    for raw in &raw.value {
        let Some(member) = member(raw, tls, live, diagnostics) else {
            continue;
        };
        match seen.entry(member.place.to_string()) {
            Entry::Vacant(slot) => {
                slot.insert(raw.span);
                members.push(member);
            }
            Entry::Occupied(first) => diagnostics.push(
                Diagnostic::error(
                    Code::DuplicateEndpoint,
                    raw.span,
                    format!(
                        "endpoint `{}` stands twice in cluster `{cluster}`",
                        member.place
                    ),
                )
                .also(*first.get(), "first here")
                .hint("give one of them a larger `weight` for a larger share"),
            ),
        }
    }
    (members.len() == raw.len()).then_some(members)
}

fn member(
    raw: &Spanned<raw::Endpoint>,
    tls: Option<&Arc<ClientTls>>,
    live: &Live,
    diagnostics: &mut Diagnostics,
) -> Option<Member> {
    let place = place(raw, live, diagnostics);
    let weight = weight(raw.weight.as_ref(), diagnostics);
    let tier = tier(raw, diagnostics);
    let zone = zone(raw.zone.as_ref(), diagnostics);
    if let (Some(Place::Name { port: None, .. }), Some(weight)) = (&place, &raw.weight) {
        diagnostics.push(
            Diagnostic::error(
                Code::Conflict,
                weight.span,
                "`weight` cannot stand at the name of a service",
            )
            .note("its SRV records give a weight to each endpoint"),
        );
        return None;
    }
    let place = place?;
    let tls = match tls {
        None => None,
        Some(tls) => Some(secure(&place, tls, raw.span, diagnostics)?),
    };
    Some(Member {
        place,
        tls,
        weight: weight?,
        tier: tier?,
        zone: zone.ok()?,
        admin: match raw.state.map(|state| state.value) {
            None | Some(State::Ready) => Admin::Ready,
            Some(State::Drain) => Admin::Drain,
            Some(State::Disabled) => Admin::Disabled,
        },
    })
}

/// TLS to an endpoint that is known by a name or an address; one that has neither needs `server_name`.
fn secure(
    place: &Place,
    tls: &Arc<ClientTls>,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<TlsSpec> {
    let spec = tls.towards(place.known_as().as_deref());
    if spec.is_none() {
        let text = format!("`{place}` has no name that its certificate could be for");
        diagnostics.push(
            Diagnostic::error(Code::MissingKey, span, text).hint("write `server_name` in `tls`"),
        );
    }
    spec
}

fn place(
    raw: &Spanned<raw::Endpoint>,
    live: &Live,
    diagnostics: &mut Diagnostics,
) -> Option<Place> {
    let text = raw.address.as_str();
    let span = if raw.address.span.is_somewhere() {
        raw.address.span
    } else {
        raw.span
    };
    let cause = match EndpointAddr::parse(text) {
        Ok(addr) => return Some(Place::Addr(addr)),
        Err(cause) => cause,
    };
    if let Some((query, port)) = Query::parse(text) {
        let entry = live.names().entry(&query);
        return Some(Place::Name { entry, port });
    }
    let shown = text.escape_debug();
    let mut error = Diagnostic::error(
        Code::BadAddress,
        span,
        format!("`{shown}` is not the address of an endpoint"),
    )
    .note(match cause {
        AddrError::Shape => {
            "expected `IP:port`, `[IPv6]:port`, `name:port`, `srv:name` or `unix:/path`".to_owned()
        }
        _ => cause.to_string(),
    });
    if let Some(hint) = hint(text) {
        error = error.hint(hint);
    }
    diagnostics.push(error);
    None
}

fn hint(text: &str) -> Option<String> {
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split('/').next().unwrap_or(rest);
        return Some(format!("write the address alone: \"{host}\""));
    }
    if text.starts_with('/') {
        return Some(format!("for a unix socket write \"unix:{text}\""));
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => Some(format!("add the port: \"{ip}:80\"")),
        Ok(IpAddr::V6(ip)) => Some(format!("add the port: \"[{ip}]:80\"")),
        Err(_) => {
            let with_port = format!("{text}:80");
            Query::parse(&with_port).map(|_| format!("add the port: \"{with_port}\""))
        }
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
        "for an endpoint that gets nothing new write state = \"drain\": what is under way is finished"
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

fn zone(
    raw: Option<&Spanned<String>>,
    diagnostics: &mut Diagnostics,
) -> Result<Option<Arc<str>>, ()> {
    let Some(raw) = raw else {
        return Ok(None);
    };
    if raw.value.trim().is_empty() {
        let error = Diagnostic::error(Code::BadValue, raw.span, "a zone has a name");
        diagnostics.push(error.hint("leave the key away where the zone is not known"));
        return Err(());
    }
    Ok(Some(raw.value.as_str().into()))
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
