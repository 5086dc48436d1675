//! The JSON that the interface speaks. Keys are public: they are added, never changed.

mod endpoint;
mod reload;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::clock::{self, Instant};
use crate::cluster::{Cluster, Overrides};
use crate::config::types::Duration;
use crate::dns;
use crate::endpoint::Admin;
use crate::limit::Ledger;
use crate::metrics::{DnsOutcome, Hub};
use crate::outlier::Moment;

use crate::admin::context::{Context, Loaded, Running};
use crate::admin::maintenance::ClosedStatus;

use endpoint::OverrideStatus;

pub(super) use endpoint::EndpointStatus;
pub(super) use reload::ReloadAnswer;

/// `GET /api/v1/status`.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    uptime_seconds: f64,
    /// Nothing in it: ready.
    not_ready: Vec<&'static str>,
    overload: Overload,
    configuration: Configuration,
    /// What is out of service.
    maintenance: Vec<ClosedStatus>,
    listeners: Vec<Listener>,
    clusters: Vec<ClusterStatus>,
}

#[derive(Debug, Serialize)]
struct Overload {
    /// `normal`, `tight`, `short` or `full`.
    level: &'static str,
    memory_bytes: usize,
    memory_limit_bytes: usize,
}

impl Overload {
    fn of(ledger: &Ledger) -> Self {
        Self {
            level: ledger.level().as_str(),
            memory_bytes: ledger.taken(),
            memory_limit_bytes: ledger.budget(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Configuration {
    epoch: u64,
    hash: String,
    last_load: LastLoad,
}

#[derive(Debug, Serialize)]
struct LastLoad {
    result: &'static str,
    /// Seconds since the Unix epoch.
    at: f64,
    message: Option<String>,
}

#[derive(Debug, Serialize)]
struct Listener {
    name: String,
    addresses: Vec<String>,
}

/// One cluster: `GET /api/v1/clusters/{cluster}`, and a part of the lists.
#[derive(Debug, Serialize)]
pub(super) struct ClusterStatus {
    name: String,
    balancer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<BreakerStatus>,
    endpoints: Vec<EndpointStatus>,
    /// What endpoints are found by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<NameStatus>,
    /// What was said of endpoints that are not there at the moment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    absent: Vec<AbsentStatus>,
}

/// `GET /api/v1/clusters`.
#[derive(Debug, Serialize)]
pub(super) struct Clusters {
    clusters: Vec<ClusterStatus>,
}

#[derive(Debug, Serialize)]
struct NameStatus {
    name: String,
    /// How the last resolution ended, as in the metric; `null`: there was none yet.
    outcome: Option<&'static str>,
    /// Why it gave nothing to use.
    error: Option<String>,
    /// In the last good answer.
    addresses: usize,
    ttl_seconds: Option<f64>,
    /// Of the last good answer; without one, since when the name is there.
    age_seconds: f64,
}

impl NameStatus {
    fn of(entry: &dns::Entry, now: Instant) -> Self {
        let standing = entry.standing(now);
        let good = standing.good.as_deref();
        Self {
            name: entry.query.to_string(),
            outcome: standing.outcome.map(DnsOutcome::as_str),
            error: standing.why,
            addresses: good.map_or(0, |good| good.targets.len()),
            ttl_seconds: good.map(|good| good.ttl.as_secs_f64()),
            age_seconds: standing.age.as_secs_f64(),
        }
    }
}

/// A cluster's circuit breaker.
#[derive(Debug, Serialize)]
struct BreakerStatus {
    state: &'static str,
    /// Until it may be tried.
    open_for_seconds: f64,
}

impl BreakerStatus {
    fn of(cluster: &Cluster, now: Instant) -> Option<Self> {
        let (state, open) = cluster.breaker_state(Moment::of(now))?;
        Some(Self {
            state: state.as_str(),
            open_for_seconds: open.as_secs_f64(),
        })
    }
}

#[derive(Debug, Serialize)]
struct AbsentStatus {
    address: String,
    #[serde(rename = "override")]
    said: OverrideStatus,
}

/// The body of `PUT /api/v1/clusters/{cluster}/endpoints/{address}`: all that is said, in place of what was said before.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverrideRequest {
    /// Without it: as the file says.
    pub(super) state: Option<AdminWord>,
    /// Without it: as the file or DNS says.
    pub(super) weight: Option<u32>,
    /// Without it: until it is taken back, or the file changes.
    pub(super) ttl: Option<Duration>,
    /// With `drain`: when it becomes `disabled`. Without it, clients that are bound to the endpoint stay as long as it drains.
    pub(super) deadline: Option<Duration>,
}

/// The body of `PUT /api/v1/limiters/{limiter}`: all that is said, in place of what was said before.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimiterOrder {
    /// Without one of these: as the file says.
    pub(super) rate: Option<u64>,
    pub(super) per: Option<Duration>,
    pub(super) burst: Option<u64>,
    /// Without it: until it is taken back, or the file changes.
    pub(super) ttl: Option<Duration>,
}

/// The body of `PUT /api/v1/maintenance…`: all that is said, in place of what was said before.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MaintenanceOrder {
    /// Without it: a minute.
    pub(super) retry_after: Option<Duration>,
    /// Addresses and networks of clients that are served all the same.
    #[serde(default)]
    pub(super) allow: Vec<String>,
    /// Without it: until it is taken back.
    pub(super) ttl: Option<Duration>,
}

/// A state that an operator may give.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AdminWord {
    Ready,
    Drain,
    Disabled,
}

impl From<AdminWord> for Admin {
    fn from(word: AdminWord) -> Self {
        match word {
            AdminWord::Ready => Self::Ready,
            AdminWord::Drain => Self::Drain,
            AdminWord::Disabled => Self::Disabled,
        }
    }
}

/// What a refused request is told.
#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    pub(super) error: String,
}

impl Status {
    pub(super) fn of(context: &Context, hub: &Hub) -> Self {
        let running = context.running.borrow().clone();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: hub.uptime().as_secs_f64(),
            not_ready: context.not_ready(),
            overload: Overload::of(&context.ledger),
            configuration: Configuration::of(&running),
            maintenance: ClosedStatus::list(&context.live.maintenance),
            listeners: running
                .listeners
                .iter()
                .map(|listening| Listener {
                    name: listening.name.to_string(),
                    addresses: listening.addrs.iter().map(ToString::to_string).collect(),
                })
                .collect(),
            clusters: Clusters::of(&running.clusters, context.live.clusters.overrides()).clusters,
        }
    }
}

impl Configuration {
    fn of(running: &Running) -> Self {
        let Loaded {
            result,
            at,
            message,
        } = &running.last_load;
        Self {
            epoch: running.epoch,
            hash: running.hash.clone(),
            last_load: LastLoad {
                result: result.as_str(),
                at: at.as_secs_f64(),
                message: message.clone(),
            },
        }
    }
}

impl Clusters {
    pub(super) fn of(clusters: &[Arc<Cluster>], overrides: &Overrides) -> Self {
        let clusters = clusters.iter().map(|c| ClusterStatus::of(c, overrides));
        Self {
            clusters: clusters.collect(),
        }
    }
}

impl ClusterStatus {
    pub(super) fn of(cluster: &Cluster, overrides: &Overrides) -> Self {
        let now = clock::now();
        let mut said: BTreeMap<_, _> = overrides.of_cluster(&cluster.name).into_iter().collect();
        let endpoints = cluster
            .set
            .iter()
            .map(|endpoint| {
                let said = said.remove(&endpoint.key);
                EndpointStatus::of(cluster, endpoint, said.as_ref(), now)
            })
            .collect();
        let absent = said.iter().map(|(key, said)| AbsentStatus {
            address: key.addr.to_string(),
            said: OverrideStatus::of(said, now),
        });
        Self {
            name: cluster.name.to_string(),
            balancer: cluster.balancer.algorithm().as_str(),
            breaker: BreakerStatus::of(cluster, now),
            endpoints,
            names: cluster
                .members
                .names()
                .map(|entry| NameStatus::of(entry, now))
                .collect(),
            absent: absent.collect(),
        }
    }
}
