//! `[clusters.NAME]` → [`Cluster`].

use std::sync::Arc;
use std::time::Duration;

use super::{Cluster, ClusterTimeouts, Live, Site, balancer, bulkhead, endpoints, retry};
use crate::balance::Balancer;
use crate::base::ClusterName;
use crate::config::raw::cluster::{SendProxyProtocol, UpstreamProtocol};
use crate::config::raw::defaults::ClusterDefaults;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned, raw, types};
use crate::health;

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
    let refused = unsupported(raw, diagnostics);
    let choice = balancer::compile(raw, site, diagnostics);
    let timeouts = timeouts(&raw.timeouts, &defaults.timeouts, diagnostics);
    let bulkhead = bulkhead::compile(&raw.bulkhead, diagnostics);
    let retry = retry::compile(&raw.retry, diagnostics);
    let health = match &raw.health {
        None => Probes::Off,
        Some(raw) => match health::compile(raw, diagnostics) {
            Some(spec) => Probes::On(Arc::new(spec)),
            None => Probes::Wrong,
        },
    };
    let spec = match &health {
        Probes::On(spec) => Some(&**spec),
        Probes::Off | Probes::Wrong => None,
    };
    let members = endpoints::compile(name, &raw.endpoints, live, diagnostics);
    let made = members
        .as_ref()
        .map(|members| members.assemble(name, spec, live));
    let health = match health {
        Probes::On(spec) => Some(spec),
        Probes::Off => None,
        Probes::Wrong => return None,
    };
    if refused == Support::Lacking {
        return None;
    }
    let (choice, made) = (choice?, made?);
    Some(Cluster {
        name: name.clone(),
        members: Arc::new(members?),
        balancer: Balancer::new(choice.algorithm, &made.set, site.seed),
        set: made.set,
        knowledge: made.knowledge,
        key: choice.key,
        timeouts: timeouts?,
        bulkhead: bulkhead?,
        gate: live.gate(name),
        retry: retry?,
        health,
    })
}

enum Probes {
    Off,
    On(Arc<health::HealthSpec>),
    Wrong,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Support {
    Whole,
    Lacking,
}

/// Refuses at its place what this build cannot honour.
fn unsupported(raw: &raw::Cluster, diagnostics: &mut Diagnostics) -> Support {
    let protocol = raw.protocol.as_ref();
    let preface = raw.send_proxy_protocol.as_ref();
    let lacking = [
        protocol
            .filter(|protocol| protocol.value != UpstreamProtocol::Http1)
            .map(|protocol| (protocol.span, "HTTP/2 to endpoints")),
        raw.slow_start
            .filter(|time| !time.is_zero())
            .map(|time| (time.span, "slow start")),
        raw.panic_threshold
            .filter(|percent| percent.0 > 0)
            .map(|percent| (percent.span, "a panic threshold")),
        raw.outlier
            .as_ref()
            .map(|outlier| (outlier.span, "outlier detection")),
        raw.sticky
            .as_ref()
            .map(|sticky| (sticky.span, "sticky sessions")),
        raw.tls.as_ref().map(|tls| (tls.span, "TLS to endpoints")),
        preface
            .filter(|preface| preface.value != SendProxyProtocol::Off)
            .map(|preface| (preface.span, "the PROXY protocol to endpoints")),
    ];
    let mut support = Support::Whole;
    for (span, what) in lacking.into_iter().flatten() {
        diagnostics.unsupported(span, what);
        support = Support::Lacking;
    }
    support
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
