//! Prior knowledge: a client that begins with the words of HTTP/2 is spoken to in HTTP/2 (RFC 9113, 3.3).

use crate::http2::frame::PREFACE;
use crate::listener::H2c;

/// Whether the first bytes of a connection are those that HTTP/2 begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Prior {
    /// They are.
    Whole,
    /// They may be: more must come.
    Part,
    /// They are not.
    No,
}

impl Prior {
    /// Looks at them.
    pub(super) fn of(input: &[u8], h2c: H2c) -> Self {
        let len = input.len().min(PREFACE.len());
        if h2c == H2c::Off || input.get(..len) != PREFACE.get(..len) {
            Self::No
        } else if len == PREFACE.len() {
            Self::Whole
        } else {
            Self::Part
        }
    }
}

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
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\n",
        ] {
            assert_eq!(Prior::of(other.as_bytes(), H2c::PriorKnowledge), Prior::No);
        }
    }
}
