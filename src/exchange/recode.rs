//! The client's side of an exchange whose bodies a filter changes: everything else is as it is without.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::side::{Answer, Answered, Downstream, Piece};
use super::{Disposition, Exchange, Served, attempt};
use crate::base::{Error, Reason};
use crate::filter::{Recode, Recoded};
use crate::http1::body::More;
use crate::http1::trailers::{Carries, Trailers};
use crate::message::trailer::Dropped;
use crate::message::{BodyLength, ResponseHead};
use crate::net::Timer;
use crate::route::Route;
use crate::upstream::Private;
use crate::worker::scratch::{FRAME, TAIL};
use crate::worker::{ClusterView, Local};

/// Forwards the exchange to the cluster, through what a filter does with its bodies.
pub(super) async fn forward<D: Downstream>(
    x: &mut Exchange,
    down: &mut D,
    timer: &Timer,
    route: &Route,
    cluster: &ClusterView,
    recode: Recode,
) -> Result<Served, Error> {
    let mut side = Side {
        local: Rc::clone(&x.local),
        down,
        recode,
        answer: Recoded::No,
        dropped: Dropped::default(),
    };
    let served = attempt::forward(x, &mut side, timer, route, cluster).await;
    x.record.trailers_dropped(side.dropped);
    served
}

/// The client's side, behind a filter.
struct Side<'d, D> {
    local: Rc<Local>,
    down: &'d mut D,
    recode: Recode,
    answer: Recoded,
    /// Trailers that stood behind an answer which passes as it is.
    dropped: Dropped,
}

impl<D: Downstream> Side<'_, D> {
    /// What goes to the client instead of a piece, in a buffer with room around it for framing.
    fn recoded(&mut self, scratch: &[u8], piece: Piece, trailers: &[u8]) -> (Vec<u8>, Piece) {
        let mut out = self.local.take_buffer();
        out.resize(FRAME, 0);
        let data = scratch.get(piece.start..piece.start + piece.len);
        self.recode.response(data.unwrap_or_default(), &mut out);
        if piece.more == More::Ended {
            self.recode.end(trailers, &mut out);
        }
        let piece = Piece {
            start: FRAME,
            len: out.len() - FRAME,
            more: piece.more,
        };
        out.resize(out.len() + TAIL, 0);
        (out, piece)
    }
}

impl<D: Downstream> Downstream for Side<'_, D> {
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<Result<Piece, Error>> {
        loop {
            let Piece { start, len, more } = ready!(self.down.poll_body(cx, scratch))?;
            let data = self
                .recode
                .request(scratch, start..start + len, more)
                .map_err(|detail| Error::new(Reason::ClientProtocol, detail))?;
            if !data.is_empty() || more == More::Ended {
                return Poll::Ready(Ok(Piece {
                    start: data.start,
                    len: data.len(),
                    more,
                }));
            }
        }
    }

    fn trailers(&self) -> &Trailers {
        self.down.trailers()
    }

    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        self.down.go_on(cx)
    }

    fn interim(&mut self, cx: &mut Context<'_>, head: &ResponseHead<'_>) -> Result<(), Error> {
        self.down.interim(cx, head)
    }

    fn head(
        &mut self,
        cx: &mut Context<'_>,
        answer: &Answer<'_>,
        scratch: &mut [u8],
        piece: Piece,
    ) -> Result<(), Error> {
        self.answer = match answer.body {
            // None may stand there.
            BodyLength::None => Recoded::No,
            _ => self.recode.answered(answer.head),
        };
        if self.answer == Recoded::No {
            return self.down.head(cx, answer, scratch, piece);
        }
        let answer = Answer {
            body: BodyLength::Chunked,
            ..*answer
        };
        let (mut out, piece) = self.recoded(scratch, piece, b"");
        let given = self.down.head(cx, &answer, &mut out, piece);
        self.local.give_buffer(out);
        given
    }

    fn piece(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        piece: Piece,
        trailers: &[u8],
    ) -> Result<(), Error> {
        if self.answer == Recoded::No {
            // Scripts see none.
            let lines = memchr::memchr_iter(b'\n', trailers).count();
            self.dropped.unlisted += lines as u64;
            return self.down.piece(cx, scratch, piece, b"");
        }
        let (mut out, piece) = self.recoded(scratch, piece, trailers);
        let given = self.down.piece(cx, &mut out, piece, b"");
        self.local.give_buffer(out);
        given
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.down.poll_flush(cx)
    }

    fn weigh(&self) {
        self.down.weigh();
    }

    /// None stand behind the answer: they are in it, or are dropped where it is not recoded.
    fn carries(&self) -> Carries {
        Carries::All
    }

    fn unsent(&self) -> usize {
        self.down.unsent()
    }

    fn is_bundled(&self) -> bool {
        self.down.is_bundled()
    }

    fn is_shut_out(&self) -> bool {
        self.down.is_shut_out()
    }

    fn openings(&self) -> u32 {
        self.down.openings()
    }

    fn owed(&self) -> usize {
        self.down.owed()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.down.poll_gone(cx)
    }

    fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.down.poll_hung_up(cx)
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.down.poll_cut(cx)
    }

    fn answered(&self) -> Answered {
        self.down.answered()
    }

    fn finish(&mut self) -> Disposition {
        self.down.finish()
    }

    fn break_off(&mut self) -> Disposition {
        self.down.break_off()
    }

    fn private(&self) -> &Private {
        self.down.private()
    }

    fn bodies(&self) -> (u64, u64) {
        self.down.bodies()
    }
}
