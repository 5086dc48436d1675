//! A flow of datagrams: the page for them, beside those for requests and for byte streams.
//!
//! ```text
//! breaker → place → a socket of its own to the endpoint → answers, until it ends
//! ```
//!
//! Nothing waits: a datagram that finds no place is dropped, as its sender expects of datagrams, and not queued.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::net::UdpSocket;

use super::Held;
use super::checkout::preface;
use super::place::{Bond, Missing, at, look};
use super::retry::Reused;
use super::tcp::Session;
use super::watch::{Passage, Watch};
use crate::base::{Detail, Error, Phase, Reason, clock};
use crate::endpoint::{Availability, Endpoint, EndpointIx, EndpointKey, Tried};
use crate::metrics::SessionCells;
use crate::net::batch::{Batch, send_run};
use crate::net::datagrams::poll_fill;
use crate::net::preface::Carrier;
use crate::net::runs::{run, takes_single};
use crate::net::socket;
use crate::snapshot::Snapshot;
use crate::upstream;
use crate::worker::ClusterView;

/// What the task of a flow and the reader of its listener's socket share.
#[derive(Debug)]
pub struct Line {
    client: SocketAddr,
    upstream: OnceCell<Upstream>,
    bytes: Cell<u64>,
    datagrams: Cell<u64>,
    /// The configuration that its endpoint was last looked up in.
    seen: Cell<u64>,
    /// The kernel has refused to take several by one call.
    single: Cell<bool>,
    ended: Cell<Option<(Reason, Detail)>>,
    answered: Cell<u64>,
    waker: RefCell<Option<Waker>>,
    /// What it counts.
    cells: Arc<SessionCells>,
}

#[derive(Debug)]
struct Upstream {
    socket: UdpSocket,
    /// What its first datagram is to begin with, until one has.
    preface: RefCell<Vec<u8>>,
    endpoint: RefCell<Arc<Endpoint>>,
}

/// Why a datagram did not get to the endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unsent {
    /// The kernel did not take it.
    Dropped,
    /// The flow has no endpoint, or no longer.
    Ended,
}

impl Line {
    /// A flow of this client that begins under configuration number `seen`.
    pub fn new(seen: u64, client: SocketAddr, cells: &Arc<SessionCells>) -> Self {
        Self {
            client,
            seen: Cell::new(seen),
            cells: Arc::clone(cells),
            upstream: OnceCell::new(),
            bytes: Cell::new(0),
            datagrams: Cell::new(0),
            answered: Cell::new(0),
            single: Cell::new(false),
            ended: Cell::new(None),
            waker: RefCell::new(None),
        }
    }

    /// Whose it is.
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// What its datagrams are counted in.
    pub fn cells(&self) -> &SessionCells {
        &self.cells
    }

    /// Sends one datagram of the client.
    fn send(&self, datagram: &[u8]) -> Result<(), Unsent> {
        let upstream = self.upstream.get().ok_or(Unsent::Ended)?;
        self.came(&[datagram]);
        let mut preface = upstream.preface.borrow_mut();
        let sent = if preface.is_empty() {
            socket::send(&upstream.socket, datagram)
        } else {
            socket::send_two(&upstream.socket, &preface, datagram)
        };
        sent.map_err(|error| self.unsent(&error))?;
        *preface = Vec::new();
        Ok(())
    }

    /// Sends datagrams of the client that came behind each other, as few pieces as they make; how many that were, and whether
    /// they were lost. A flow that ends takes no more.
    pub fn send_some(&self, datagrams: &[&[u8]]) -> (usize, Result<(), Unsent>) {
        let (count, segment) = self.run(datagrams);
        let these = datagrams.get(..count).unwrap_or_default();
        if let (Some(upstream), [_, _, ..]) = (self.upstream.get(), these) {
            match send_run(&upstream.socket, these, segment) {
                Err(error) if takes_single(&error) => self.single.set(true),
                sent => {
                    self.came(these);
                    return (count, sent.map_err(|error| self.unsent(&error)));
                }
            }
        }
        let sent = these.first().map_or(Ok(()), |first| self.send(first));
        (1, sent)
    }

    /// How many of these can be one piece. The first datagram of all may have a header in front.
    fn run(&self, datagrams: &[&[u8]]) -> (usize, u16) {
        match self.upstream.get() {
            Some(upstream) if !self.single.get() && upstream.preface.borrow().is_empty() => {
                run(datagrams.iter().map(|it| it.len()))
            }
            _ => (1, 0),
        }
    }

    /// Counted before it is known whether the kernel takes them: they came.
    fn came(&self, datagrams: &[&[u8]]) {
        let bytes: usize = datagrams.iter().map(|it| it.len()).sum();
        self.bytes.set(self.bytes.get() + bytes as u64);
        let count = self.datagrams.get() + datagrams.len() as u64;
        self.datagrams.set(count);
    }

    /// What it means that the kernel did not take one.
    fn unsent(&self, error: &io::Error) -> Unsent {
        // The port answered an earlier one with ICMP: whoever asks the socket first is told (udp(7)).
        if error.kind() == io::ErrorKind::ConnectionRefused {
            self.end(Reason::ConnectRefused, Detail::None);
            return Unsent::Ended;
        }
        Unsent::Dropped
    }

    /// One more answer has come; how many that makes.
    fn heard(&self) -> u64 {
        let answered = self.answered.get() + 1;
        self.answered.set(answered);
        answered
    }

    /// Whether so many answers have come for each datagram; 0: there may always be another.
    fn has_all(&self, responses: u32) -> bool {
        let wanted = self.datagrams.get().saturating_mul(u64::from(responses));
        responses > 0 && self.answered.get() >= wanted
    }

    /// Ends the flow; the first reason stays.
    pub fn end(&self, reason: Reason, detail: Detail) {
        if self.ended.get().is_none() {
            self.ended.set(Some((reason, detail)));
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// It was silent for too long. What has answered is complete.
    pub fn end_idle(&self) {
        match self.answered.get() {
            0 => self.end(Reason::UpstreamIdle, Detail::Idle),
            _ => self.end(Reason::Completed, Detail::None),
        }
    }

    /// Where it goes, once that is known.
    pub fn endpoint(&self) -> Option<EndpointKey> {
        let upstream = self.upstream.get()?;
        Some(upstream.endpoint.borrow().key.clone())
    }

    /// Its peer speaks for another client from now on: nothing more comes of this one.
    pub fn end_replaced(&self) {
        self.end(Reason::Completed, Detail::None);
    }

    /// Whether its endpoint may go on serving it: it is in the configuration (number `seen`) that is in effect, and neither
    /// unhealthy nor disabled. One that is ejected or runs empty keeps what it has.
    pub fn stands(&self, seen: u64, snapshot: &Snapshot) -> bool {
        let Some(upstream) = self.upstream.get().filter(|_| self.ended.get().is_none()) else {
            return false;
        };
        if self.seen.replace(seen) != seen {
            let found = {
                let key = &upstream.endpoint.borrow().key;
                let cluster = snapshot.cluster(&key.cluster);
                cluster.and_then(|(_, it)| it.set.iter().find(|it| it.key == *key).cloned())
            };
            let Some(found) = found else {
                return false;
            };
            upstream.endpoint.replace(found);
        }
        keeps(&upstream.endpoint.borrow())
    }

    fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &*waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
    }
}

/// Whether an endpoint goes on serving what it has: one that is ejected or runs empty does.
fn keeps(endpoint: &Endpoint) -> bool {
    !matches!(
        endpoint.availability(0),
        Availability::Unhealthy | Availability::Disabled
    )
}

/// The position of an endpoint that goes on serving what it has.
pub fn home(cluster: &ClusterView, key: &EndpointKey) -> Option<EndpointIx> {
    let set = &cluster.cluster.set;
    let at = set.iter().position(|it| it.key == *key && keeps(it))?;
    u32::try_from(at).ok().map(EndpointIx)
}

/// Carries one flow: picks its endpoint at the first poll, so that the first datagram can be sent right after it, and hands
/// every answer to `answer` until the flow ends. `home` is the endpoint that it belongs to, if it does to one. `responses` are
/// awaited for each datagram; 0: any number. Answers come through `batch`, which is not borrowed while it waits.
pub async fn carry(
    session: Session<'_>,
    line: &Line,
    home: Option<EndpointIx>,
    responses: u32,
    batch: &RefCell<Batch>,
    answer: impl FnMut(&[u8]),
) -> (Reason, Detail) {
    let cluster = session.cluster;
    session.record.aim(&cluster.cluster.name);
    let Ok(passage) = Passage::open(cluster, session.started) else {
        return (Reason::BreakerOpen, Detail::None);
    };
    let mut session = session;
    let (watch, _held) = match seek(&mut session, &passage, line, home) {
        Ok(found) => found,
        Err(error) => {
            passage.failed(&error);
            return (error.reason(), error.detail());
        }
    };
    let (reason, detail) = answers(&mut session, line, &watch, responses, batch, answer).await;
    if let Reason::ConnectRefused | Reason::UpstreamReset = reason {
        let error = Error::new(reason, detail);
        watch.ended(&error, Reused::Fresh);
        passage.failed(&error);
    }
    session.record.request_bytes(line.bytes.get());
    (reason, detail)
}

/// An endpoint for the flow, and a socket that is connected to it.
fn seek<'x>(
    session: &mut Session<'x>,
    passage: &'x Passage<'x>,
    line: &Line,
    home: Option<EndpointIx>,
) -> Result<(Watch<'x>, Held), Error> {
    let cluster: &'x ClusterView = session.cluster;
    let policy = &cluster.cluster;
    let full = |detail| {
        cluster.cells.rejected(Reason::QueueFull);
        Error::new(Reason::QueueFull, detail)
    };
    let permit = match policy.bulkhead.requests {
        0 => None,
        cap => Some(
            policy
                .gate
                .admit(cap)
                .ok_or_else(|| full(Detail::Requests))?,
        ),
    };
    let wish = session.wish();
    let mut tried = Tried::new();
    loop {
        let found = match home.filter(|ix| !tried.contains(*ix)) {
            // No other has its connection: where this one has no place there is none.
            Some(ix) => at(cluster, ix, Bond::Old).ok_or(Missing::Full),
            None => look(cluster, &tried, wish, session.started),
        };
        let place = found.map_err(|missing| match missing {
            Missing::Full => full(Detail::Endpoint),
            Missing::Nobody => {
                let reason = Missing::nobody(cluster);
                cluster.cells.rejected(reason);
                Error::from(reason)
            }
        })?;
        let endpoint = policy.set.endpoint(place.ix);
        let endpoint = endpoint.ok_or_else(|| Error::from(Reason::Internal))?;
        let again = tried.contains(place.ix);
        let Some(watch) = Watch::begin(passage, endpoint, again, session.started) else {
            tried.insert(place.ix);
            continue;
        };
        session.record.attempt(&policy.name, &endpoint.text);
        session.record.phase(Phase::Connect);
        let held = Held::begin(place.slot, endpoint).with(permit);
        let socket = upstream::datagrams(&endpoint.spec, Some(line.client()))
            .inspect_err(|error| watch.ended(error, Reused::Fresh))?;
        socket::take_pieces(&socket);
        let upstream = Upstream {
            socket,
            preface: RefCell::new(preface(session.record, &endpoint.spec, Carrier::Datagram)),
            endpoint: RefCell::new(Arc::clone(endpoint)),
        };
        session.record.phase(Phase::Data);
        // A line is carried once.
        let _ = line.upstream.set(upstream);
        return Ok((watch, held));
    }
}

/// So many answers of a flow are read in one turn, but for the rest of a batch.
const TURN: u64 = 256;

async fn answers(
    session: &mut Session<'_>,
    line: &Line,
    watch: &Watch<'_>,
    responses: u32,
    batch: &RefCell<Batch>,
    mut answer: impl FnMut(&[u8]),
) -> (Reason, Detail) {
    let Some(upstream) = line.upstream.get() else {
        return (Reason::Internal, Detail::None);
    };
    let record = &mut *session.record;
    poll_fn(|cx| {
        line.watch(cx);
        let before = line.answered.get();
        loop {
            if let Some(ended) = line.ended.get() {
                return Poll::Ready(ended);
            }
            if line.answered.get() - before >= TURN {
                // Others have a turn, too.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let mut batch = batch.borrow_mut();
            match poll_fill(&upstream.socket, cx, &mut batch) {
                Poll::Ready(Ok(())) => {
                    for datagram in batch.iter() {
                        if line.heard() == 1 {
                            let now = clock::now();
                            watch.connected(now);
                            record.first_byte(now);
                            record.phase(Phase::Last);
                        }
                        record.response_bytes(datagram.bytes.len() as u64);
                        answer(datagram.bytes);
                        if line.has_all(responses) {
                            return Poll::Ready((Reason::Completed, Detail::None));
                        }
                    }
                }
                Poll::Ready(Err(error)) => {
                    let reason = match error.kind() {
                        io::ErrorKind::ConnectionRefused => Reason::ConnectRefused,
                        _ => Reason::UpstreamReset,
                    };
                    return Poll::Ready((reason, Detail::None));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
