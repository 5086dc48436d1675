//! Cells of one (worker, listener).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::{Detail, Reason};

use super::cell::{Counter, Distribution, Gauge, Histogram};
use super::http2::H2Cells;

/// What ended a client's connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Closed {
    /// The client: it closed, or asked for it.
    Client,
    /// Nothing came after it was accepted.
    FirstByte,
    /// Nothing came after an answer.
    Idle,
    /// It has served as many requests as one may.
    Requests,
    /// It was open for as long as one may be.
    Age,
    /// The process, or the listener, is on its way out.
    Drain,
    /// Memory is short.
    Overloaded,
    /// A request was refused, and what follows it cannot be told apart.
    Refused,
    /// A request was answered before it had been read, and too much of it was left.
    Unread,
    /// An answer broke off.
    Broken,
    /// A tunnel ended.
    Tunnel,
    /// The client broke the protocol.
    Protocol,
    /// The client did too often what may be done now and then.
    Abuse,
}

impl Closed {
    pub(super) const ALL: [Self; 13] = [
        Self::Client,
        Self::FirstByte,
        Self::Idle,
        Self::Requests,
        Self::Age,
        Self::Drain,
        Self::Overloaded,
        Self::Refused,
        Self::Unread,
        Self::Broken,
        Self::Tunnel,
        Self::Protocol,
        Self::Abuse,
    ];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::FirstByte => "first_byte",
            Self::Idle => "idle",
            Self::Requests => "requests",
            Self::Age => "age",
            Self::Drain => "drain",
            Self::Overloaded => "overloaded",
            Self::Refused => "refused",
            Self::Unread => "unread",
            Self::Broken => "broken",
            Self::Tunnel => "tunnel",
            Self::Protocol => "protocol",
            Self::Abuse => "abuse",
        }
    }
}

/// What one worker counts of the connections of one listener.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ListenerCells {
    /// Connections taken, counted when it is known what they speak.
    pub accepted: Counter,
    /// Connections open, as far as they do not speak HTTP/2.
    pub active: Gauge,
    /// Those that do.
    pub http2: H2Cells,
    duration: Histogram,
    closed: [Counter; Closed::ALL.len()],
    rejected: Mutex<Vec<(Reason, Detail, u64)>>,
    handshakes: Mutex<Vec<((Handshake, Detail), u64)>>,
    handshake: Histogram,
}

/// What a TLS handshake came to. Every value is from a closed list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Handshake {
    /// `1.2`, `1.3` or `none`.
    pub version: &'static str,
    /// The group of the key exchange.
    pub group: &'static str,
    /// Whether an earlier session went on: `yes` or `no`.
    pub resumed: &'static str,
}

impl Default for Handshake {
    fn default() -> Self {
        Self {
            version: "none",
            group: "none",
            resumed: "no",
        }
    }
}

impl ListenerCells {
    /// Counts the time that a connection was open.
    pub fn lasted(&self, duration: Duration) {
        self.duration.observe(duration);
    }

    /// Counts a connection that ended after it could speak.
    pub fn closed(&self, cause: Closed) {
        if let Some(counter) = self.closed.get(cause as usize) {
            counter.inc();
        }
    }

    /// Ends so far, by cause.
    pub(super) fn closes(&self) -> impl Iterator<Item = (Closed, u64)> {
        let counts = self.closed.iter().map(Counter::read);
        Closed::ALL.into_iter().zip(counts)
    }

    /// Counts a connection that was closed before it could speak. The list has one row for each pair
    /// that occurred; both enums are closed.
    pub fn rejected(&self, reason: Reason, detail: Detail) {
        let mut rows = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        match rows
            .iter_mut()
            .find(|(r, d, _)| *r == reason && *d == detail)
        {
            Some((_, _, count)) => *count += 1,
            None => rows.push((reason, detail, 1)),
        }
    }

    /// Rejections so far, by cause.
    pub(super) fn rejections(&self) -> Vec<(Reason, Detail, u64)> {
        self.rejected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Counts a handshake that succeeded in so much time.
    pub fn shook_hands(&self, handshake: Handshake, took: Duration) {
        self.handshake.observe(took);
        self.handshake_ended(handshake, Detail::None);
    }

    /// Counts one that failed.
    pub fn handshake_failed(&self, handshake: Handshake, why: Detail) {
        self.handshake_ended(handshake, why);
    }

    fn handshake_ended(&self, handshake: Handshake, why: Detail) {
        let mut rows = self
            .handshakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let key = (handshake, why);
        match rows.iter_mut().find(|(row, _)| *row == key) {
            Some((_, count)) => *count += 1,
            None => rows.push((key, 1)),
        }
    }

    /// Handshakes so far, by what they came to.
    pub(super) fn handshakes(&self) -> Vec<((Handshake, Detail), u64)> {
        let rows = self.handshakes.lock();
        rows.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds the times of handshakes to a sum.
    pub(super) fn handshakes_into(&self, sum: &mut Distribution) {
        sum.absorb(&self.handshake);
    }

    /// Adds the durations to a sum.
    pub(super) fn durations_into(&self, sum: &mut Distribution) {
        sum.absorb(&self.duration);
    }

    /// The same of those that speak HTTP/2.
    pub(super) fn http2_durations_into(&self, sum: &mut Distribution) {
        sum.absorb(&self.http2.duration);
    }
}
