//! What connections of HTTP/2 are counted by.

use std::time::Duration;

use super::cell::{Counter, Gauge, Histogram};
use super::{Scrape, names};

/// What the other end of a connection did too often.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Abuse {
    /// Frames that go on with a header block, or its bytes.
    Continuations,
    /// Streams reset by the other end.
    Resets,
    /// Streams that we had to reset.
    Faults,
    /// PING.
    Pings,
    /// SETTINGS.
    Settings,
    /// PRIORITY and other frames that nothing comes of.
    Priorities,
    /// DATA without bytes.
    EmptyData,
    /// `WINDOW_UPDATE`.
    WindowUpdates,
}

impl Abuse {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Continuations,
        Self::Resets,
        Self::Faults,
        Self::Pings,
        Self::Settings,
        Self::Priorities,
        Self::EmptyData,
        Self::WindowUpdates,
    ];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continuations => "continuations",
            Self::Resets => "resets",
            Self::Faults => "faults",
            Self::Pings => "pings",
            Self::Settings => "settings",
            Self::Priorities => "priorities",
            Self::EmptyData => "empty_data",
            Self::WindowUpdates => "window_updates",
        }
    }
}

/// What an error ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// One stream.
    Stream,
    /// The connection.
    Connection,
}

impl Scope {
    const ALL: [Self; 2] = [Self::Stream, Self::Connection];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Connection => "connection",
        }
    }
}

/// Error codes by their numbers (RFC 9113, 7).
pub const CODES: [&str; 14] = [
    "no_error",
    "protocol_error",
    "internal_error",
    "flow_control_error",
    "settings_timeout",
    "stream_closed",
    "frame_size_error",
    "refused_stream",
    "cancel",
    "compression_error",
    "connect_error",
    "enhance_your_calm",
    "inadequate_security",
    "http_1_1_required",
];

/// What one worker counts of the connections of one listener.
#[derive(Debug, Default)]
pub struct H2Cells {
    /// Connections that speak it, and have spoken it.
    pub connections: Counter,
    /// Those that are open.
    pub active: Gauge,
    /// How long they were.
    pub(super) duration: Histogram,
    abuse: [Counter; Abuse::ALL.len()],
    errors: [[Counter; CODES.len()]; Scope::ALL.len()],
}

impl H2Cells {
    /// Counts the time that a connection was open.
    pub fn lasted(&self, duration: Duration) {
        self.duration.observe(duration);
    }

    /// Counts a connection that was closed because of too much.
    pub fn abuse(&self, kind: Abuse) {
        if let Some(counter) = self.abuse.get(kind as usize) {
            counter.inc();
        }
    }

    /// Counts an error that the other end was told of.
    pub fn error(&self, scope: Scope, code: u32) {
        let codes = self.errors.get(scope as usize);
        if let Some(counter) = codes.and_then(|codes| codes.get(code as usize)) {
            counter.inc();
        }
    }

    /// Adds the counts to a scrape.
    pub(super) fn collect(&self, listener: &str, scrape: &mut Scrape) {
        let connections = self.connections.read();
        scrape.add(&names::H2_CONNECTIONS, &[listener], connections);
        for (kind, count) in Abuse::ALL.into_iter().zip(&self.abuse) {
            scrape.add(&names::H2_ABUSE, &[listener, kind.as_str()], count.read());
        }
        for (scope, counts) in Scope::ALL.into_iter().zip(&self.errors) {
            for (code, count) in CODES.into_iter().zip(counts) {
                let count = count.read();
                if count > 0 {
                    let labels = [listener, scope.as_str(), code];
                    scrape.add(&names::H2_ERRORS, &labels, count);
                }
            }
        }
    }
}
