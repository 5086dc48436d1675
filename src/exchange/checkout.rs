//! Checkout: a connection to an endpoint, from the pool or made anew, within the connect timeout.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::place::Place;
use super::retry::Reused;
use super::{Exchange, Held};
use crate::base::{Error, Phase, Reason, clock};
use crate::endpoint::Endpoint;
use crate::net::Stream;
use crate::record::Record;
use crate::upstream::{self, Look};
use crate::worker::ClusterView;

/// A connection to an endpoint, for one attempt.
pub(super) struct Checked {
    pub(super) stream: Stream,
    pub(super) reused: Reused,
    pub(super) held: Held,
}

/// Where the connection of an attempt may come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// From the pool, if one is there that looks quiet.
    Pool(Look),
    /// Made anew: the request cannot share a connection, or a pooled one was just found dead.
    Fresh,
}

/// A connection to the endpoint: pooled if there is one, else a new one within the connect timeout and what is `left`
/// of the exchange's time.
pub(super) async fn checkout(
    x: &mut Exchange,
    cluster: &ClusterView,
    place: Place,
    endpoint: &Arc<Endpoint>,
    source: Source,
    left: Option<Duration>,
    began: Instant,
) -> Result<Checked, Error> {
    x.record.phase(Phase::Connect);
    let Place { ix, slot, .. } = place;
    let held = Held::begin(slot, endpoint);
    if let Some(stream) = x.own.take() {
        cluster.cells.reused.inc();
        x.record.connected(Duration::ZERO);
        return Ok(Checked {
            stream,
            reused: Reused::Pooled,
            held,
        });
    }
    if let Source::Pool(look) = source
        && let Some(set) = cluster.idle.get(ix.0 as usize)
        && let Some(stream) = set.take(look)
    {
        cluster.cells.reused.inc();
        x.record.connected(Duration::ZERO);
        return Ok(Checked {
            stream,
            reused: Reused::Pooled,
            held,
        });
    }
    let stream = fresh(&mut x.record, cluster, endpoint, left, began).await?;
    Ok(Checked {
        stream,
        reused: Reused::Fresh,
        held,
    })
}

/// A new connection to the endpoint.
pub(super) async fn fresh(
    record: &mut Record,
    cluster: &ClusterView,
    endpoint: &Endpoint,
    left: Option<Duration>,
    began: Instant,
) -> Result<Stream, Error> {
    // The exchange's own end may be nearer than the connect timeout.
    let connect = cluster.cluster.timeouts.connect;
    let (limit, reason) = match left {
        Some(left) if left < connect => (left, Reason::MaxDuration),
        _ => (connect, Reason::ConnectTimeout),
    };
    let connected = tokio::time::timeout(limit, upstream::connect(&endpoint.spec))
        .await
        .unwrap_or_else(|_| Err(Error::from(reason)));
    let took = clock::between(began, clock::now());
    record.connected(took);
    match &connected {
        Ok(_) => cluster.cells.connected(took),
        Err(error) => cluster.cells.connect_failed(error.reason()),
    }
    connected
}
