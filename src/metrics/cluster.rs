//! Cells of one (worker, cluster).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::{Detail, Reason};

use super::cell::{Counter, Distribution, Gauge, Histogram};
use super::codes::{CodeSums, Codes, NO_RESPONSE};
use super::grpc::{GrpcCells, GrpcSums, Outcome};

/// How a retry ended.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RetryResult {
    /// It brought a response that was passed on.
    Success,
    /// It failed as well.
    Failure,
}

impl RetryResult {
    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// A short list of counts for what is rare, one row for each member of a closed set that occurred.
#[derive(Debug)]
struct Rare<K>(Mutex<Vec<(K, u64)>>);

impl<K> Default for Rare<K> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<K: Copy + PartialEq> Rare<K> {
    fn count(&self, key: K) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match rows.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None => rows.push((key, 1)),
        }
    }

    fn read(&self) -> Vec<(K, u64)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What one worker counts of the HTTP/2 connections to the endpoints of one cluster.
#[derive(Debug, Default)]
pub struct Http2Cells {
    /// Connections that are open.
    pub active: Gauge,
    /// Of those, the ones that nobody uses.
    pub idle: Gauge,
    /// Connections made.
    pub connects: Counter,
    /// Attempts that joined a connection which was there.
    pub joined: Counter,
    /// Streams that endpoints refused.
    pub refused: Counter,
    /// Connections that endpoints ended with a GOAWAY that says why.
    pub goaways: Counter,
    /// Connections that were given up because a PING was not answered.
    pub pings_lost: Counter,
}

/// What one worker counts of its dealings with one cluster.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ClusterCells {
    /// Attempts under way.
    pub active: Gauge,
    /// Exchanges that wait for a slot.
    pub queued: Gauge,
    /// Connections that wait in the pool.
    pub idle: Gauge,
    /// Connections of HTTP/1 that are in use, where endpoints may choose what is spoken.
    pub leased: Gauge,
    /// Attempts that took a connection from the pool.
    pub reused: Counter,
    /// Those of HTTP/2; they are shared, and counted apart.
    pub http2: Arc<Http2Cells>,
    connects: Counter,
    codes: Codes,
    duration: Histogram,
    connect_duration: Histogram,
    queue_duration: Histogram,
    connect_failures: Rare<Reason>,
    retries: Rare<(Reason, RetryResult)>,
    retry_denied: Rare<Detail>,
    rejected: Rare<Reason>,
    grpc: GrpcCells,
}

impl ClusterCells {
    /// Counts an attempt that brought a response, from its start to the response's end.
    pub fn responded(&self, status: u16, duration: Duration) {
        self.codes.count(status);
        self.duration.observe(duration);
    }

    /// Counts what an answer of gRPC says.
    pub fn called(&self, outcome: Outcome) {
        self.grpc.count(outcome);
    }

    /// Counts an attempt that ended without a response.
    pub fn failed(&self, duration: Duration) {
        self.codes.count(NO_RESPONSE);
        self.duration.observe(duration);
    }

    /// Counts a new connection and the time that it took to make.
    pub fn connected(&self, duration: Duration) {
        self.connects.inc();
        self.connect_duration.observe(duration);
    }

    /// The same for one of HTTP/2.
    pub fn connected_http2(&self, duration: Duration) {
        self.http2.connects.inc();
        self.connect_duration.observe(duration);
    }

    /// Counts a connection that could not be made.
    pub fn connect_failed(&self, reason: Reason) {
        self.connect_failures.count(reason);
    }

    /// Counts the time that an exchange waited for a slot.
    pub fn waited(&self, duration: Duration) {
        self.queue_duration.observe(duration);
    }

    /// Counts a retry by what caused it and how it ended.
    pub fn retried(&self, cause: Reason, result: RetryResult) {
        self.retries.count((cause, result));
    }

    /// Counts a retry that was wished for and not made.
    pub fn retry_denied(&self, why: Detail) {
        self.retry_denied.count(why);
    }

    /// Counts an exchange that got no endpoint.
    pub fn rejected(&self, reason: Reason) {
        self.rejected.count(reason);
    }
}

/// The cells of HTTP/2, added up over the workers.
#[derive(Debug, Default)]
pub(super) struct Http2Sums {
    pub(super) active: i64,
    pub(super) idle: i64,
    pub(super) connects: u64,
    pub(super) joined: u64,
    pub(super) refused: u64,
    pub(super) goaways: u64,
    pub(super) pings_lost: u64,
}

impl Http2Sums {
    fn absorb(&mut self, cells: &Http2Cells) {
        self.active += cells.active.read();
        self.idle += cells.idle.read();
        self.connects += cells.connects.read();
        self.joined += cells.joined.read();
        self.refused += cells.refused.read();
        self.goaways += cells.goaways.read();
        self.pings_lost += cells.pings_lost.read();
    }
}

/// The cells of one cluster, added up over the workers.
#[derive(Debug, Default)]
pub(super) struct ClusterSums {
    pub(super) active: i64,
    pub(super) queued: i64,
    pub(super) idle: i64,
    pub(super) leased: i64,
    pub(super) reused: u64,
    pub(super) connects: u64,
    pub(super) http2: Http2Sums,
    pub(super) codes: CodeSums,
    pub(super) duration: Distribution,
    pub(super) connect_duration: Distribution,
    pub(super) queue_duration: Distribution,
    pub(super) connect_failures: Vec<(Reason, u64)>,
    pub(super) retries: Vec<((Reason, RetryResult), u64)>,
    pub(super) retry_denied: Vec<(Detail, u64)>,
    pub(super) rejected: Vec<(Reason, u64)>,
    pub(super) grpc: GrpcSums,
}

impl ClusterSums {
    /// Adds what a worker has counted. Rows of the short lists may repeat; the scrape adds them up.
    pub(super) fn absorb(&mut self, cells: &ClusterCells) {
        self.active += cells.active.read();
        self.queued += cells.queued.read();
        self.idle += cells.idle.read();
        self.leased += cells.leased.read();
        self.reused += cells.reused.read();
        self.connects += cells.connects.read();
        self.http2.absorb(&cells.http2);
        cells.codes.sum_into(&mut self.codes);
        self.duration.absorb(&cells.duration);
        self.connect_duration.absorb(&cells.connect_duration);
        self.queue_duration.absorb(&cells.queue_duration);
        self.connect_failures.extend(cells.connect_failures.read());
        self.retries.extend(cells.retries.read());
        self.retry_denied.extend(cells.retry_denied.read());
        self.rejected.extend(cells.rejected.read());
        self.grpc.absorb(&cells.grpc);
    }
}
