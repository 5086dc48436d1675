//! What belongs to one hop only: the Connection field and the fields that it names.

use super::field::{Field, Known};
use crate::base::Detail;

/// Most tokens of one Connection field: each is compared with every field of the head.
const MAX_TOKENS: usize = 32;

/// What a message's Connection fields say, taken together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what was seen in a list, not control flow"
)]
pub struct Hops {
    /// `close` was listed.
    pub close: bool,
    /// `keep-alive` was listed.
    pub keep_alive: bool,
    /// `upgrade` was listed.
    pub upgrade: bool,
    /// Names of other fields were listed: those fields go no further.
    pub named: bool,
}

impl Hops {
    /// Takes in the value of one Connection field: a list of tokens, never a substring match (E-045).
    /// Refuses a list that names a field which decides something behind us (E-115).
    pub fn read(&mut self, value: &[u8]) -> Result<(), Detail> {
        for (index, token) in tokens(value).enumerate() {
            if index == MAX_TOKENS {
                return Err(Detail::Connection);
            }
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                if !token.iter().all(|&byte| is_token(byte)) || must_stay(token) {
                    return Err(Detail::Connection);
                }
                self.named = true;
            }
        }
        Ok(())
    }
}

/// The tokens of a comma-separated list, without white space; empty ones are skipped (RFC 9110, 5.6.1).
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

/// Whether one of the Connection fields names `name`.
pub fn names(bytes: &[u8], fields: &[Field], name: &[u8]) -> bool {
    fields
        .iter()
        .filter(|field| field.known == Known::Connection)
        .any(|field| tokens(field.value.of(bytes)).any(|token| token.eq_ignore_ascii_case(name)))
}

/// A byte of a token (RFC 9110, 5.6.2).
pub const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Fields that a Connection field may not take away: what they say decides framing, identity or access.
fn must_stay(name: &[u8]) -> bool {
    let known = Known::of(name);
    known.is_forwarding()
        || matches!(
            known,
            Known::Host
                | Known::ContentLength
                | Known::TransferEncoding
                | Known::Cookie
                | Known::Authorization
                | Known::CacheControl
                | Known::XRequestId
                | Known::ContentType
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Hops, Detail> {
        let mut hops = Hops::default();
        hops.read(value.as_bytes()).map(|()| hops)
    }

    #[test]
    fn reads_a_list_of_tokens() {
        let hops = read("Keep-Alive ,, x-hop,\tUPGRADE").unwrap();
        assert!(hops.keep_alive && hops.upgrade && hops.named && !hops.close);
        assert!(read("close, X").unwrap().close);
        let near = read("closed").unwrap();
        assert!(!near.close && near.named);
    }

    #[test]
    fn what_decides_something_cannot_be_taken_away() {
        for name in [
            "Host",
            "content-length",
            "X-Forwarded-For",
            "Authorization",
            "cookie",
            "forwarded",
        ] {
            assert_eq!(read(name), Err(Detail::Connection), "{name}");
        }
        assert_eq!(read("a b"), Err(Detail::Connection));
    }
}
