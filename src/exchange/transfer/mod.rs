//! Head and body both ways at once, between a client and one endpoint.
//!
//! Each direction is: write what waits; then read one buffer and hand it on. A direction whose other side does
//! not take bytes is not read, so no more than one buffer is held each way.

mod response;
mod upload;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use super::Exchange;
use super::outgoing::Outgoing;
use super::retry::Account;
use super::side::Downstream;
use super::watch::Watch;
use crate::base::{Detail, Error, Phase, Reason};
use crate::http1::body::{BodyReader, More};
use crate::http1::response::Persist;
use crate::message::Expect;
use crate::net::deadline::{Deadlines, Tick};
use crate::net::{Stream, Timer};
use crate::route::Route;

/// Time limits of one attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Request sent to response head.
    pub(super) response: Duration,
    /// Between two reads of the response body.
    pub(super) response_idle: Duration,
    /// The same for event streams.
    pub(super) tunnel: Duration,
    /// Between two reads of the request body, and between two writes to the client.
    pub(super) body: Duration,
    /// The whole exchange.
    pub(super) total: Tick,
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
    /// The response, of this status, is with the client. Whether the endpoint's connection may be used again; and if
    /// the configuration retries the status, why that was not done.
    Whole(u16, Persist, Detail),
    /// The protocol was changed.
    Switched,
    /// The response is one that the configuration retries; nothing was passed on. The retry is paid for, and comes
    /// after this pause.
    Retryable(u16, Duration),
}

/// One attempt under way.
pub(super) struct Transfer<'x, D> {
    pub(super) x: &'x mut Exchange,
    pub(super) down: &'x mut D,
    pub(super) route: &'x Route,
    pub(super) timer: &'x Timer,
    pub(super) stream: &'x Stream,
    /// Is told how the endpoint answers.
    watch: &'x Watch<'x>,
    pub(super) outgoing: &'x mut Outgoing,
    pub(super) limits: Limits,
    account: &'x Account<'x>,
    not_retried: Detail,
    /// Ends the wait for a response head.
    pub(super) per_try: Option<Pin<Box<Sleep>>>,
    upload: Upload,
    reading: Reading,
    interims: u32,
    response: BodyReader,
    status: u16,
    persist: Persist,
    /// Whether the request body has been read to its end.
    body: More,
    begun: bool,
    upload_due: Tick,
    response_due: Tick,
    /// The client does not take the response.
    stall_due: Tick,
    idle: Duration,
}

impl<'x, D: Downstream> Transfer<'x, D> {
    #[expect(
        clippy::too_many_arguments,
        reason = "an attempt is where all of them meet"
    )]
    pub(super) fn new(
        x: &'x mut Exchange,
        down: &'x mut D,
        route: &'x Route,
        timer: &'x Timer,
        stream: &'x Stream,
        watch: &'x Watch<'x>,
        outgoing: &'x mut Outgoing,
        limits: Limits,
        body: More,
        account: &'x Account<'x>,
    ) -> Self {
        let upload = match body {
            More::Follows => Upload::Body,
            More::Ended => Upload::Sent,
        };
        Self {
            x,
            down,
            route,
            timer,
            stream,
            watch,
            outgoing,
            limits,
            account,
            not_retried: Detail::None,
            per_try: None,
            upload,
            reading: Reading::Head,
            interims: 0,
            response: BodyReader::Ended,
            status: 0,
            persist: Persist::Close,
            body,
            begun: false,
            upload_due: Tick::NEVER,
            response_due: Tick::NEVER,
            stall_due: Tick::NEVER,
            idle: limits.response_idle,
        }
    }

    /// Whether the request body has been read to its end.
    pub(super) fn upload(&self) -> More {
        self.body
    }

    /// Runs until the response is with the client, or until something failed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ended, Error>> {
        if !std::mem::replace(&mut self.begun, true) {
            self.begin(cx)?;
        }
        loop {
            let sent = self.poll_upload(cx)?;
            let received = match self.poll_response(cx)? {
                Step::Ended(ended) => return Poll::Ready(Ok(ended)),
                Step::Moved => Moved::Yes,
                Step::Waits => Moved::No,
            };
            if (sent, received) == (Moved::No, Moved::No) {
                if self.reading == Reading::Head
                    && let Some(sleep) = &mut self.per_try
                    && sleep.as_mut().poll(cx).is_ready()
                {
                    return Poll::Ready(Err(Error::from(Reason::ResponseTimeout)));
                }
                // By value, not by the timer's mark: the mark may be an older deadline's.
                let due = self.upload_due.min(self.response_due).min(self.stall_due);
                let due = self.limits.total.min(due);
                let forced = self.x.local.drain.phase() == crate::drain::Phase::Forced;
                if forced || due <= self.clock().tick() {
                    return Poll::Ready(Err(self.overdue()));
                }
                self.timer.set(due);
                return Poll::Pending;
            }
        }
    }

    fn clock(&self) -> &'x Deadlines {
        self.timer.deadlines()
    }

    fn begin(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        self.x.record.phase(Phase::Headers);
        if self.upload == Upload::Sent {
            self.response_due = self.clock().after(self.limits.response);
        } else {
            self.upload_due = self.clock().after(self.limits.body);
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
        } else if self.stall_due <= now {
            Error::new(Reason::BodyTimeout, Detail::WriteStall)
        } else if self.upload_due <= now && !self.outgoing.pending(&self.x.kit.outgoing) {
            Error::from(Reason::BodyTimeout)
        } else if self.reading == Reading::Head {
            Error::from(Reason::ResponseTimeout)
        } else {
            Error::from(Reason::UpstreamIdle)
        }
    }
}

/// What is read from the endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reading {
    Head,
    Body,
    /// Nothing more: the 101 is on its way to the client.
    Switched,
}

/// Whether a direction got on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Moved {
    Yes,
    No,
}

/// What a look at the response side gave.
#[derive(Debug)]
enum Step {
    Moved,
    Waits,
    Ended(Ended),
}
