//! Cells of one (worker, listener, cluster) of layer 4.

use std::sync::Arc;
use std::time::Duration;

use crate::base::Reason;

use super::cell::{Counter, Distribution, Gauge, Histogram};
use super::names;
use super::scrape::Scrape;

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
    /// Of flows, as they come and go.
    pub datagrams: Datagrams,
    /// By which flows are found again.
    pub connection_ids: ConnectionIds,
}

/// What became of a connection id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IdEvent {
    /// An endpoint chose it.
    Learned,
    /// It led a datagram from a new address to its endpoint.
    Found,
    /// It gave way to a newer one of its flow.
    Displaced,
    /// It was another endpoint's already.
    Taken,
}

impl IdEvent {
    const ALL: [Self; 4] = [Self::Learned, Self::Found, Self::Displaced, Self::Taken];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Learned => "learned",
            Self::Found => "found",
            Self::Displaced => "displaced",
            Self::Taken => "taken",
        }
    }
}

/// Connection ids of QUIC.
#[derive(Debug, Default)]
pub struct ConnectionIds {
    /// Those that flows hold.
    pub held: Gauge,
    events: [Counter; IdEvent::ALL.len()],
}

impl ConnectionIds {
    /// Counts one.
    pub fn met(&self, event: IdEvent) {
        if let Some(counter) = self.events.get(event as usize) {
            counter.inc();
        }
    }
}

/// Why a datagram was dropped here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lost {
    /// Its flow has no endpoint.
    NoEndpoint,
    /// There was no memory for a flow of its own.
    Full,
    /// The kernel did not take it.
    Send,
    /// It would have begun a flow of a listener that ends.
    Closing,
    /// A filter of the listener let it begin no flow.
    Refused,
    /// It came when the socket had no room: its worker was behind.
    Overflow,
}

impl Lost {
    const ALL: [Self; 6] = [
        Self::NoEndpoint,
        Self::Full,
        Self::Send,
        Self::Closing,
        Self::Refused,
        Self::Overflow,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::NoEndpoint => "no_endpoint",
            Self::Full => "full",
            Self::Send => "send",
            Self::Closing => "closing",
            Self::Refused => "refused",
            Self::Overflow => "overflow",
        }
    }
}

/// Datagrams of flows.
#[derive(Debug, Default)]
pub struct Datagrams {
    /// From clients, to be passed to endpoints.
    pub received: Counter,
    /// To clients.
    pub sent: Counter,
    lost: [Counter; Lost::ALL.len()],
}

impl Datagrams {
    /// One was dropped.
    pub fn lost(&self, why: Lost) {
        self.lost_many(why, 1);
    }

    /// Datagrams that were dropped here.
    pub fn lost_many(&self, why: Lost, count: u64) {
        if let Some(counter) = self.lost.get(why as usize) {
            counter.add(count);
        }
    }
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
            datagrams: Datagrams::default(),
            connection_ids: ConnectionIds::default(),
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
    pub(super) datagrams_in: u64,
    pub(super) datagrams_out: u64,
    lost: [u64; Lost::ALL.len()],
    ids: i64,
    id_events: [u64; IdEvent::ALL.len()],
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
        self.datagrams_in += cells.datagrams.received.read();
        self.datagrams_out += cells.datagrams.sent.read();
        for (sum, counter) in self.lost.iter_mut().zip(&cells.datagrams.lost) {
            *sum += counter.read();
        }
        self.ids += cells.connection_ids.held.read();
        for (sum, counter) in self.id_events.iter_mut().zip(&cells.connection_ids.events) {
            *sum += counter.read();
        }
        self.endings.resize(Reason::COUNT, 0);
        for (sum, counter) in self.endings.iter_mut().zip(&cells.endings) {
            *sum += counter.read();
        }
    }

    /// Dropped datagrams by cause, of those that occurred.
    pub(super) fn lost(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = Lost::ALL.map(Lost::as_str).into_iter().zip(self.lost);
        counts.filter(|(_, count)| *count > 0)
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

/// Adds up what the workers have counted.
#[expect(
    clippy::cast_precision_loss,
    reason = "gauges of what a process can hold"
)]
pub(super) fn collect(
    listener: &str,
    cluster: &str,
    shards: &[Option<Arc<SessionCells>>],
    scrape: &mut Scrape,
) {
    let mut sums = SessionSums::default();
    for cells in shards.iter().flatten() {
        sums.absorb(cells);
    }
    let labels = [listener, cluster];
    scrape.add(&names::L4_SESSIONS, &labels, sums.sessions);
    scrape.gauge(&names::L4_SESSIONS_ACTIVE, &labels, sums.active as f64);
    scrape.distribution(&names::L4_SESSION_DURATION, &labels, &sums.duration);
    for (direction, bytes) in [("in", sums.bytes_in), ("out", sums.bytes_out)] {
        scrape.add(&names::L4_BYTES, &[listener, cluster, direction], bytes);
    }
    for (direction, count) in [("in", sums.datagrams_in), ("out", sums.datagrams_out)] {
        if count > 0 {
            let labels = [listener, cluster, direction];
            scrape.add(&names::L4_DATAGRAMS, &labels, count);
        }
    }
    for (cause, count) in sums.lost() {
        let labels = [listener, cluster, cause];
        scrape.add(&names::L4_DATAGRAMS_DROPPED, &labels, count);
    }
    let events = IdEvent::ALL.into_iter().zip(sums.id_events);
    for (event, count) in events.filter(|(_, count)| *count > 0) {
        let labels = [listener, cluster, event.as_str()];
        scrape.add(&names::L4_CONNECTION_ID_EVENTS, &labels, count);
    }
    if sums.id_events.iter().any(|count| *count > 0) {
        scrape.gauge(&names::L4_CONNECTION_IDS, &labels, sums.ids as f64);
    }
    for (reason, count) in sums.endings() {
        let labels = [listener, cluster, reason.as_str()];
        scrape.add(&names::L4_TERMINATIONS, &labels, count);
    }
}
