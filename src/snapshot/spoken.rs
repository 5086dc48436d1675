//! Whether clusters understand what filters of routes make of requests.

use crate::cluster::Cluster;
use crate::config::raw::filter::Filter;
use crate::config::{Code, Diagnostic, Diagnostics, raw};
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
            .filter(|cluster| cluster.members.protocol == Protocol::Http1);
        if let Some(cluster) = deaf.next() {
            let text = format!("cluster `{}` does not speak HTTP/2", cluster.name);
            diagnostics.push(
                Diagnostic::error(Code::Conflict, filter.span, text)
                    .label("makes calls of gRPC, which are spoken over HTTP/2 alone")
                    .hint("write protocol = \"http2\" in the cluster"),
            );
        }
    }
}

fn targets(action: &Action) -> Vec<ClusterIx> {
    match action {
        Action::Cluster(ix) => vec![*ix],
        Action::Split(split) => split.clusters().collect(),
        Action::Redirect(_) | Action::Respond(_) => Vec::new(),
    }
}
