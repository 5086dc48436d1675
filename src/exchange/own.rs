//! Connections to endpoints that carry a client's authentication, or began with its address: they serve that client and nobody
//! else (E-219, E-220).

use super::Exchange;
use super::checkout::Source;
use super::place::{self, Place, Wish};
use super::side::Downstream;
use crate::endpoint::{Availability, EndpointIx};
use crate::message::auth::binds_connection;
use crate::message::{Field, Known, ResponseHead};
use crate::worker::ClusterView;

/// Who may use a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Whose {
    /// Any client: it comes from the pool and may go back.
    Anybody,
    /// This client alone.
    Client,
}

/// Who may use the connection of the attempt that begins.
pub(super) fn whose(x: &Exchange) -> Whose {
    match x.own {
        Some(_) => Whose::Client,
        None => Whose::Anybody,
    }
}

/// Whether an answer offers an authentication that belongs to the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Challenge {
    /// No.
    None,
    /// It does: the next request on this connection may be the client's proof.
    OfConnection,
}

/// What the head of a 401 offers.
pub(super) fn challenge(head: &ResponseHead<'_>) -> Challenge {
    let offers = |field: &&Field| {
        head.name(field).eq_ignore_ascii_case(b"www-authenticate")
            && binds_connection(head.value(field))
    };
    match head.fields.iter().find(offers) {
        Some(_) => Challenge::OfConnection,
        None => Challenge::None,
    }
}

/// A place at the endpoint that this client's own connection leads to, with the connection taken out for the first attempt. A
/// request that needs a new connection leaves it where it is.
pub(super) fn take_out<D: Downstream>(
    x: &mut Exchange,
    down: &D,
    cluster: &ClusterView,
    source: Source,
    wish: Wish,
) -> Option<Place> {
    let position = down.private().position(&cluster.idle)?;
    let ix = EndpointIx(u32::try_from(position).ok()?);
    let endpoint = cluster.cluster.set.endpoint(ix)?;
    let cap = cluster.cluster.bulkhead.connections_per_endpoint;
    if source == Source::Fresh || endpoint.availability(cap) != Availability::Available {
        return None;
    }
    let place = place::at(cluster, ix, wish.bond(ix))?;
    x.own = down.private().take();
    x.own.is_some().then_some(place)
}

/// Who may use a connection to this cluster that has just begun: one that tells of its client, by its source or its first bytes,
/// serves that client.
pub(super) fn begun(cluster: &ClusterView) -> Whose {
    if cluster.cluster.members.tells_client() {
        Whose::Client
    } else {
        Whose::Anybody
    }
}

/// Whether a connection carries this client's authentication from now on, or may after its next request; or speaks for it since
/// it began.
pub(super) fn bound(x: &Exchange, began: Whose, whose: Whose, challenge: Challenge) -> Whose {
    let proof = || x.record.head().first(Known::Authorization);
    if whose == Whose::Client
        || began == Whose::Client
        || challenge == Challenge::OfConnection
        || proof().is_some_and(binds_connection)
    {
        Whose::Client
    } else {
        Whose::Anybody
    }
}
