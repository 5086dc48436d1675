//! The client's side of one exchange over a stream.

use std::rc::Rc;
use std::task::{Context, Poll};

use super::mux::Mux;
use super::own::Tail;
use crate::base::{Detail, Error, Reason};
use crate::exchange::{After, Answer, Answered, Disposition, Downstream, Piece};
use crate::http1::body::More;
use crate::http1::trailers::{Carries, Trailers};
use crate::http2::session::Fin;
use crate::http2::{Code, Half, Key, response};
use crate::message::{BodyLength, Edits, Expect, Method, RequestHead, ResponseHead, Upgrade};
use crate::metrics::Scope;
use crate::upstream::Private;
use crate::worker::scratch::HEADROOM;

/// Whether the answer has a body to send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Body {
    /// Its head is all.
    None,
    /// Bytes follow.
    Follows,
}

/// The client's side of one exchange.
#[derive(Debug)]
pub(super) struct Side {
    mux: Rc<Mux>,
    key: Key,
    method: Method,
    waits: Expect,
    answered: Answered,
    body: Body,
    switched: Upgrade,
    trailers: Trailers,
    read: u64,
    sent: u64,
}

/// The stream is not there: its connection ended.
fn gone() -> Error {
    Error::from(Reason::ClientAbort)
}

impl Side {
    pub(super) fn new(mux: &Rc<Mux>, key: Key, head: &RequestHead) -> Self {
        Self {
            mux: Rc::clone(mux),
            key,
            method: head.method(),
            waits: head.expect(),
            answered: Answered::Nothing,
            body: Body::None,
            switched: Upgrade::None,
            trailers: Trailers::default(),
            read: 0,
            sent: 0,
        }
    }

    fn check(&self) -> Result<(), Error> {
        let session = self.mux.peek();
        let stream = session.streams.at(self.key).ok_or_else(gone)?;
        match stream.own.failed() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn send(&mut self, scratch: &[u8], piece: Piece, trailers: &[u8]) {
        let bytes = match self.body {
            Body::None => &[],
            Body::Follows => scratch
                .get(piece.start..piece.start + piece.len)
                .unwrap_or_default(),
        };
        self.sent += bytes.len() as u64;
        let tail = match piece.more {
            More::Follows => Tail::None,
            More::Ended if trailers.is_empty() || self.body == Body::None => Tail::End,
            More::Ended => Tail::Trailers(trailers.to_vec()),
        };
        if piece.more == More::Ended {
            self.answered = Answered::Whole;
        } else if bytes.is_empty() {
            return;
        }
        self.mux.send(self.key, bytes, tail);
    }

    fn reset(&self, code: Code) {
        self.mux.session().reset(self.key, code);
        self.mux.wake();
    }
}

impl Downstream for Side {
    fn poll_body(
        &mut self,
        _cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<Result<Piece, Error>> {
        let local = &self.mux.connection.local;
        let mut session = self.mux.session();
        let before = session.out.len();
        let Some(stream) = session.streams.at_mut(self.key) else {
            return Poll::Ready(Err(gone()));
        };
        if let Some(error) = stream.own.failed() {
            return Poll::Ready(Err(error));
        }
        let own = &mut stream.own;
        let unread = own.inbox.get(own.read..).unwrap_or_default();
        let most = scratch.len().saturating_sub(HEADROOM);
        let len = unread.len().min(local.read_len()).min(most);
        if len == 0 && stream.remote == Half::Open {
            return Poll::Pending;
        }
        let place = scratch.get_mut(HEADROOM..HEADROOM + len);
        if let (Some(to), Some(from)) = (place, unread.get(..len)) {
            to.copy_from_slice(from);
        }
        let mut more = More::Follows;
        own.read += len;
        if own.read == own.inbox.len() {
            local.give_buffer(std::mem::take(&mut own.inbox));
            own.read = 0;
            if stream.remote == Half::Ended {
                more = More::Ended;
                self.trailers = std::mem::take(&mut own.trailers);
            }
        }
        self.mux.charge(own);
        session.consumed(Some(self.key), len);
        if session.out.len() > before {
            self.mux.wake();
        }
        self.read += len as u64;
        Poll::Ready(Ok(Piece {
            start: HEADROOM,
            len,
            more,
        }))
    }

    fn after(&self) -> After {
        After::Carried
    }

    fn trailers(&self) -> &Trailers {
        &self.trailers
    }

    fn go_on(&mut self, _cx: &mut Context<'_>) -> Result<(), Error> {
        let waits = std::mem::take(&mut self.waits) == Expect::Continue;
        if waits && self.answered == Answered::Nothing && self.mux.remote(self.key) == Half::Open {
            self.check()?;
            let mut session = self.mux.session();
            session.send_headers(self.key, Fin::No, |encoder, out| encoder.status(100, out));
            self.mux.gave(&mut session, self.key);
            self.mux.wake();
        }
        Ok(())
    }

    fn interim(&mut self, _cx: &mut Context<'_>, head: &ResponseHead<'_>) -> Result<(), Error> {
        self.check()?;
        let edits = Edits::default();
        let mut session = self.mux.session();
        session.send_headers(self.key, Fin::No, |encoder, out| {
            response::write(head, &edits, BodyLength::None, Upgrade::None, encoder, out);
        });
        self.mux.gave(&mut session, self.key);
        self.mux.wake();
        Ok(())
    }

    fn head(
        &mut self,
        _cx: &mut Context<'_>,
        answer: &Answer<'_>,
        scratch: &mut [u8],
        piece: Piece,
    ) -> Result<(), Error> {
        self.check()?;
        let bodiless = matches!(answer.head.status, 100..=199 | 204 | 304);
        let body = match answer.body {
            BodyLength::Exact(_) if bodiless => BodyLength::None,
            body => body,
        };
        self.switched = answer.switching;
        self.body = match (answer.switching, body) {
            (Upgrade::WebSocket, _) => Body::Follows,
            (Upgrade::None, BodyLength::None) => Body::None,
            _ if self.method == Method::Head => Body::None,
            _ => Body::Follows,
        };
        let alone = piece.len == 0 || self.body == Body::None;
        let fin = match piece.more {
            More::Ended if alone => Fin::Yes,
            _ => Fin::No,
        };
        let mut session = self.mux.session();
        session.send_headers(self.key, fin, |encoder, out| {
            response::write(
                answer.head,
                answer.edits,
                body,
                answer.switching,
                encoder,
                out,
            );
        });
        self.mux.gave(&mut session, self.key);
        drop(session);
        self.answered = Answered::Head;
        if fin == Fin::Yes {
            self.answered = Answered::Whole;
            self.mux.wake();
        } else {
            self.send(scratch, piece, b"");
            self.mux.wake();
        }
        Ok(())
    }

    fn piece(
        &mut self,
        _cx: &mut Context<'_>,
        scratch: &mut [u8],
        piece: Piece,
        trailers: &[u8],
    ) -> Result<(), Error> {
        self.check()?;
        self.send(scratch, piece, trailers);
        Ok(())
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.mux.poll_flush(self.key)
    }

    /// The connection's task weighs all of its streams.
    fn weigh(&self) {}

    /// Trailers stand apart from heads here, and nobody merges the two.
    fn carries(&self) -> Carries {
        Carries::All
    }

    fn unsent(&self) -> usize {
        self.mux.unsent(self.key)
    }

    fn is_shut_out(&self) -> bool {
        self.mux.peek().is_shut()
    }

    fn openings(&self) -> u32 {
        self.mux.peek().openings
    }

    fn owed(&self) -> usize {
        let session = self.mux.peek();
        let stream = session.streams.at(self.key);
        match stream.map_or(0, |stream| stream.own.blocked()) {
            0 => self.mux.connection.stream.owed(),
            // It waits for its windows.
            _ => 0,
        }
    }

    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Error> {
        match self.check() {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(error),
        }
    }

    fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if self.mux.is_hung_up() {
            return Poll::Ready(Error::new(Reason::ClientAbort, Detail::Eof));
        }
        self.poll_gone(cx)
    }

    fn answered(&self) -> Answered {
        self.answered
    }

    /// The answer is whole. What the client still sends is not wanted: it is told so at once if it waits for our word, or
    /// if no end of it is near.
    fn finish(&mut self) -> Disposition {
        if self.waits == Expect::Continue || self.switched == Upgrade::WebSocket {
            self.reset(Code::NoError);
        }
        Disposition::Reuse
    }

    fn break_off(&mut self) -> Disposition {
        // A tunnel that breaks off says nothing of us (RFC 8441, 5).
        let code = match self.switched {
            Upgrade::WebSocket => Code::Cancel,
            Upgrade::None => Code::Internal,
        };
        if self.check().is_ok() && code == Code::Internal {
            self.mux.count(Scope::Stream, code);
        }
        self.reset(code);
        Disposition::Close
    }

    fn private(&self) -> &Private {
        &self.mux.connection.private
    }

    fn bodies(&self) -> (u64, u64) {
        (self.read, self.sent)
    }
}
