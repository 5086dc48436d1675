//! The request's direction: from the client to the endpoint.

use std::task::{Context, Poll};
use std::time::Duration;

use super::throttle::Turn;
use super::{After, Reading, Transfer, Upload};
use crate::base::{Error, Reason};
use crate::exchange::side::{Answered, Downstream, Piece};
use crate::exchange::upstream::Upstream;
use crate::filter::Way;
use crate::http1::body::More;
use crate::http1::trailers::Carries;
use crate::message::trailer::Dropped;
use crate::net::deadline::Tick;
use crate::net::pace::Pace;
use crate::worker::scratch::HEADROOM;

impl<D: Downstream, U: Upstream> Transfer<'_, D, U> {
    /// Sends what there is, until the endpoint takes no more or the client has sent no more.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let mut moved = false;
        // What of the body is here already joins the head, so that both leave in one send.
        if self.upload == Upload::Body && self.up.untouched(&self.x.kit) {
            moved = self.read_piece(cx)?.is_ready();
        }
        loop {
            if self.upload == Upload::Broken {
                return Ok(());
            }
            if self.up.pending(&self.x.kit) {
                let before = self.up.accepted();
                let handed_over = self.upload != Upload::Body && self.up.is_bundled();
                match self.up.poll_write(cx, &mut self.x.kit) {
                    Poll::Pending => {
                        if moved || self.up.accepted() != before {
                            self.progressed();
                        }
                        return Ok(());
                    }
                    // The clock goes since it was handed over.
                    Poll::Ready(Ok(())) if handed_over => {}
                    Poll::Ready(Ok(())) => self.progressed(),
                    Poll::Ready(Err(error)) => return self.broken(error),
                }
            }
            if self.upload != Upload::Body || self.read_piece(cx)?.is_pending() {
                return Ok(());
            }
            moved = true;
        }
    }

    /// Bytes went to the endpoint: the clocks start anew.
    fn progressed(&mut self) {
        if self.carried == After::Carried {
            // Either direction keeps it.
            self.advanced();
        }
        self.excused_by = Tick::NEVER;
        if self.upload == Upload::Body {
            let waits_for_endpoint = self.up.pending(&self.x.kit);
            if waits_for_endpoint {
                self.awaits_no_body();
                self.upload_due = self.clock().after(self.limits.response);
            } else {
                self.awaits_body();
            }
        } else {
            self.awaits_no_body();
            if self.reading == Reading::Head {
                self.response_due = self.clock().after(self.limits.response);
            }
        }
    }

    /// The client is to send: until when it must have sent anything, and until when enough.
    pub(super) fn awaits_body(&mut self) {
        self.openings = self.down.openings();
        self.upload_due = self.clock().after(self.limits.body);
        self.body_rate_due = self.body_pace.wait(self.clock().tick());
    }

    /// If anybody holds up the upload now, it is not the client.
    fn awaits_no_body(&mut self) {
        self.upload_due = Tick::NEVER;
        self.body_rate_due = Tick::NEVER;
        self.body_pace.rest(self.clock().tick());
    }

    /// Whether we keep the client from sending, or did since it was waited for: its clocks begin anew, for as long as the endpoints
    /// that do not read may take to answer. Uploads of its own may be what keeps it.
    #[cold]
    pub(super) fn is_excused(&mut self) -> bool {
        let now = self.clock().tick();
        if self.upload_due.min(self.body_rate_due) > now
            || self.up.pending(&self.x.kit)
            || !(self.down.is_shut_out() || self.down.openings() != self.openings)
        {
            return false;
        }
        if self.excused_by == Tick::NEVER {
            let limit = match self.limits.response {
                Duration::ZERO => self.limits.tunnel,
                limit => limit,
            };
            self.excused_by = self.clock().after(limit);
        }
        if self.excused_by <= now {
            return false;
        }
        self.body_pace = Pace::new(self.limits.body_rate);
        self.awaits_body();
        true
    }

    /// Whether the client gets an answer that the clocks of the upload must not end (E-034): they begin anew. It may have stopped to send
    /// because of the answer, and an endpoint that answers need not read. Where no more of the answer came since the upload was overdue before,
    /// nothing gets on any more.
    #[cold]
    pub(super) fn is_answered_meanwhile(&mut self) -> bool {
        let now = self.clock().tick();
        if self.reading != Reading::Body || self.upload_due.min(self.body_rate_due) > now {
            return false;
        }
        let flowed = Some(self.down.bodies().1);
        if self.up.pending(&self.x.kit) {
            // That is for `response_idle` to judge.
            self.awaits_no_body();
        } else if std::mem::replace(&mut self.flowed, flowed) != flowed {
            self.body_pace = Pace::new(self.limits.body_rate);
            self.awaits_body();
        } else {
            return false;
        }
        true
    }

    /// The whole request is with the endpoint: from now on its head is waited for.
    pub(super) fn begin_try(&mut self) {
        let limit = self.account.policy().per_try_timeout;
        self.per_try = limit.map(|limit| Box::pin(tokio::time::sleep(limit)));
    }

    /// The endpoint takes no more. If it took nothing at all the attempt failed; else it may have answered
    /// early, and the answer counts (E-034).
    fn broken(&mut self, error: Error) -> Result<(), Error> {
        if self.up.accepted() == 0 {
            return Err(error);
        }
        self.upload = Upload::Broken;
        self.awaits_no_body();
        self.response_due = self.clock().after(self.limits.response);
        self.begin_try();
        Ok(())
    }

    fn read_piece(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Error> {
        // What came with the head is passed on from where it was read, where it may all go at once.
        if self.throttled.is_none()
            && let Some((mut page, piece)) = self.down.arrived()?
        {
            self.pass_on(cx, &mut page, piece)?;
            return Ok(Poll::Ready(()));
        }
        let local = std::rc::Rc::clone(&self.x.local);
        let mut scratch = local.scratch();
        let piece = match self.turn(cx, Way::Up) {
            Turn::Waits => {
                self.awaits_no_body();
                match self.carried {
                    After::Handed => self.down.poll_cut(cx).map(Err),
                    // It may end: what came before is still to be passed on.
                    After::Carried => Poll::Pending,
                }
            }
            turn => {
                if turn == Turn::Came {
                    self.awaits_body();
                }
                let len = self.piece(Way::Up, local.read_len());
                let room = scratch.get_mut(..HEADROOM + len);
                self.down.poll_body(cx, room.unwrap_or_default())
            }
        };
        let piece = match piece {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(piece)) => piece,
            // A client that has its answer may stop sending (E-034). One that has the beginning of it broke off: nobody knows how long the
            // endpoint waits for the rest.
            Poll::Ready(Err(_)) if self.down.answered() == Answered::Whole => {
                self.upload = Upload::Broken;
                self.awaits_no_body();
                return Ok(Poll::Ready(()));
            }
            Poll::Ready(Err(error)) => return Err(error),
        };
        self.pass_on(cx, &mut scratch, piece)?;
        Ok(Poll::Ready(()))
    }

    /// Gives a piece to the endpoint.
    fn pass_on(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        piece: Piece,
    ) -> Result<(), Error> {
        if self.carried == After::Handed
            && let Some(limit) = self.route.limits.body
            && self.down.bodies().0 > limit
        {
            return Err(Error::from(Reason::BodyTooLarge));
        }
        self.throttle(Way::Up, piece.len);
        self.body = piece.more;
        self.body_pace.moved(self.clock().tick(), piece.len);
        if piece.more == More::Ended {
            self.upload = Upload::Sent;
            self.begin_try();
        }
        let trailers = self.down.trailers();
        if piece.more == More::Ended {
            self.x.record.trailers_dropped(match self.up.carries() {
                Carries::Listed => trailers.dropped,
                Carries::All => Dropped {
                    unlisted: 0,
                    ..trailers.dropped
                },
            });
        }
        let written = self.up.push(cx, &mut self.x.kit, scratch, piece, trailers);
        match written {
            Poll::Ready(Err(error)) => self.broken(error),
            Poll::Ready(Ok(())) | Poll::Pending => {
                self.progressed();
                Ok(())
            }
        }
    }
}
