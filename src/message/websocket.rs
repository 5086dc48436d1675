//! The handshake of RFC 6455, where this proxy has to say one side of it: over HTTP/2 it has neither key nor answer
//! (RFC 8441, 5).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::head::RequestHead;
use super::method::Method;

/// What a key is answered with is the hash of it and this.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The fields of both sides.
pub const KEY: &[u8] = b"sec-websocket-key";
/// See [`KEY`].
pub const ACCEPT: &[u8] = b"sec-websocket-accept";

/// A key of 16 bytes, as it is written.
pub fn key(nonce: [u8; 16]) -> String {
    STANDARD.encode(nonce)
}

/// The answer to a key (RFC 6455, 4.2.2).
pub fn accept(key: &[u8]) -> String {
    let text = [key, GUID].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text))
}

/// Whether a request that asks for a WebSocket over HTTP/1 does so by the rules: a GET with one key (RFC 6455, 4.2.1), which need not be decoded.
pub fn is_opening(head: &RequestHead) -> bool {
    let mut keys = head.values(KEY);
    let first = keys.next().is_some_and(|key| !key.is_empty());
    head.method() == Method::Get && first && keys.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_answer_of_the_standard() {
        let key = b"dGhlIHNhbXBsZSBub25jZQ==";
        assert_eq!(accept(key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(super::key(*b"the sample nonce").as_bytes(), key);
    }
}
