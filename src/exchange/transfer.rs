//! Head and body both ways at once, between a client and one endpoint.
//!
//! Each direction is: write what waits; then read one buffer and hand it on. A direction whose other side does
//! not take bytes is not read, so no more than one buffer is held each way.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Sleep;

use super::side::{Answer, Answered, Downstream, Piece};
use super::{Exchange, filters_up};
use crate::base::{Detail, Error, Phase, Reason, clock};
use crate::cluster::{Methods, RetryOn};
use crate::exchange::outgoing::Outgoing;
use crate::http1::body::{BodyReader, More};
use crate::http1::chunked;
use crate::http1::response::{self, Persist, Start};
use crate::http1::trailers;
use crate::limit::{Grant, RetryBudget};
use crate::message::{BodyLength, Expect, Field, Known, Method, Upgrade};
use crate::net::deadline::{Deadlines, Tick};
use crate::net::{Stream, Timer};
use crate::route::Route;
use crate::worker::local::{HEADROOM, READ};

/// Time limits of one attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Request sent to response head.
    pub(super) response: std::time::Duration,
    /// Between two reads of the response body.
    pub(super) response_idle: std::time::Duration,
    /// The same for event streams.
    pub(super) tunnel: std::time::Duration,
    /// Between two reads of the request body, and between two writes to the client.
    pub(super) body: std::time::Duration,
    /// The whole exchange.
    pub(super) total: Tick,
}

/// What decides whether a status is tried again.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatusRetry<'x> {
    /// The statuses.
    pub(super) on: &'x RetryOn,
    /// The methods.
    pub(super) methods: Methods,
    /// What pays for it.
    pub(super) budget: &'x RefCell<RetryBudget>,
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
    /// The response, of this status, is with the client. Whether the endpoint's connection may be used again.
    Whole(u16, Persist),
    /// The protocol was changed.
    Switched,
    /// The response is one that the configuration retries; nothing was passed on.
    Retryable(u16),
}

/// One attempt under way.
pub(super) struct Transfer<'x, D> {
    pub(super) x: &'x mut Exchange,
    pub(super) down: &'x mut D,
    pub(super) route: &'x Route,
    pub(super) timer: &'x Timer,
    pub(super) stream: &'x Stream,
    pub(super) outgoing: &'x mut Outgoing,
    pub(super) limits: Limits,
    /// Statuses that are retried, when this attempt is not the last.
    pub(super) statuses: Option<StatusRetry<'x>>,
    /// Ends the wait for a response head.
    pub(super) per_try: Option<Pin<Box<Sleep>>>,
    upload: Upload,
    reading: Reading,
    interims: u32,
    response: BodyReader,
    status: u16,
    persist: Persist,
    upload_due: Tick,
    response_due: Tick,
    idle: std::time::Duration,
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
        outgoing: &'x mut Outgoing,
        limits: Limits,
        upload: More,
    ) -> Self {
        let upload = match upload {
            More::Follows => Upload::Body,
            More::Ended => Upload::Sent,
        };
        Self {
            x,
            down,
            route,
            timer,
            stream,
            outgoing,
            limits,
            statuses: None,
            per_try: None,
            upload,
            reading: Reading::Head,
            interims: 0,
            response: BodyReader::Ended,
            status: 0,
            persist: Persist::Close,
            upload_due: Tick::NEVER,
            response_due: Tick::NEVER,
            idle: limits.response_idle,
        }
    }

    /// Whether the request body has been read to its end.
    pub(super) fn upload(&self) -> More {
        if self.upload == Upload::Body {
            More::Follows
        } else {
            More::Ended
        }
    }

    /// Runs until the response is with the client, or until something failed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ended, Error>> {
        if self.response_due == Tick::NEVER && self.upload_due == Tick::NEVER {
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
                if self.timer.fired() {
                    return Poll::Ready(Err(self.overdue()));
                }
                self.timer.set(
                    self.limits
                        .total
                        .min(self.upload_due)
                        .min(self.response_due),
                );
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
        } else if self.upload_due <= now {
            Error::from(Reason::BodyTimeout)
        } else if self.reading == Reading::Head {
            Error::from(Reason::ResponseTimeout)
        } else if self.response_due <= now {
            Error::from(Reason::UpstreamIdle)
        } else {
            Error::new(Reason::BodyTimeout, Detail::WriteStall)
        }
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<Moved, Error> {
        let mut moved = Moved::No;
        loop {
            if self.outgoing.pending(&self.x.kit.outgoing) {
                let before = self.outgoing.accepted();
                let written = self
                    .outgoing
                    .poll_write(cx, self.stream, &mut self.x.kit.outgoing);
                if self.outgoing.accepted() != before {
                    moved = Moved::Yes;
                }
                match written {
                    Poll::Pending => return Ok(moved),
                    Poll::Ready(Ok(())) => self.progressed(),
                    Poll::Ready(Err(error)) => return self.broken(error).map(|()| moved),
                }
            }
            if self.upload != Upload::Body {
                return Ok(moved);
            }
            match self.read_piece(cx)? {
                Poll::Ready(()) => moved = Moved::Yes,
                Poll::Pending => return Ok(moved),
            }
        }
    }

    /// Bytes went to the endpoint: the clocks start anew.
    fn progressed(&mut self) {
        if self.upload == Upload::Body {
            self.upload_due = self.clock().after(self.limits.body);
        } else {
            self.upload_due = Tick::NEVER;
            if self.reading == Reading::Head {
                self.response_due = self.clock().after(self.limits.response);
            }
        }
    }

    /// The endpoint takes no more. If it took nothing at all the attempt failed; else it may have answered
    /// early, and the answer counts (E-034).
    fn broken(&mut self, error: std::io::Error) -> Result<(), Error> {
        if self.outgoing.accepted() == 0 {
            return Err(Error::caused(Reason::UpstreamReset, Detail::Reset, error));
        }
        self.upload = Upload::Broken;
        self.x.kit.outgoing.clear();
        self.upload_due = Tick::NEVER;
        self.response_due = self.clock().after(self.limits.response);
        Ok(())
    }

    fn read_piece(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Error> {
        let local = std::rc::Rc::clone(&self.x.local);
        let mut scratch = local.scratch();
        let Poll::Ready(piece) = self.down.poll_body(cx, &mut scratch)? else {
            return Ok(Poll::Pending);
        };
        if let Some(limit) = self.route.limits.body
            && self.down.bodies().0 > limit
        {
            return Err(Error::from(Reason::BodyTooLarge));
        }
        if piece.more == More::Ended {
            self.upload = Upload::Sent;
        }
        let range = match self.x.record.head().body() {
            BodyLength::Chunked => chunked::frame(&mut scratch, piece.start, piece.len),
            _ => piece.start..piece.start + piece.len,
        };
        let bytes = scratch.get(range).unwrap_or_default();
        let buffer = &mut self.x.kit.outgoing;
        let mut written = self.outgoing.push(cx, self.stream, buffer, bytes);
        if piece.more == More::Ended && self.x.record.head().body() == BodyLength::Chunked {
            let mut end = Vec::new();
            let mut kept = Vec::new();
            trailers::filter(self.down.trailers(), &mut kept)
                .map_err(|detail| Error::new(Reason::ClientProtocol, detail))?;
            chunked::encode_end(&kept, &mut end);
            if !matches!(written, Poll::Ready(Err(_))) {
                written = self.outgoing.push(cx, self.stream, buffer, &end);
            }
        }
        match written {
            Poll::Ready(Err(error)) => self.broken(error)?,
            Poll::Ready(Ok(())) | Poll::Pending => self.progressed(),
        }
        Ok(Poll::Ready(()))
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Result<Step, Error> {
        if self.down.poll_flush(cx)?.is_pending() {
            // While the client does not read, the endpoint's silence is our own doing.
            if self.response_due != Tick::NEVER && self.down.answered() != Answered::Nothing {
                self.response_due = Tick::NEVER;
                self.upload_due = self.clock().after(self.limits.body);
            }
            return Ok(Step::Waits);
        }
        if self.down.answered() == Answered::Whole {
            return Ok(Step::Ended(Ended::Whole(self.status, self.persist)));
        }
        let local = std::rc::Rc::clone(&self.x.local);
        let mut scratch = local.scratch();
        let read = scratch
            .get_mut(HEADROOM..HEADROOM + READ)
            .unwrap_or_default();
        let len = match self.stream.poll_read(cx, read) {
            Poll::Ready(Ok(len)) => len,
            Poll::Ready(Err(error)) => return Err(self.cut(Detail::Reset, Some(error))),
            Poll::Pending => {
                if self.upload != Upload::Body
                    && let Poll::Ready(error) = self.down.poll_gone(cx)
                {
                    return Err(error);
                }
                return Ok(Step::Waits);
            }
        };
        if self.reading == Reading::Head {
            if len == 0 {
                return Err(self.cut(Detail::Eof, None));
            }
            return self.head(cx, &mut scratch, len);
        }
        if self.down.answered() == Answered::Head && self.upload != Upload::Body {
            self.upload_due = Tick::NEVER;
        }
        self.body(cx, &mut scratch, HEADROOM, len)
    }

    /// The endpoint ended the connection in the middle.
    fn cut(&mut self, detail: Detail, error: Option<std::io::Error>) -> Error {
        let reason = match (self.reading, self.x.kit.partial.is_empty()) {
            (Reading::Head, true) => Reason::UpstreamReset,
            (Reading::Head, false) => Reason::UpstreamProtocol,
            (Reading::Body, _) => Reason::UpstreamTruncated,
        };
        match error {
            Some(error) => Error::caused(reason, detail, error),
            None => Error::new(reason, detail),
        }
    }

    /// Bytes of a response head, perhaps with the first of its body. Informational responses may come first.
    fn head(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        read: usize,
    ) -> Result<Step, Error> {
        let method = self.x.record.head().method();
        let (mut at, mut left) = (HEADROOM, read);
        while left > 0 {
            let kit = &mut *self.x.kit;
            let input = scratch.get(at..at + left).unwrap_or_default();
            let Some(start) = collect(input, method, &mut kit.partial, &mut kit.fields)? else {
                return Ok(Step::Moved);
            };
            let used = start.used;
            at += used;
            left -= used;
            let view = start.head.head(&kit.partial, &kit.fields);
            if view.status >= 200 || view.status == 101 {
                return self.respond(cx, scratch, &start.head, at, left);
            }
            self.interims += 1;
            if self.interims > MAX_INTERIM {
                return Err(Error::new(Reason::UpstreamProtocol, Detail::Interim));
            }
            if view.status == 103 {
                self.down.interim(cx, &view)?;
            }
            kit.partial.clear();
        }
        Ok(Step::Moved)
    }

    /// A final head: decide, run the filters, and pass it on with what is there of the body.
    fn respond(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        start: &Start,
        at: usize,
        len: usize,
    ) -> Result<Step, Error> {
        let (status, body, switching) = self.judge(start)?;
        if switching == Upgrade::None && self.retries(status) {
            return Ok(Step::Ended(Ended::Retryable(status)));
        }
        self.reading = Reading::Body;
        self.x.record.first_byte(clock::now());
        self.x.record.phase(Phase::Data);
        self.x.record.status(status);
        self.status = status;
        self.persist = start.persist;
        self.response = BodyReader::new(body);
        let piece = if switching == Upgrade::WebSocket {
            Piece {
                start: at,
                len,
                more: More::Follows,
            }
        } else {
            self.decode(scratch, at, len)?
        };
        let kit = &mut *self.x.kit;
        let view = start.head(&kit.partial, &kit.fields);
        self.idle = match view.first(Known::ContentType) {
            Some(kind) if is_event_stream(kind) => self.limits.tunnel,
            _ => self.limits.response_idle,
        };
        if switching == Upgrade::None {
            filters_up(&mut kit.response_edits, self.route, &view);
        }
        let answer = Answer {
            head: &view,
            edits: &kit.response_edits,
            body,
            switching,
        };
        self.down.head(cx, &answer, scratch, piece)?;
        if switching == Upgrade::WebSocket {
            return Ok(Step::Ended(Ended::Switched));
        }
        self.advanced();
        Ok(Step::Moved)
    }

    /// Whether this status is tried again; if so the retry is paid for.
    fn retries(&self, status: u16) -> bool {
        let Some(statuses) = &self.statuses else {
            return false;
        };
        statuses.on.status(status)
            && statuses.methods.contains(self.x.record.head().method())
            && self.outgoing.resendable()
            && statuses.budget.borrow_mut().withdraw(clock::now()) == Grant::Granted
    }

    /// Status, body length, and whether the protocol changes: only to what was asked for, and only when the
    /// endpoint says so too (E-039, E-077).
    fn judge(&self, start: &Start) -> Result<(u16, BodyLength, Upgrade), Error> {
        let kit = &self.x.kit;
        let view = start.head(&kit.partial, &kit.fields);
        if view.status != 101 {
            return Ok((view.status, view.body, Upgrade::None));
        }
        let agrees = view.hops.upgrade
            && view
                .first(Known::Upgrade)
                .is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
        match self.x.record.head().upgrade() {
            Upgrade::WebSocket if agrees => Ok((101, BodyLength::None, Upgrade::WebSocket)),
            _ => Err(Error::new(Reason::UpstreamProtocol, Detail::Upgrade)),
        }
    }

    fn body(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        start: usize,
        len: usize,
    ) -> Result<Step, Error> {
        let piece = if len == 0 {
            self.response
                .end_of_stream()
                .map_err(|detail| Error::new(Reason::UpstreamTruncated, detail))?;
            Piece {
                start,
                len: 0,
                more: More::Ended,
            }
        } else {
            self.decode(scratch, start, len)?
        };
        let mut kept = Vec::new();
        if piece.more == More::Ended {
            trailers::filter(self.response.trailers(), &mut kept)
                .map_err(|detail| Error::new(Reason::UpstreamProtocol, detail))?;
        }
        self.down.piece(cx, scratch, piece, &kept)?;
        self.advanced();
        Ok(Step::Moved)
    }

    /// Decodes in place; bytes after the end of the body make the connection unusable (E-037).
    fn decode(&mut self, scratch: &mut [u8], start: usize, len: usize) -> Result<Piece, Error> {
        let decoded = self
            .response
            .decode(scratch, start, len)
            .map_err(|detail| Error::new(Reason::UpstreamProtocol, detail))?;
        if decoded.used < len {
            self.persist = Persist::Close;
        }
        Ok(Piece {
            start,
            len: decoded.data,
            more: decoded.more,
        })
    }

    fn advanced(&mut self) {
        self.response_due = self.clock().after(self.idle);
    }
}

/// Most informational responses before a final one (E-038).
const MAX_INTERIM: u32 = 16;

/// What is read from the endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reading {
    Head,
    Body,
}

/// A parsed head and how much of the input it took.
struct Collected {
    head: Start,
    used: usize,
}

/// Takes a response head together in `partial`: from one read as a rule, from several when it comes in pieces.
fn collect(
    input: &[u8],
    method: Method,
    partial: &mut Vec<u8>,
    fields: &mut Vec<Field>,
) -> Result<Option<Collected>, Error> {
    let before = partial.len();
    partial.extend_from_slice(input);
    let parsed = response::parse(partial, method, fields)?;
    Ok(parsed.map(|head| {
        partial.truncate(head.len);
        Collected {
            used: head.len.saturating_sub(before),
            head,
        }
    }))
}

fn is_event_stream(kind: &[u8]) -> bool {
    const KIND: &[u8] = b"text/event-stream";
    kind.get(..KIND.len())
        .is_some_and(|kind| kind.eq_ignore_ascii_case(KIND))
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
