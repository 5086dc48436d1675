//! Prior knowledge: a client that begins with the words of HTTP/2 is spoken to in HTTP/2 (RFC 9113, 3.3).

use crate::http2::frame::PREFACE;
use crate::listener::H2c;
use crate::message::Method;

/// Whether the first bytes of a connection are those that HTTP/2 begins with, or are for its rules to refuse.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Prior {
    /// They are; or they would be and went wrong, or are of neither protocol.
    Whole,
    /// They may be: more must come.
    Part,
    /// They are not.
    No,
}

impl Prior {
    /// Looks at them.
    pub(super) fn of(input: &[u8], h2c: H2c) -> Self {
        if h2c == H2c::Off {
            return Self::No;
        }
        let len = input.len().min(PREFACE.len());
        if input.get(..len) != PREFACE.get(..len) {
            return if is_for_http2(input) {
                Self::Whole
            } else {
                Self::No
            };
        }
        if len == PREFACE.len() {
            Self::Whole
        } else {
            Self::Part
        }
    }
}

/// Whether a first line is that of the preface, with something else behind it; or three words of which none is of HTTP/1, neither
/// a method that we know nor a version. Who sends that reads frames if anything: to be told in HTTP/1 what was wrong is no help to it, and no connection error
/// (RFC 9113, 3.4).
fn is_for_http2(input: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b'\n', input) else {
        return false;
    };
    let line = input.get(..end).unwrap_or_default().trim_ascii_end();
    if PREFACE.starts_with(line) && line.len() == LINE {
        return true;
    }
    let mut words = line.split(|&byte| byte == b' ');
    let three = (words.next(), words.next(), words.next(), words.next());
    let (Some(first), Some([_, ..]), Some(last @ [_, ..]), None) = three else {
        return false;
    };
    let is_version = last
        .get(..4)
        .is_some_and(|begin| begin.eq_ignore_ascii_case(b"HTTP"));
    let visible = || first.iter().chain(last).all(u8::is_ascii_graphic);
    !is_version && !first.is_empty() && Method::of(first) == Method::Other && visible()
}

/// Length of the preface's first line.
const LINE: usize = "PRI * HTTP/2.0".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_known_however_they_come() {
        for len in 1..PREFACE.len() {
            assert_eq!(Prior::of(&PREFACE[..len], H2c::PriorKnowledge), Prior::Part);
        }
        let more = [&PREFACE[..], b"more"].concat();
        assert_eq!(Prior::of(&more, H2c::PriorKnowledge), Prior::Whole);
        assert_eq!(Prior::of(&more, H2c::Off), Prior::No);
        for other in [
            "POST / HTTP/1.1",
            "PROPFIND",
            "PROPFIND / HTTP/1.1\r\n",
            "OTHER / http/3\r\n",
            "GET / \r\n",
            "GET /\r\n",
            "GET /a b\r\n",
            "A B C D\r\n",
            "A  C\r\n",
            "\r\nA B C\r\n",
            "INVALID CONNECTION PREFACE",
        ] {
            let prior = Prior::of(other.as_bytes(), H2c::PriorKnowledge);
            assert_eq!(prior, Prior::No, "{other:?}");
        }
        for broken in [
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\n",
            "PRI * HTTP/2.0\r\nHost: a\r\n\r\n",
            "INVALID CONNECTION PREFACE\r\n\r\n",
        ] {
            let prior = |h2c| Prior::of(broken.as_bytes(), h2c);
            assert_eq!(prior(H2c::PriorKnowledge), Prior::Whole, "{broken:?}");
            assert_eq!(prior(H2c::Off), Prior::No);
        }
    }
}
