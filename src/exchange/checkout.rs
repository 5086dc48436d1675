//! Checkout: a connection to an endpoint, from the pool or made anew, within the connect timeout.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::place::Place;
use super::retry::Reused;
use super::side::Downstream;
use super::{Exchange, Held};
use crate::base::clock::{self, Instant};
use crate::base::{Detail, Error, Phase, Reason};
use crate::endpoint::{Endpoint, EndpointIx};
use crate::http1::body::More;
use crate::message::Upgrade;
use crate::net::Stream;
use crate::net::preface::{self, Carrier};
use crate::record::Record;
use crate::upstream::pool::Rested;
use crate::upstream::shared::{Company, Means, Seat, Which};
use crate::upstream::spec::Http2;
use crate::upstream::{self, Agreed, ConnectSpec, Look, Protocol, Spoken};
use crate::worker::ClusterView;

/// What an attempt speaks over.
pub(super) enum Link {
    /// A connection of its own.
    Http1(Stream),
    /// A place at one that others use, too.
    Http2(Seat),
}

/// A connection to an endpoint, for one attempt.
pub(super) struct Checked {
    pub(super) link: Link,
    pub(super) reused: Reused,
    pub(super) held: Held,
}

/// How long an attempt waits for its connection, whatever has to be done for one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Of the connect timeout.
    connect: Duration,
    /// Of the exchange's time.
    left: Option<Duration>,
    since: Instant,
}

impl Patience {
    /// All of the connect timeout, and so much of the exchange's time.
    pub(super) fn new(cluster: &ClusterView, left: Option<Duration>, since: Instant) -> Self {
        Self {
            connect: cluster.cluster.timeouts.connect,
            left,
            since,
        }
    }

    /// What of it is left by now.
    fn rest(self, now: Instant) -> Self {
        let spent = clock::between(self.since, now);
        Self {
            connect: self.connect.saturating_sub(spent),
            left: self.left.map(|left| left.saturating_sub(spent)),
            since: now,
        }
    }

    /// How long that is, and what it is when it takes longer: the exchange's own end may be nearer.
    fn limit(self) -> (Duration, Reason) {
        match self.left {
            Some(left) if left < self.connect => (left, Reason::MaxDuration),
            _ => (self.connect, Reason::ConnectTimeout),
        }
    }
}

/// Where the connection of an attempt may come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// From the pool, if one is there that looks quiet.
    Pool(Look),
    /// Made anew: the request cannot share a connection, or a pooled one was just found dead.
    Fresh,
}

/// What `checkout` comes to, or the client's end if that is sooner: nobody connects for a client that is gone (E-217). While
/// its body is on the way, its bytes are that and say nothing of it.
pub(super) async fn unless_gone<D: Downstream>(
    down: &mut D,
    upload: More,
    checkout: impl Future<Output = Result<Checked, Error>>,
) -> Result<Checked, Error> {
    let mut checkout = pin!(checkout);
    poll_fn(|cx| match checkout.as_mut().poll(cx) {
        Poll::Pending if upload == More::Ended => down.poll_gone(cx).map(Err),
        polled => polled,
    })
    .await
}

/// A connection to the endpoint: pooled if there is one, else a new one.
pub(super) async fn checkout(
    x: &mut Exchange,
    cluster: &ClusterView,
    place: Place,
    endpoint: &Arc<Endpoint>,
    source: Source,
    patience: Patience,
    began: Instant,
) -> Result<Checked, Error> {
    x.record.phase(Phase::Connect);
    let Place { ix, slot, .. } = place;
    let held = Held::begin(slot, endpoint);
    x.rested = None;
    if let Some(stream) = x.own.take() {
        let (link, reused) = reuse(x, cluster, stream);
        return Ok(Checked { link, reused, held });
    }
    match endpoint.spec.protocol {
        Protocol::Http1 => {}
        Protocol::Http2(settings) => {
            let seat = Box::pin(seat(
                x, cluster, ix, endpoint, settings, source, patience, began,
            ));
            let (link, reused) = seat.await?;
            return Ok(Checked { link, reused, held });
        }
        Protocol::Either(settings) => {
            let either = Box::pin(either(
                x, cluster, ix, endpoint, settings, source, patience, began,
            ));
            let (link, reused) = either.await?;
            return Ok(Checked { link, reused, held });
        }
    }
    if let Source::Pool(look) = source
        && let Some(set) = cluster.idle.get(ix.0 as usize)
        && let Some(Rested { stream, rest }) = set.take(look, &x.local.deadlines, began)
    {
        x.rested = Some(rest);
        let (link, reused) = reuse(x, cluster, stream);
        return Ok(Checked { link, reused, held });
    }
    let stream = fresh(&mut x.record, cluster, &endpoint.spec, patience, began).await?;
    Ok(Checked {
        link: Link::Http1(stream),
        reused: Reused::Fresh,
        held,
    })
}

/// A connection that is there already.
fn reuse(x: &mut Exchange, cluster: &ClusterView, stream: Stream) -> (Link, Reused) {
    cluster.cells.reused.inc();
    x.record.connected(Duration::ZERO);
    (Link::Http1(stream), Reused::Pooled)
}

/// A connection to an endpoint that chooses what is spoken. What it agreed to last is tried, and where it agrees to something
/// else that is taken: a place at a shared connection, or a connection of its own.
#[expect(
    clippy::too_many_arguments,
    reason = "checkout, for what is agreed upon"
)]
async fn either(
    x: &mut Exchange,
    cluster: &ClusterView,
    ix: EndpointIx,
    endpoint: &Arc<Endpoint>,
    settings: Http2,
    source: Source,
    mut patience: Patience,
    began: Instant,
) -> Result<(Link, Reused), Error> {
    let set = cluster.idle.get(ix.0 as usize);
    let set = set.ok_or_else(|| Error::from(Reason::Internal))?;
    if x.record.head().upgrade() == Upgrade::WebSocket {
        // Few endpoints take one over HTTP/2, and all do over this (RFC 8441, 1).
        let spec = endpoint.spec.in_http1();
        let stream = fresh(&mut x.record, cluster, &spec, patience, began).await?;
        return Ok((Link::Http1(stream), Reused::Fresh));
    }
    if set.agreed.get() == Agreed::Http1 {
        if let Source::Pool(look) = source
            && let Some(Rested { stream, rest }) = set.take(look, &x.local.deadlines, began)
        {
            x.rested = Some(rest);
            return Ok(reuse(x, cluster, stream));
        }
        let stream = fresh(&mut x.record, cluster, &endpoint.spec, patience, began).await?;
        if upstream::spoken(&stream) == Spoken::Other {
            return Ok((Link::Http1(stream), Reused::Fresh));
        }
        // It has changed its mind; the connection is made once more, to be shared.
        set.agreed.set(Agreed::Http2);
        patience = patience.rest(clock::now());
    }
    seat(x, cluster, ix, endpoint, settings, source, patience, began).await
}

/// A place at a shared connection to the endpoint, within the same times. Whoever makes it is the only one that counts it.
#[expect(clippy::too_many_arguments, reason = "checkout, for another protocol")]
async fn seat(
    x: &mut Exchange,
    cluster: &ClusterView,
    ix: EndpointIx,
    endpoint: &Arc<Endpoint>,
    settings: Http2,
    source: Source,
    patience: Patience,
    began: Instant,
) -> Result<(Link, Reused), Error> {
    let set = cluster.idle.get(ix.0 as usize);
    let set = set.ok_or_else(|| Error::from(Reason::Internal))?;
    let cells = &cluster.cells;
    let which = match source {
        // A WebSocket has a stream of its own, not a connection.
        Source::Fresh if x.record.head().upgrade() == Upgrade::None => Which::New,
        Source::Fresh | Source::Pool(_) => Which::Any,
    };
    let seat = set.shared.seat(
        which,
        &Means {
            spec: &endpoint.spec,
            settings,
            connect: patience.connect,
            clock: &x.local.deadlines,
            cells: &cells.http2,
        },
    );
    let (limit, reason) = patience.limit();
    let opened = match seat.company {
        Company::Joined => seat.ready().await,
        // Who makes it keeps to the same time.
        Company::Founded if reason == Reason::ConnectTimeout => seat.ready().await,
        Company::Founded | Company::Awaited => tokio::time::timeout(limit, seat.ready())
            .await
            .unwrap_or_else(|_| Err(Error::from(reason))),
    };
    let now = clock::now();
    let took = clock::between(began, now);
    let patience = patience.rest(now);
    x.record.connected(took);
    if let (Err(error), Protocol::Either(_)) = (&opened, endpoint.spec.protocol)
        && error.detail() == Detail::Alpn
    {
        set.agreed.set(Agreed::Http1);
        let stream = match seat.take_declined() {
            Some(stream) => {
                cells.connected(took);
                stream
            }
            // Somebody else waited for the same connection, and has it.
            None => {
                fresh(
                    &mut x.record,
                    cluster,
                    &endpoint.spec.in_http1(),
                    patience,
                    began,
                )
                .await?
            }
        };
        return Ok((Link::Http1(stream), Reused::Fresh));
    }
    match (&opened, seat.company) {
        (Ok(()), Company::Founded) => cells.connected_http2(took),
        (Ok(()), Company::Joined) => cells.http2.joined.inc(),
        (Err(error), Company::Founded) => cells.connect_failed(error.reason()),
        (_, Company::Awaited) | (Err(_), Company::Joined) => {}
    }
    let reused = match seat.company {
        Company::Founded | Company::Awaited => Reused::Fresh,
        Company::Joined => Reused::Pooled,
    };
    opened?;
    if x.record.head().upgrade() == Upgrade::WebSocket {
        let (limit, reason) = patience.limit();
        let takes = tokio::time::timeout(limit, seat.takes_websockets());
        let takes = takes.await.unwrap_or_else(|_| Err(Error::from(reason)));
        if !takes? {
            // Sent on as it stands it would be a plain GET there.
            return Err(Error::new(Reason::BadRequest, Detail::WebSocket));
        }
    }
    Ok((Link::Http2(seat), reused))
}

/// A new connection to the endpoint.
pub(super) async fn fresh(
    record: &mut Record,
    cluster: &ClusterView,
    spec: &ConnectSpec,
    patience: Patience,
    began: Instant,
) -> Result<Stream, Error> {
    let (limit, reason) = patience.limit();
    let preface = preface(record, spec, Carrier::Stream);
    let connected = upstream::connect_for(spec, record.facts().source(), &preface);
    let connected = tokio::time::timeout(limit, connected)
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

/// What goes in front of a new connection; empty where the endpoint is told nothing.
pub(super) fn preface(record: &Record, spec: &ConnectSpec, carrier: Carrier) -> Vec<u8> {
    let Some(version) = spec.preface else {
        return Vec::new();
    };
    let facts = record.facts();
    let outgoing = preface::Outgoing {
        version,
        ends: facts.ends(),
        server_name: facts.server_name(),
        alpn: facts.protocol(),
        unique_id: Some(record.request_id().as_bytes()),
    };
    outgoing.bytes(carrier)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is done for one connection shares one time.
    #[test]
    fn what_was_spent_is_gone() {
        let second = Duration::from_secs(1);
        let since = clock::now();
        let whole = Patience {
            connect: second * 5,
            left: Some(second * 7),
            since,
        };
        assert_eq!(whole.limit(), (second * 5, Reason::ConnectTimeout));
        let later = whole.rest(since + second * 2);
        assert_eq!(later.limit(), (second * 3, Reason::ConnectTimeout));
        let later = later.rest(since + second * 4);
        assert_eq!(later.limit(), (second, Reason::ConnectTimeout));
        let over = later.rest(since + second * 9);
        assert_eq!(over.limit(), (Duration::ZERO, Reason::ConnectTimeout));
        let short = Patience {
            left: Some(second * 3),
            ..whole
        };
        let later = short.rest(since + second * 2);
        assert_eq!(later.limit(), (second, Reason::MaxDuration));
    }
}
