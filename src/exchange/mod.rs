//! One request and its response: the page that every protocol calls.
//!
//! ```text
//! begin (pin a view, open a record) → find route → filters↓ → attempts (pick → checkout → transfer)
//!                                   → filters↑ → respond → record
//! ```
//!
//! **Invariants.** An exchange holds one [`View`] from its first byte to its last. Its frame owns the record, the
//! in-flight count and the connection, and ends when the client's kernel took the last byte. A failure is a
//! [`Reason`] when it gets here; whether it still can be told to the client is decided in [`run`] alone.
//!
//! **Not here.** Bytes of any protocol (drivers in `downstream`, codecs), and who may be picked (`balance`).
//!
//! **Cancel safety.** Dropping [`run`] is how a vanished client ends an exchange: the record says
//! `client_abort`, counts go down, and the endpoint's connection closes.

pub mod admit;
mod ask;
mod attempt;
mod checkout;
#[cfg(debug_assertions)]
pub mod fault;
mod filters;
pub mod finish;
mod grpc;
mod head;
mod outgoing;
pub mod opening;
mod own;
mod page;
mod pause;
mod place;
mod recode;
mod refuse;
mod retry;
mod side;
pub mod tcp;
pub mod udp;
mod transfer;
mod upstream;
mod watch;

use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::Instant;
use crate::base::{Detail, Error, Reason};
use crate::endpoint::{ConnectionSlot, Endpoint, InFlight, Permit};
use crate::filter::{Kept, PagesIx, Progress, Reply, Verdict};
use crate::http1::body::BodyReader;
use crate::limit::{Charge, Level};
use crate::message::forwarded::Trust;
use crate::message::key::KeyInput;
use crate::net::deadline::{Tick, Ticks};
use crate::net::{Stream, Timer};
use crate::record::Record;
use crate::route::{Action, Redirect, Route, RouteInput, RouteIx};
use crate::worker::{ClusterView, Kit, Local, Presence, View};

use pause::{MOMENT, pause};

pub use opening::{Desk, Opening};
pub use side::{Answer, Answered, Author, Downstream, Piece};
pub use transfer::After;

/// What becomes of the client's connection after an exchange.
#[derive(Debug)]
pub enum Disposition {
    /// The next request may follow.
    Reuse,
    /// The next request may follow when the rest of this one's body was thrown away, within the budget of the
    /// listener; if that fails it closes as with `Linger`.
    Drain(BodyReader),
    /// It closes; everything that the client sent has been read.
    Close,
    /// It closes, but not before the client had a chance to read the answer: something of its request was
    /// not read, and closing at once would reset the connection (E-035).
    Linger,
    /// It closes with a reset: the response broke off, and a plain close could be taken for its end.
    Abort,
    /// It is a tunnel from here on.
    Tunnel(Box<Tunnel>),
}

/// What a tunnel needs to go on when the exchange is over; it holds no configuration.
#[derive(Debug)]
pub struct Tunnel {
    /// The connection to the endpoint.
    pub stream: Stream,
    /// The record, written when the tunnel ends.
    pub record: Record,
    /// When it is cut.
    pub terms: TunnelTerms,
    /// The endpoint's counts.
    pub held: Held,
    /// What filters hold until the end.
    pub kept: Kept,
}

/// When a tunnel is cut.
#[derive(Clone, Copy, Debug)]
pub struct TunnelTerms {
    /// After this much silence.
    pub idle: Ticks,
    /// The same once one side has closed its sending side.
    pub half_closed: Ticks,
    /// At the latest.
    pub until: Tick,
}

impl TunnelTerms {
    /// After this much silence.
    pub fn idle(idle: Duration) -> Self {
        Self {
            idle: idle.into(),
            half_closed: idle.into(),
            until: Tick::NEVER,
        }
    }
}

/// An endpoint's counts, held while an attempt or a tunnel is under way.
#[derive(Debug)]
pub struct Held {
    _in_flight: InFlight,
    _slot: ConnectionSlot,
    /// Of a tunnel: it outlives the exchange that holds the permit otherwise.
    _permit: Option<Permit>,
}

impl Held {
    /// One more connection, and what is done over it, at this endpoint.
    fn begin(slot: ConnectionSlot, endpoint: &Endpoint) -> Self {
        Self {
            _in_flight: InFlight::begin(&endpoint.state),
            _slot: slot,
            _permit: None,
        }
    }

    /// The same, with the exchange's permit.
    fn with(self, permit: Option<Permit>) -> Self {
        Self {
            _permit: permit,
            ..self
        }
    }
}

/// One exchange.
#[derive(Debug)]
pub struct Exchange {
    local: Rc<Local>,
    view: Rc<View>,
    listener: usize,
    record: Record,
    kit: Box<Kit>,
    trust: Trust,
    client: IpAddr,
    started: Instant,
    /// The client's own connection, on its way to the attempt that uses it.
    own: Option<Stream>,
    /// How long the attempt's connection was idle before, where it comes from the pool.
    rested: Option<Duration>,
    /// The route, once it is found: answers walk its response filters, whoever makes them.
    route: Option<RouteIx>,
    /// What the client is shown when something failed.
    pages: Option<PagesIx>,
    /// How long the client of a refusal should wait, where that is known.
    retry_after: Option<Duration>,
    memory: Charge,
    /// It is one of its worker's.
    _among: Presence,
}

impl Exchange {
    /// Charges what it holds now.
    fn weigh(&self, more: usize) {
        self.memory
            .set(self.record.head().weight() + self.kit.weight() + more);
    }
}

/// One request, start to end. Every stage is a call on this page; read it top to bottom.
///
/// It is opened when it is polled, where it stays: an exchange is large, and whoever hands one to a future moves it twice. Where none
/// was laid it is over.
pub async fn run<D: Downstream>(desk: &Desk<D>) -> Option<Disposition> {
    let mut down = desk.down.take()?;
    let timer = desk.timer.take()?;
    let mut opening = desk.opening.take()?;
    let refused = opening.refused.take();
    let mut x = Exchange::begin(opening);
    x.weigh(0);
    x.recognise();
    let view = Rc::clone(&x.view);
    let served = match refused {
        // It stays where it is made, like what it waits for: it is large.
        None => pin!(serve(&mut x, &mut down, &timer, &view)).await,
        Some(error) => Err(error),
    };
    let served = match served {
        Ok(served) => served,
        Err(error) => refuse::tell(&mut x, &mut down, &timer, &view, error).await,
    };
    let (read, sent) = down.bodies();
    x.record.request_bytes(read);
    x.record.response_bytes(sent);
    let mut kit = x.kit;
    let kept = match &served {
        Served::Switched(..) => std::mem::take(&mut kit.kept),
        Served::Whole | Served::Cut | Served::Replaced(_) => Kept::default(),
    };
    x.local.give_kit(kit);
    Some(match served {
        Served::Whole => down.finish(),
        Served::Cut | Served::Replaced(_) => down.break_off(),
        Served::Switched(switched) => Disposition::Tunnel(Box::new(Tunnel {
            stream: switched.stream,
            record: x.record,
            terms: TunnelTerms::idle(switched.idle),
            held: switched.held,
            kept,
        })),
    })
}

/// How a served exchange ended.
enum Served {
    /// The client has the whole response.
    Whole,
    /// The response broke off after its head, or there is nobody to answer.
    Cut,
    /// The client is to have this in the place of the endpoint's response.
    Replaced(Box<Reply>),
    /// The endpoint agreed to change the protocol.
    Switched(Box<Switched>),
}

/// A connection whose protocol was changed: it is rare, and what an exchange ends with is handed from stage to stage.
struct Switched {
    stream: Stream,
    held: Held,
    /// The silence that it may keep.
    idle: Duration,
}

const NO_ROUTE: Error = Error::new(Reason::NoRoute, Detail::None);
const NO_MEMORY: Error = Error::new(Reason::Overloaded, Detail::Memory);
/// Positions in a view always fit; if one does not, the fault is ours.
const INTERNAL: Error = Error::new(Reason::Internal, Detail::None);

async fn serve<D: Downstream>(
    x: &mut Exchange,
    down: &mut D,
    timer: &Timer,
    view: &View,
) -> Result<Served, Error> {
    if x.local.credit.level() == Level::Full {
        return Err(NO_MEMORY);
    }
    head::belongs_here(x, view)?;
    let route = find_route(x, view);
    head::is_served(x, view, route.as_ref().ok().copied())?;
    let route = route?;
    #[cfg(debug_assertions)]
    fault::strike(x.record.head(), fault::Place::Route);
    route.admits(x.record.head())?;
    let target = find_target(x, route, view)?;
    let mut progress = Progress::default();
    loop {
        match filters::down(x, route, target.cluster(), &mut progress) {
            Verdict::Continue => break,
            Verdict::Respond(reply) => return refuse::reply(x, down, timer, route, &reply).await,
            // Boxed: a wait is rare, and its room would be in every exchange.
            Verdict::Wait(until) => {
                progress.resume(Box::pin(pause(x, down, timer, Some(route), until, MOMENT)).await?);
            }
        }
    }
    if matches!(target, Target::Cluster(_)) && head::passes_on(x)? == head::Onward::Ends {
        // Boxed: hardly anybody asks for that.
        let reply = Reply::new(200, Reason::LocalReply, [], Bytes::new());
        return Box::pin(refuse::reply(x, down, timer, route, &reply)).await;
    }
    match target {
        Target::Cluster(cluster) => {
            let served = match x.kit.kept.take_recode() {
                None => pin!(attempt::forward(x, down, timer, route, cluster)).await?,
                // Boxed: few routes change bodies.
                Some(recode) => {
                    Box::pin(recode::forward(x, down, timer, route, cluster, recode)).await?
                }
            };
            match served {
                Served::Replaced(reply) => refuse::reply(x, down, timer, route, &reply).await,
                served => Ok(served),
            }
        }
        Target::Redirect(redirect) => {
            let asked = filters::scheme(x);
            let here = head::came_to(x, down);
            let reply = redirect.reply(x.record.head(), asked.into(), here)?;
            refuse::reply(x, down, timer, route, &reply).await
        }
        Target::Respond(reply) => refuse::reply(x, down, timer, route, reply).await,
    }
}

/// Where a request goes.
enum Target<'v> {
    Cluster(&'v ClusterView),
    Redirect(&'v Redirect),
    Respond(&'v Reply),
}

impl Target<'_> {
    /// The cluster's name; empty: there is none.
    fn cluster(&self) -> &str {
        match self {
            Self::Cluster(cluster) => cluster.cluster.name.as_str(),
            Self::Redirect(_) | Self::Respond(_) => "",
        }
    }
}

/// Before the filters: they may tell where the request goes.
fn find_target<'v>(x: &Exchange, route: &'v Route, view: &'v View) -> Result<Target<'v>, Error> {
    let ix = match &route.action {
        Action::Cluster(ix) => *ix,
        Action::Split(split) => split.choose(&key_input(x, route)).ok_or(INTERNAL)?,
        Action::Redirect(redirect) => return Ok(Target::Redirect(redirect)),
        Action::Respond(reply) => return Ok(Target::Respond(reply)),
    };
    let cluster = view.clusters.get(ix.index()).ok_or(INTERNAL)?;
    Ok(Target::Cluster(cluster))
}

/// What keys are read from.
fn key_input<'x>(x: &'x Exchange, route: &'x Route) -> KeyInput<'x> {
    KeyInput {
        head: x.record.head(),
        edits: Some(&x.kit.request_edits),
        client: x.client,
        route: route.name.as_str(),
        claims: None,
    }
}

fn find_route<'v>(x: &mut Exchange, view: &'v View) -> Result<&'v Route, Error> {
    let input = RouteInput {
        listener: x.listener,
        head: x.record.head(),
        client: x.client,
        server_name: x.record.facts().server_name(),
    };
    let routes = &view.snapshot.routes;
    let ix = routes.find(&input).ok_or(NO_ROUTE)?;
    let route = routes.routes().get(ix.index()).ok_or(INTERNAL)?;
    let listener = view.listeners.get(x.listener).ok_or(INTERNAL)?;
    let cells = listener.routes.get(ix.index()).ok_or(INTERNAL)?;
    x.record.matched(&route.name, cells);
    x.route = Some(ix);
    x.pages = route.pages.or(x.pages);
    Ok(route)
}
