//! Cells of one (worker, listener, route).

use std::sync::OnceLock;
use std::time::Duration;

use crate::base::Reason;
use crate::message::Method;
use crate::message::trailer::Dropped;

use super::cell::{Counter, Distribution, Gauge, Histogram};
use super::codes::{self, CLASSES, CodeSums, Codes};

/// A part of an exchange whose time is observed on its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Waiting for a slot at an endpoint.
    Queue,
    /// Making the connection to the endpoint.
    Connect,
    /// From the request's begin to the first byte of the response head.
    FirstByte,
    /// From the first byte of the response to its end.
    Body,
}

impl Step {
    /// Every step, in the order of their indexes.
    pub const ALL: [Self; 4] = [Self::Queue, Self::Connect, Self::FirstByte, Self::Body];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Connect => "connect",
            Self::FirstByte => "first_byte",
            Self::Body => "body",
        }
    }
}

/// What one worker counts of the exchanges of one route at one listener. Rows that never count are never
/// allocated, so ten thousand idle routes cost little.
#[derive(Debug)]
#[repr(align(128))]
pub struct ExchangeCells {
    /// Exchanges under way.
    pub active: Gauge,
    request_bytes: Counter,
    response_bytes: Counter,
    codes: [OnceLock<Box<Codes>>; Method::ALL.len()],
    durations: [OnceLock<Box<Histogram>>; CLASSES.len()],
    steps: [OnceLock<Box<Histogram>>; Step::ALL.len()],
    endings: [Counter; Reason::COUNT],
    trailers_unlisted: Counter,
    trailers_forbidden: Counter,
}

impl Default for ExchangeCells {
    fn default() -> Self {
        Self {
            active: Gauge::default(),
            request_bytes: Counter::default(),
            response_bytes: Counter::default(),
            codes: Default::default(),
            durations: Default::default(),
            steps: Default::default(),
            endings: std::array::from_fn(|_| Counter::default()),
            trailers_unlisted: Counter::default(),
            trailers_forbidden: Counter::default(),
        }
    }
}

impl ExchangeCells {
    /// Counts one exchange that has ended. `status` is that of the response (0: none was due).
    pub fn finish(
        &self,
        method: Method,
        status: u16,
        reason: Reason,
        duration: Duration,
        request_bytes: u64,
        response_bytes: u64,
    ) {
        if let Some(row) = self.codes.get(method.index()) {
            row.get_or_init(Box::default).count(status);
        }
        if let Some(histogram) = self.durations.get(codes::class(status)) {
            histogram.get_or_init(Box::default).observe(duration);
        }
        if let Some(ending) = self.endings.get(reason.index()) {
            ending.inc();
        }
        self.request_bytes.add(request_bytes);
        self.response_bytes.add(response_bytes);
    }

    /// Counts trailer fields that were not passed on.
    pub fn trailers_dropped(&self, dropped: Dropped) {
        self.trailers_unlisted.add(dropped.unlisted);
        self.trailers_forbidden.add(dropped.forbidden);
    }

    /// Counts the time that one step took.
    pub fn observe_step(&self, step: Step, duration: Duration) {
        if let Some(histogram) = self.steps.get(step as usize) {
            histogram.get_or_init(Box::default).observe(duration);
        }
    }
}

/// The cells of one label set, added up over the workers.
#[derive(Debug, Default)]
pub(super) struct ExchangeSums {
    pub(super) active: i64,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) trailers: Dropped,
    codes: [CodeSums; Method::ALL.len()],
    durations: [Distribution; CLASSES.len()],
    steps: [Distribution; Step::ALL.len()],
    endings: Vec<u64>,
}

impl ExchangeSums {
    /// Adds what a worker has counted.
    pub(super) fn absorb(&mut self, cells: &ExchangeCells) {
        self.active += cells.active.read();
        self.request_bytes += cells.request_bytes.read();
        self.response_bytes += cells.response_bytes.read();
        self.trailers.unlisted += cells.trailers_unlisted.read();
        self.trailers.forbidden += cells.trailers_forbidden.read();
        for (sums, row) in self.codes.iter_mut().zip(&cells.codes) {
            if let Some(row) = row.get() {
                row.sum_into(sums);
            }
        }
        let sums = self.durations.iter_mut().chain(&mut self.steps);
        for (sum, histogram) in sums.zip(cells.durations.iter().chain(&cells.steps)) {
            if let Some(histogram) = histogram.get() {
                sum.absorb(histogram);
            }
        }
        self.endings.resize(Reason::COUNT, 0);
        for (sum, ending) in self.endings.iter_mut().zip(&cells.endings) {
            *sum += ending.read();
        }
    }

    /// Method, code label and count.
    pub(super) fn codes(&self) -> impl Iterator<Item = (Method, String, u64)> {
        Method::ALL
            .into_iter()
            .zip(&self.codes)
            .flat_map(|(method, sums)| {
                sums.iter()
                    .map(move |(label, count)| (method, label, count))
            })
    }

    /// Class label and durations, where there are any.
    pub(super) fn durations(&self) -> impl Iterator<Item = (&'static str, &Distribution)> {
        CLASSES
            .into_iter()
            .zip(&self.durations)
            .filter(|(_, sum)| sum.count() > 0)
    }

    /// Step and durations, where there are any.
    pub(super) fn steps(&self) -> impl Iterator<Item = (Step, &Distribution)> {
        Step::ALL
            .into_iter()
            .zip(&self.steps)
            .filter(|(_, sum)| sum.count() > 0)
    }

    /// Reason and count, where it occurred.
    pub(super) fn endings(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL
            .iter()
            .copied()
            .zip(self.endings.iter().copied())
            .filter(|(_, count)| *count > 0)
    }
}
