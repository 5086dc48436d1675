//! What an exchange asks of the endpoint's side, whatever its protocol: the counterpart of
//! [`Downstream`](super::side::Downstream).
//!
//! The request goes out through a cursor over what is kept of it ([`Outgoing`]), so that an
//! attempt can begin again; the answer comes in as a flat head in the exchange's kit and pieces of its body in the worker's scratch.

mod fields;
mod h1;
mod h2;
mod kept;
mod request;

use std::task::{Context, Poll};

use super::finish::Behind;
use super::outgoing::Outgoing;
use super::side::Piece;
use super::transfer::After;
use crate::base::Error;
use crate::http1::body::More;
use crate::http1::response::{Persist, Start};
use crate::http1::trailers::{Carries, Trailers};
use crate::message::Method;
use crate::worker::Kit;

pub(super) use h1::Http1;
pub(super) use h2::Http2;

/// What one read may use: the worker's scratch, and how much of it at a time.
pub(super) struct Room<'a> {
    pub(super) scratch: &'a mut [u8],
    pub(super) len: usize,
}

/// The endpoint's side of one attempt. Calls never wait: what the other side does not take stays in the kit, and the
/// exchange reads no more from the client until it is gone.
pub(super) trait Upstream {
    /// Whether the head waits alone: none of it was given away, and no body stands behind it.
    fn untouched(&self, kit: &Kit) -> bool;

    /// Whether something waits to be given away.
    fn pending(&self, kit: &Kit) -> bool;

    /// Whether what waits was handed over to be sent with others'.
    fn is_bundled(&self) -> bool {
        false
    }

    /// The request, as far as it has come.
    fn outgoing(&self) -> &Outgoing;

    /// How much of the request was given away in this attempt, in bytes; 0: the endpoint cannot have seen anything of it.
    fn accepted(&self) -> u64 {
        self.outgoing().accepted()
    }

    /// Whether all of the request that was read from the client could be sent again.
    fn resendable(&self) -> bool {
        self.outgoing().resendable()
    }

    /// What trailers of a request it carries.
    fn carries(&self) -> Carries {
        Carries::Listed
    }

    /// Gives away what waits. An error is the request's alone: an answer may still come.
    fn poll_write(&mut self, cx: &mut Context<'_>, kit: &mut Kit) -> Poll<Result<(), Error>>;

    /// Takes a piece of the body, which stands in the scratch, with the trailers behind the last one. Pending: not all of it
    /// could be given away, the rest is kept.
    fn push(
        &mut self,
        cx: &mut Context<'_>,
        kit: &mut Kit,
        scratch: &mut [u8],
        piece: Piece,
        trailers: &Trailers,
    ) -> Poll<Result<(), Error>>;

    /// The next head, informational or final: its bytes and fields are in the kit. What came behind it may stand in the
    /// scratch, so whoever gets a head asks again, or for the [`Upstream::first`] piece, before letting go of that.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        kit: &mut Kit,
        room: &mut Room<'_>,
        asked: Method,
    ) -> Poll<Result<Start, Error>>;

    /// What is there already of the body behind a final head. Where there is no room, it comes with the next piece.
    fn first(
        &mut self,
        cx: &mut Context<'_>,
        head: &Start,
        room: &mut Room<'_>,
    ) -> Result<Piece, Error>;

    /// What becomes of it when the protocol is changed.
    fn after(&self) -> After {
        After::Handed
    }

    /// The protocol was changed: what comes is a body up to its end, and so is what is pushed.
    fn carry(&mut self) {}

    /// What is there already behind a head that changes the protocol; the same holds for it.
    fn switched(&mut self, _room: &Room<'_>) -> Piece {
        Piece {
            more: More::Follows,
            ..Piece::END
        }
    }

    /// The next piece of the body.
    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut Room<'_>,
    ) -> Poll<Result<Piece, Error>>;

    /// The client does not read: takes what is there of the body from whoever else would hold it for others, too.
    fn hold(&mut self, _cx: &mut Context<'_>) {}

    /// The trailers that go on, once the body has ended.
    fn trailers(&mut self) -> Result<Trailers, Error>;

    /// What a whole answer says of the connection, and what came behind it.
    fn left(&self) -> (Persist, Behind);

    /// Bytes that are held for it beside the kit.
    fn weight(&self) -> usize {
        0
    }
}
