//! What calls of gRPC come to. One that failed here is told by a status in the head of an answer without a body; one of
//! gRPC-Web, by a body that is nothing but the status. What endpoints say is read for counts, and for retries.

use std::time::Duration;

use bytes::Bytes;

use crate::base::{Detail, Reason};
use crate::filter::{Reply, grpc_web};
use crate::message::grpc::{self, Code, Speaks};
use crate::message::{Known, RequestHead, ResponseHead};
use crate::metrics::Outcome;

/// What a call comes to that ends so here. `docs/grpc.md` has the table.
const fn code(reason: Reason) -> Code {
    match reason {
        Reason::MaxDuration
        | Reason::ResponseTimeout
        | Reason::UpstreamIdle
        | Reason::HeaderTimeout
        | Reason::BodyTimeout => Code::DeadlineExceeded,
        Reason::Denied => Code::PermissionDenied,
        Reason::RateLimited
        | Reason::BodyTooLarge
        | Reason::HeadersTooLarge
        | Reason::UriTooLong => Code::ResourceExhausted,
        Reason::NoRoute => Code::Unimplemented,
        Reason::BadRequest
        | Reason::ClientProtocol
        | Reason::UpstreamProtocol
        | Reason::Internal => Code::Internal,
        Reason::Unauthorized => Code::Unauthenticated,
        _ => Code::Unavailable,
    }
}

const STATUS: &[u8] = b"grpc-status";

/// What an answer still owes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Owes {
    /// Nothing that we look for.
    #[default]
    Nothing,
    /// A status of gRPC, at its end.
    Status,
}

/// What the head of an answer of gRPC says; `None`: it is not one. With another status than 200 the call was not answered:
/// callers go by that status, and whatever else stands there is not heard.
#[inline]
pub(super) fn told(head: &ResponseHead<'_>) -> Option<Outcome> {
    if head.status != 200 {
        return None;
    }
    let kind = head.first(Known::ContentType)?;
    grpc::format(kind)?;
    let status = head.values(STATUS).next();
    Some(status.map_or(Outcome::None, outcome))
}

/// What these trailer lines say of a call.
pub(super) fn behind(lines: &[u8]) -> Outcome {
    let mut lines = lines.split(|&byte| byte == b'\n');
    let status = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(STATUS.len())?;
        let value = value.strip_prefix(b":")?.trim_ascii();
        name.eq_ignore_ascii_case(STATUS).then_some(value)
    });
    status.map_or(Outcome::None, outcome)
}

fn outcome(status: &[u8]) -> Outcome {
    Code::parse(status).map_or(Outcome::Other, Outcome::Code)
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
    let wait = Reply::retry_after(wait);
    let status: [(&[u8], &[u8]); 2] = [
        (STATUS, code(reason).digits().as_bytes()),
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
