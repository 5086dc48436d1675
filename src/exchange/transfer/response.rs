//! The response's direction: from the endpoint to the client.

use std::task::{Context, Poll};
use std::time::Duration;

use super::{Ended, Reading, Step, Transfer, Upload};
use crate::base::{Detail, Error, Phase, Reason, clock};
use crate::exchange::filters::{self, Beside};
use crate::exchange::finish::Behind;
use crate::exchange::own::challenge;
use crate::exchange::retry::{Decision, Failure, Reused, decide};
use crate::exchange::side::{Answer, Answered, Author, Downstream, Piece};
use crate::http1::body::{BodyReader, More};
use crate::http1::response::{self, Start};
use crate::http1::trailers::Trailers;
use crate::message::{BodyLength, Field, Known, Method, Upgrade, keep_alive};
use crate::net::deadline::Tick;
use crate::worker::local::HEADROOM;

impl<D: Downstream> Transfer<'_, D> {
    pub(super) fn poll_response(&mut self, cx: &mut Context<'_>) -> Result<Step, Error> {
        if self.down.poll_flush(cx)?.is_pending() {
            self.stalled();
            return Ok(Step::Waits);
        }
        if self.stall_due != Tick::NEVER {
            let now = self.clock().tick();
            self.write_pace.moved(now, self.unsent);
            self.write_pace.rest(now);
            self.write_rate_due = Tick::NEVER;
            self.stall_due = Tick::NEVER;
            self.resumed();
        }
        if self.reading == Reading::Switched {
            return Ok(Step::Ended(Ended::Switched));
        }
        if self.down.answered() == Answered::Whole {
            return Ok(Step::Ended(Ended::Whole {
                status: self.status,
                says: self.persist,
                behind: self.behind,
                not_retried: self.not_retried,
            }));
        }
        let local = std::rc::Rc::clone(&self.x.local);
        let mut scratch = local.scratch();
        let read = scratch
            .get_mut(HEADROOM..HEADROOM + local.read_len())
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
        self.body(cx, &mut scratch, HEADROOM, len)
    }

    /// The client does not read: it has its time, and must be quick enough. Meanwhile the endpoint's silence is our
    /// own doing.
    fn stalled(&mut self) {
        let (now, unsent) = (self.clock().tick(), self.down.unsent());
        if self.stall_due == Tick::NEVER {
            self.response_due = Tick::NEVER;
            self.stall_due = self.clock().after(self.limits.write);
        } else if unsent < self.unsent {
            self.stall_due = self.clock().after(self.limits.write);
            self.write_pace.moved(now, self.unsent - unsent);
        }
        self.unsent = unsent;
        self.write_rate_due = self.write_pace.wait(now);
    }

    /// The endpoint ended the connection in the middle.
    fn cut(&mut self, detail: Detail, error: Option<std::io::Error>) -> Error {
        let reason = match (self.reading, self.x.kit.partial.is_empty()) {
            (Reading::Head, true) => Reason::UpstreamReset,
            (Reading::Head, false) => Reason::UpstreamProtocol,
            (Reading::Body | Reading::Switched, _) => Reason::UpstreamTruncated,
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
        let now = clock::now();
        let kit = &*self.x.kit;
        self.watch
            .answered(&start.head(&kit.partial, &kit.fields), now);
        if switching == Upgrade::None
            && let Some(pause) = self.retries(status)
        {
            return Ok(Step::Ended(Ended::Retryable(status, pause)));
        }
        self.reading = Reading::Body;
        self.watch.passed_on(status, now);
        self.x.record.first_byte(now);
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
        self.parting.keep_alive = view.first(Known::KeepAlive).and_then(keep_alive::timeout);
        if status == 401 {
            self.parting.challenge = challenge(&view);
        }
        if switching == Upgrade::None {
            let beside = Beside {
                record: &self.x.record,
                client: self.x.client,
                trust: self.x.trust,
                started: self.x.started,
            };
            filters::up(
                beside,
                &mut kit.response_edits,
                &kit.kept,
                self.route,
                &view,
            );
        }
        if let Some(cookie) = self.cookie {
            kit.response_edits.add(b"Set-Cookie", cookie);
        }
        let answer = Answer {
            head: &view,
            edits: &kit.response_edits,
            body,
            switching,
            author: Author::Endpoint,
        };
        if piece.more == More::Ended && !self.response.trailers().is_empty() {
            let (start, more) = (piece.start, More::Follows);
            self.down
                .head(cx, &answer, scratch, Piece { more, ..piece })?;
            self.last(
                cx,
                scratch,
                Piece {
                    start,
                    len: 0,
                    more: More::Ended,
                },
            )?;
        } else {
            self.down.head(cx, &answer, scratch, piece)?;
        }
        if switching == Upgrade::WebSocket {
            self.reading = Reading::Switched;
            return Ok(Step::Moved);
        }
        self.advanced();
        Ok(Step::Moved)
    }

    /// Whether this status is tried again; if so the retry is paid for, and comes after the pause.
    fn retries(&mut self, status: u16) -> Option<Duration> {
        let policy = self.account.policy();
        if !policy.on.status(status) {
            return None;
        }
        let failure = Failure {
            reason: Reason::RetriesExhausted,
            status: Some(status),
            accepted: self.outgoing.accepted(),
            reused: Reused::Fresh,
            resendable: self.outgoing.resendable(),
        };
        let paid = match decide(policy, self.x.record.head().method(), &failure) {
            Decision::Stop(why) => Err(why),
            Decision::FreshConnection | Decision::OtherEndpoint => {
                let left = self.clock().until(self.limits.total);
                self.account.pay(left, clock::now())
            }
        };
        paid.inspect_err(|&why| {
            self.account.denied(why);
            self.not_retried = why;
        })
        .ok()
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
        self.last(cx, scratch, piece)?;
        self.advanced();
        Ok(Step::Moved)
    }

    /// Passes on a piece and, with the last one, those trailers that may pass.
    fn last(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        piece: Piece,
    ) -> Result<(), Error> {
        let mut trailers = Trailers::default();
        if piece.more == More::Ended {
            trailers = Trailers::read(self.response.trailers())
                .map_err(|detail| Error::new(Reason::UpstreamProtocol, detail))?;
            self.x.record.trailers_dropped(trailers.dropped);
        }
        self.down.piece(cx, scratch, piece, &trailers.lines)
    }

    /// Decodes in place; bytes after the end of the body make the connection unusable (E-037).
    fn decode(&mut self, scratch: &mut [u8], start: usize, len: usize) -> Result<Piece, Error> {
        let decoded = self
            .response
            .decode(scratch, start, len)
            .map_err(|detail| Error::new(Reason::UpstreamProtocol, detail))?;
        if decoded.used < len {
            self.behind = Behind::Residue;
        }
        Ok(Piece {
            start,
            len: decoded.data,
            more: decoded.more,
        })
    }

    /// The client reads again: the endpoint's clock goes on.
    fn resumed(&mut self) {
        match self.reading {
            Reading::Head if self.upload != Upload::Body => {
                self.response_due = self.clock().after(self.limits.response);
            }
            _ => self.advanced(),
        }
    }

    fn advanced(&mut self) {
        if self.reading == Reading::Body {
            self.response_due = self.clock().after(self.idle);
        }
    }
}

/// Most informational responses before a final one (E-038).
const MAX_INTERIM: u32 = 16;

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
    if partial.is_empty() {
        // The whole head in one read: only the head is kept, the body stays where it is.
        let parsed = response::parse(input, method, fields)?;
        let kept = parsed.map_or(input.len(), |head| head.len);
        partial.extend_from_slice(input.get(..kept).unwrap_or_default());
        return Ok(parsed.map(|head| Collected {
            used: head.len,
            head,
        }));
    }
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
