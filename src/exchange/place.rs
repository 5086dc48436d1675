//! A place at a cluster: among its exchanges in flight, and at an endpoint one of the connections that it may have. Where
//! there is none, the exchange waits in the cluster's queue.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::retry::{Decision, When};
use super::side::Downstream;
use super::{Exchange, key_input};
use crate::balance::{Pick, PickInput};
use crate::base::clock::{self, Instant};
use crate::base::{Detail, Error, Phase, Reason};
use crate::cluster::Sticky;
use crate::drain::{self, Drain};
use crate::endpoint::{Availability, ConnectionSlot, EndpointIx, Permit, Tried, Turn, Want};
use crate::metrics::Gauge;
use crate::net::Timer;
use crate::net::deadline::Tick;
use crate::record::Record;
use crate::route::Route;
use crate::worker::ClusterView;

/// Counts one more while it lives.
pub(super) struct Counted<'x>(&'x Gauge);

impl<'x> Counted<'x> {
    pub(super) fn one(gauge: &'x Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Missing {
    /// Why an exchange ends that finds nobody. Where no name was ever resolved there is nobody to be unavailable.
    pub(super) fn nobody(cluster: &ClusterView) -> Reason {
        if cluster.cluster.set.is_empty() {
            Reason::DnsFailed
        } else {
            Reason::NoEndpoint
        }
    }
}

/// A connection that an endpoint may have.
pub(super) struct Place {
    pub(super) ix: EndpointIx,
    pub(super) slot: ConnectionSlot,
    pub(super) bond: Bond,
}

/// What the client has to do with its endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bond {
    /// It is bound to it.
    Old,
    /// Its own is full: it is here for this once.
    Guest,
    /// It was bound to none, or to one that serves it no more.
    New,
}

/// Where an exchange wants to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// Of its key, where it is picked by one.
    hash: Option<u64>,
    by: By,
    /// The endpoint that the client is bound to; goes before any pick.
    bound: Option<EndpointIx>,
}

/// Whose key an exchange is picked by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum By {
    /// The balancer's, if it has one.
    Balancer,
    /// That of the field by which the application keeps clients together.
    Affinity,
}

impl Wish {
    /// That of a session: by the balancer's key alone.
    pub(super) const fn by_key(hash: Option<u64>) -> Self {
        Self {
            hash,
            by: By::Balancer,
            bound: None,
        }
    }

    /// What the request says of it.
    pub(super) fn of(x: &Exchange, route: &Route, cluster: &ClusterView) -> Self {
        let cluster = &*cluster.cluster;
        let mut bound = None;
        match &cluster.sticky {
            None => {}
            Some(Sticky::Cookie(passes)) => bound = passes.bound(&key_input(x, route)),
            Some(Sticky::Header(affinity)) => {
                if let Some(hash) = affinity.hash(&key_input(x, route)) {
                    return Self {
                        hash: Some(hash),
                        by: By::Affinity,
                        bound,
                    };
                }
            }
        }
        let key = cluster.key.as_ref();
        Self {
            hash: key.and_then(|key| key.hash(&key_input(x, route))),
            by: By::Balancer,
            bound,
        }
    }

    /// What a client with this wish has to do with the endpoint.
    pub(super) fn bond(&self, ix: EndpointIx) -> Bond {
        if self.bound == Some(ix) {
            Bond::Old
        } else {
            Bond::New
        }
    }
}

/// The Set-Cookie field by which the client comes back to the endpoint that serves it, where it needs one.
pub(super) fn cookie<'c>(cluster: &'c ClusterView, place: &Place) -> Option<&'c [u8]> {
    match &cluster.cluster.sticky {
        Some(Sticky::Cookie(passes)) if place.bond == Bond::New => passes.field(place.ix),
        _ => None,
    }
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Missing {
    /// All are taken.
    Full,
    /// No endpoint is available.
    Nobody,
}

/// An endpoint was picked and full when its slot was to be taken, so often: others are quicker, and who waits is not
/// overtaken.
const LOST_RACES: usize = 8;

/// Picks an endpoint and takes one of its connections: the one that the client is bound to, else one by the field of the
/// application, else one by the balancer.
pub(super) fn look(
    cluster: &ClusterView,
    tried: &Tried,
    wish: Wish,
    now: Instant,
) -> Result<Place, Missing> {
    let policy = &cluster.cluster;
    let cap = policy.bulkhead.connections_per_endpoint;
    let mut bond = Bond::New;
    if let Some(ix) = wish.bound.filter(|&ix| !tried.contains(ix))
        && let Some(endpoint) = policy.set.endpoint(ix)
        && let Availability::Available | Availability::Full = endpoint.availability_to_bound(cap)
    {
        match at(cluster, ix, Bond::Old) {
            Some(place) => return Ok(place),
            None => bond = Bond::Guest,
        }
    }
    let (balancer, cursor) = match (&policy.sticky, wish.by) {
        (Some(Sticky::Header(affinity)), By::Affinity) => (affinity.balancer(), &cluster.affinity),
        _ => (&policy.balancer, &*cluster.cursor),
    };
    let input = PickInput {
        tried,
        cap,
        hash: wish.hash,
        now,
    };
    for _ in 0..LOST_RACES {
        match balancer.pick(&policy.set, &mut cursor.borrow_mut(), &input) {
            Pick::Endpoint(ix) => {
                let bond = match wish.bond(ix) {
                    Bond::Old => Bond::Old,
                    _ => bond,
                };
                if let Some(place) = at(cluster, ix, bond) {
                    return Ok(place);
                }
            }
            Pick::Full => return Err(Missing::Full),
            Pick::None => return Err(Missing::Nobody),
        }
    }
    Err(Missing::Full)
}

/// One of this endpoint's connections, if one is free.
pub(super) fn at(cluster: &ClusterView, ix: EndpointIx, bond: Bond) -> Option<Place> {
    let endpoint = cluster.cluster.set.endpoint(ix)?;
    let cap = cluster.cluster.bulkhead.connections_per_endpoint;
    let slot = ConnectionSlot::take(&endpoint.state, cap)?;
    Some(Place { ix, slot, bond })
}

/// A place for another try, if one is free: a retry neither waits nor overtakes those that do.
pub(super) fn another(cluster: &ClusterView, tried: &Tried, wish: Wish) -> Result<Place, Detail> {
    if cluster.cluster.gate.is_waited_for(Want::Connection) {
        return Err(Detail::NoOther);
    }
    look(cluster, tried, wish, clock::now()).map_err(|_| Detail::NoOther)
}

/// A place for a try that follows at once: at an endpoint that was not asked yet.
pub(super) fn at_once(
    decision: Decision,
    cluster: &ClusterView,
    tried: &Tried,
    wish: Wish,
) -> Option<Place> {
    if decision != Decision::OtherEndpoint(When::AtOnce) {
        return None;
    }
    let place = another(cluster, tried, wish).ok()?;
    (!tried.contains(place.ix)).then_some(place)
}

/// An exchange or a session that asks for a place.
pub(super) struct Asking<'a, H> {
    pub(super) record: &'a mut Record,
    pub(super) drain: &'a Drain,
    /// When it began.
    pub(super) started: Instant,
    /// Ready when nobody is there any more to wait.
    pub(super) hung_up: H,
    pub(super) timer: &'a Timer,
    pub(super) cluster: &'a ClusterView,
    /// The end of the whole exchange.
    pub(super) total: Tick,
    /// Where it wants to go.
    pub(super) wish: Wish,
    /// How long it has waited already.
    pub(super) waited: Duration,
}

/// The exchange, as one that asks for a place.
pub(super) fn asking<'a, D: Downstream>(
    x: &'a mut Exchange,
    down: &'a mut D,
    timer: &'a Timer,
    cluster: &'a ClusterView,
    total: Tick,
    wish: Wish,
) -> Asking<'a, impl FnMut(&mut Context<'_>) -> Poll<Error> + 'a> {
    Asking {
        record: &mut x.record,
        drain: &x.local.drain,
        started: x.started,
        hung_up: |cx: &mut Context<'_>| down.poll_hung_up(cx),
        timer,
        cluster,
        total,
        wish,
        waited: Duration::ZERO,
    }
}

impl<H: FnMut(&mut Context<'_>) -> Poll<Error>> Asking<'_, H> {
    /// A place among the cluster's exchanges in flight, where they are limited.
    pub(super) async fn permit(&mut self) -> Result<Option<Permit>, Error> {
        let cap = self.cluster.cluster.bulkhead.requests;
        if cap == 0 {
            return Ok(None);
        }
        let gate = &self.cluster.cluster.gate;
        let admit = || gate.admit(cap).ok_or(Missing::Full);
        if !gate.is_waited_for(Want::Request)
            && let Ok(permit) = admit()
        {
            return Ok(Some(permit));
        }
        Box::pin(self.wait(Want::Request, admit)).await.map(Some)
    }

    /// A place at an endpoint. Who comes while others wait joins them.
    pub(super) async fn place(&mut self, tried: &Tried) -> Result<Place, Error> {
        let cluster = self.cluster;
        if !cluster.cluster.gate.is_waited_for(Want::Connection) {
            match look(cluster, tried, self.wish, self.started) {
                Ok(place) => return Ok(place),
                Err(Missing::Nobody) => {
                    return Err(self.rejected(Missing::nobody(cluster), Detail::None));
                }
                Err(Missing::Full) => {}
            }
        }
        // Boxed: those that need not wait do not carry its size.
        let wish = self.wish;
        let look = || look(cluster, tried, wish, clock::now());
        Box::pin(self.wait(Want::Connection, look)).await
    }

    async fn wait<T>(
        &mut self,
        want: Want,
        mut look: impl FnMut() -> Result<T, Missing>,
    ) -> Result<T, Error> {
        let cluster = self.cluster;
        let terms = cluster.cluster.bulkhead.queue;
        let cap = match want {
            Want::Request => Detail::Requests,
            Want::Connection => Detail::Endpoint,
        };
        let began = clock::now();
        let Some(mut seat) = self.cluster.cluster.gate.join(want, terms, began) else {
            return Err(self.rejected(Reason::QueueFull, cap));
        };
        self.record.phase(Phase::Queue);
        let queued = Counted::one(&self.cluster.cells.queued);
        let left = self.timer.deadlines().until(self.total);
        let (limit, late) = match terms.timeout.saturating_sub(self.waited) {
            limit if left.is_none_or(|left| limit <= left) => (limit, Reason::QueueTimeout),
            _ => (left.unwrap_or_default(), Reason::MaxDuration),
        };
        let mut sleep = pin!(tokio::time::sleep(limit));
        let found = poll_fn(|cx| {
            while let Poll::Ready(turn) = seat.poll(cx) {
                let end = match turn {
                    Turn::Look => look(),
                    Turn::GiveUp => {
                        let error = Error::new(Reason::QueueTimeout, Detail::Overload);
                        return Poll::Ready(Err(error));
                    }
                };
                match end {
                    Ok(found) => return Poll::Ready(Ok(found)),
                    Err(Missing::Full) => {}
                    Err(Missing::Nobody) => {
                        return Poll::Ready(Err(Error::from(Missing::nobody(cluster))));
                    }
                }
            }
            if let Poll::Ready(gone) = (self.hung_up)(cx) {
                return Poll::Ready(Err(gone));
            }
            if self.drain.phase() == drain::Phase::Forced {
                return Poll::Ready(Err(Error::from(Reason::Shutdown)));
            }
            let late = match late {
                Reason::MaxDuration => Error::from(late),
                late => Error::new(late, cap),
            };
            sleep.as_mut().poll(cx).map(|()| Err(late))
        })
        .await;
        drop(queued);
        let now = clock::now();
        let waited = clock::between(began, now);
        self.waited += waited;
        self.record.queued(waited);
        self.cluster.cells.waited(waited);
        match found {
            Ok(found) => {
                seat.took();
                Ok(found)
            }
            Err(error) => {
                match error.reason() {
                    Reason::QueueTimeout => {
                        seat.refused(now);
                        self.cluster.cells.rejected(Reason::QueueTimeout);
                    }
                    Reason::NoEndpoint | Reason::DnsFailed => {
                        self.cluster.cells.rejected(error.reason());
                    }
                    _ => {}
                }
                Err(error)
            }
        }
    }

    fn rejected(&self, reason: Reason, detail: Detail) -> Error {
        self.cluster.cells.rejected(reason);
        Error::new(reason, detail)
    }
}
