//! One line of a header block, and what can be said of it by itself.

use crate::message::hops::is_token;
use crate::message::{Care, Known};

/// What a name is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `:path`
    Path,
    /// `:authority`
    Authority,
    /// `:protocol` (RFC 8441)
    Protocol,
    /// `:status`
    Status,
    /// Any other name that begins with a colon.
    Unknown,
    /// A field's name: a token without capitals.
    Field(Known),
    /// Nothing that may stand there.
    Invalid,
}

impl Kind {
    /// What this name is.
    pub fn of(name: &[u8]) -> Self {
        match name {
            [b':', pseudo @ ..] => match pseudo {
                b"method" => Self::Method,
                b"scheme" => Self::Scheme,
                b"path" => Self::Path,
                b"authority" => Self::Authority,
                b"protocol" => Self::Protocol,
                b"status" => Self::Status,
                _ => Self::Unknown,
            },
            [] => Self::Invalid,
            name if name
                .iter()
                .all(|&byte| is_token(byte) && !byte.is_ascii_uppercase()) =>
            {
                Self::Field(Known::of(name))
            }
            _ => Self::Invalid,
        }
    }
}

/// Whether a value may stand in a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fit {
    /// It may.
    Good,
    /// It has a control byte, or white space at an end (RFC 9113, 8.2.1).
    Bad,
}

impl Fit {
    /// Whether this value may.
    pub fn of(value: &[u8]) -> Self {
        let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        let control = |&byte: &u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
        if value.iter().any(control) || blank(value.first()) || blank(value.last()) {
            Self::Bad
        } else {
            Self::Good
        }
    }
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// What the name is.
    pub kind: Kind,
    /// As it stands in the block.
    pub name: &'a [u8],
    /// As it stands in the block.
    pub value: &'a [u8],
    /// Whether the value may stand in a message.
    pub fit: Fit,
    /// Whether anybody may remember it.
    pub care: Care,
}

impl<'a> Line<'a> {
    /// A line that was not seen before.
    pub(super) fn new(name: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            kind: Kind::of(name),
            name,
            value,
            fit: Fit::of(value),
            care: Care::Usual,
        }
    }

    /// A line of ours: nobody asks what it is.
    pub(super) const fn written(name: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            kind: Kind::Unknown,
            name,
            value,
            fit: Fit::Good,
            care: Care::Usual,
        }
    }
}
