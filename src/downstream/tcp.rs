//! A connection of layer 4: an endpoint for it, and then a tunnel.

use std::future::poll_fn;
use std::task::Poll;

use super::connection::Connection;
use super::hello;
use crate::base::{Detail, Error, Phase, Reason, clock};
use crate::exchange::admit;
use crate::exchange::tcp::{Session, key_input, reach};
use crate::exchange::{Tunnel, TunnelTerms};
use crate::listener::{Serves, Target};
use crate::metrics::Closed;
use crate::record::{Record, Transport};
use crate::route::ClusterIx;

/// Finds an endpoint for the connection; `None` when there is none, and the record is written.
pub(super) async fn join(connection: &Connection) -> Option<Box<Tunnel>> {
    poll_fn(|cx| {
        connection.timer.watch(cx);
        Poll::Ready(())
    })
    .await;
    connection.ends_by(Closed::Refused);
    let (view, position) = connection.current()?;
    let listener = view.listeners.get(position)?;
    let Serves::Tcp(spec) = &listener.spec.serves else {
        // The name belongs to a listener of another kind by now.
        return None;
    };
    let local = &connection.local;
    let started = clock::now();
    let mut record = Record::session(
        &local.journal,
        &connection.facts,
        Transport::Tcp,
        &listener.unbound,
        started,
    );
    // A client that has closed its sending side may still read: only a reset says that it is gone.
    let hung_up = |cx: &mut std::task::Context<'_>| match connection.stream.poll_peek(cx) {
        Poll::Ready(Err(_)) => Poll::Ready(Error::new(Reason::ClientAbort, Detail::Reset)),
        _ => Poll::Pending,
    };
    let client = connection.facts.source().ip();
    let (filters, drain) = (&listener.spec.filters, &local.drain);
    let admitted = admit::connection(&mut record, client, started, filters, drain, hung_up).await;
    let found = match admitted {
        Ok(kept) => find(connection, &spec.target, &mut record)
            .await
            .map(|ix| (kept, ix)),
        Err(error) => Err(error),
    };
    let (kept, ix) = match found {
        Ok(found) => found,
        Err(error) => {
            record.end(error.reason(), error.detail(), clock::now());
            return None;
        }
    };
    if let Some(cells) = listener.sessions(ix) {
        record.bound(cells);
    }
    let cluster = view.clusters.get(ix.index())?;
    let session = Session {
        local,
        cluster,
        record: &mut record,
        client,
        started,
    };
    match reach(session, &connection.timer, hung_up).await {
        Ok(reached) => {
            let endpoint = cluster.cluster.set.endpoint(reached.ix)?;
            // One that its endpoint takes down with it falls with all others that do.
            if let Some(group) = cluster.cut_with(endpoint) {
                connection.timer.regroup(group);
            }
            Some(Box::new(Tunnel {
                stream: reached.stream,
                record,
                terms: TunnelTerms {
                    idle: cluster.cluster.timeouts.tunnel.into(),
                    half_closed: spec.half_close_timeout.into(),
                    until: local.deadlines.after(spec.max_duration),
                },
                held: reached.held,
                kept,
            }))
        }
        Err(error) => {
            record.end(error.reason(), error.detail(), clock::now());
            None
        }
    }
}

/// The cluster that the connection goes to.
async fn find(
    connection: &Connection,
    target: &Target,
    record: &mut Record,
) -> Result<ClusterIx, Error> {
    let (names, otherwise, time) = match target {
        Target::Way(way) => {
            let client = connection.facts.source().ip();
            let chosen = way.choose(&key_input(record, client));
            return chosen.ok_or(Error::new(Reason::Internal, Detail::None));
        }
        Target::Names {
            names,
            otherwise,
            time,
        } => (names, otherwise, *time),
    };
    record.phase(Phase::Tls);
    let asked = hello::read(connection, time).await?;
    let name = asked.as_ref().and_then(|it| it.server_name.as_deref());
    if let Some(name) = name {
        connection.facts.asked_for(name);
    }
    if let Some(protocol) = asked.as_ref().and_then(|it| it.alpn().next()) {
        connection.facts.offers(protocol);
    }
    let found = asked.as_ref().and_then(|asked| names.find(asked));
    found.or(*otherwise).ok_or(match asked {
        Some(_) => NO_ROUTE,
        None => NO_TLS,
    })
}

const NO_ROUTE: Error = Error::new(Reason::NoRoute, Detail::None);
/// What is there is not TLS, and only TLS has a place to go.
const NO_TLS: Error = Error::new(Reason::TlsHandshake, Detail::ClientHello);
