//! How a call of gRPC is told that it failed here: by a status in the head of an answer without a body.

use std::time::Duration;

use bytes::Bytes;

use crate::base::{Detail, Reason};
use crate::filter::Reply;

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

/// The answer; `wait` is told where HTTP would tell it.
pub(super) fn refusal(reason: Reason, detail: Detail, wait: Duration) -> Reply {
    let mut message = reason.as_str().to_owned();
    if detail != Detail::None {
        message = format!("{message} ({})", detail.as_str());
    }
    let wait = wait.as_millis().div_ceil(1000).max(1).to_string();
    let mut fields: Vec<(&[u8], &[u8])> = vec![
        (b"content-type", b"application/grpc"),
        (b"grpc-status", code(reason)),
        (b"grpc-message", message.as_bytes()),
    ];
    if matches!(reason.status(detail), 429 | 503) {
        fields.push((b"retry-after", wait.as_bytes()));
    }
    Reply::new(200, reason, fields, Bytes::new()).with_detail(detail)
}
