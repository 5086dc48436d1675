//! What an error of the `h2` crate means for an exchange.

use h2::Reason as Code;

use crate::base::{Detail, Error, Reason};

/// How far the answer had come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// No final head.
    Head,
    /// In the body.
    Body,
}

/// Whether the endpoint says that it did nothing with the request: a stream that it refused, or one behind the last that
/// it names when it closes (RFC 9113, 8.7). Any method may be sent again.
pub fn is_untouched(error: &h2::Error) -> bool {
    error.is_remote()
        && (error.is_go_away() || error.is_reset() && error.reason() == Some(Code::REFUSED_STREAM))
}

/// The error in our words; `dead`: we gave the connection up because its peer was silent.
pub(super) fn translate(error: h2::Error, stage: Stage, dead: bool) -> Error {
    let broke_off = match stage {
        Stage::Head => Reason::UpstreamReset,
        Stage::Body => Reason::UpstreamTruncated,
    };
    let (reason, detail) = if error.is_library() {
        (Reason::UpstreamProtocol, Detail::Http2)
    } else if error.is_go_away() {
        (broke_off, Detail::GoAway)
    } else if error.is_reset() {
        match error.reason() {
            Some(Code::REFUSED_STREAM) => (broke_off, Detail::RefusedStream),
            _ => (broke_off, Detail::StreamReset),
        }
    } else {
        let kind = error.get_io().map(std::io::Error::kind);
        match kind {
            // The crate knows no more than that it ended.
            Some(_) if dead => (broke_off, Detail::PingTimeout),
            // What the crate says when the connection ended under its streams.
            Some(std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::UnexpectedEof) => {
                (broke_off, Detail::Eof)
            }
            Some(_) => (broke_off, Detail::Reset),
            // A call that the crate refuses: a fault of ours.
            None => (Reason::Internal, Detail::None),
        }
    };
    Error::caused(reason, detail, std::io::Error::other(error))
}
