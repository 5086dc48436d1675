//! HTTP/1 towards an endpoint: the request as bytes, the answer parsed where it was read to.

use std::io;
use std::task::{Context, Poll, ready};

use super::{Room, Upstream};
use crate::base::{Detail, Error, Reason};
use crate::exchange::finish::Behind;
use crate::exchange::outgoing::Outgoing;
use crate::exchange::side::Piece;
use crate::http1::body::{BodyReader, More};
use crate::http1::chunked;
use crate::http1::limits::ResponseLimits;
use crate::http1::response::{self, Persist, Start};
use crate::http1::trailers::Trailers;
use crate::message::{BodyLength, Field, Method};
use crate::net::secure::is_alert;
use crate::net::{Stream, Tell};
use crate::worker::Kit;
use crate::worker::scratch::HEADROOM;

/// One request on a connection that serves nothing else meanwhile.
pub(in crate::exchange) struct Http1<'x> {
    stream: &'x Stream,
    limits: &'x ResponseLimits,
    outgoing: &'x mut Outgoing,
    /// How the request's body goes out.
    sends: BodyLength,
    /// When to be told of what is written: behind the last of a request there is nothing to do until the endpoint answers.
    tell: Tell,
    response: BodyReader,
    persist: Persist,
    behind: Behind,
    closes: Closes,
    /// What was read and not looked at: where in the scratch, and how much. Nothing once that was let go of.
    at: usize,
    left: usize,
    /// What was read behind a head and is passed on later: one read at most.
    held: Vec<u8>,
}

fn tell(behind: More) -> Tell {
    match behind {
        More::Follows => Tell::Always,
        More::Ended => Tell::Trouble,
    }
}

/// Whether our sending side ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Closes {
    No,
    Ending,
    Ended,
}

impl<'x> Http1<'x> {
    pub(in crate::exchange) fn new(
        stream: &'x Stream,
        outgoing: &'x mut Outgoing,
        sends: BodyLength,
        body: More,
        limits: &'x ResponseLimits,
    ) -> Self {
        Self {
            stream,
            limits,
            outgoing,
            sends,
            tell: tell(body),
            response: BodyReader::Ended,
            persist: Persist::Close,
            behind: Behind::Nothing,
            closes: Closes::No,
            at: 0,
            left: 0,
            held: Vec::new(),
        }
    }

    /// Takes what was read out of the scratch where there is no room for it now.
    fn hold(&mut self, room: &Room<'_>) {
        if room.len == 0 {
            let read = room.scratch.get(self.at..self.at + self.left);
            self.held = read.unwrap_or_default().to_vec();
            self.left = 0;
        }
    }

    /// Says that nothing more comes, behind all that was carried.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.closes == Closes::Ending {
            ready!(self.stream.poll_shutdown(cx)).map_err(broken)?;
            self.closes = Closes::Ended;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads into the scratch; the end of the connection is a read of nothing.
    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut Room<'_>) -> Poll<io::Result<()>> {
        let buf = room.scratch.get_mut(HEADROOM..HEADROOM + room.len);
        let buf = buf.unwrap_or_default();
        self.at = HEADROOM;
        if self.held.is_empty() {
            self.left = ready!(self.stream.poll_read(cx, buf))?;
            return Poll::Ready(Ok(()));
        }
        self.left = self.held.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(self.held.drain(..self.left)) {
            *to = from;
        }
        Poll::Ready(Ok(()))
    }

    /// Decodes in place; bytes after the end of the body make the connection unusable (E-037).
    fn decode(&mut self, scratch: &mut [u8]) -> Result<Piece, Error> {
        let (start, len) = (self.at, std::mem::take(&mut self.left));
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
}

/// Writing to the endpoint failed.
fn broken(error: io::Error) -> Error {
    Error::caused(Reason::UpstreamReset, how(&error), error)
}

/// How a connection was lost. What an endpoint says of it may be read first when something is written.
fn how(error: &io::Error) -> Detail {
    if is_alert(error) {
        Detail::Alert
    } else {
        Detail::Reset
    }
}

/// The connection ended in a head, or before one.
fn cut(partial: &[u8], error: Option<io::Error>) -> Error {
    let reason = if partial.is_empty() {
        Reason::UpstreamReset
    } else {
        Reason::UpstreamProtocol
    };
    match error {
        Some(error) => Error::caused(reason, how(&error), error),
        None => Error::new(reason, Detail::Eof),
    }
}

impl Upstream for Http1<'_> {
    fn untouched(&self, kit: &Kit) -> bool {
        self.outgoing.untouched(&kit.outgoing)
    }

    fn pending(&self, kit: &Kit) -> bool {
        self.outgoing.pending(&kit.outgoing) || self.closes == Closes::Ending
    }

    fn is_bundled(&self) -> bool {
        self.stream.is_bundled()
    }

    fn outgoing(&self) -> &Outgoing {
        self.outgoing
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, kit: &mut Kit) -> Poll<Result<(), Error>> {
        ready!(
            self.outgoing
                .poll_write(cx, self.stream, &mut kit.outgoing, self.tell)
                .map_err(broken)?
        );
        self.poll_close(cx)
    }

    fn push(
        &mut self,
        cx: &mut Context<'_>,
        kit: &mut Kit,
        scratch: &mut [u8],
        piece: Piece,
        trailers: &Trailers,
    ) -> Poll<Result<(), Error>> {
        let mut range = piece.start..piece.start + piece.len;
        let mut with_trailers = Vec::new();
        if self.sends == BodyLength::Chunked {
            range = chunked::frame(scratch, piece.start, piece.len);
            if piece.more == More::Ended {
                // The end goes with the last data in one push, so that what is kept for another attempt is whole
                // whatever becomes of this one.
                let kept = trailers.lines.as_slice();
                if kept.is_empty()
                    && let Some(place) = scratch.get_mut(range.end..range.end + chunked::END.len())
                {
                    place.copy_from_slice(chunked::END);
                    range.end += chunked::END.len();
                } else {
                    with_trailers.extend_from_slice(scratch.get(range.clone()).unwrap_or_default());
                    chunked::encode_end(kept, &mut with_trailers);
                }
            }
        }
        let (bytes, range) = match with_trailers.len() {
            0 => (scratch, range),
            len => (with_trailers.as_mut_slice(), 0..len),
        };
        // Behind a tunnel's data comes the end of it.
        if self.sends != BodyLength::UntilClose {
            self.tell = tell(piece.more);
        } else if piece.more == More::Ended {
            self.closes = Closes::Ending;
        }
        ready!(
            self.outgoing
                .push(cx, self.stream, &mut kit.outgoing, bytes, range, self.tell)
                .map_err(broken)?
        );
        self.poll_close(cx)
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        kit: &mut Kit,
        room: &mut Room<'_>,
        asked: Method,
    ) -> Poll<Result<Start, Error>> {
        loop {
            if self.left == 0 {
                match ready!(self.poll_read(cx, room)) {
                    Ok(()) if self.left > 0 => {}
                    Ok(()) => return Poll::Ready(Err(cut(&kit.partial, None))),
                    Err(error) => return Poll::Ready(Err(cut(&kit.partial, Some(error)))),
                }
            }
            let input = room.scratch.get(self.at..self.at + self.left);
            let input = input.unwrap_or_default();
            match collect(input, asked, self.limits, &mut kit.partial, &mut kit.fields)? {
                None => self.left = 0,
                Some(Collected { head, used }) => {
                    self.at += used;
                    self.left -= used;
                    return Poll::Ready(Ok(head));
                }
            }
        }
    }

    fn first(
        &mut self,
        _: &mut Context<'_>,
        head: &Start,
        room: &mut Room<'_>,
    ) -> Result<Piece, Error> {
        self.persist = head.persist;
        self.response = BodyReader::new(head.body(), self.limits.body);
        self.hold(room);
        self.decode(room.scratch)
    }

    fn carry(&mut self) {
        self.sends = BodyLength::UntilClose;
        self.tell = Tell::Always;
        self.response = BodyReader::UntilClose;
    }

    fn switched(&mut self, room: &Room<'_>) -> Piece {
        self.hold(room);
        Piece {
            start: self.at,
            len: std::mem::take(&mut self.left),
            more: More::Follows,
        }
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room<'_>,
    ) -> Poll<Result<Piece, Error>> {
        if let Err(error) = ready!(self.poll_read(cx, room)) {
            let error = Error::caused(Reason::UpstreamTruncated, Detail::Reset, error);
            return Poll::Ready(Err(error));
        }
        if self.left > 0 {
            return Poll::Ready(self.decode(room.scratch));
        }
        self.response
            .end_of_stream()
            .map_err(|detail| Error::new(Reason::UpstreamTruncated, detail))?;
        Poll::Ready(Ok(Piece::END))
    }

    fn trailers(&mut self) -> Result<Trailers, Error> {
        self.response
            .passing()
            .map_err(|detail| Error::new(Reason::UpstreamProtocol, detail))
    }

    fn left(&self) -> (Persist, Behind) {
        let behind = match self.held.as_slice() {
            [] => self.behind,
            _ => Behind::Residue,
        };
        (self.persist, behind)
    }

    fn weight(&self) -> usize {
        self.held.capacity()
    }
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
    limits: &ResponseLimits,
    partial: &mut Vec<u8>,
    fields: &mut Vec<Field>,
) -> Result<Option<Collected>, Error> {
    if partial.is_empty() {
        // The whole head in one read: only the head is kept, the body stays where it is.
        let parsed = response::parse(input, method, limits, fields)?;
        let kept = parsed.map_or(input.len(), |head| head.len);
        partial.extend_from_slice(input.get(..kept).unwrap_or_default());
        return Ok(parsed.map(|head| Collected {
            used: head.len,
            head,
        }));
    }
    let before = partial.len();
    partial.extend_from_slice(input);
    let parsed = response::parse(partial, method, limits, fields)?;
    Ok(parsed.map(|head| {
        partial.truncate(head.len);
        Collected {
            used: head.len.saturating_sub(before),
            head,
        }
    }))
}
