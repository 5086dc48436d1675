//! `endpoints` of a cluster → [`Members`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

use super::members::{Member, Members};
use crate::base::addr::AddrError;
use crate::base::{ClusterName, EndpointAddr};
use crate::config::raw::endpoint::State;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned, raw};
use crate::endpoint::{Admin, MAX_WEIGHT};

pub(super) fn compile(
    cluster: &ClusterName,
    raw: &Spanned<Vec<Spanned<raw::Endpoint>>>,
    diagnostics: &mut Diagnostics,
) -> Option<Members> {
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
    let mut members = Vec::with_capacity(raw.len());
    for raw in &raw.value {
        let Some(member) = member(raw, diagnostics) else {
            continue;
        };
        match seen.entry(member.addr.clone()) {
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
                        member.addr
                    ),
                )
                .also(*first.get(), "first here")
                .hint("give one of them a larger `weight` for a larger share"),
            ),
        }
    }
    (members.len() == raw.len()).then(|| Members::new(members))
}

fn member(raw: &Spanned<raw::Endpoint>, diagnostics: &mut Diagnostics) -> Option<Member> {
    let addr = addr(raw, diagnostics);
    let weight = weight(raw.weight.as_ref(), diagnostics);
    let tier = tier(raw, diagnostics);
    Some(Member {
        addr: addr?,
        weight: weight?,
        tier: tier?,
        admin: match raw.state.map(|state| state.value) {
            None | Some(State::Ready) => Admin::Ready,
            Some(State::Drain) => Admin::Drain,
            Some(State::Disabled) => Admin::Disabled,
        },
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
