//! `[clusters.NAME]` → [`Cluster`].

use std::sync::Arc;
use std::time::Duration;

use super::{
    Cluster, ClusterBreaker, ClusterTimeouts, Live, Members, OnEndpointDown, Site, balancer,
    bulkhead, endpoints, limits, protocol, retry, sticky,
};
use crate::balance::{Balancer, Policy};
use crate::base::{ClusterName, EndpointAddr};
use crate::config::raw::cluster::{SendProxyProtocol, UpstreamProtocol};
use crate::config::raw::defaults::ClusterDefaults;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned, raw, types};
use crate::endpoint::{Endpoint, EndpointSet};
use crate::health::{self, Check, HealthSpec};
use crate::net::preface::Version;
use crate::net::{Liveness, Source};
use crate::outlier;
use crate::tls::ClientTls;
use crate::upstream::SocketSpec;

const CONNECT: Duration = Duration::from_secs(3);
const RESPONSE: Duration = Duration::from_mins(1);
const RESPONSE_IDLE: Duration = Duration::from_mins(5);
const TUNNEL: Duration = Duration::from_hours(1);

/// Compiles one cluster. All that is wrong is reported before it fails; what a living configuration
/// knows of its endpoints is taken over from `live`.
pub fn compile(
    name: &ClusterName,
    raw: &raw::Cluster,
    defaults: &ClusterDefaults,
    site: &Site,
    live: &Live,
    diagnostics: &mut Diagnostics,
) -> Option<Cluster> {
    let choice = balancer::compile(raw, site, diagnostics);
    let timeouts = timeouts(&raw.timeouts, &defaults.timeouts, diagnostics);
    let limits = limits::compile(&raw.limits, &defaults.limits, diagnostics);
    let bulkhead = bulkhead::compile(&raw.bulkhead, diagnostics);
    let retry = retry::compile(&raw.retry, diagnostics);
    let ejection = raw.outlier.as_ref().map(|outlier| &outlier.value);
    let ejection = outlier::outlier(ejection, diagnostics);
    let breaker = match &raw.breaker {
        None => Some(None),
        Some(raw) => outlier::breaker(raw, diagnostics).map(Some),
    };
    let sticky = match &raw.sticky {
        None => None,
        Some(raw) => Some(sticky::compile(raw, site, diagnostics)?),
    };
    let preface = preface(raw, diagnostics);
    let health = match &raw.health {
        None => Probes::Off,
        Some(raw) => match health::compile(raw, diagnostics) {
            Some(spec) => Probes::On(Arc::new(HealthSpec { preface, ..spec })),
            None => Probes::Wrong,
        },
    };
    let spec = match &health {
        Probes::On(spec) => Some(&**spec),
        Probes::Off | Probes::Wrong => None,
    };
    let protocol = protocol::compile(raw, &limits, diagnostics);
    let tls = match &raw.tls {
        None => None,
        Some(raw) => {
            let tls = ClientTls::compile(raw, diagnostics)?;
            protocol::offered(raw, protocol?, diagnostics)?;
            Some(Arc::new(tls))
        }
    };
    let members = endpoints::compile(name, &raw.endpoints, tls.as_ref(), live, diagnostics);
    let socket = socket(raw, diagnostics);
    let source = socket.source.clone();
    let members = members.and_then(|it| Some(Members::new(it, protocol?, preface, socket)));
    let made = members
        .as_ref()
        .map(|members| members.assemble(name, spec, live));
    if let (Some(spec), Some(made)) = (spec, &made) {
        reachable(spec, &made.set, raw, diagnostics);
    }
    if let (Some(source), Some(made)) = (source, &made) {
        reachable_from(&source, &made.set, raw, diagnostics);
    }
    let health = match health {
        Probes::On(spec) => Some(spec),
        Probes::Off => None,
        Probes::Wrong => return None,
    };
    let policy = Policy {
        panic_threshold: raw.panic_threshold.map_or(0, |percent| percent.value.0),
        slow_start: raw
            .slow_start
            .map_or(Duration::ZERO, |time| time.value.get()),
    };
    let (choice, made) = (choice?, made?);
    Some(Cluster {
        name: name.clone(),
        members: Arc::new(members?),
        balancer: Balancer::new(choice.algorithm, &made.set, site.seed)
            .under(policy)
            .at_home(site.zone.clone(), &made.set),
        key: choice.key,
        sticky: sticky.map(|sticky| sticky.over(name, &made.set)),
        set: made.set,
        knowledge: made.knowledge,
        timeouts: timeouts?,
        limits,
        bulkhead: bulkhead?,
        gate: live.gate(name),
        retry: retry?,
        outlier: ejection?,
        crowd: live.crowd(name),
        breaker: breaker?.map(|policy| ClusterBreaker {
            policy,
            state: live.breaker(name),
        }),
        on_endpoint_down: match raw.on_endpoint_down.as_ref().map(|it| it.value) {
            None | Some(raw::cluster::OnEndpointDown::Keep) => OnEndpointDown::Keep,
            Some(raw::cluster::OnEndpointDown::Close) => OnEndpointDown::Close,
        },
        tls,
        health,
    })
}

/// The header that endpoints get first. A connection that others use, too, cannot speak for one client.
fn preface(raw: &raw::Cluster, diagnostics: &mut Diagnostics) -> Option<Version> {
    let wanted = raw.send_proxy_protocol.as_ref()?;
    let version = match wanted.value {
        SendProxyProtocol::Off => return None,
        SendProxyProtocol::V1 => Version::V1,
        SendProxyProtocol::V2 => Version::V2,
    };
    alone(raw, "send_proxy_protocol", wanted.span, diagnostics);
    Some(version)
}

/// A key that makes a connection one client's does not stand beside what shares it.
fn alone(raw: &raw::Cluster, key: &str, at: Span, diagnostics: &mut Diagnostics) {
    let protocol = raw.protocol.as_ref();
    if let Some(shared) = protocol.filter(|it| !matches!(it.value.0, UpstreamProtocol::Http1)) {
        let message = format!("`{key}` stands beside HTTP/2");
        diagnostics.push(
            Diagnostic::error(Code::Conflict, at, message)
                .label("tells of one client")
                .also(shared.span, "shares a connection between clients")
                .hint("`forwarding_headers` of a listener tell of the client in each request"),
        );
    }
}

/// A port of its own leads nowhere from a unix socket, and neither do datagrams.
fn reachable(
    spec: &HealthSpec,
    set: &EndpointSet,
    raw: &raw::Cluster,
    diagnostics: &mut Diagnostics,
) {
    let probed = |endpoint: &Arc<Endpoint>| spec.elsewhere.of(&endpoint.key.addr);
    let file = |endpoint: &&Arc<Endpoint>| matches!(probed(endpoint), Some(EndpointAddr::Unix(_)));
    if let (Check::Udp(_), Some(endpoint)) = (&spec.check, set.iter().find(file)) {
        let span = raw.health.as_ref().map(|raw| raw.span).unwrap_or_default();
        let text = format!(
            "`{}` is a unix socket: it takes no datagrams",
            endpoint.text
        );
        diagnostics.push(
            Diagnostic::error(Code::Conflict, span, text)
                .hint("probe it by `tcp`, or write both `address` and `port`"),
        );
    }
    let stray = |endpoint: &&Arc<Endpoint>| probed(endpoint).is_none();
    let keys = raw.health.as_ref();
    let keys = keys.map(|raw| (raw.port.map(|port| port.span), raw.address.as_ref()));
    if let (Some(endpoint), Some((port, address))) = (set.iter().find(stray), keys) {
        let span = port.or_else(|| address.map(|address| address.span));
        let text = format!("`{}` is a unix socket: it has no other port", endpoint.text);
        diagnostics.push(
            Diagnostic::error(Code::Conflict, span.unwrap_or_default(), text)
                .hint("write both `address` and `port`, or neither"),
        );
    }
}

fn socket(raw: &raw::Cluster, diagnostics: &mut Diagnostics) -> SocketSpec {
    let Some(socket) = raw.socket.as_ref() else {
        return SocketSpec::default();
    };
    let source = Source::compile(socket, diagnostics);
    if let (Some(true), Some(written)) = (
        source.as_ref().map(Source::is_clients),
        socket.source.as_ref(),
    ) {
        alone(raw, "source = \"client\"", written.span, diagnostics);
    }
    SocketSpec {
        liveness: Liveness::compile(socket.keepalive, socket.user_timeout, diagnostics),
        source,
    }
}

/// IPv4 does not lead to IPv6.
fn reachable_from(
    source: &Source,
    set: &EndpointSet,
    raw: &raw::Cluster,
    diagnostics: &mut Diagnostics,
) {
    let stray = |endpoint: &Arc<Endpoint>| match endpoint.key.addr {
        EndpointAddr::Inet(addr) => (!source.reaches(addr)).then_some("all of the other family"),
        // Addresses of ours say nothing there, as do other options of sockets; the client's would not be told.
        EndpointAddr::Unix(_) => source
            .is_clients()
            .then_some("a unix socket has no addresses"),
    };
    let mut strays = set.iter().filter_map(|it| Some((it, stray(it)?)));
    let written = raw
        .socket
        .as_ref()
        .and_then(|socket| socket.source.as_ref());
    if let (Some((endpoint, why)), Some(written)) = (strays.next(), written) {
        let message = format!("`source` has no address to reach `{}` from", endpoint.text);
        diagnostics.push(Diagnostic::error(Code::Conflict, written.span, message).label(why));
    }
}

enum Probes {
    Off,
    On(Arc<HealthSpec>),
    Wrong,
}

fn timeouts(
    raw: &raw::ClusterTimeouts,
    defaults: &raw::ClusterTimeouts,
    diagnostics: &mut Diagnostics,
) -> Option<ClusterTimeouts> {
    let connect = raw.connect.or(defaults.connect);
    let response = raw.response.or(defaults.response);
    let response_idle = raw.response_idle.or(defaults.response_idle);
    let tunnel = raw.tunnel.or(defaults.tunnel);
    let connect = positive(connect, CONNECT, "connect", diagnostics);
    let response = positive(response, RESPONSE, "response", diagnostics);
    let response_idle = positive(response_idle, RESPONSE_IDLE, "response_idle", diagnostics);
    let tunnel = positive(tunnel, TUNNEL, "tunnel", diagnostics);
    Some(ClusterTimeouts {
        connect: connect?,
        response: response?,
        response_idle: response_idle?,
        tunnel: tunnel?,
    })
}

pub(super) fn positive(
    raw: Option<Spanned<types::Duration>>,
    default: Duration,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Duration> {
    let Some(raw) = raw else {
        return Some(default);
    };
    if raw.is_zero() {
        // One in `[defaults.cluster]` is met by every cluster.
        let known = |item: &Diagnostic| item.code() == Code::BadValue && item.span() == raw.span;
        if diagnostics.iter().any(known) {
            return None;
        }
        let hint = match key {
            "idle_timeout" => "write idle_per_endpoint = 0 to keep no idle connections",
            "ping_timeout" => "write ping_interval = \"0s\" to ask nobody",
            "queue.timeout" => "write queue = { size = 0 } to let nobody wait",
            _ => {
                "an endpoint that never answers must not hold an exchange for ever: the longest is 8760h"
            }
        };
        diagnostics.push(
            Diagnostic::error(
                Code::BadValue,
                raw.span,
                format!("`{key}` must be longer than 0s"),
            )
            .hint(hint),
        );
        return None;
    }
    Some(raw.get())
}
