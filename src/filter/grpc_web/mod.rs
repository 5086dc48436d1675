//! `grpc_web`: calls of scripts in browsers, which can neither say that they read trailers nor read them, become calls of
//! gRPC towards the endpoint (`PROTOCOL-WEB.md` of the gRPC project).
//!
//! Messages are framed alike in both; what differs is the content type, base64 where the client wants text, and the
//! trailers: they are a last frame of the body, with a kind of its own.

mod decode;
mod encode;

use std::ops::Range;

use super::recode::{Recode, Recoded};
use super::{Keep, RequestView, ResponseView, Verdict};
use crate::base::Detail;
use crate::http1::body::More;
use crate::message::grpc::{self, Form, Speaks};
use crate::message::{Known, ResponseHead};
use decode::{Base64, Messages};

pub use encode::end;

/// Where a call that failed before its first message says so: in its head. A script may read that of another site only
/// where it is exposed, so they go into the frame that every client of gRPC-Web reads.
const STATUS: [&[u8]; 3] = [b"grpc-status", b"grpc-message", b"grpc-status-details-bin"];

/// The filter.
#[derive(Clone, Copy, Debug)]
pub struct GrpcWeb;

impl GrpcWeb {
    /// Makes the head that of a call, and has the bodies follow.
    pub fn on_request(self, view: &mut RequestView<'_>) -> Verdict {
        let Speaks::Web(sent) = grpc::speaks(view.head) else {
            return Verdict::Continue;
        };
        let kind = view.head.first(Known::ContentType).unwrap_or_default();
        let format = grpc::web_format(kind).unwrap_or_default();
        let edits = &mut *view.edits;
        edits.remove(b"content-type");
        edits.add_made(b"content-type", |out| {
            out.extend_from_slice(b"application/grpc");
            out.extend_from_slice(format);
        });
        edits.remove(b"content-length");
        edits.set(b"te", b"trailers");
        let wanted = grpc::wanted(view.head, sent);
        view.keep(Keep::Recode(Recode::GrpcWeb(Call::new(sent, wanted))));
        Verdict::Continue
    }

    /// Makes the head that of an answer to it; what is not gRPC passes as it is.
    pub fn on_response(self, view: &mut ResponseView<'_>) {
        let Speaks::Web(sent) = grpc::speaks(view.request) else {
            return;
        };
        let kind = view.head.first(Known::ContentType).unwrap_or_default();
        let Some(format) = grpc::format(kind) else {
            return;
        };
        let wanted = grpc::wanted(view.request, sent);
        view.edits.remove(b"content-type");
        view.edits.add_made(b"content-type", |out| {
            out.extend_from_slice(wanted.kind());
            out.extend_from_slice(format);
        });
        for name in STATUS {
            view.edits.remove(name);
        }
    }
}

/// The bodies of one call.
#[derive(Debug)]
pub struct Call {
    /// How the request comes.
    sent: Form,
    base64: Base64,
    messages: Messages,
    /// How the answer goes.
    wanted: Form,
    /// Of the answer's head, as trailer lines.
    status: Vec<u8>,
}

impl Call {
    fn new(sent: Form, wanted: Form) -> Self {
        Self {
            sent,
            base64: Base64::default(),
            messages: Messages::default(),
            wanted,
            status: Vec::new(),
        }
    }

    pub(super) fn request(
        &mut self,
        scratch: &mut [u8],
        piece: Range<usize>,
        more: More,
    ) -> Result<Range<usize>, Detail> {
        let data = match self.sent {
            Form::Binary => piece,
            Form::Text => self.base64.decode(scratch, piece, more)?,
        };
        let bytes = scratch.get(data.clone()).unwrap_or_default();
        self.messages.read(bytes, more)?;
        Ok(data)
    }

    pub(super) fn answered(&mut self, head: &ResponseHead<'_>) -> Recoded {
        let kind = head.first(Known::ContentType).unwrap_or_default();
        if grpc::format(kind).is_none() {
            return Recoded::No;
        }
        for name in STATUS {
            for value in head.values(name) {
                for part in [name, b": ", value, b"\r\n"] {
                    self.status.extend_from_slice(part);
                }
            }
        }
        Recoded::Yes
    }

    pub(super) fn response(&mut self, data: &[u8], out: &mut Vec<u8>) {
        encode::data(self.wanted, data, out);
    }

    /// An endpoint that ends without any status leaves nothing to tell.
    pub(super) fn end(&mut self, trailers: &[u8], out: &mut Vec<u8>) {
        let lines = match trailers {
            [] => &self.status,
            lines => lines,
        };
        if !lines.is_empty() {
            end(self.wanted, lines, out);
        }
    }
}

#[cfg(test)]
mod tests;
