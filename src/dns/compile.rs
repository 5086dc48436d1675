//! `[dns]` → [`Settings`].

use std::net::{IpAddr, SocketAddr};

use super::{Family, Settings};
use crate::base::CidrSet;
use crate::config::networks::networks;
use crate::config::raw::dns as raw;
use crate::config::types::Duration;
use crate::config::{Code, Diagnostic, Diagnostics, Severity, Spanned};

/// Where servers listen when no port is written.
const PORT: u16 = 53;
const MAX_ATTEMPTS: u32 = 10;
const MOST_ADDRESSES: u32 = 10_000;

/// Compiles the table; reports everything that is wrong with it.
pub fn compile(raw: &raw::Dns, diagnostics: &mut Diagnostics) -> Option<Settings> {
    let before = diagnostics.count(Severity::Error);
    let default = Settings::default();
    let number = |raw: &Option<Spanned<u32>>, default: u32| raw.map_or(default, |raw| raw.value);
    let most = u32::try_from(default.max_addresses).unwrap_or(MOST_ADDRESSES);
    within("attempts", raw.attempts, MAX_ATTEMPTS, diagnostics);
    within(
        "max_addresses",
        raw.max_addresses,
        MOST_ADDRESSES,
        diagnostics,
    );
    let settings = Settings {
        servers: servers(raw, diagnostics),
        timeout: positive("timeout", raw.timeout, default.timeout, diagnostics),
        attempts: number(&raw.attempts, default.attempts),
        min_ttl: positive("min_ttl", raw.min_ttl, default.min_ttl, diagnostics),
        max_ttl: positive("max_ttl", raw.max_ttl, default.max_ttl, diagnostics),
        family: match raw.family.as_ref().map(|family| &family.value) {
            None | Some(raw::Family::Any) => Family::Any,
            Some(raw::Family::Ipv4) => Family::V4,
            Some(raw::Family::Ipv6) => Family::V6,
        },
        deny: deny(raw, diagnostics),
        max_addresses: number(&raw.max_addresses, most) as usize,
    };
    if settings.min_ttl > settings.max_ttl
        && let Some(written) = raw.min_ttl.or(raw.max_ttl)
    {
        diagnostics.push(
            Diagnostic::error(
                Code::Conflict,
                written.span,
                "`min_ttl` is longer than `max_ttl`",
            )
            .hint("the defaults are min_ttl = \"1s\" and max_ttl = \"60s\""),
        );
    }
    (diagnostics.count(Severity::Error) == before).then_some(settings)
}

fn servers(raw: &raw::Dns, diagnostics: &mut Diagnostics) -> Vec<SocketAddr> {
    let written = raw.servers.iter().flat_map(|servers| &servers.value);
    let servers = written.filter_map(|text| {
        let addr = text.parse().ok().or_else(|| {
            let ip: IpAddr = text.parse().ok()?;
            Some(SocketAddr::new(ip, PORT))
        });
        if addr.is_none_or(|addr: SocketAddr| addr.port() == 0) {
            diagnostics.push(
                Diagnostic::error(
                    Code::BadAddress,
                    text.span,
                    format!(
                        "`{}` is not the address of a DNS server",
                        text.escape_debug()
                    ),
                )
                .label("expected an IP address, with a port if it is not 53"),
            );
        }
        addr
    });
    servers.collect()
}

fn deny(raw: &raw::Dns, diagnostics: &mut Diagnostics) -> CidrSet {
    let denied = raw.deny.as_ref().map(|deny| networks(deny, diagnostics));
    let nets = denied.flatten().unwrap_or_default();
    CidrSet::new(&nets)
}

fn within(key: &str, raw: Option<Spanned<u32>>, most: u32, diagnostics: &mut Diagnostics) {
    if let Some(raw) = raw
        && !(1..=most).contains(&raw.value)
    {
        diagnostics.push(Diagnostic::error(
            Code::BadValue,
            raw.span,
            format!("`{key}` = {} is not in 1-{most}", raw.value),
        ));
    }
}

fn positive(
    key: &str,
    raw: Option<Spanned<Duration>>,
    default: std::time::Duration,
    diagnostics: &mut Diagnostics,
) -> std::time::Duration {
    let Some(raw) = raw else { return default };
    if raw.is_zero() {
        let message = format!("`{key}` must be longer than 0s");
        diagnostics.push(
            Diagnostic::error(Code::BadValue, raw.span, message)
                .hint("servers would be asked without a pause, or never waited for"),
        );
    }
    raw.get()
}
