//! Checkout: a connection to an endpoint, from the pool or made anew, within the connect timeout.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::retry::Reused;
use super::{Exchange, Held};
use crate::base::{Detail, Error, Phase, Reason, clock};
use crate::endpoint::{ConnectionSlot, Endpoint, EndpointIx, InFlight};
use crate::net::Stream;
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
    /// From the pool, if one is there.
    Pool,
    /// Made anew: the request cannot share a connection, or a pooled one was just found dead.
    Fresh,
}

/// A connection to the endpoint: pooled if there is one, else a new one within the connect timeout.
pub(super) async fn checkout(
    x: &mut Exchange,
    cluster: &ClusterView,
    ix: EndpointIx,
    endpoint: &Arc<Endpoint>,
    source: Source,
    began: Instant,
) -> Result<Checked, Error> {
    x.record.phase(Phase::Connect);
    let Some(slot) = ConnectionSlot::take(
        &endpoint.state,
        cluster.cluster.bulkhead.connections_per_endpoint,
    ) else {
        // Another worker took the last place since the pick.
        return Err(Error::new(Reason::QueueFull, Detail::Endpoint));
    };
    let held = Held {
        _in_flight: InFlight::begin(&endpoint.state),
        _slot: slot,
    };
    if source == Source::Pool {
        let repeatable = cluster
            .cluster
            .retry
            .methods
            .contains(x.record.head().method());
        let look = if repeatable {
            Look::Runtime
        } else {
            Look::Kernel
        };
        if let Some(stream) = cluster
            .idle
            .get(ix.0 as usize)
            .and_then(|set| set.take(look))
        {
            cluster.cells.reused.inc();
            x.record.connected(Duration::ZERO);
            return Ok(Checked {
                stream,
                reused: Reused::Pooled,
                held,
            });
        }
    }
    let limit = cluster.cluster.timeouts.connect;
    let connecting = upstream::connect(&endpoint.spec);
    let connected = if limit.is_zero() {
        connecting.await
    } else {
        tokio::time::timeout(limit, connecting)
            .await
            .unwrap_or_else(|_| Err(Error::from(Reason::ConnectTimeout)))
    };
    let took = clock::between(began, clock::now());
    x.record.connected(took);
    match connected {
        Ok(stream) => {
            cluster.cells.connected(took);
            Ok(Checked {
                stream,
                reused: Reused::Fresh,
                held,
            })
        }
        Err(error) => {
            cluster.cells.connect_failed(error.reason());
            Err(error)
        }
    }
}
