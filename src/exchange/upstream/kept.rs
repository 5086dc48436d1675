//! What came of a body, and how much of it the client has.

use std::task::{Context, Poll};

use bytes::Bytes;
use h2::RecvStream;

/// What of an endpoint's stream is here. The endpoint's window bounds it, which opens for what was passed on.
#[derive(Default)]
pub(super) struct Kept {
    /// Of a frame that did not fit.
    rest: Bytes,
    /// Behind that, what came while the client did not read.
    held: Vec<u8>,
    /// Passed on, and not told to the endpoint.
    unreleased: usize,
}

impl Kept {
    /// Takes out what comes first.
    pub(super) fn take(&mut self) -> Bytes {
        if self.rest.is_empty() {
            return Bytes::from(std::mem::take(&mut self.held));
        }
        std::mem::take(&mut self.rest)
    }

    /// Puts back what did not fit of that.
    pub(super) fn put_back(&mut self, rest: Bytes) {
        self.rest = rest;
    }

    /// So much was passed on to the client's side.
    pub(super) fn pass(&mut self, bytes: usize) {
        self.unreleased = bytes;
    }

    /// The client's side took it: the endpoint may send as much again.
    pub(super) fn release(&mut self, body: &mut RecvStream) {
        if self.unreleased > 0 {
            // An error is the stream's, and comes with the next frame.
            let _ = body.flow_control().release_capacity(self.unreleased);
            self.unreleased = 0;
        }
    }

    /// Whether nothing is here.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.held.is_empty()
    }

    /// Takes the frames that came from the crate, which counts those of all streams together.
    pub(super) fn hold(&mut self, cx: &mut Context<'_>, body: &mut RecvStream) {
        // Anything else is found again when the client reads.
        while let Poll::Ready(Some(Ok(data))) = body.poll_data(cx) {
            self.held.extend_from_slice(&data);
        }
    }

    /// Bytes of memory that it takes.
    pub(super) fn weight(&self) -> usize {
        self.rest.len() + self.held.capacity() + self.unreleased
    }
}
