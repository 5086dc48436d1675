//! How a call of gRPC is told that it failed here: by a status in the head of an answer without a body; of gRPC-Web, by a
//! body that is nothing but the status.

use std::time::Duration;

use bytes::Bytes;

use crate::base::{Detail, Reason};
use crate::filter::{Reply, grpc_web};
use crate::message::grpc::{self, Speaks};
use crate::message::{Known, RequestHead};

/// A code of gRPC, as it is written. `docs/grpc.md` has the table.
const fn code(reason: Reason) -> &'static [u8] {
    match reason {
        Reason::MaxDuration
        | Reason::ResponseTimeout
        | Reason::UpstreamIdle
        | Reason::HeaderTimeout
        | Reason::BodyTimeout => b"4",
        Reason::Denied => b"7",
        Reason::RateLimited
        | Reason::BodyTooLarge
        | Reason::HeadersTooLarge
        | Reason::UriTooLong => b"8",
        Reason::NoRoute => b"12",
        Reason::BadRequest
        | Reason::ClientProtocol
        | Reason::UpstreamProtocol
        | Reason::Internal => b"13",
        Reason::Unauthorized => b"16",
        _ => b"14",
    }
}

/// The answer to a call; `wait` is told where HTTP would tell it.
pub(super) fn refusal(
    head: &RequestHead,
    reason: Reason,
    detail: Detail,
    wait: Duration,
) -> Option<Reply> {
    let speaks = grpc::speaks(head);
    if speaks == Speaks::Http {
        return None;
    }
    let mut message = reason.as_str().to_owned();
    if detail != Detail::None {
        message = format!("{message} ({})", detail.as_str());
    }
    let wait = wait.as_millis().div_ceil(1000).max(1).to_string();
    let status: [(&[u8], &[u8]); 2] = [
        (b"grpc-status", code(reason)),
        (b"grpc-message", message.as_bytes()),
    ];
    let mut kind = b"application/grpc".to_vec();
    let mut fields: Vec<(&[u8], &[u8])> = Vec::with_capacity(4);
    let mut body = Vec::new();
    if let Speaks::Web(sent) = speaks {
        let wanted = grpc::wanted(head, sent);
        let asked = head.first(Known::ContentType).unwrap_or_default();
        kind = [wanted.kind(), grpc::web_format(asked).unwrap_or_default()].concat();
        let lines = status.map(|(name, value)| [name, b": ", value, b"\r\n"].concat());
        grpc_web::end(wanted, &lines.concat(), &mut body);
    } else {
        fields.extend(status);
    }
    fields.push((b"content-type", &kind));
    if matches!(reason.status(detail), 429 | 503) {
        fields.push((b"retry-after", wait.as_bytes()));
    }
    Some(Reply::new(200, reason, fields, Bytes::from(body)).with_detail(detail))
}
