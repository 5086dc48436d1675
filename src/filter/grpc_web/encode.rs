//! The answer's body: what the endpoint sends, and the frame that stands for its trailers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::message::grpc::Form;

/// Marks the frame with the trailers.
const TRAILERS: u8 = 0x80;

/// Writes data. Base64 is padded behind every piece: a message must not wait for what comes after it to be readable, and
/// clients take padding anywhere.
pub(super) fn data(form: Form, data: &[u8], out: &mut Vec<u8>) {
    match form {
        Form::Binary => out.extend_from_slice(data),
        Form::Text => {
            let start = out.len();
            out.resize(start + data.len().div_ceil(3) * 4, 0);
            let place = out.get_mut(start..).unwrap_or_default();
            let written = STANDARD.encode_slice(data, place).unwrap_or_default();
            out.truncate(start + written);
        }
    }
}

/// Writes the frame with these trailer lines, each with its line end.
pub fn end(form: Form, lines: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(lines.len() + 5);
    frame.push(TRAILERS);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(lines);
    data(form, &frame, out);
}
