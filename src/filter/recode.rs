//! What a filter does with bodies: the one seam through which any of them touches a byte of one.
//!
//! A filter that changes bodies keeps a [`Recode`] of its request ([`Keep::Recode`](super::Keep)); the exchange passes every
//! piece through it, both ways, and an exchange that has none looks once whether it has. Heads are changed by the filter itself, as any filter
//! changes them; lengths are the exchange's: what is recoded has none that is known beforehand.
//!
//! **Invariants.** It holds a few bytes between two pieces, never a body, and what comes out of a piece is bounded by what went in.

use std::ops::Range;

use super::grpc_web::Call;
use crate::base::Detail;
use crate::http1::body::More;
use crate::message::ResponseHead;

/// How the bodies of one exchange are changed.
#[derive(Debug)]
pub enum Recode {
    /// From gRPC-Web, and to it.
    GrpcWeb(Call),
}

/// Whether the body of an answer is changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recoded {
    /// It is.
    Yes,
    /// It passes as it is.
    No,
}

impl Recode {
    /// Takes a piece of the request's body, which stands there in the scratch with room in front of it, and tells where
    /// there is what goes on instead.
    pub fn request(
        &mut self,
        scratch: &mut [u8],
        piece: Range<usize>,
        more: More,
    ) -> Result<Range<usize>, Detail> {
        match self {
            Self::GrpcWeb(call) => call.request(scratch, piece, more),
        }
    }

    /// Looks at the final head of the answer.
    pub fn answered(&mut self, head: &ResponseHead<'_>) -> Recoded {
        match self {
            Self::GrpcWeb(call) => call.answered(head),
        }
    }

    /// Writes what takes the place of this data of the answer.
    pub fn response(&mut self, data: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::GrpcWeb(call) => call.response(data, out),
        }
    }

    /// Writes what stands behind the last data, in place of these trailer lines.
    pub fn end(&mut self, trailers: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::GrpcWeb(call) => call.end(trailers, out),
        }
    }
}
