//! The response's direction: from the endpoint to the client.

use std::task::{Context, Poll};
use std::time::Duration;

use super::throttle::Turn;
use super::{After, Ended, Reading, Step, Transfer, Upload};
use crate::base::{Detail, Error, Phase, Reason, clock};
use crate::cluster::Said;
use crate::exchange::filters::{self, Beside};
use crate::exchange::grpc::{self, Owes};
use crate::exchange::own::challenge;
use crate::exchange::page::replaces;
use crate::exchange::retry::{Decision, Failure, Reused, When, decide};
use crate::exchange::side::{Answer, Answered, Author, Downstream, Piece};
use crate::exchange::upstream::{Room, Upstream};
use crate::filter::{Reply, Way};
use crate::http1::body::More;
use crate::http1::response::Start;
use crate::message::grpc::Code;
use crate::message::{BodyLength, Known, Upgrade, keep_alive};
use crate::metrics::Outcome;
use crate::net::deadline::Tick;

impl<D: Downstream, U: Upstream> Transfer<'_, D, U> {
    pub(super) fn poll_response(&mut self, cx: &mut Context<'_>) -> Result<Step, Error> {
        if self.down.poll_flush(cx)?.is_pending() {
            self.stalled();
            self.up.hold(cx);
            return Ok(Step::Waits);
        }
        if self.stall.is_on() {
            self.stall.ends(self.clock().tick(), || self.down.owed());
            self.resumed();
        }
        if self.reading == Reading::Switched {
            return Ok(Step::Ended(Ended::Switched));
        }
        if self.down.answered() == Answered::Whole {
            return Ok(Step::Ended(Ended::Whole {
                status: self.status,
                not_retried: self.not_retried,
            }));
        }
        let local = std::rc::Rc::clone(&self.x.local);
        let mut scratch = local.scratch();
        let mut room = Room {
            scratch: &mut scratch,
            len: self.piece(Way::Down, local.read_len()),
        };
        // A head needs no turn: how long the endpoint takes for it says something of the endpoint.
        let waits = self.reading == Reading::Body && !self.has_turn(cx);
        let polled = match self.reading {
            Reading::Head => self.poll_head(cx, &mut room)?,
            Reading::Body if waits => {
                self.up.hold(cx);
                Poll::Pending
            }
            Reading::Body | Reading::Switched => match self.up.poll_piece(cx, &mut room) {
                Poll::Ready(piece) => {
                    let piece = piece?;
                    self.read_at = None;
                    self.last(cx, &mut scratch, piece)?;
                    self.throttle(Way::Down, piece.len);
                    self.advanced();
                    Poll::Ready(Step::Moved)
                }
                Poll::Pending => Poll::Pending,
            },
        };
        if let Poll::Ready(step) = polled {
            return Ok(step);
        }
        if self.upload != Upload::Body
            && let Poll::Ready(error) = self.down.poll_gone(cx)
        {
            return Err(error);
        }
        Ok(Step::Waits)
    }

    /// How much may be passed on of what is there behind a final head: nothing before its turn. No body needs none.
    fn room(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        body: BodyLength,
        switching: Upgrade,
    ) -> usize {
        let empty = matches!(body, BodyLength::None | BodyLength::Exact(0));
        if (empty && switching == Upgrade::None) || self.has_turn(cx) {
            most
        } else {
            0
        }
    }

    /// Whether more of the body may be read now. While it may not, the endpoint's silence is our own doing.
    fn has_turn(&mut self, cx: &mut Context<'_>) -> bool {
        match self.turn(cx, Way::Down) {
            Turn::Now => true,
            Turn::Came => {
                self.advanced();
                true
            }
            Turn::Waits => {
                self.response_due = Tick::NEVER;
                false
            }
        }
    }

    /// The client does not read: it has its time, and must be quick enough. Meanwhile the endpoint's silence is our
    /// own doing.
    fn stalled(&mut self) {
        if self.down.is_bundled() && !self.stall.is_on() {
            return;
        }
        if !self.stall.is_on() {
            self.response_due = Tick::NEVER;
        }
        let (clock, down) = (self.timer.deadlines(), &*self.down);
        self.stall
            .waits(clock, self.limits.write, down.unsent(), || down.owed());
    }

    /// A response head, perhaps with the first of its body. Informational responses may come first.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room<'_>,
    ) -> Result<Poll<Step>, Error> {
        let method = self.x.record.head().method();
        loop {
            let kit = &mut *self.x.kit;
            let start = match self.up.poll_head(cx, kit, room, method) {
                Poll::Ready(start) => start?,
                Poll::Pending => return Ok(Poll::Pending),
            };
            let view = start.head(&kit.partial, &kit.fields);
            if view.status >= 200 || view.status == 101 {
                return self.respond(cx, room, &start).map(Poll::Ready);
            }
            self.interims += 1;
            if self.interims > self.limits.interim {
                return Err(Error::new(Reason::UpstreamProtocol, Detail::Interim));
            }
            if view.status == 103 {
                self.down.interim(cx, &view)?;
            }
            kit.partial.clear();
        }
    }

    /// A final head: decide, run the filters, and pass it on with what is there of the body.
    fn respond(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room<'_>,
        start: &Start,
    ) -> Result<Step, Error> {
        let (mut status, body, switching) = self.judge(start)?;
        let now = clock::now();
        self.read_at = Some(now);
        let kit = &*self.x.kit;
        self.watch
            .answered(&start.head(&kit.partial, &kit.fields), now);
        let said = self.said(start);
        if switching == Upgrade::None
            && let Some(pause) = self.retries(said)
        {
            return Ok(Step::Ended(Ended::Retryable(said, pause)));
        }
        let carried = match switching {
            Upgrade::WebSocket => self.carries(),
            Upgrade::None => After::Handed,
        };
        if carried == After::Carried {
            let kit = &*self.x.kit;
            self.agreed(&start.head(&kit.partial, &kit.fields))?;
            if self.down.after() == After::Carried {
                // As the client hears it (RFC 8441, 5).
                status = 200;
            }
        }
        self.reading = Reading::Body;
        self.watch.passed_on(status, now);
        self.x.record.first_byte(now);
        self.x.record.phase(Phase::Data);
        self.status = status;
        if let Some(reply) = self.instead(cx, room, start)? {
            return Ok(Step::Ended(Ended::Replaced(reply)));
        }
        self.x.record.status(status);
        room.len = self.room(cx, room.len, body, switching);
        let piece = match switching {
            Upgrade::WebSocket => self.up.switched(room),
            Upgrade::None => self.up.first(cx, start, room)?,
        };
        let trailers = self.trailers(piece)?;
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
        let beside = Beside {
            record: &self.x.record,
            client: self.x.client,
            trust: self.x.trust,
            started: self.x.started,
        };
        let edits = &mut kit.response_edits;
        filters::up(beside, edits, &kit.kept, self.route, &view);
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
        if trailers.is_empty() {
            self.down.head(cx, &answer, room.scratch, piece)?;
        } else {
            let (first, last) = (More::Follows, Piece { len: 0, ..piece });
            let first = Piece {
                more: first,
                ..piece
            };
            self.down.head(cx, &answer, room.scratch, first)?;
            self.down.piece(cx, room.scratch, last, &trailers)?;
        }
        self.throttle(Way::Down, piece.len);
        match (switching, carried) {
            (Upgrade::WebSocket, After::Handed) => {
                self.reading = Reading::Switched;
                return Ok(Step::Moved);
            }
            (Upgrade::WebSocket, After::Carried) => self.carry(),
            (Upgrade::None, _) => {}
        }
        self.advanced();
        Ok(Step::Moved)
    }

    /// What the client gets where a page takes the place of the answer. One without a body is read to its end by that, and its
    /// connection may be used again.
    fn instead(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room<'_>,
        start: &Start,
    ) -> Result<Option<Box<Reply>>, Error> {
        let head = start.head(&self.x.kit.partial, &self.x.kit.fields);
        if head.status < 400 || !replaces(self.x, &head) {
            return Ok(None);
        }
        let reply = Box::new(Reply::instead(&head));
        if matches!(head.body, BodyLength::None | BodyLength::Exact(0)) {
            self.up.first(cx, start, room)?;
        }
        Ok(Some(reply))
    }

    /// What of the answer may be why it is not passed on: a call that failed before its first message has its status in its head.
    fn said(&mut self, start: &Start) -> Said {
        let kit = &*self.x.kit;
        let head = start.head(&kit.partial, &kit.fields);
        let told = grpc::told(&head);
        self.owes = match told {
            Some(Outcome::None) => Owes::Status,
            _ => Owes::Nothing,
        };
        match told {
            Some(outcome @ (Outcome::Code(_) | Outcome::Other)) => self.account.called(outcome),
            Some(Outcome::None) | None => {}
        }
        match (told, head.body) {
            (Some(Outcome::Code(code)), BodyLength::Exact(0)) if code != Code::Ok => {
                Said::Grpc(code)
            }
            _ => Said::Status(head.status),
        }
    }

    /// Whether an answer that says this is tried again; if so the retry is paid for, and comes after the pause.
    fn retries(&mut self, said: Said) -> Option<Duration> {
        let policy = self.account.policy();
        if !policy.on.says(said) {
            return None;
        }
        let failure = Failure {
            reason: Reason::RetriesExhausted,
            said: Some(said),
            accepted: self.up.accepted(),
            reused: Reused::Fresh,
            resendable: self.up.resendable(),
        };
        let paid = match decide(policy, self.x.record.head().method(), &failure) {
            Decision::Stop(why) => Err(why),
            Decision::FreshConnection | Decision::OtherEndpoint(_) => {
                let left = self.clock().until(self.limits.total);
                let level = self.x.local.credit.level();
                self.account.pay(When::Later, level, left, clock::now())
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
        // It cannot agree to what it has not read.
        let asked = !self.up.is_bundled();
        match self.x.record.head().upgrade() {
            Upgrade::WebSocket if agrees && asked => {
                Ok((101, BodyLength::None, Upgrade::WebSocket))
            }
            _ => Err(Error::new(Reason::UpstreamProtocol, Detail::Upgrade)),
        }
    }

    /// Passes on a piece and, with the last one, those trailers that may pass.
    fn last(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        piece: Piece,
    ) -> Result<(), Error> {
        let trailers = self.trailers(piece)?;
        self.down.piece(cx, scratch, piece, &trailers)
    }

    /// What goes behind this piece.
    fn trailers(&mut self, piece: Piece) -> Result<Vec<u8>, Error> {
        if piece.more == More::Follows {
            return Ok(Vec::new());
        }
        let (lines, dropped) = self.up.trailers()?.towards(self.down.carries());
        self.x.record.trailers_dropped(dropped);
        if std::mem::take(&mut self.owes) == Owes::Status {
            self.account.called(grpc::behind(&lines));
        }
        Ok(lines)
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

    pub(super) fn advanced(&mut self) {
        if self.reading == Reading::Body {
            self.response_due = self.clock().after(self.idle);
        }
    }
}

fn is_event_stream(kind: &[u8]) -> bool {
    const KIND: &[u8] = b"text/event-stream";
    kind.get(..KIND.len())
        .is_some_and(|kind| kind.eq_ignore_ascii_case(KIND))
}
