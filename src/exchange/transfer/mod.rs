//! Head and body both ways at once, between a client and one endpoint.
//!
//! Each direction is: write what waits; then read one buffer and hand it on. A direction whose other side does
//! not take bytes is not read, so no more than one buffer is held each way.

mod carry;
mod limits;
mod response;
mod throttle;
mod upload;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use super::Exchange;
use super::finish::Behind;
use super::grpc::Owes;
use super::outgoing::Outgoing;
use super::own::Challenge;
use super::retry::Account;
use super::side::Downstream;
use super::upstream::{Http2, Upstream};
use super::watch::Watch;
use crate::base::clock::Instant;
use crate::base::{Detail, Error, Phase, Reason};
use crate::cluster::Said;
use crate::endpoint::Endpoint;
use crate::filter::Reply;
use crate::http1::body::More;
use crate::http1::limits::ResponseLimits;
use crate::http1::response::Persist;
use crate::message::Expect;
use crate::net::deadline::{Deadlines, Tick};
use crate::net::{Pace, Slow, Stall, Timer};
use crate::route::Route;
use crate::upstream::shared::Seat;

pub use carry::After;
pub(super) use limits::Limits;
use throttle::Throttled;

/// What an answer says of the connection that it came over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parting {
    /// Whether it offers an authentication that belongs to the connection.
    pub(super) challenge: Challenge,
    /// How long the endpoint keeps it while it is idle, where it says so.
    pub(super) keep_alive: Option<Duration>,
}

impl Parting {
    /// Of an answer that did not come.
    const NOTHING: Self = Self {
        challenge: Challenge::None,
        keep_alive: None,
    };
}

/// Where the request body stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Upload {
    /// More of it is to come.
    Body,
    /// All of it is with the kernel, or will be when what waits is written.
    Sent,
    /// The endpoint takes no more; its answer may still come.
    Broken,
}

/// How an attempt that got a response ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The response is with the client.
    Whole {
        /// Of the response.
        status: u16,
        /// If the configuration retries the status, why that was not done.
        not_retried: Detail,
    },
    /// The protocol was changed.
    Switched,
    /// The response is one that the configuration retries; nothing was passed on. The retry is paid for, and comes
    /// after this pause.
    Retryable(Said, Duration),
    /// The client is to have this in the place of the response.
    Replaced(Box<Reply>),
}

/// One attempt under way.
pub(super) struct Transfer<'x, D, U> {
    x: &'x mut Exchange,
    down: &'x mut D,
    up: U,
    route: &'x Route,
    timer: &'x Timer,
    /// Is told how the endpoint answers.
    watch: &'x Watch<'x>,
    limits: Limits,
    account: &'x Account<'x>,
    not_retried: Detail,
    parting: Parting,
    /// Ends the wait for a response head, once the request is with the endpoint.
    per_try: Option<Pin<Box<Sleep>>>,
    /// A Set-Cookie field of ours for the response.
    cookie: Option<&'x [u8]>,
    upload: Upload,
    reading: Reading,
    interims: u32,
    status: u16,
    /// What of gRPC the answer still owes.
    owes: Owes,
    /// Whether the request body has been read to its end.
    body: More,
    begun: bool,
    upload_due: Tick,
    response_due: Tick,
    /// The client sends its body too slowly.
    body_rate_due: Tick,
    body_pace: Pace,
    /// How often the client had been let send again when its clocks began, and until when they may begin anew for that.
    openings: u32,
    excused_by: Tick,
    /// Bytes of the answer that the client had when the upload was overdue.
    flowed: Option<u64>,
    /// The client does not take the response, or too slowly.
    stall: Stall,
    idle: Duration,
    carried: After,
    throttled: Option<Box<Throttled>>,
    /// When the head of the answer came; nothing once more of it was read.
    read_at: Option<Instant>,
}

/// What of an exchange and its cluster an attempt goes by.
#[derive(Clone, Copy)]
pub(super) struct Terms<'x> {
    pub(super) route: &'x Route,
    pub(super) timer: &'x Timer,
    pub(super) watch: &'x Watch<'x>,
    pub(super) limits: Limits,
    pub(super) account: &'x Account<'x>,
    /// A Set-Cookie field of ours for the response.
    pub(super) cookie: Option<&'x [u8]>,
    /// How large an answer may be, but for its data.
    pub(super) answers: &'x ResponseLimits,
}

/// What is left of an attempt when it is over.
pub(super) struct Over {
    /// What a whole answer says of the endpoint's connection.
    pub(super) says: Persist,
    /// What came behind it.
    pub(super) behind: Behind,
    /// Whether the request body has been read to its end.
    pub(super) body: More,
    /// Whether that is with the kernel, the end included.
    pub(super) sent: bool,
    /// What the answer said of the endpoint's connection.
    pub(super) parting: Parting,
    /// Whether the protocol was changed, and bytes were carried.
    pub(super) carried: After,
    /// When the head of the answer came, if the rest of it came in the same turn of the worker.
    pub(super) read_at: Option<Instant>,
}

impl Over {
    /// Of an attempt that did not begin.
    fn nothing(body: More) -> Self {
        Self {
            says: Persist::Close,
            behind: Behind::Nothing,
            body,
            sent: false,
            parting: Parting::NOTHING,
            carried: After::Handed,
            read_at: None,
        }
    }
}

impl<'x, D: Downstream, U: Upstream> Transfer<'x, D, U> {
    /// An attempt whose request body has been read that far.
    pub(super) fn new(
        x: &'x mut Exchange,
        down: &'x mut D,
        up: U,
        terms: Terms<'x>,
        body: More,
    ) -> Self {
        let Terms {
            route,
            timer,
            watch,
            limits,
            account,
            cookie,
            ..
        } = terms;
        let upload = match body {
            More::Follows => Upload::Body,
            More::Ended => Upload::Sent,
        };
        let throttled = Throttled::of(&x.kit.kept);
        Self {
            x,
            down,
            up,
            route,
            timer,
            watch,
            limits,
            account,
            not_retried: Detail::None,
            parting: Parting::NOTHING,
            per_try: None,
            cookie,
            upload,
            reading: Reading::Head,
            interims: 0,
            status: 0,
            owes: Owes::Nothing,
            body,
            begun: false,
            upload_due: Tick::NEVER,
            response_due: Tick::NEVER,
            body_rate_due: Tick::NEVER,
            body_pace: Pace::new(limits.body_rate),
            openings: 0,
            excused_by: Tick::NEVER,
            flowed: None,
            stall: Stall::new(limits.write_rate),
            idle: limits.response_idle,
            carried: After::Handed,
            throttled,
            read_at: None,
        }
    }

    /// What is left of it.
    pub(super) fn over(&self) -> Over {
        let (says, behind) = self.up.left();
        Over {
            says,
            behind,
            body: self.body,
            sent: self.upload == Upload::Sent && !self.up.pending(&self.x.kit),
            parting: self.parting,
            carried: self.carried,
            read_at: self.read_at,
        }
    }

    /// Runs until the response is with the client, or until something failed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ended, Error>> {
        if !std::mem::replace(&mut self.begun, true) {
            self.begin(cx)?;
        }
        // Both directions get on as far as they can. What the response does may let more of the request go; that the
        // request went changes nothing for the response, which is looked at after it.
        loop {
            self.poll_upload(cx)?;
            match self.poll_response(cx)? {
                Step::Ended(ended) => return Poll::Ready(Ok(ended)),
                Step::Moved => {}
                Step::Waits => break,
            }
        }
        if self.reading == Reading::Head
            && let Some(sleep) = &mut self.per_try
            && sleep.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(Error::from(Reason::ResponseTimeout)));
        }
        // By value, not by the timer's mark: the mark may be an older deadline's.
        let forced = self.x.local.drain.phase() == crate::drain::Phase::Forced;
        let mut due = self.due();
        if due <= self.clock().tick() && (self.is_excused() || self.is_answered_meanwhile()) {
            due = self.due();
        }
        if forced || due <= self.clock().tick() {
            return Poll::Ready(Err(self.overdue()));
        }
        self.timer.set(due);
        self.read_at = None;
        // Here alone anything is held for longer than this turn.
        self.x.weigh(self.up.weight());
        self.down.weigh();
        Poll::Pending
    }

    /// The first of all deadlines.
    fn due(&self) -> Tick {
        let due = self.upload_due.min(self.response_due).min(self.stall.due());
        self.limits.total.min(due.min(self.body_rate_due))
    }

    fn clock(&self) -> &'x Deadlines {
        self.timer.deadlines()
    }

    fn begin(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        self.x.record.phase(Phase::Headers);
        if self.upload == Upload::Sent {
            self.response_due = self.clock().after(self.limits.response);
            self.begin_try();
        } else {
            self.awaits_body();
            if self.x.record.head().expect() == Expect::Continue {
                self.down.go_on(cx)?;
            }
        }
        Ok(())
    }

    /// Which deadline passed.
    fn overdue(&self) -> Error {
        let now = self.clock().tick();
        if self.limits.total <= now {
            Error::from(Reason::MaxDuration)
        } else if self.x.local.drain.phase() == crate::drain::Phase::Forced {
            Error::from(Reason::Shutdown)
        } else if let Some(slow) = self.stall.over(now) {
            let detail = match slow {
                Slow::Stuck => Detail::WriteStall,
                Slow::Crawls => Detail::WriteRate,
            };
            Error::new(Reason::BodyTimeout, detail)
        } else if self.body_rate_due <= now {
            Error::new(Reason::BodyTimeout, Detail::BodyRate)
        } else if self.upload_due <= now && !self.up.pending(&self.x.kit) {
            Error::from(Reason::BodyTimeout)
        } else if self.reading == Reading::Head {
            Error::from(Reason::ResponseTimeout)
        } else {
            Error::from(Reason::UpstreamIdle)
        }
    }
}

/// An attempt over a shared connection.
pub(super) async fn http2<D: Downstream>(
    x: &mut Exchange,
    down: &mut D,
    seat: &Seat,
    endpoint: &Endpoint,
    outgoing: &mut Outgoing,
    terms: Terms<'_>,
    body: More,
) -> (Result<Ended, Error>, Over) {
    let up = match Http2::new(
        x,
        endpoint,
        seat,
        outgoing,
        body,
        down.trailers(),
        terms.answers,
    ) {
        Ok(up) => up,
        Err(error) => return (Err(error), Over::nothing(body)),
    };
    let mut transfer = Transfer::new(x, down, up, terms, body);
    let ended = poll_fn(|cx| transfer.poll(cx)).await;
    (ended, transfer.over())
}

/// What is read from the endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reading {
    Head,
    Body,
    /// Nothing more: the 101 is on its way to the client.
    Switched,
}

/// What a look at the response side gave.
#[derive(Debug)]
enum Step {
    Moved,
    Waits,
    Ended(Ended),
}
