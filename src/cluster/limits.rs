//! `limits` of a cluster → [`ResponseLimits`].

use crate::config::raw::ClusterLimits;
use crate::config::{Diagnostics, Span};
use crate::http1::limits::{RawBodyLimits, ResponseLimits, number, size, within};
use crate::http1::request::MAX_FIELDS;

/// Keys of a cluster over those of the defaults over what is built in.
pub(super) fn compile(
    raw: &ClusterLimits,
    defaults: &ClusterLimits,
    diagnostics: &mut Diagnostics,
) -> ResponseLimits {
    let built_in = ResponseLimits::DEFAULT;
    let body = RawBodyLimits {
        trailers: raw.trailers.or(defaults.trailers),
        trailer_count: raw.trailer_count.or(defaults.trailer_count),
        chunk_extension: raw.chunk_extension.or(defaults.chunk_extension),
        chunk_extensions: raw.chunk_extensions.or(defaults.chunk_extensions),
    };
    let body = body.compile(built_in.body, diagnostics);
    let mut pick = |given: Option<(u64, Span)>, allowed, default: usize| {
        let picked = within(given, allowed, default as u64, diagnostics);
        usize::try_from(picked).unwrap_or(default)
    };
    let headers = size(raw.headers.or(defaults.headers));
    let count = number(raw.header_count.or(defaults.header_count));
    let name = size(raw.header_name.or(defaults.header_name));
    let interim = number(raw.interim.or(defaults.interim));
    let interim = pick(interim, 0..=256, built_in.interim as usize);
    ResponseLimits {
        headers: pick(headers, 256..=1 << 20, built_in.headers),
        header_count: pick(count, 1..=MAX_FIELDS as u64, built_in.header_count),
        header_name: pick(name, 1..=8 << 10, built_in.header_name),
        interim: u32::try_from(interim).unwrap_or(built_in.interim),
        body,
    }
}
