//! What an exchange asks of the client's side, whatever its protocol.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use super::Disposition;
use super::transfer::After;
use crate::base::Error;
use crate::http1::body::More;
use crate::http1::trailers::{Carries, Trailers};
use crate::message::{BodyLength, Edits, ResponseHead, Upgrade};
use crate::upstream::Private;
use crate::worker::scratch::{HEADROOM, Page};

/// A run of body data in the worker's scratch, or on a page like it. There is room in front of it and behind it for framing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Piece {
    /// Where it begins.
    pub start: usize,
    /// Its length; may be 0.
    pub len: usize,
    /// Whether more follows.
    pub more: More,
}

impl Piece {
    /// Nothing, and nothing follows.
    pub const END: Self = Self {
        start: HEADROOM,
        len: 0,
        more: More::Ended,
    };
}

/// A final response, on its way to the client.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The head as the endpoint sent it, or our own.
    pub head: &'a ResponseHead<'a>,
    /// What filters change in it.
    pub edits: &'a Edits,
    /// How long the body is.
    pub body: BodyLength,
    /// Whether this is the 101 that opens a tunnel.
    pub switching: Upgrade,
    /// Who answers.
    pub author: Author,
}

/// Who answers. While an endpoint does, the request's body may still be on its way there and is not ours to skip.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Author {
    /// The endpoint.
    Endpoint,
    /// This proxy.
    Proxy,
    /// This proxy, because of what the client did: what follows on its connection is not trusted.
    Refusal,
}

/// The client's side of one exchange. Calls never wait: what the kernel does not take is kept by the driver,
/// and the exchange reads no more from the endpoint until [`Downstream::poll_flush`] says that it is gone.
pub trait Downstream {
    /// A piece of the request body that is here already, on a page of its own with the room of the scratch around it. It is
    /// as if [`Downstream::poll_body`] had read it.
    fn arrived(&mut self) -> Result<Option<(Page, Piece)>, Error> {
        Ok(None)
    }

    /// Reads a piece of the request body into `scratch`. After a piece that ended the body it is not called
    /// again.
    fn poll_body(&mut self, cx: &mut Context<'_>, scratch: &mut [u8])
    -> Poll<Result<Piece, Error>>;

    /// The trailers of the request body, once it has ended.
    fn trailers(&self) -> &Trailers;

    /// Tells a client that waits for it to send its body.
    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<(), Error>;

    /// Passes on an informational response.
    fn interim(&mut self, cx: &mut Context<'_>, head: &ResponseHead<'_>) -> Result<(), Error>;

    /// Sends a final head together with the first piece of its body.
    fn head(
        &mut self,
        cx: &mut Context<'_>,
        answer: &Answer<'_>,
        scratch: &mut [u8],
        piece: Piece,
    ) -> Result<(), Error>;

    /// Sends a further piece; with the last one, these trailer lines.
    fn piece(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        piece: Piece,
        trailers: &[u8],
    ) -> Result<(), Error>;

    /// Ready when the kernel has taken everything that was given.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;

    /// Charges what the driver holds now.
    fn weigh(&self);

    /// What becomes of it when the protocol is changed.
    fn after(&self) -> After {
        After::Handed
    }

    /// The protocol was changed: what comes is the request's body, up to its end.
    fn carry(&mut self) {}

    /// What trailers of a response it carries.
    fn carries(&self) -> Carries {
        Carries::Listed
    }

    /// How many bytes were given that the kernel has not taken.
    fn unsent(&self) -> usize;

    /// Whether that was handed over to be sent with others': the client does not hold it up.
    fn is_bundled(&self) -> bool {
        false
    }

    /// Whether the client may send nothing of its body, because others' of the same connection wait here.
    fn is_shut_out(&self) -> bool {
        false
    }

    /// How often it could send again after that.
    fn openings(&self) -> u32 {
        0
    }

    /// How many more the kernel holds for the client, which it is asked for; none where it is not the kernel that is waited for.
    fn owed(&self) -> usize {
        0
    }

    /// Ready when the client is gone for good; whether one is that only closed its sending side, the
    /// listener says.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Error>;

    /// Ready when nobody is there any more to wait for a place: the client is gone, or it closed its sending side. That is
    /// how most clients leave, and what is at stake is a place in a queue.
    fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<Error>;

    /// Ready when the rest of the body cannot come any more. It is asked while the body waits here, and takes nothing of it; what waits unread
    /// can hide the end.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.poll_gone(cx)
    }

    /// Whether a final head was given, so that no other answer can be made.
    fn answered(&self) -> Answered;

    /// Decides what becomes of the connection; nothing is sent or read after it.
    fn finish(&mut self) -> Disposition;

    /// The same for a response that broke off, or when there is nobody to answer.
    fn break_off(&mut self) -> Disposition;

    /// Our own address on the client's connection, where a request may name no host (HTTP/1.0).
    fn came_to(&self) -> Option<SocketAddr> {
        None
    }

    /// The place of the client's own connection to an endpoint.
    fn private(&self) -> &Private;

    /// Bytes of request body read and of response body sent so far.
    fn bodies(&self) -> (u64, u64);
}

/// How far the answer has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answered {
    /// No final head yet.
    Nothing,
    /// The head is out; the body is not complete.
    Head,
    /// The whole response was given.
    Whole,
}
