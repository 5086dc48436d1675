//! The HTTP/1 client's side of one exchange.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::connection::{Connection, Outlook};
use super::intake::{Arrived, Intake};
use super::outbox::{Outbox, gone};
use crate::base::{Detail, Error, Reason};
use crate::exchange::finish::{self, Promise, Rest, Wish};
use crate::exchange::{Answer, Answered, Author, Disposition, Downstream, Piece};
use crate::http1::body::{BodyReader, More};
use crate::http1::chunked;
use crate::http1::response::Persist;
use crate::http1::trailers::Trailers;
use crate::http1::write::{self, ResponsePlan};
use crate::listener::{HalfClose, ListenerSpec};
use crate::message::{
    BodyLength, Edits, Expect, Method, RequestHead, ResponseHead, Upgrade, Version,
};
use crate::metrics::Closed;
use crate::net::Tell;
use crate::net::socket::Quiet;
use crate::upstream::Private;
use crate::worker::scratch::Page;

/// What the kernel sends to a new client before it hears anything of it: ten segments (RFC 6928).
const FLIGHT: u64 = 10 * 1460;

/// The client's side of one exchange.
#[derive(Debug)]
pub(super) struct Side {
    connection: Rc<Connection>,
    intake: Intake,
    method: Method,
    version: Version,
    /// Whether somebody wants the connection to end.
    wish: Wish,
    /// What the client was told of it.
    promise: Promise,
    waits: Expect,
    outbox: Outbox,
    encoding: BodyLength,
    answered: Answered,
    half_close: HalfClose,
    /// Unread bytes of the body that are skipped at most.
    skip: u64,
    sent: u64,
}

impl Side {
    fn new(connection: &Rc<Connection>, spec: &ListenerSpec, intake: Intake) -> Self {
        Self {
            connection: Rc::clone(connection),
            intake,
            method: Method::Get,
            version: Version::Http11,
            wish: Wish::Stay,
            promise: Promise::Close,
            waits: Expect::Nothing,
            outbox: Outbox::default(),
            encoding: BodyLength::None,
            answered: Answered::Nothing,
            half_close: spec.half_close,
            skip: spec.limits.skip,
            sent: 0,
        }
    }

    /// The side of an exchange whose head was accepted, on a listener of this spec.
    pub(super) fn serving(
        connection: &Rc<Connection>,
        spec: &ListenerSpec,
        head: &RequestHead,
        arrived: Option<Arrived>,
    ) -> Self {
        let hops = head.hops();
        let wish = match head.version() {
            _ if hops.close => Wish::ClientEnds,
            Version::Http11 | Version::Http2 => Wish::Stay,
            Version::Http10 if hops.keep_alive => Wish::Stay,
            Version::Http10 => Wish::ClientEnds,
        };
        Self {
            method: head.method(),
            version: head.version(),
            wish,
            waits: head.expect(),
            ..Self::new(
                connection,
                spec,
                Intake::new(BodyReader::new(head.body(), spec.limits.body), arrived),
            )
        }
    }

    /// The side of one whose head is refused: there is no telling what follows, so the connection ends.
    pub(super) fn refusing(connection: &Rc<Connection>, spec: &ListenerSpec) -> Self {
        Self::new(connection, spec, Intake::new(BodyReader::UntilClose, None))
    }

    /// What the head of an answer says of the connection.
    fn promise(&mut self, author: Author) -> Persist {
        let connection = &*self.connection;
        let cause = match (self.wish, connection.outlook()) {
            (Wish::Stay, Outlook::Ends(cause)) => {
                self.wish = Wish::WeEnd;
                cause
            }
            _ => Closed::Client,
        };
        let rest = Rest::of(&self.intake.body);
        self.promise = finish::promise(self.wish, author, rest, self.waits, self.skip);
        connection.ends_by(match (self.wish, author) {
            (Wish::Stay, Author::Refusal) => Closed::Refused,
            (Wish::Stay, _) if self.promise != Promise::Reuse => Closed::Unread,
            _ => cause,
        });
        match self.promise {
            Promise::Reuse | Promise::Skip => Persist::Reuse,
            Promise::Close => Persist::Close,
        }
    }

    /// Whether bytes of the client are here that nobody has asked for yet.
    fn is_ahead(&self) -> bool {
        self.intake.is_ahead() || !self.connection.input.borrow().is_empty()
    }

    /// Whether something is under way, in either direction, that makes a close at once cut the answer: for bytes that nobody has
    /// read the kernel sends a reset, and drops what it still holds for the client (E-035). What fits into a first flight has
    /// left it.
    fn would_cut(&self) -> bool {
        let stream = &self.connection.stream;
        stream.quiet_now() == Quiet::No || (self.sent > FLIGHT && stream.owed() > 0)
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8], tell: Tell) -> Result<(), Error> {
        let Connection { stream, local, .. } = &*self.connection;
        self.outbox.write(cx, stream, local, bytes, tell)
    }

    /// What the kernel has not taken of the answer before goes out while this one is waited for.
    fn go_on_with_the_last(&self, cx: &mut Context<'_>) {
        // A client that is gone shows where this one is written, or where it is listened for.
        let _ = self.connection.stream.poll_left(cx);
    }

    /// Sends a piece behind what waits.
    fn send(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        piece: Piece,
        trailers: &[u8],
        tell: Tell,
    ) -> Result<(), Error> {
        let ended = piece.more == More::Ended;
        let mut range = match self.encoding {
            BodyLength::None => piece.start..piece.start,
            BodyLength::Exact(_) | BodyLength::UntilClose => piece.start..piece.start + piece.len,
            BodyLength::Chunked => chunked::frame(scratch, piece.start, piece.len),
        };
        if self.encoding != BodyLength::None {
            self.sent += piece.len as u64;
        }
        if ended {
            self.answered = Answered::Whole;
        }
        let mut end: &[u8] = &[];
        if ended && self.encoding == BodyLength::Chunked {
            match scratch.get_mut(range.end..range.end + chunked::END.len()) {
                Some(place) if trailers.is_empty() => {
                    place.copy_from_slice(chunked::END);
                    range.end += chunked::END.len();
                }
                _ => end = trailers,
            }
        }
        let bytes = scratch.get(range).unwrap_or_default();
        if end.is_empty() {
            return self.write(cx, bytes, tell);
        }
        self.write(cx, bytes, Tell::Always)?;
        let mut tail = Vec::with_capacity(end.len() + chunked::END.len());
        chunked::encode_end(end, &mut tail);
        self.write(cx, &tail, tell)
    }
}

impl Downstream for Side {
    fn arrived(&mut self) -> Result<Option<(Page, Piece)>, Error> {
        self.intake.arrived()
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<Result<Piece, Error>> {
        self.intake.poll(&self.connection, cx, scratch)
    }

    fn carry(&mut self) {
        self.intake.body = BodyReader::UntilClose;
        self.promise = Promise::Close;
        self.connection.ends_by(Closed::Tunnel);
    }

    fn trailers(&self) -> &Trailers {
        &self.intake.trailers
    }

    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.waits == Expect::Continue && self.answered == Answered::Nothing {
            self.waits = Expect::Nothing;
            if !self.is_ahead() {
                return self.write(cx, b"HTTP/1.1 100 Continue\r\n\r\n", Tell::Always);
            }
        }
        Ok(())
    }

    fn interim(&mut self, cx: &mut Context<'_>, head: &ResponseHead<'_>) -> Result<(), Error> {
        if self.version == Version::Http10 {
            return Ok(());
        }
        let plan = ResponsePlan {
            body: BodyLength::None,
            version: self.version,
            persist: Persist::Reuse,
            switching: Upgrade::None,
        };
        write::response(
            head,
            &Edits::default(),
            &plan,
            self.outbox.buffer(&self.connection.local),
        );
        self.write(cx, b"", Tell::Always)
    }

    fn head(
        &mut self,
        cx: &mut Context<'_>,
        answer: &Answer<'_>,
        scratch: &mut [u8],
        piece: Piece,
    ) -> Result<(), Error> {
        let mut persist = self.promise(answer.author);
        let bodiless = matches!(answer.head.status, 100..=199 | 204 | 304);
        let body = match answer.body {
            BodyLength::None => BodyLength::None,
            BodyLength::Exact(_) if bodiless => BodyLength::None,
            BodyLength::Exact(length) => BodyLength::Exact(length),
            BodyLength::Chunked | BodyLength::UntilClose if self.version != Version::Http10 => {
                BodyLength::Chunked
            }
            BodyLength::Chunked | BodyLength::UntilClose => {
                (self.promise, persist) = (Promise::Close, Persist::Close);
                BodyLength::UntilClose
            }
        };
        let plan = ResponsePlan {
            body,
            version: self.version,
            persist,
            switching: answer.switching,
        };
        write::response(
            answer.head,
            answer.edits,
            &plan,
            self.outbox.buffer(&self.connection.local),
        );
        self.answered = Answered::Head;
        self.encoding = match answer.switching {
            // What the endpoint sent behind its 101 is the tunnel's first data.
            Upgrade::WebSocket => BodyLength::UntilClose,
            Upgrade::None if self.method == Method::Head => BodyLength::None,
            Upgrade::None => body,
        };
        // An answer that leaves whole, and behind which the connection goes on, need not be waited for.
        let tell = match (self.promise, piece.more) {
            (Promise::Reuse, More::Ended) => Tell::Given,
            _ => Tell::Always,
        };
        self.send(cx, scratch, piece, b"", tell)?;
        self.write(cx, b"", Tell::Always)
    }

    fn piece(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        piece: Piece,
        trailers: &[u8],
    ) -> Result<(), Error> {
        self.send(cx, scratch, piece, trailers, Tell::Always)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.answered == Answered::Nothing && self.outbox.waiting() == 0 {
            // What is left is of the answer before: the endpoint of this one does not wait for it, and its clocks do not stand.
            return match self.connection.stream.poll_left(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(gone(error))),
                _ => Poll::Ready(Ok(())),
            };
        }
        self.outbox.poll_flush(cx, &self.connection.stream)
    }

    fn weigh(&self) {
        self.connection
            .weigh(self.outbox.weight() + self.intake.weight());
    }

    fn unsent(&self) -> usize {
        self.outbox.waiting()
    }

    fn is_bundled(&self) -> bool {
        self.connection.stream.is_bundled()
    }

    fn owed(&self) -> usize {
        self.connection.stream.owed()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.go_on_with_the_last(cx);
        if self.intake.is_deaf() {
            return Poll::Pending;
        }
        match self.connection.stream.poll_peek(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(gone(error)),
            Poll::Ready(Ok(0)) if self.half_close == HalfClose::Abort => {
                Poll::Ready(Error::new(Reason::ClientAbort, Detail::Eof))
            }
            // The next request, or the end of the client's sending side: neither ends this exchange (F-06).
            Poll::Ready(Ok(_)) => {
                self.intake.heard();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.go_on_with_the_last(cx);
        if self.intake.is_deaf() {
            return Poll::Pending;
        }
        self.connection.poll_end(cx)
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.go_on_with_the_last(cx);
        if self.intake.is_ahead() {
            return Poll::Pending;
        }
        self.connection.poll_cut(cx)
    }

    fn answered(&self) -> Answered {
        self.answered
    }

    fn finish(&mut self) -> Disposition {
        self.outbox.release(&self.connection.local);
        self.intake.settle(&self.connection);
        let ends = self.promise == Promise::Close && self.wish == Wish::ClientEnds;
        let here = self.is_ahead() || (ends && self.would_cut());
        let body = std::mem::take(&mut self.intake.body);
        finish::whole(self.promise, self.wish, body, here)
    }

    fn break_off(&mut self) -> Disposition {
        self.connection.ends_by(Closed::Broken);
        self.connection.stream.break_off();
        finish::broken(self.answered, self.encoding)
    }

    fn came_to(&self) -> Option<SocketAddr> {
        self.connection.stream.local_addr()
    }

    fn private(&self) -> &Private {
        &self.connection.private
    }

    fn bodies(&self) -> (u64, u64) {
        (self.intake.read, self.sent)
    }
}
