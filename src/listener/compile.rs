//! `[[listeners]]` → [`ListenerSpec`]s.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::address::{self, Claims};
use super::admin::DEFAULT_BIND;
use super::heads::{self, Heads};
use super::http2;
use super::unix;
use super::{
    H2c, HalfClose, ListenerLimits, ListenerSpec, ListenerTimeouts, ProxyProtocol, Serves, protocol,
};
use crate::base::{CidrSet, ListenAddr, ListenerName};
use crate::config::networks;
use crate::config::raw::{self, Config};
use crate::config::types::{ByteSize, Duration as RawDuration, Named};
use crate::config::{Code, Diagnostic, Diagnostics, Severity, Spanned};
use crate::filter::{PagesIx, Parts, SessionFilters, pages};
use crate::http1::limits::{RawBodyLimits, number, size, within};
use crate::http1::request::MAX_FIELDS;
use crate::http2::Limits;
use crate::net::Liveness;
use crate::net::bind::Transport;
use crate::route::Clusters;
use crate::tls::{self, Inside, ServerTls};

/// Longest request line that can be allowed, in bytes.
const MAX_REQUEST_LINE: u64 = 256 << 10;
/// Largest head that can be allowed, in bytes.
const MAX_HEADERS: u64 = 1 << 20;
/// Longest field name that can be allowed, in bytes.
const MAX_FIELD_NAME: u64 = 8 << 10;
/// Most bytes of a request that can be skipped.
const MAX_SKIP: u64 = 1 << 20;
/// Less than a read of ours would have every write wait for the one before it.
const UNSENT_RANGE: RangeInclusive<u64> = 16 << 10..=64 << 20;
/// Most bytes that can be thrown away after the last answer.
const MAX_LINGER: u64 = 1 << 30;

/// Compiles all listeners, in the order of the file. Reports everything that is wrong with them.
///
/// A [`ClusterIx`](crate::route::ClusterIx) is a position in `clusters`; `parts` is what filters may refer to.
pub fn compile(
    raw: &Config,
    clusters: Clusters<'_>,
    parts: Parts<'_>,
    ground: tls::Ground<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<ListenerSpec>> {
    let before = diagnostics.count(Severity::Error);
    let own = &raw.defaults.listener;
    let defaults = Settings {
        trusted: networks(
            own.trusted_proxies.as_ref(),
            &CidrSet::default(),
            diagnostics,
        )
        .unwrap_or_default(),
        timeouts: timeouts(&own.timeouts, ListenerTimeouts::default(), diagnostics),
        limits: limits(&own.limits, ListenerLimits::default(), diagnostics),
        http2: http2::compile(&own.http2, Limits::default(), diagnostics),
        heads: Heads::compile(
            &heads::Raw::of_defaults(own),
            &Heads::default(),
            diagnostics,
        ),
        pages: pages::find(own.error_pages.as_ref(), &raw.error_pages, diagnostics),
        all_pages: &raw.error_pages,
    };
    let mut claims = Claims::default();
    claim_admin(raw, &mut claims, diagnostics);
    let mut specs = Vec::with_capacity(raw.listeners.len());
    for listener in &raw.listeners {
        let spec = compile_one(
            listener,
            &defaults,
            (clusters, parts),
            &mut claims,
            ground,
            diagnostics,
        );
        specs.extend(spec);
    }
    (diagnostics.count(Severity::Error) == before).then_some(specs)
}

/// What listeners start from.
struct Settings<'a> {
    trusted: CidrSet,
    timeouts: ListenerTimeouts,
    limits: ListenerLimits,
    http2: Limits,
    heads: Heads,
    pages: Option<PagesIx>,
    /// Those that listeners may name.
    all_pages: &'a Named<raw::ErrorPages>,
}

/// The admin interface takes its address first: it is not a listener, but it listens. Whether its address
/// makes sense is said where it is compiled.
fn claim_admin(raw: &Config, claims: &mut Claims, diagnostics: &mut Diagnostics) {
    let Some(admin) = &raw.admin else {
        return;
    };
    let (addr, span) = match &admin.bind {
        Some(bind) => (ListenAddr::parse(&bind.value), bind.span),
        None => (Ok(ListenAddr::Inet(DEFAULT_BIND)), admin.span),
    };
    if let Ok(addr) = addr {
        claims.claim(
            Transport::Tcp,
            addr,
            span,
            "the admin interface",
            diagnostics,
        );
    }
}

fn compile_one(
    raw: &raw::Listener,
    defaults: &Settings<'_>,
    into: (Clusters<'_>, Parts<'_>),
    claims: &mut Claims,
    ground: tls::Ground<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<ListenerSpec> {
    let name = compile_name(&raw.name, diagnostics);
    protocol::check(raw, diagnostics);
    let protocol = &raw.protocol.value;
    let heads = Heads::compile(&heads::Raw::of(raw), &defaults.heads, diagnostics);
    let timeouts = timeouts(&raw.timeouts, defaults.timeouts, diagnostics);
    let (clusters, parts) = into;
    let serves = Serves::compile(raw, timeouts.first_byte, clusters, diagnostics);
    let filters = match (protocol, &name) {
        // Where they cannot stand that is all that is said of them.
        (raw::listener::Protocol::Http, _) | (_, None) => Some(SessionFilters::default()),
        (_, Some(name)) => SessionFilters::compile(raw, name, parts, diagnostics),
    };
    let trusted = networks(raw.trusted_proxies.as_ref(), &defaults.trusted, diagnostics);
    if let Some(trusted) = &trusted {
        protocol::check_trust(raw, trusted, diagnostics);
    }
    let trusted = trusted.unwrap_or_default();
    let binds = compile_binds(raw, claims, diagnostics);
    let spec = ListenerSpec {
        liveness: {
            let socket = raw.socket.as_ref().map(|socket| &socket.value);
            let (keepalive, user) = socket
                .map(|it| (it.keepalive, it.user_timeout))
                .unwrap_or_default();
            Liveness::compile(keepalive, user, diagnostics)
        },
        access: unix::access(raw, &binds, diagnostics),
        binds,
        trusted,
        timeouts,
        limits: limits(&raw.limits, defaults.limits, diagnostics),
        proxy_protocol: match raw.proxy_protocol.as_ref().map(|it| &it.value) {
            None | Some(raw::listener::ProxyProtocol::Off) => ProxyProtocol::Off,
            Some(raw::listener::ProxyProtocol::Accept) => ProxyProtocol::Accept,
            Some(raw::listener::ProxyProtocol::Require) => ProxyProtocol::Require,
        },
        half_close: match raw.half_close.as_ref().map(|it| it.value) {
            None | Some(raw::listener::HalfClose::Continue) => HalfClose::Continue,
            Some(raw::listener::HalfClose::Abort) => HalfClose::Abort,
        },
        h2c: match raw.h2c.as_ref().map(|it| &it.value) {
            None | Some(raw::listener::H2c::PriorKnowledge) => H2c::PriorKnowledge,
            Some(raw::listener::H2c::Off) => H2c::Off,
        },
        http2: http2::compile(&raw.http2, defaults.http2, diagnostics),
        forwarding: heads.forwarding,
        identity: heads.identity,
        path: heads.path,
        pages: pages::find(raw.error_pages.as_ref(), defaults.all_pages, diagnostics)
            .or(defaults.pages),
        serves: serves?,
        filters: filters?,
        tls: match (&raw.tls, &name) {
            (Some(raw), Some(name)) => {
                let inside = match protocol {
                    raw::listener::Protocol::Http => Inside::Http,
                    raw::listener::Protocol::Tcp | raw::listener::Protocol::Udp => Inside::Anything,
                };
                let tls = ServerTls::compile(raw, name, inside, ground, diagnostics)?;
                Some(Arc::new(tls))
            }
            _ => None,
        },
        name: name?,
    };
    Some(spec)
}

fn compile_name(raw: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<ListenerName> {
    ListenerName::parse(raw)
        .map_err(|error| {
            diagnostics.push(
                Diagnostic::error(
                    Code::BadName,
                    raw.span,
                    format!("`{}` is not a name for a listener", raw.escape_debug()),
                )
                .label(error.to_string()),
            );
        })
        .ok()
}

fn compile_binds(
    raw: &raw::Listener,
    claims: &mut Claims,
    diagnostics: &mut Diagnostics,
) -> Vec<ListenAddr> {
    if raw.bind.is_empty() {
        diagnostics.push(
            Diagnostic::error(Code::Empty, raw.bind.span, "`bind` is empty")
                .label("a listener needs an address"),
        );
    }
    let mut binds = Vec::with_capacity(raw.bind.len());
    for text in &raw.bind.value {
        if let Some(addr) = address::parse(text, diagnostics) {
            let transport = match raw.protocol.value {
                raw::listener::Protocol::Http | raw::listener::Protocol::Tcp => Transport::Tcp,
                raw::listener::Protocol::Udp => Transport::Udp,
            };
            let who = format!("listener `{}`", raw.name.escape_debug());
            claims.claim(transport, addr.clone(), text.span, &who, diagnostics);
            binds.push(addr);
        }
    }
    binds
}

fn networks(
    raw: Option<&Spanned<Vec<Spanned<String>>>>,
    default: &CidrSet,
    diagnostics: &mut Diagnostics,
) -> Option<CidrSet> {
    let Some(raw) = raw else {
        return Some(default.clone());
    };
    networks::networks(raw, diagnostics).map(|nets| CidrSet::new(&nets))
}

fn timeouts(
    raw: &raw::ListenerTimeouts,
    default: ListenerTimeouts,
    diagnostics: &mut Diagnostics,
) -> ListenerTimeouts {
    let mut pick = |raw: Option<Spanned<RawDuration>>, default: Duration| match raw {
        None => default,
        Some(given) if given.is_zero() => {
            diagnostics.push(
                Diagnostic::error(Code::BadValue, given.span, "a time limit of zero")
                    .label("must be above 0")
                    .note("a listener never waits for a client without a limit"),
            );
            default
        }
        Some(given) => given.get(),
    };
    ListenerTimeouts {
        preface: pick(raw.preface, default.preface),
        first_byte: pick(raw.first_byte, default.first_byte),
        handshake: pick(raw.handshake, default.handshake),
        header: pick(raw.header, default.header),
        idle: pick(raw.idle, default.idle),
        body: pick(raw.body, default.body),
        write: pick(raw.write, default.write),
        age: raw.age.map_or(default.age, |age| age.get()),
        linger: pick(raw.linger, default.linger),
    }
}

fn limits(
    raw: &raw::ListenerLimits,
    default: ListenerLimits,
    diagnostics: &mut Diagnostics,
) -> ListenerLimits {
    let body = RawBodyLimits {
        trailers: raw.trailers,
        trailer_count: raw.trailer_count,
        chunk_extension: raw.chunk_extension,
        chunk_extensions: raw.chunk_extensions,
    };
    let body = body.compile(default.body, diagnostics);
    let mut bounded = |given, allowed, default| within(given, allowed, default, diagnostics);
    let mut pick = |given, allowed, default: usize| {
        let picked = bounded(given, allowed, default as u64);
        usize::try_from(picked).unwrap_or(default)
    };
    let request_line = pick(
        size(raw.request_line),
        64..=MAX_REQUEST_LINE,
        default.request_line,
    );
    let headers = pick(size(raw.headers), 256..=MAX_HEADERS, default.headers);
    let header_count = pick(
        number(raw.header_count),
        1..=MAX_FIELDS as u64,
        default.header_count,
    );
    let header_name = pick(
        size(raw.header_name),
        1..=MAX_FIELD_NAME,
        default.header_name,
    );
    let rate = |raw: Option<Spanned<ByteSize>>, default| raw.map_or(default, |it| it.bytes());
    let most = |raw: Option<Spanned<u32>>, default| raw.map_or(default, |it| it.value);
    ListenerLimits {
        request_line,
        headers,
        header_count,
        header_name,
        body,
        connections_per_client: most(raw.connections_per_client, default.connections_per_client),
        handshakes: raw
            .handshakes
            .map_or(default.handshakes, |it| it.value as usize),
        requests_per_connection: raw.requests_per_connection.map(|it| it.value),
        body_rate: rate(raw.body_rate, default.body_rate),
        write_rate: rate(raw.write_rate, default.write_rate),
        unsent: u32::try_from(bounded(
            size(raw.unsent),
            UNSENT_RANGE,
            default.unsent.into(),
        ))
        .unwrap_or(default.unsent),
        skip: bounded(size(raw.skip), 0..=MAX_SKIP, default.skip),
        linger: bounded(size(raw.linger), 0..=MAX_LINGER, default.linger),
    }
}
