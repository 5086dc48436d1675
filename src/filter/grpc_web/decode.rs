//! The request's body, piece by piece: base64 in any cut, and whether it is messages.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::base::Detail;
use crate::http1::body::More;

/// Characters that are decoded at a time, and the bytes that they make.
const RUN: usize = 1024;
const RUN_BYTES: usize = RUN / 4 * 3;

/// Base64 in pieces, each of which may end anywhere. Padding may stand wherever a client wrote out what it had, and what
/// follows begins anew.
#[derive(Debug, Default)]
pub(super) struct Base64 {
    /// Of four characters, those that came.
    held: [u8; 3],
    len: usize,
}

impl Base64 {
    /// Decodes in place; what is held goes into the room in front of the piece, so that writing never overtakes reading.
    pub(super) fn decode(
        &mut self,
        scratch: &mut [u8],
        piece: Range<usize>,
        more: More,
    ) -> Result<Range<usize>, Detail> {
        let held = self.held.get(..self.len).unwrap_or_default();
        let start = piece.start.checked_sub(held.len()).ok_or(Detail::Base64)?;
        if let Some(place) = scratch.get_mut(start..piece.start) {
            place.copy_from_slice(held);
        }
        let end = start + (piece.end - start) / 4 * 4;
        let rest = scratch.get(end..piece.end).unwrap_or_default();
        if more == More::Ended && !rest.is_empty() {
            return Err(Detail::Base64);
        }
        self.len = rest.len();
        if let Some(place) = self.held.get_mut(..rest.len()) {
            place.copy_from_slice(rest);
        }
        let (mut from, mut to) = (start, start);
        let mut decoded = [0; RUN_BYTES];
        while from < end {
            let run = scratch.get(from..end.min(from + RUN)).unwrap_or_default();
            // Behind padding something else begins.
            let len = memchr::memchr(b'=', run).map_or(run.len(), |at| at / 4 * 4 + 4);
            let run = run.get(..len).unwrap_or_default();
            let bytes = STANDARD
                .decode_slice(run, &mut decoded)
                .map_err(|_| Detail::Base64)?;
            let place = scratch.get_mut(to..to + bytes);
            if let (Some(place), Some(decoded)) = (place, decoded.get(..bytes)) {
                place.copy_from_slice(decoded);
            }
            from += len;
            to += bytes;
        }
        Ok(start..to)
    }
}

/// Where in a run of messages a body has come to: each is a flag (compressed or not), four bytes of length, and as many bytes.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// How many bytes of such a head came, and what they say of the length.
    head: u8,
    left: u32,
}

const HEAD: u8 = 5;

impl Messages {
    /// Reads on. Trailers are nothing that a request has; what is neither is not passed on, since servers cut at it differently.
    pub(super) fn read(&mut self, mut bytes: &[u8], more: More) -> Result<(), Detail> {
        while let [first, rest @ ..] = bytes {
            match self.head {
                HEAD => {
                    let skip = usize::try_from(self.left).unwrap_or(usize::MAX);
                    let skip = skip.min(bytes.len());
                    self.left -= u32::try_from(skip).unwrap_or(self.left);
                    bytes = bytes.get(skip..).unwrap_or_default();
                }
                0 if *first > 1 => return Err(Detail::GrpcMessage),
                0 => {
                    (self.head, self.left) = (1, 0);
                    bytes = rest;
                }
                _ => {
                    self.left = self.left << 8 | u32::from(*first);
                    self.head += 1;
                    bytes = rest;
                }
            }
            if self.head == HEAD && self.left == 0 {
                self.head = 0;
            }
        }
        match (more, self.head) {
            (More::Follows, _) | (More::Ended, 0) => Ok(()),
            (More::Ended, _) => Err(Detail::GrpcMessage),
        }
    }
}
