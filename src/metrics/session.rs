//! Cells of one (worker, listener, cluster) of layer 4.

use std::time::Duration;

use crate::base::Reason;

use super::cell::{Counter, Distribution, Gauge, Histogram};

/// What one worker counts of the sessions (connections and flows) that a listener sends to a cluster.
#[derive(Debug)]
#[repr(align(128))]
pub struct SessionCells {
    /// Sessions under way.
    pub active: Gauge,
    sessions: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    duration: Histogram,
    endings: [Counter; Reason::COUNT],
}

impl Default for SessionCells {
    fn default() -> Self {
        Self {
            active: Gauge::default(),
            sessions: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            duration: Histogram::default(),
            endings: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl SessionCells {
    /// Counts one session that has ended, with the bytes from the client and to it.
    pub fn finish(&self, reason: Reason, duration: Duration, bytes_in: u64, bytes_out: u64) {
        self.sessions.inc();
        self.bytes_in.add(bytes_in);
        self.bytes_out.add(bytes_out);
        self.duration.observe(duration);
        if let Some(ending) = self.endings.get(reason.index()) {
            ending.inc();
        }
    }
}

/// The cells of one label set, added up over the workers.
#[derive(Debug, Default)]
pub(super) struct SessionSums {
    pub(super) active: i64,
    pub(super) sessions: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) duration: Distribution,
    endings: Vec<u64>,
}

impl SessionSums {
    /// Adds what a worker has counted.
    pub(super) fn absorb(&mut self, cells: &SessionCells) {
        self.active += cells.active.read();
        self.sessions += cells.sessions.read();
        self.bytes_in += cells.bytes_in.read();
        self.bytes_out += cells.bytes_out.read();
        self.duration.absorb(&cells.duration);
        self.endings.resize(Reason::COUNT, 0);
        for (sum, counter) in self.endings.iter_mut().zip(&cells.endings) {
            *sum += counter.read();
        }
    }

    /// Endings by reason, of those that occurred.
    pub(super) fn endings(&self) -> impl Iterator<Item = (Reason, u64)> {
        let counts = Reason::ALL
            .iter()
            .copied()
            .zip(self.endings.iter().copied());
        counts.filter(|(_, count)| *count > 0)
    }
}
