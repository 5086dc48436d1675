//! A stream's head into an exchange.

use std::rc::Rc;
use std::sync::Arc;

use super::mux::Mux;
use super::own::Own;
use super::runner::Runner;
use super::side::Side;
use crate::base::clock::Instant;
use crate::base::{Detail, Error, Reason};
use crate::http1::request::HeadLimits;
use crate::http2::request::{Reader, Refusal};
use crate::http2::session::Block;
use crate::http2::{Code, Half, Lost, Session, WebSockets};
use crate::message::{RequestHead, Upgrade};
use crate::metrics::Scope;
use crate::record::Record;

/// A head that came.
pub(super) struct Arrival<'a> {
    pub(super) id: u32,
    pub(super) end: Half,
    pub(super) block: Block,
    /// What the block is in.
    pub(super) input: &'a [u8],
    pub(super) now: Instant,
}

/// Reads a head, and begins its exchange.
pub(super) fn begin(
    mux: &Rc<Mux>,
    session: &mut Session<Own>,
    limits: &HeadLimits,
    cookie: &mut Vec<u8>,
    arrival: &Arrival<'_>,
) -> Result<(), Lost> {
    let connection = &mux.connection;
    let mut head = connection.local.journal.take_head();
    let limits = HeadLimits {
        headers: limits.headers.min(session.most_of(&arrival.block)),
        ..*limits
    };
    let mut reader = Reader::new(&mut head, &limits, cookie);
    if session.websockets() == WebSockets::On {
        reader.websockets(fastrand::u128(..).to_ne_bytes());
    }
    session.read(&arrival.block, arrival.input, |line| reader.line(&line))?;
    let (length, refused) = match reader.finish(arrival.end) {
        Ok(length) => (length, None),
        Err(Refusal::Answered(error)) => (None, Some(error)),
        Err(Refusal::Malformed(detail)) => {
            malformed(mux, head, detail, arrival.now);
            return refuse(mux, session, arrival, Code::Protocol);
        }
    };
    let tunnel = head.upgrade() == Upgrade::WebSocket;
    let Some(opening) = connection.opening(head, arrival.now, refused) else {
        return refuse(mux, session, arrival, Code::RefusedStream);
    };
    let runner = Runner::take(&connection.local);
    let mut own = Own::new(&runner);
    own.tunnel = tunnel;
    let key = session.open(arrival.id, arrival.end, length, own);
    let side = Side::new(mux, key, &opening.head);
    runner.start(mux, key, opening, side);
    Ok(())
}

fn refuse(
    mux: &Mux,
    session: &mut Session<Own>,
    arrival: &Arrival<'_>,
    code: Code,
) -> Result<(), Lost> {
    mux.count(Scope::Stream, code);
    session.refuse(arrival.id, code, arrival.now)
}

/// A malformed head is not answered, but it has its line.
fn malformed(mux: &Mux, head: Box<RequestHead>, detail: Detail, now: Instant) {
    let connection = &mux.connection;
    if let Some((view, listener)) = connection.current()
        && let Some(settings) = view.listeners.get(listener)
    {
        connection.count_request();
        let (journal, facts) = (&connection.local.journal, &connection.facts);
        let mut record = Record::open(journal, facts, head, Arc::clone(&settings.unmatched), now);
        let error = Error::new(Reason::BadRequest, detail);
        record.end(error.reason(), error.detail(), now);
    }
}
