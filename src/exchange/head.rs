//! What is refused of a head that its codec took: what is meant for another connection, what is out of service, and what goes no
//! further than here. And where a client came to whose head does not say it.

use std::net::SocketAddr;

use super::side::Downstream;
use super::{Exchange, filters};
use crate::base::{Detail, Error, Reason};
use crate::http1::request::content_length;
use crate::message::{Method, Upgrade};
use crate::route::{Route, Scheme};
use crate::worker::View;

/// A client that asked for one name and now asks for another is answered only where it would have been shown the same
/// certificate for that: else it is told to make a connection of its own (RFC 9110, 7.4; RFC 9113, 9.1.2). One that named
/// nobody takes what it gets.
pub(super) fn belongs_here(x: &Exchange, view: &View) -> Result<(), Error> {
    let listener = view.listeners.get(x.listener);
    let tls = listener.and_then(|listener| listener.spec.tls.as_ref());
    let agreed = x.record.facts().tls();
    // What the client showed may say nothing any more: it is answered once more, but begins nothing that lasts (E-123).
    if x.record.head().upgrade() != Upgrade::None
        && tls.map(|tls| tls.asked()) != agreed.map(|agreed| agreed.asked)
    {
        return Err(Error::from(Reason::Misdirected));
    }
    let Some(agreed) = agreed else {
        return Ok(());
    };
    let host = x.record.head().host();
    let Some(asked) = agreed.server_name.as_deref() else {
        return Ok(());
    };
    if host.is_empty() || host.eq_ignore_ascii_case(asked.as_bytes()) {
        return Ok(());
    }
    let covered = || {
        let (tls, host) = (tls?, std::str::from_utf8(host).ok()?);
        Some(tls.covers(agreed.shown?, host))
    };
    if covered() == Some(true) {
        Ok(())
    } else {
        Err(Error::from(Reason::Misdirected))
    }
}

/// Whether an operator lets this client in now. Asked of requests without a route, too: all may be out of service.
pub(super) fn is_served(x: &mut Exchange, view: &View, route: Option<&Route>) -> Result<(), Error> {
    let listener = &x.record.facts().listener;
    let maintenance = &view.snapshot.maintenance;
    match maintenance.refuses(listener, route.map(|it| &it.name), x.client, x.started) {
        None => Ok(()),
        Some(wait) => {
            x.retry_after = Some(wait);
            Err(Error::from(Reason::Maintenance))
        }
    }
}

/// Our own address that a client came to which names no host, with a port of the scheme by which it asked.
pub(super) fn came_to<D: Downstream>(x: &Exchange, down: &D) -> Option<SocketAddr> {
    if !x.record.head().host().is_empty() {
        return None;
    }
    let facts = x.record.facts();
    let told = facts.ends().map(|ends| ends.destination);
    let mut addr = told.or_else(|| down.came_to())?;
    let asked = filters::scheme(x);
    if asked != facts.proto() {
        // It asked a proxy, which speaks something else to us.
        addr.set_port(Scheme::from(asked).default_port());
    }
    Some(addr)
}

/// Whether a request is passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Onward {
    Goes,
    /// It is for us to answer.
    Ends,
}

const MAX_FORWARDS: &[u8] = b"max-forwards";

/// Counts how often OPTIONS and TRACE may still be passed on: with 0 they are meant for us (RFC 9110, 7.6.2). What is no number
/// says nothing, and what a filter says of the field stands. We answer no TRACE.
pub(super) fn passes_on(x: &mut Exchange) -> Result<Onward, Error> {
    let head = x.record.head();
    let method = head.method();
    if !matches!(method, Method::Options | Method::Trace) {
        return Ok(Onward::Goes);
    }
    let edits = &mut x.kit.request_edits;
    let mut values = head.values(MAX_FORWARDS);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Ok(Onward::Goes);
    };
    // Digits and nothing else, as there.
    let Some(left) = content_length(value).filter(|_| !edits.drops(MAX_FORWARDS)) else {
        return Ok(Onward::Goes);
    };
    match (left.checked_sub(1), method) {
        (Some(left), _) => {
            edits.set(MAX_FORWARDS, left.to_string().as_bytes());
            Ok(Onward::Goes)
        }
        (None, Method::Trace) => Err(Error::new(Reason::BadRequest, Detail::Trace)),
        (None, _) => Ok(Onward::Ends),
    }
}
