//! Cells of one (worker, listener).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::{Detail, Reason};

use super::cell::{Counter, Distribution, Gauge, Histogram};

/// What one worker counts of the connections of one listener.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ListenerCells {
    /// Connections taken.
    pub accepted: Counter,
    /// Connections open.
    pub active: Gauge,
    duration: Histogram,
    rejected: Mutex<Vec<(Reason, Detail, u64)>>,
}

impl ListenerCells {
    /// Counts a connection that was open for so long.
    pub fn closed(&self, duration: Duration) {
        self.duration.observe(duration);
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

    /// Adds the durations to a sum.
    pub(super) fn durations_into(&self, sum: &mut Distribution) {
        sum.absorb(&self.duration);
    }
}
