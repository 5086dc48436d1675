//! HTTP/2 towards an endpoint: one stream of a connection that serves others meanwhile.
//!
//! Nothing is held here but one piece each way: what the endpoint's windows do not let through waits in the kit, and
//! its own windows are opened again only when the client's side took what came before.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::Request;

use super::fields;
use super::kept::Kept;
use super::{Room, Upstream, request};
use crate::base::{Detail, Error, Reason};
use crate::endpoint::Endpoint;
use crate::exchange::Exchange;
use crate::exchange::finish::Behind;
use crate::exchange::outgoing::Outgoing;
use crate::exchange::side::Piece;
use crate::exchange::transfer::After;
use crate::http1::body::More;
use crate::http1::limits::ResponseLimits;
use crate::http1::response::{Persist, Start};
use crate::http1::trailers::{Carries, Trailers};
use crate::message::{BodyLength, Method, Version};
use crate::upstream::shared::Seat;
use crate::upstream::shared::failure::{Stage, is_untouched};
use crate::worker::Kit;
use crate::worker::scratch::HEADROOM;

/// One request on a connection that serves others, too.
pub(in crate::exchange) struct Http2<'x> {
    seat: &'x Seat,
    outgoing: &'x mut Outgoing,
    limits: &'x ResponseLimits,
    /// Until it is begun.
    request: Option<Request<()>>,
    sends: Option<SendStream<Bytes>>,
    /// Whether the client has sent all of the body.
    body: More,
    /// Behind the body.
    trailers: Trailers,
    /// Behind that of the answer.
    received: Trailers,
    /// Whether the stream's end was given away.
    closed: bool,
    answer: Answer,
    /// What of the body is still to come, where its length was said.
    left: Option<u64>,
    /// What of the body is here.
    kept: Kept,
    ended: bool,
    /// Of a WebSocket: what a 200 means over HTTP/1.
    accept: Option<String>,
    /// Whether it is one by now.
    tunnel: bool,
}

enum Answer {
    None,
    Awaited(ResponseFuture),
    Body(RecvStream),
}

impl<'x> Http2<'x> {
    /// The request of this exchange, with as much of its body as is kept; `body` says whether that is all.
    pub(in crate::exchange) fn new(
        x: &mut Exchange,
        endpoint: &Endpoint,
        seat: &'x Seat,
        outgoing: &'x mut Outgoing,
        body: More,
        trailers: &Trailers,
        limits: &'x ResponseLimits,
    ) -> Result<Self, Error> {
        let request = request::request(x, endpoint)
            .map_err(|detail| Error::new(Reason::BadRequest, detail))?;
        let accept = request::accept(x.record.head());
        let body = accept.as_ref().map_or(body, |_| More::Follows);
        Ok(Self {
            seat,
            outgoing,
            limits,
            request: Some(request),
            sends: None,
            body,
            trailers: trailers.clone(),
            received: Trailers::default(),
            closed: false,
            answer: Answer::None,
            left: None,
            kept: Kept::default(),
            ended: false,
            accept,
            tunnel: false,
        })
    }

    /// Sends the head; with it, the end, where no body follows.
    fn begin(&mut self, kit: &Kit) -> Result<(), Error> {
        let Some(request) = self.request.take() else {
            return Ok(());
        };
        let bare = self.body == More::Ended
            && !self.outgoing.pending(&kit.outgoing)
            && self.trailers.lines.is_empty()
            && self.trailers.unlisted.is_empty();
        match self.seat.send(request, bare) {
            Ok((answer, sends)) => {
                self.outgoing.took(1, 0);
                self.answer = Answer::Awaited(answer);
                self.sends = Some(sends);
                self.closed = bare;
                Ok(())
            }
            // The connection is on its way out, and took nothing.
            Err(error) => Err(self.failed(error, Stage::Head)),
        }
    }

    /// Says so where the endpoint did nothing with the request.
    fn failed(&mut self, error: h2::Error, stage: Stage) -> Error {
        if stage == Stage::Head && is_untouched(&error) {
            self.outgoing.disowned();
            self.seat.turned_away(&error);
        }
        self.seat.fault(error, stage)
    }

    /// Gives away the end of the stream, with the last bytes or behind them.
    fn close(&mut self, last: Bytes) -> Result<(), Error> {
        let Some(sends) = &mut self.sends else {
            return Ok(());
        };
        let (lines, _) = self.trailers.clone().towards(Carries::All);
        self.closed = true;
        request::end(self.seat, sends, last, lines)
    }

    /// Fills the scratch with what is there of the body.
    fn fill(&mut self, cx: &mut Context<'_>, room: &mut Room<'_>) -> Poll<Result<Piece, Error>> {
        let Answer::Body(body) = &mut self.answer else {
            return Poll::Ready(Err(Error::from(Reason::Internal)));
        };
        self.kept.release(body);
        let mut len = 0;
        while !self.ended && len < room.len {
            let mut data = self.kept.take();
            if data.is_empty() {
                data = match body.poll_data(cx) {
                    Poll::Ready(Some(Ok(data))) => data,
                    Poll::Ready(Some(Err(error))) => {
                        return Poll::Ready(Err(self.seat.fault(error, Stage::Body)));
                    }
                    Poll::Ready(None) => {
                        self.received = match ready!(body.poll_trailers(cx)) {
                            Ok(Some(trailers)) => {
                                fields::trailers(&trailers, self.tunnel, self.limits).map_err(
                                    |detail| Error::new(Reason::UpstreamProtocol, detail),
                                )?
                            }
                            Ok(None) => Trailers::default(),
                            Err(error) => {
                                return Poll::Ready(Err(self.seat.fault(error, Stage::Body)));
                            }
                        };
                        self.ended = true;
                        break;
                    }
                    Poll::Pending if len == 0 => return Poll::Pending,
                    Poll::Pending => break,
                };
            }
            let run = data.len().min(room.len - len);
            let from = HEADROOM + len;
            if let (Some(to), Some(from)) =
                (room.scratch.get_mut(from..from + run), data.get(..run))
            {
                to.copy_from_slice(from);
            }
            self.kept.put_back(data.split_off(run));
            len += run;
            if self.kept.is_empty() && body.is_end_stream() {
                self.ended = true;
            }
        }
        self.kept.pass(len);
        Poll::Ready(self.account(len))
    }

    /// Holds the body against the length that was said (E-050).
    fn account(&mut self, len: usize) -> Result<Piece, Error> {
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(len as u64)
                .ok_or(Error::new(Reason::UpstreamProtocol, Detail::ContentLength))?;
            if self.ended && *left > 0 {
                return Err(Error::new(Reason::UpstreamTruncated, Detail::ContentLength));
            }
        }
        Ok(Piece {
            start: HEADROOM,
            len,
            more: if self.ended {
                More::Ended
            } else {
                More::Follows
            },
        })
    }
}

impl Upstream for Http2<'_> {
    fn untouched(&self, kit: &Kit) -> bool {
        self.request.is_some() && !self.outgoing.pending(&kit.outgoing)
    }

    fn pending(&self, kit: &Kit) -> bool {
        self.request.is_some()
            || self.outgoing.pending(&kit.outgoing)
            || (self.body == More::Ended && !self.closed)
    }

    fn outgoing(&self) -> &Outgoing {
        self.outgoing
    }

    fn carries(&self) -> Carries {
        Carries::All
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, kit: &mut Kit) -> Poll<Result<(), Error>> {
        self.begin(kit)?;
        loop {
            let waits = self.outgoing.waiting(&kit.outgoing).len();
            if waits == 0 {
                break;
            }
            let Some(sends) = &mut self.sends else {
                return Poll::Pending;
            };
            let len = ready!(request::poll_capacity(cx, self.seat, sends, waits))?;
            let waiting = self.outgoing.waiting(&kit.outgoing);
            let data = Bytes::copy_from_slice(waiting.get(..len).unwrap_or_default());
            self.outgoing.took(len, len);
            if len == waits && self.body == More::Ended {
                self.close(data)?;
            } else {
                sends
                    .send_data(data, false)
                    .map_err(|error| self.seat.fault(error, Stage::Head))?;
            }
        }
        self.outgoing.settle(&mut kit.outgoing);
        if self.body == More::Ended && !self.closed {
            self.close(Bytes::new())?;
        }
        Poll::Ready(Ok(()))
    }

    fn push(
        &mut self,
        cx: &mut Context<'_>,
        kit: &mut Kit,
        scratch: &mut [u8],
        piece: Piece,
        trailers: &Trailers,
    ) -> Poll<Result<(), Error>> {
        self.body = piece.more;
        if piece.more == More::Ended {
            self.trailers = trailers.clone();
        }
        let data = scratch.get(piece.start..piece.start + piece.len);
        self.outgoing
            .take_in(&mut kit.outgoing, data.unwrap_or_default());
        self.poll_write(cx, kit)
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        kit: &mut Kit,
        _room: &mut Room<'_>,
        asked: Method,
    ) -> Poll<Result<Start, Error>> {
        let Answer::Awaited(answer) = &mut self.answer else {
            return Poll::Pending;
        };
        let protocol = |detail| Error::new(Reason::UpstreamProtocol, detail);
        match answer.poll_informational(cx) {
            Poll::Ready(Some(Ok(head))) => {
                fields::flatten(
                    head.headers(),
                    self.limits,
                    &mut kit.partial,
                    &mut kit.fields,
                )
                .map_err(protocol)?;
                let status = head.status().as_u16();
                if status == 101 {
                    // RFC 9113, 8.6: there is no such thing in this protocol.
                    return Poll::Ready(Err(protocol(Detail::Upgrade)));
                }
                let len = kit.partial.len();
                let start = Start::new(len, status, Version::Http2, BodyLength::None);
                return Poll::Ready(Ok(start));
            }
            Poll::Ready(Some(Err(error))) => {
                return Poll::Ready(Err(self.failed(error, Stage::Head)));
            }
            Poll::Ready(None) | Poll::Pending => {}
        }
        let (head, body) = match ready!(Pin::new(answer).poll(cx)) {
            Ok(response) => response.into_parts(),
            Err(error) => return Poll::Ready(Err(self.failed(error, Stage::Head))),
        };
        let length = fields::flatten(
            &head.headers,
            self.limits,
            &mut kit.partial,
            &mut kit.fields,
        )
        .map_err(protocol)?;
        let status = head.status.as_u16();
        if let (Some(accept), 200..=299) = (&self.accept, status) {
            self.tunnel = true;
            self.answer = Answer::Body(body);
            let start = fields::switched(accept, &mut kit.partial, &mut kit.fields);
            return Poll::Ready(Ok(start));
        }
        let bodiless = asked == Method::Head || matches!(status, 204 | 304);
        let length = match length {
            _ if bodiless => BodyLength::None,
            Some(length) => BodyLength::Exact(length),
            None if body.is_end_stream() => BodyLength::Exact(0),
            // The end is marked, as that of chunks is.
            None => BodyLength::Chunked,
        };
        self.left = match length {
            BodyLength::Exact(left) => Some(left),
            _ => None,
        };
        self.ended = bodiless;
        self.answer = Answer::Body(body);
        let len = kit.partial.len();
        Poll::Ready(Ok(Start::new(len, status, Version::Http2, length)))
    }

    fn first(
        &mut self,
        cx: &mut Context<'_>,
        _head: &Start,
        room: &mut Room<'_>,
    ) -> Result<Piece, Error> {
        match self.fill(cx, room) {
            Poll::Ready(piece) => piece,
            Poll::Pending => self.account(0),
        }
    }

    fn after(&self) -> After {
        After::Carried
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room<'_>,
    ) -> Poll<Result<Piece, Error>> {
        self.fill(cx, room)
    }

    fn trailers(&mut self) -> Result<Trailers, Error> {
        Ok(std::mem::take(&mut self.received))
    }

    fn left(&self) -> (Persist, Behind) {
        // The stream ends with this; the connection goes on without a word.
        (Persist::Close, Behind::Nothing)
    }

    fn hold(&mut self, cx: &mut Context<'_>) {
        if let (Answer::Body(body), false) = (&mut self.answer, self.ended) {
            self.kept.hold(cx, body);
        }
    }

    fn weight(&self) -> usize {
        self.kept.weight()
    }
}
