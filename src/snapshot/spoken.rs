//! Whether clusters understand what comes to them: what filters of routes make of requests, and datagrams.

use crate::base::EndpointAddr;
use crate::cluster::Cluster;
use crate::config::raw::filter::Filter;
use crate::config::{Code, Diagnostic, Diagnostics, Span, raw};
use crate::endpoint::Endpoint;
use crate::listener::{ListenerSpec, Serves};
use crate::net::preface::Version;
use crate::route::{Action, ClusterIx, RouteTable};
use crate::upstream::Protocol;
use std::sync::Arc;

/// Refuses routes that make calls of gRPC for clusters that cannot take any: gRPC is spoken over HTTP/2 alone.
pub(super) fn check(
    raw: &raw::Config,
    routes: &RouteTable,
    clusters: &[Arc<Cluster>],
    diagnostics: &mut Diagnostics,
) {
    for (raw, route) in raw.routes.iter().zip(routes.routes()) {
        if !route.filters.speaks_grpc() {
            continue;
        }
        let mut filters = raw.filters.iter();
        let Some(filter) = filters.find(|filter| matches!(*filter.value, Filter::GrpcWeb(_)))
        else {
            continue;
        };
        let mut deaf = targets(&route.action)
            .into_iter()
            .filter_map(|ix| clusters.get(ix.index()))
            .filter(|cluster| !matches!(cluster.members.protocol, Protocol::Http2(_)));
        if let Some(cluster) = deaf.next() {
            let text = format!("cluster `{}` does not speak HTTP/2 alone", cluster.name);
            diagnostics.push(
                Diagnostic::error(Code::Conflict, filter.span, text)
                    .label("makes calls of gRPC, which HTTP/1 cannot carry")
                    .hint("write protocol = \"http2\" in the cluster"),
            );
        }
    }
}

/// Refuses udp listeners for clusters that datagrams cannot be sent to: nothing is sent without what was asked for.
pub(super) fn datagrams(
    raw: &raw::Config,
    listeners: &[ListenerSpec],
    clusters: &[Arc<Cluster>],
    diagnostics: &mut Diagnostics,
) {
    for (raw_listener, spec) in raw.listeners.iter().zip(listeners) {
        let Serves::Udp(_) = spec.serves else {
            continue;
        };
        let named = raw_listener.cluster.as_ref().map(|it| it.span);
        let split = raw_listener.split.as_ref().map(|it| it.span);
        let span = named.or(split).unwrap_or(raw_listener.name.span);
        let targets = spec.serves.clusters().into_iter();
        for cluster in targets.filter_map(|ix| clusters.get(ix.index())) {
            let Some((_, written)) = raw
                .clusters
                .iter()
                .find(|(it, _)| it.value == cluster.name.as_str())
            else {
                continue;
            };
            for (stream, what) in streams(cluster, written) {
                let text = format!("cluster `{}` takes no datagrams", cluster.name);
                diagnostics.push(
                    Diagnostic::error(Code::Conflict, span, text)
                        .label("sends datagrams there")
                        .also(stream, what),
                );
            }
        }
    }
}

/// What of a cluster is for byte streams alone, and where it says so.
fn streams(cluster: &Cluster, written: &raw::Cluster) -> Vec<(Span, &'static str)> {
    let mut found = Vec::new();
    // What is written, not what its endpoints say: names that are not resolved yet have none.
    if let Some(tls) = &written.tls {
        found.push((tls.span, "TLS is spoken over byte streams"));
    }
    if let (Some(Version::V1), Some(at)) = (cluster.members.preface, &written.send_proxy_protocol) {
        found.push((at.span, "only `v2` has a word for datagrams"));
    }
    let file = |endpoint: &Arc<Endpoint>| matches!(endpoint.key.addr, EndpointAddr::Unix(_));
    if cluster.set.iter().any(file) {
        found.push((written.endpoints.span, "a unix socket carries byte streams"));
    }
    found
}

fn targets(action: &Action) -> Vec<ClusterIx> {
    match action {
        Action::Cluster(ix) => vec![*ix],
        Action::Split(split) => split.clusters().collect(),
        Action::Redirect(_) | Action::Respond(_) => Vec::new(),
    }
}
