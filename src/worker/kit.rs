//! Memory that exchanges use again and again.

use crate::filter::Kept;
use crate::message::{Edits, Field};

/// The buffers of one exchange. Taken from and given back to the worker, so that an exchange on a warm worker
/// allocates nothing.
#[derive(Debug, Default)]
pub struct Kit {
    /// The request as the endpoint gets it.
    pub outgoing: Vec<u8>,
    /// A response head that came in pieces.
    pub partial: Vec<u8>,
    /// Fields of the response.
    pub fields: Vec<Field>,
    /// What filters change in the request.
    pub request_edits: Edits,
    /// What filters change in the response.
    pub response_edits: Edits,
    /// What filters keep.
    pub kept: Kept,
}

/// Buffers that grew beyond this are not kept: one large request must not cost memory for ever.
const KEEP: usize = 16 * 1024;

impl Kit {
    /// Bytes that its buffers take.
    pub fn weight(&self) -> usize {
        self.outgoing.capacity()
            + self.partial.capacity()
            + self.fields.capacity() * size_of::<Field>()
    }

    /// Makes it ready for the next exchange.
    pub fn clear(&mut self) {
        for buffer in [&mut self.outgoing, &mut self.partial] {
            buffer.clear();
            buffer.shrink_to(KEEP);
        }
        self.fields.clear();
        self.request_edits.clear();
        self.response_edits.clear();
        self.kept.clear();
    }
}
