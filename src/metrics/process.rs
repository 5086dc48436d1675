//! What the process counts as a whole, and what the probes count.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::clock;

use super::cell::{Distribution, Histogram, SharedCounter};
use super::dns::DnsCells;
use super::names;
use super::scrape::Scrape;

/// How a reload ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReloadResult {
    /// The new configuration is in effect.
    Ok,
    /// The configuration is wrong.
    Invalid,
    /// The configuration is right but could not be put into effect (an address in use, a file that
    /// cannot be opened).
    Error,
}

impl ReloadResult {
    const ALL: [Self; 3] = [Self::Ok, Self::Invalid, Self::Error];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Invalid => "invalid",
            Self::Error => "error",
        }
    }
}

/// What a probe found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CheckResult {
    /// The endpoint answered as expected.
    Pass,
    /// It did not.
    Fail,
    /// It did not answer in time.
    Timeout,
}

impl CheckResult {
    const ALL: [Self; 3] = [Self::Pass, Self::Fail, Self::Timeout];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Timeout => "timeout",
        }
    }
}

/// Why an endpoint's state changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TransitionCause {
    /// Probes.
    Active,
    /// Real traffic.
    Passive,
    /// An operator.
    Admin,
    /// Its name leads to it, or no longer does.
    Dns,
}

impl TransitionCause {
    const ALL: [Self; 4] = [Self::Active, Self::Passive, Self::Admin, Self::Dns];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::Admin => "admin",
            Self::Dns => "dns",
        }
    }
}

/// Why an endpoint was ejected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EjectionCause {
    /// Failures in a row.
    Consecutive,
    /// The share of failures.
    FailureRate,
    /// Slower than its peers.
    Latency,
    /// It failed in probation.
    Probation,
}

impl EjectionCause {
    const ALL: [Self; 4] = [
        Self::Consecutive,
        Self::FailureRate,
        Self::Latency,
        Self::Probation,
    ];

    /// Log value and label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive_failures",
            Self::FailureRate => "failure_rate",
            Self::Latency => "latency",
            Self::Probation => "probation",
        }
    }
}

/// What became of a wish to eject.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ejection {
    /// It was done.
    Enforced,
    /// As many as may be were ejected already.
    Capped,
}

impl Ejection {
    const ALL: [Self; 2] = [Self::Enforced, Self::Capped];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Capped => "capped",
        }
    }
}

/// What a cluster's breaker became.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BreakerState {
    /// Everything goes through.
    Closed,
    /// Nothing does.
    Open,
    /// One exchange at a time does.
    HalfOpen,
}

impl BreakerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// Log value and label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What the probes and the outlier detection of one cluster count. Ejections are counted by whoever
/// ejects; the durations are written by the control thread only.
#[derive(Debug, Default)]
pub struct HealthCells {
    checks: [SharedCounter; CheckResult::ALL.len()],
    duration: Histogram,
    to_healthy: [SharedCounter; TransitionCause::ALL.len()],
    to_unhealthy: [SharedCounter; TransitionCause::ALL.len()],
    ejections: [[SharedCounter; Ejection::ALL.len()]; EjectionCause::ALL.len()],
    breaker: [SharedCounter; BreakerState::ALL.len()],
}

impl HealthCells {
    /// Counts one probe.
    pub fn checked(&self, result: CheckResult, duration: Duration) {
        if let Some(counter) = self.checks.get(result as usize) {
            counter.inc();
        }
        self.duration.observe(duration);
    }

    /// Counts an endpoint that is available again.
    pub fn became_healthy(&self, cause: TransitionCause) {
        if let Some(counter) = self.to_healthy.get(cause as usize) {
            counter.inc();
        }
    }

    /// Counts an endpoint that is not available any more.
    pub fn became_unhealthy(&self, cause: TransitionCause) {
        if let Some(counter) = self.to_unhealthy.get(cause as usize) {
            counter.inc();
        }
    }

    /// Counts an ejection, or the wish for one.
    pub fn ejected(&self, cause: EjectionCause, what: Ejection) {
        let row = self.ejections.get(cause as usize);
        if let Some(counter) = row.and_then(|row| row.get(what as usize)) {
            counter.inc();
        }
    }

    /// Counts a change of the cluster's breaker.
    pub fn breaker(&self, to: BreakerState) {
        if let Some(counter) = self.breaker.get(to as usize) {
            counter.inc();
        }
    }

    fn collect(&self, cluster: &str, scrape: &mut Scrape) {
        for (cause, row) in EjectionCause::ALL.into_iter().zip(&self.ejections) {
            for (what, counter) in Ejection::ALL.into_iter().zip(row) {
                let labels = [cluster, cause.as_str(), what.as_str()];
                scrape.add(&names::OUTLIER_EJECTIONS, &labels, counter.read());
            }
        }
        for (to, counter) in BreakerState::ALL.into_iter().zip(&self.breaker) {
            let labels = [cluster, to.as_str()];
            scrape.add(&names::BREAKER_TRANSITIONS, &labels, counter.read());
        }
        for (result, counter) in CheckResult::ALL.into_iter().zip(&self.checks) {
            scrape.add(
                &names::HEALTH_CHECKS,
                &[cluster, result.as_str()],
                counter.read(),
            );
        }
        let mut duration = Distribution::default();
        duration.absorb(&self.duration);
        scrape.distribution(&names::HEALTH_CHECK_DURATION, &[cluster], &duration);
        for (to, counters) in [
            ("healthy", &self.to_healthy),
            ("unhealthy", &self.to_unhealthy),
        ] {
            for (cause, counter) in TransitionCause::ALL.into_iter().zip(counters) {
                let labels = [cluster, to, cause.as_str()];
                scrape.add(&names::HEALTH_TRANSITIONS, &labels, counter.read());
            }
        }
    }
}

/// Milliseconds since the epoch, 0: never.
#[derive(Debug, Default)]
struct Timestamp(AtomicU64);

/// Cells with any number of writers: what happens seldom, or on the control thread.
#[derive(Debug, Default)]
pub struct ProcessCells {
    reloads: [SharedCounter; ReloadResult::ALL.len()],
    last_success: Timestamp,
    /// 0: no reload yet; 1: the last one succeeded; 2: it failed.
    last_result: AtomicU64,
    hash: Mutex<Option<Box<str>>>,
    access_log_dropped: Mutex<BTreeMap<&'static str, u64>>,
    health: Mutex<BTreeMap<Box<str>, Arc<HealthCells>>>,
    dns: Mutex<BTreeMap<Box<str>, Arc<DnsCells>>>,
}

/// The cells of a name, made when they are asked for first; over the cap those of `_other`.
fn resolve<C: Default>(table: &Mutex<BTreeMap<Box<str>, Arc<C>>>, name: &str) -> Arc<C> {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cells) = table.get(name) {
        return Arc::clone(cells);
    }
    let name = if table.len() < super::MAX_SERIES {
        name
    } else {
        super::OTHER
    };
    Arc::clone(table.entry(name.into()).or_default())
}

impl ProcessCells {
    /// Counts one load of the configuration, the one at start included.
    pub fn reloaded(&self, result: ReloadResult) {
        if let Some(counter) = self.reloads.get(result as usize) {
            counter.inc();
        }
        if result == ReloadResult::Ok {
            let millis = u64::try_from(clock::wall().as_millis()).unwrap_or(u64::MAX);
            self.last_success.0.store(millis, Ordering::Relaxed);
            self.last_result.store(1, Ordering::Relaxed);
        } else {
            self.last_result.store(2, Ordering::Relaxed);
        }
    }

    /// Sets the hash of the configuration that is in effect, as it is shown.
    pub fn config_hash(&self, hash: &str) {
        *self.hash.lock().unwrap_or_else(PoisonError::into_inner) = Some(hash.into());
    }

    /// Counts access log lines that the writer could not take. `sink` is `file` or `stdout`.
    pub fn access_log_dropped(&self, sink: &'static str, lines: u64) {
        let mut dropped = self
            .access_log_dropped
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *dropped.entry(sink).or_default() += lines;
    }

    /// Access log lines dropped so far.
    pub fn access_log_drops(&self) -> u64 {
        let dropped = self
            .access_log_dropped
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        dropped.values().sum()
    }

    /// The cells of a cluster's probes: the same for the same name.
    pub fn health(&self, cluster: &str) -> Arc<HealthCells> {
        resolve(&self.health, cluster)
    }

    /// The cells of a name that is resolved: the same for the same name.
    pub fn dns(&self, name: &str) -> Arc<DnsCells> {
        resolve(&self.dns, name)
    }

    pub(super) fn collect(&self, scrape: &mut Scrape) {
        for (result, counter) in ReloadResult::ALL.into_iter().zip(&self.reloads) {
            scrape.add(&names::CONFIG_RELOADS, &[result.as_str()], counter.read());
        }
        let millis = self.last_success.0.load(Ordering::Relaxed);
        if millis > 0 {
            let seconds = millis as f64 / 1e3;
            scrape.gauge(&names::CONFIG_LAST_RELOAD_SUCCESS, &[], seconds);
        }
        let last = self.last_result.load(Ordering::Relaxed);
        if last > 0 {
            let successful = if last == 1 { 1.0 } else { 0.0 };
            scrape.gauge(&names::CONFIG_LAST_RELOAD_SUCCESSFUL, &[], successful);
        }
        if let Some(hash) = &*self.hash.lock().unwrap_or_else(PoisonError::into_inner) {
            scrape.gauge(&names::CONFIG_HASH_INFO, &[hash], 1.0);
        }
        let dropped = self
            .access_log_dropped
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for sink in ["file", "stdout"] {
            let lines = dropped.get(sink).copied().unwrap_or_default();
            scrape.add(&names::ACCESSLOG_DROPPED, &[sink], lines);
        }
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        for (cluster, cells) in health.iter() {
            cells.collect(cluster, scrape);
        }
        drop(health);
        let dns = self.dns.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, cells) in dns.iter() {
            cells.collect(name, scrape);
        }
    }
}
