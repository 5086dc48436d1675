//! `http2` of a listener → [`Limits`].

use std::ops::RangeInclusive;

use crate::config::raw;
use crate::config::types::ByteSize;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};
use crate::http2::{Limits, WebSockets};

/// Most of what is counted.
const MOST: u64 = 1_000_000;

/// The limits of a listener; what it does not say is that of `default`.
pub(super) fn compile(raw: &raw::Http2, default: Limits, diagnostics: &mut Diagnostics) -> Limits {
    let mut pick = |given: Option<(u64, Span)>, allowed: RangeInclusive<u64>, default: u32| {
        let Some((value, span)) = given else {
            return default;
        };
        if let (true, Ok(value)) = (allowed.contains(&value), u32::try_from(value)) {
            return value;
        }
        diagnostics.push(
            Diagnostic::error(Code::BadValue, span, format!("`{value}` is out of range")).label(
                format!("allowed are {} to {}", allowed.start(), allowed.end()),
            ),
        );
        default
    };
    let count = |raw: Option<Spanned<u32>>| raw.map(|it| (u64::from(it.value), it.span));
    let size = |raw: Option<Spanned<ByteSize>>| raw.map(|it| (it.bytes(), it.span));
    Limits {
        streams: pick(count(raw.streams), 1..=10_000, default.streams),
        stream_window: pick(
            size(raw.stream_window),
            1 << 10..=16 << 20,
            default.stream_window,
        ),
        connection_window: pick(
            size(raw.connection_window),
            64 << 10..=64 << 20,
            default.connection_window,
        ),
        header_table: pick(
            size(raw.header_table),
            4096..=64 << 10,
            default.header_table,
        ),
        continuations: pick(count(raw.continuations), 1..=1024, default.continuations),
        resets: pick(count(raw.resets), 1..=MOST, default.resets),
        resets_total: pick(count(raw.resets_total), 1..=MOST, default.resets_total),
        faults: pick(count(raw.faults), 1..=MOST, default.faults),
        pings: pick(count(raw.pings), 1..=MOST, default.pings),
        settings: pick(count(raw.settings), 1..=MOST, default.settings),
        priorities: pick(count(raw.priorities), 1..=MOST, default.priorities),
        empty_data: pick(count(raw.empty_data), 1..=MOST, default.empty_data),
        window_updates: pick(count(raw.window_updates), 1..=MOST, default.window_updates),
        websockets: match raw.websockets.as_ref().map(|it| it.value) {
            None => default.websockets,
            Some(true) => WebSockets::On,
            Some(false) => WebSockets::Off,
        },
    }
}
