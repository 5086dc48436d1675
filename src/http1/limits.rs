//! How much of a message is taken, beyond its head: what a peer sends between the data of a body, and what an endpoint answers.

use std::ops::RangeInclusive;

use super::request::{MAX_FIELDS, MAX_NAME};
use crate::config::types::ByteSize;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};

/// What may stand in a chunked body besides its data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BodyLimits {
    /// The trailer section, in bytes (E-026).
    pub trailers: u32,
    /// Fields of the trailer section, at most [`MAX_FIELDS`].
    pub trailer_count: u16,
    /// The extension of one chunk, in bytes. Extensions are read over and never passed on.
    pub chunk_extension: u32,
    /// All extensions of one body together, in bytes (E-015).
    pub chunk_extensions: u32,
}

impl BodyLimits {
    /// What is taken where nothing else is said.
    pub const DEFAULT: Self = Self {
        trailers: 4 << 10,
        trailer_count: 16,
        chunk_extension: 256,
        chunk_extensions: 16 << 10,
    };
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How large an answer of an endpoint may be, but for its data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ResponseLimits {
    /// Its head, in bytes (E-044).
    pub headers: usize,
    /// Fields of its head, at most [`MAX_FIELDS`] (E-044).
    pub header_count: usize,
    /// The name of a field, in bytes.
    pub header_name: usize,
    /// Informational heads before the final one.
    pub interim: u32,
    /// Around its data.
    pub body: BodyLimits,
}

impl ResponseLimits {
    /// What is taken where nothing else is said.
    pub const DEFAULT: Self = Self {
        headers: 64 << 10,
        header_count: 200,
        header_name: MAX_NAME,
        interim: 16,
        body: BodyLimits::DEFAULT,
    };
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The keys of [`BodyLimits`] as they were written, of a listener or a cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawBodyLimits {
    /// `trailers`.
    pub trailers: Option<Spanned<ByteSize>>,
    /// `trailer_count`.
    pub trailer_count: Option<Spanned<u32>>,
    /// `chunk_extension`.
    pub chunk_extension: Option<Spanned<ByteSize>>,
    /// `chunk_extensions`.
    pub chunk_extensions: Option<Spanned<ByteSize>>,
}

impl RawBodyLimits {
    /// What they mean; those that are not written are as in `default`.
    pub fn compile(&self, default: BodyLimits, diagnostics: &mut Diagnostics) -> BodyLimits {
        let mut pick = |raw, most: u64, default: u32| {
            let picked = within(raw, 0..=most, default.into(), diagnostics);
            u32::try_from(picked).unwrap_or(default)
        };
        let count = pick(
            number(self.trailer_count),
            MAX_FIELDS as u64,
            default.trailer_count.into(),
        );
        BodyLimits {
            trailers: pick(size(self.trailers), 64 << 10, default.trailers),
            trailer_count: u16::try_from(count).unwrap_or(default.trailer_count),
            chunk_extension: pick(
                size(self.chunk_extension),
                64 << 10,
                default.chunk_extension,
            ),
            chunk_extensions: pick(
                size(self.chunk_extensions),
                1 << 20,
                default.chunk_extensions,
            ),
        }
    }
}

/// A size with its place.
pub fn size(raw: Option<Spanned<ByteSize>>) -> Option<(u64, Span)> {
    raw.map(|size| (size.bytes(), size.span))
}

/// A number with its place.
pub fn number(raw: Option<Spanned<u32>>) -> Option<(u64, Span)> {
    raw.map(|number| (u64::from(number.value), number.span))
}

/// The value that is given, if it is within what is allowed; else that is said, and the default stands in.
pub fn within(
    given: Option<(u64, Span)>,
    allowed: RangeInclusive<u64>,
    default: u64,
    diagnostics: &mut Diagnostics,
) -> u64 {
    let Some((value, span)) = given else {
        return default;
    };
    if allowed.contains(&value) {
        return value;
    }
    diagnostics.push(
        Diagnostic::error(Code::BadValue, span, format!("`{value}` is out of range")).label(
            format!("allowed are {} to {}", allowed.start(), allowed.end()),
        ),
    );
    default
}
