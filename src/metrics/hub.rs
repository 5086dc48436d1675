//! The one place that knows every cell: resolves handles, sums shards.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::Detail;
use crate::base::clock::{self, Instant};
use crate::message::trailer::Dropped;

use super::OTHER;
use super::cell::{Distribution, SharedCounter};
use super::cluster::{ClusterCells, ClusterSums, Http2Sums};
use super::exchange::{ExchangeCells, ExchangeSums};
use super::listener::{Handshake, ListenerCells};
use super::process::ProcessCells;
use super::scrape::Scrape;
use super::session::{self, SessionCells};
use super::{names, os};

/// Label sets of one kind of cell, and series of one metric, beyond which the rest is one: `_other`.
pub const MAX_SERIES: usize = 10_000;

/// What connections of an http listener, and those to endpoints, speak.
pub const PROTOCOL: &str = "h1";

/// Of those that several exchanges share.
const HTTP2: &str = "h2";

/// Cells of one label set, one for each worker that asked.
type Shards<C> = Vec<Option<Arc<C>>>;

type Live = Box<dyn Fn(&mut Scrape) + Send + Sync>;

#[derive(Debug, Default)]
struct Cells {
    exchanges: BTreeMap<(Box<str>, Box<str>), Shards<ExchangeCells>>,
    clusters: BTreeMap<Box<str>, Shards<ClusterCells>>,
    /// By name and by what is spoken.
    listeners: BTreeMap<(Box<str>, &'static str), Shards<ListenerCells>>,
    sessions: BTreeMap<(Box<str>, Box<str>), Shards<SessionCells>>,
}

/// Every metric of the process.
pub struct Hub {
    workers: usize,
    started: Instant,
    started_wall: Duration,
    cells: Mutex<Cells>,
    process: ProcessCells,
    live: Mutex<Vec<Live>>,
    /// Resolutions that were folded, and the most series that one scrape has folded.
    folded: SharedCounter,
    folded_series: AtomicU64,
    max_series: usize,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

/// The cells of one worker under one key, made when they are asked for first. Over the cap a new key
/// becomes `folded`.
fn resolve<K: Ord, C: Default>(
    table: &mut BTreeMap<K, Shards<C>>,
    key: K,
    other: K,
    worker: usize,
    limit: (usize, &SharedCounter),
) -> Arc<C> {
    let (max, folded) = limit;
    let key = if table.len() < max || table.contains_key(&key) {
        key
    } else {
        folded.inc();
        other
    };
    let shards = table.entry(key).or_default();
    if shards.len() <= worker {
        shards.resize_with(worker + 1, || None);
    }
    match shards.get_mut(worker) {
        Some(slot) => Arc::clone(slot.get_or_insert_default()),
        None => Arc::default(),
    }
}

impl Hub {
    /// A hub for so many workers.
    pub fn new(workers: usize) -> Arc<Self> {
        Self::with_max_series(workers, MAX_SERIES)
    }

    pub(super) fn with_max_series(workers: usize, max_series: usize) -> Arc<Self> {
        Arc::new(Self {
            workers,
            started: clock::now(),
            started_wall: clock::wall(),
            cells: Mutex::default(),
            process: ProcessCells::default(),
            live: Mutex::default(),
            folded: SharedCounter::default(),
            folded_series: AtomicU64::new(0),
            max_series,
        })
    }

    fn cells(&self) -> MutexGuard<'_, Cells> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cells of one route at one listener; route `-`: no route matched. The same labels give the
    /// same cells, so counters survive a reload.
    pub fn exchange(&self, worker: usize, listener: &str, route: &str) -> Arc<ExchangeCells> {
        resolve(
            &mut self.cells().exchanges,
            (listener.into(), route.into()),
            (OTHER.into(), OTHER.into()),
            worker,
            (self.max_series, &self.folded),
        )
    }

    /// The cells of one cluster.
    pub fn cluster(&self, worker: usize, cluster: &str) -> Arc<ClusterCells> {
        resolve(
            &mut self.cells().clusters,
            cluster.into(),
            OTHER.into(),
            worker,
            (self.max_series, &self.folded),
        )
    }

    /// The cells of layer 4 of one cluster at one listener; cluster `-`: none was found.
    pub fn session(&self, worker: usize, listener: &str, cluster: &str) -> Arc<SessionCells> {
        resolve(
            &mut self.cells().sessions,
            (listener.into(), cluster.into()),
            (OTHER.into(), OTHER.into()),
            worker,
            (self.max_series, &self.folded),
        )
    }

    /// The cells of one listener, which speaks this.
    pub fn listener(
        &self,
        worker: usize,
        listener: &str,
        protocol: &'static str,
    ) -> Arc<ListenerCells> {
        resolve(
            &mut self.cells().listeners,
            (listener.into(), protocol),
            (OTHER.into(), protocol),
            worker,
            (self.max_series, &self.folded),
        )
    }

    /// What the process counts as a whole.
    pub fn process(&self) -> &ProcessCells {
        &self.process
    }

    /// Time since this hub, and with it the process, began.
    pub fn uptime(&self) -> Duration {
        clock::between(self.started, clock::now())
    }

    /// Adds a source of values that are read when someone scrapes: states, weights, loads.
    pub fn register(&self, live: Live) {
        self.live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(live);
    }

    /// Everything, as text for Prometheus. Takes as long as there are series: not for a thread that
    /// must answer soon.
    pub fn render(&self) -> Vec<u8> {
        let mut scrape = Scrape::new(self.max_series);
        self.collect_self(&mut scrape);
        self.process.collect(&mut scrape);
        os::collect(&mut scrape);
        {
            let cells = self.cells();
            for ((listener, route), shards) in &cells.exchanges {
                collect_exchange(listener, route, shards, &mut scrape);
            }
            for (cluster, shards) in &cells.clusters {
                collect_cluster(cluster, shards, &mut scrape);
            }
            for ((listener, protocol), shards) in &cells.listeners {
                collect_listener(listener, protocol, shards, &mut scrape);
            }
            for ((listener, cluster), shards) in &cells.sessions {
                session::collect(listener, cluster, shards, &mut scrape);
            }
        }
        for live in self
            .live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            live(&mut scrape);
        }
        // The highest seen: what is folded is folded again at every scrape, and a counter only grows.
        let series = scrape.folded();
        let highest = self
            .folded_series
            .fetch_max(series, Ordering::Relaxed)
            .max(series);
        let dropped = self.folded.read() + highest;
        scrape.add(&names::METRICS_SERIES_DROPPED, &[], dropped);
        scrape.encode()
    }

    fn collect_self(&self, scrape: &mut Scrape) {
        let build = [
            env!("CARGO_PKG_VERSION"),
            option_env!("TIDEGATE_COMMIT").unwrap_or("unknown"),
        ];
        scrape.gauge(&names::BUILD_INFO, &build, 1.0);
        scrape.gauge(&names::START_TIME, &[], self.started_wall.as_secs_f64());
        scrape.gauge(&names::UPTIME, &[], self.uptime().as_secs_f64());
        scrape.gauge(&names::RUNTIME_WORKERS, &[], self.workers as f64);
    }
}

fn collect_exchange(
    listener: &str,
    route: &str,
    shards: &Shards<ExchangeCells>,
    scrape: &mut Scrape,
) {
    let mut sums = ExchangeSums::default();
    for cells in shards.iter().flatten() {
        sums.absorb(cells);
    }
    for (method, code, count) in sums.codes() {
        let labels = [listener, route, method.label(), &code];
        scrape.add(&names::REQUESTS, &labels, count);
    }
    for (class, durations) in sums.durations() {
        let labels = [listener, route, class];
        scrape.distribution(&names::REQUEST_DURATION, &labels, durations);
    }
    for (step, durations) in sums.steps() {
        let labels = [route, step.as_str()];
        scrape.distribution(&names::REQUEST_PHASE_DURATION, &labels, durations);
    }
    for (reason, count) in sums.endings() {
        let labels = [route, reason.as_str()];
        scrape.add(&names::REQUEST_TERMINATIONS, &labels, count);
    }
    let labels = [listener, route];
    scrape.add(&names::REQUEST_BODY_BYTES, &labels, sums.request_bytes);
    scrape.add(&names::RESPONSE_BODY_BYTES, &labels, sums.response_bytes);
    if !sums.trailers.is_empty() {
        let Dropped {
            unlisted,
            forbidden,
        } = sums.trailers;
        for (cause, count) in [("unlisted", unlisted), ("forbidden", forbidden)] {
            scrape.add(&names::TRAILERS_DROPPED, &[listener, route, cause], count);
        }
    }
    scrape.gauge(&names::REQUESTS_ACTIVE, &[listener], sums.active as f64);
}

fn collect_cluster(cluster: &str, shards: &Shards<ClusterCells>, scrape: &mut Scrape) {
    let mut sums = ClusterSums::default();
    for cells in shards.iter().flatten() {
        sums.absorb(cells);
    }
    let one = [cluster];
    let spoken = [cluster, PROTOCOL];
    for (code, count) in sums.codes.iter() {
        scrape.add(&names::UPSTREAM_REQUESTS, &[cluster, &code], count);
    }
    scrape.gauge(&names::UPSTREAM_REQUESTS_ACTIVE, &one, sums.active as f64);
    scrape.gauge(&names::UPSTREAM_REQUESTS_QUEUED, &one, sums.queued as f64);
    scrape.add(&names::UPSTREAM_CONNECTIONS, &spoken, sums.connects);
    scrape.add(&names::UPSTREAM_CONNECTIONS_REUSED, &spoken, sums.reused);
    let idle = sums.idle as f64;
    scrape.gauge(&names::UPSTREAM_CONNECTIONS_IDLE, &spoken, idle);
    // The idle part of those that are open; the rest is added by whoever knows the endpoints.
    let known = idle + sums.leased as f64;
    scrape.gauge(&names::UPSTREAM_CONNECTIONS_ACTIVE, &spoken, known);
    if sums.http2.connects > 0 {
        collect_http2(cluster, &sums.http2, scrape);
    }
    for (metric, durations) in [
        (&names::UPSTREAM_REQUEST_DURATION, &sums.duration),
        (&names::UPSTREAM_CONNECT_DURATION, &sums.connect_duration),
        (&names::UPSTREAM_QUEUE_DURATION, &sums.queue_duration),
    ] {
        scrape.distribution(metric, &one, durations);
    }
    for (reason, count) in &sums.connect_failures {
        let labels = [cluster, reason.as_str()];
        scrape.add(&names::UPSTREAM_CONNECT_FAILURES, &labels, *count);
    }
    for ((reason, result), count) in &sums.retries {
        let labels = [cluster, reason.as_str(), result.as_str()];
        scrape.add(&names::UPSTREAM_RETRIES, &labels, *count);
    }
    for (why, count) in &sums.retry_denied {
        let labels = [cluster, why.as_str()];
        scrape.add(&names::UPSTREAM_RETRY_DENIED, &labels, *count);
    }
    for (reason, count) in &sums.rejected {
        let labels = [cluster, reason.as_str()];
        scrape.add(&names::UPSTREAM_REJECTED, &labels, *count);
    }
    sums.grpc.collect(cluster, scrape);
}

fn collect_http2(cluster: &str, sums: &Http2Sums, scrape: &mut Scrape) {
    let one = [cluster];
    let spoken = [cluster, HTTP2];
    scrape.add(&names::UPSTREAM_CONNECTIONS, &spoken, sums.connects);
    scrape.add(&names::UPSTREAM_CONNECTIONS_REUSED, &spoken, sums.joined);
    let (idle, active) = (sums.idle as f64, sums.active as f64);
    scrape.gauge(&names::UPSTREAM_CONNECTIONS_IDLE, &spoken, idle);
    scrape.gauge(&names::UPSTREAM_CONNECTIONS_ACTIVE, &spoken, active);
    scrape.add(&names::UPSTREAM_HTTP2_REFUSED, &one, sums.refused);
    scrape.add(&names::UPSTREAM_HTTP2_GOAWAYS, &one, sums.goaways);
    scrape.add(&names::UPSTREAM_HTTP2_PINGS_LOST, &one, sums.pings_lost);
}

fn collect_listener(
    listener: &str,
    protocol: &str,
    shards: &Shards<ListenerCells>,
    scrape: &mut Scrape,
) {
    let (labels, shared) = ([listener, protocol], [listener, HTTP2]);
    let mut durations = Distribution::default();
    let mut http2 = Distribution::default();
    let mut handshakes = Distribution::default();
    for cells in shards.iter().flatten() {
        scrape.add(&names::CONNECTIONS, &labels, cells.accepted.read());
        let active = cells.active.read() as f64;
        scrape.gauge(&names::CONNECTIONS_ACTIVE, &labels, active);
        cells.durations_into(&mut durations);
        let spoken = cells.http2.connections.read();
        if spoken > 0 {
            scrape.add(&names::CONNECTIONS, &shared, spoken);
            let active = cells.http2.active.read() as f64;
            scrape.gauge(&names::CONNECTIONS_ACTIVE, &shared, active);
            cells.http2_durations_into(&mut http2);
        }
        for (cause, count) in cells.closes() {
            let labels = [listener, cause.as_str()];
            scrape.add(&names::CONNECTIONS_CLOSED, &labels, count);
        }
        cells.handshakes_into(&mut handshakes);
        for ((handshake, why), count) in cells.handshakes() {
            let result = match why {
                Detail::None => "ok",
                why => why.as_str(),
            };
            let Handshake {
                version,
                group,
                resumed,
            } = handshake;
            let labels = [listener, version, group, resumed, result];
            scrape.add(&names::TLS_HANDSHAKES, &labels, count);
        }
        cells.http2.collect(listener, scrape);
        for (reason, detail, count) in cells.rejections() {
            let labels = [listener, reason.as_str(), detail.as_str()];
            scrape.add(&names::CONNECTIONS_REJECTED, &labels, count);
        }
    }
    scrape.distribution(&names::CONNECTION_DURATION, &labels, &durations);
    if http2.count() > 0 {
        scrape.distribution(&names::CONNECTION_DURATION, &shared, &http2);
    }
    scrape.distribution(&names::TLS_HANDSHAKE_DURATION, &[listener], &handshakes);
}
