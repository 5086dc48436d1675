//! The body of a request on its way in, over HTTP/1.

use std::ops::Range;
use std::task::{Context, Poll};

use super::connection::Connection;
use super::outbox::gone;
use crate::base::{Detail, Error, Reason};
use crate::exchange::Piece;
use crate::http1::body::{BodyReader, More};
use crate::http1::trailers::Trailers;
use crate::worker::scratch::{HEADROOM, Page};

/// The beginning of a body that came with its head, on the page that both were read into. Nothing else stands behind it, and its
/// length is known.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) page: Page,
    pub(super) place: Range<usize>,
}

/// How far it has come.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) body: BodyReader,
    pub(super) trailers: Trailers,
    /// Bytes of data so far.
    pub(super) read: u64,
    arrived: Option<Arrived>,
    /// Whether more of it is to come.
    more: More,
    /// What that was when the client's sending side said something while it was listened to.
    heard: Option<More>,
}

impl Intake {
    /// A body of which so much is here.
    pub(super) fn new(body: BodyReader, arrived: Option<Arrived>) -> Self {
        Self {
            body,
            trailers: Trailers::default(),
            read: 0,
            arrived,
            more: More::Follows,
            heard: None,
        }
    }

    /// The client's sending side has said something that is not for whoever listens.
    pub(super) fn heard(&mut self) {
        self.heard = Some(self.more);
    }

    /// Whether it tells us nothing more while we wait. What was heard in front of a body's end may have been the body.
    pub(super) fn is_deaf(&self) -> bool {
        self.heard == Some(self.more)
    }

    /// Whether some of it is here that nobody has asked for yet.
    pub(super) fn is_ahead(&self) -> bool {
        self.arrived.is_some()
    }

    /// Gives the page back: what stands on it is among what the connection keeps.
    pub(super) fn settle(&mut self, connection: &Connection) {
        if let Some(Arrived { page, place }) = self.arrived.take() {
            connection.keep(page.get(place).unwrap_or_default());
        }
    }

    /// Bytes of memory that its trailers take.
    pub(super) fn weight(&self) -> usize {
        self.body.trailers().len() + self.trailers.lines.capacity()
    }

    /// What came with the head, on the page that it was read into.
    pub(super) fn arrived(&mut self) -> Result<Option<(Page, Piece)>, Error> {
        let Some(Arrived { mut page, place }) = self.arrived.take() else {
            return Ok(None);
        };
        let (piece, _) = self.decode(&mut page, place.start, place.len())?;
        Ok(Some((page, piece)))
    }

    /// Decodes in place what was read there; with the piece, how many bytes of it belong to this body.
    fn decode(
        &mut self,
        buf: &mut [u8],
        start: usize,
        len: usize,
    ) -> Result<(Piece, usize), Error> {
        let wrong = |detail| Error::new(Reason::ClientProtocol, detail);
        let decoded = self.body.decode(buf, start, len).map_err(wrong)?;
        if decoded.more == More::Ended {
            match self.body.passing() {
                Ok(trailers) => self.trailers = trailers,
                Err(detail) => {
                    // What follows a malformed trailer section cannot be told apart.
                    self.body = BodyReader::UntilClose;
                    return Err(wrong(detail));
                }
            }
        }
        self.more = decoded.more;
        self.read += decoded.data as u64;
        let piece = Piece {
            start,
            len: decoded.data,
            more: decoded.more,
        };
        Ok((piece, decoded.used))
    }

    /// Reads a piece into the scratch. After one that ended the body it is not called again.
    pub(super) fn poll(
        &mut self,
        connection: &Connection,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<Result<Piece, Error>> {
        self.settle(connection);
        let most = scratch.len();
        loop {
            let place = scratch
                .get_mut(HEADROOM..(HEADROOM + connection.local.read_len()).min(most))
                .unwrap_or_default();
            let kept = {
                let input = connection.input.borrow();
                let len = input.len().min(place.len());
                if let (Some(to), Some(from)) = (place.get_mut(..len), input.get(..len)) {
                    to.copy_from_slice(from);
                }
                len
            };
            let len = if kept > 0 {
                kept
            } else {
                match connection.stream.poll_read(cx, place) {
                    Poll::Ready(Ok(0)) => {
                        let cut = |_| Error::new(Reason::ClientAbort, Detail::Eof);
                        return Poll::Ready(
                            self.body.end_of_stream().map(|()| Piece::END).map_err(cut),
                        );
                    }
                    Poll::Ready(Ok(len)) => len,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(gone(error))),
                    Poll::Pending => return Poll::Pending,
                }
            };
            let (piece, used) = self.decode(scratch, HEADROOM, len)?;
            if kept > 0 {
                connection.input.borrow_mut().drain(..used);
            } else {
                let rest = scratch.get(HEADROOM + used..HEADROOM + len);
                connection.keep(rest.unwrap_or_default());
            }
            if piece.len > 0 || piece.more == More::Ended {
                return Poll::Ready(Ok(piece));
            }
        }
    }
}
