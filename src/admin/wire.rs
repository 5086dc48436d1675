//! The JSON that the interface speaks. Keys are public: they are added, never changed.

use serde::Serialize;

use crate::cluster::Cluster;
use crate::config::{Color, Diagnostics};
use crate::endpoint::{Availability, Endpoint};
use crate::metrics::Hub;

use super::context::{Context, Loaded, Reloaded, Running};

/// `GET /api/v1/status`.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    uptime_seconds: f64,
    /// Nothing in it: ready.
    not_ready: Vec<&'static str>,
    configuration: Configuration,
    listeners: Vec<Listener>,
    clusters: Vec<ClusterStatus>,
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

#[derive(Debug, Serialize)]
struct ClusterStatus {
    name: String,
    balancer: &'static str,
    endpoints: Vec<EndpointStatus>,
}

#[derive(Debug, Serialize)]
struct EndpointStatus {
    address: String,
    weight: u32,
    /// 0 is used first.
    tier: u8,
    state: &'static str,
    in_flight: u32,
    /// Leased or being made.
    connections: u32,
}

/// What an endpoint's state is called, in the API and as a label.
pub(super) const STATES: [&str; 3] = ["healthy", "unhealthy", "disabled"];

/// The state of an endpoint, whatever its cap says: a full one is a healthy one.
pub(super) fn state(endpoint: &Endpoint) -> &'static str {
    match endpoint.availability(0) {
        Availability::Available | Availability::Full => "healthy",
        Availability::Unhealthy => "unhealthy",
        Availability::Disabled => "disabled",
    }
}

impl Status {
    pub(super) fn of(context: &Context, hub: &Hub) -> Self {
        let running = context.running.borrow().clone();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: hub.uptime().as_secs_f64(),
            not_ready: context.readiness.reasons(),
            configuration: Configuration::of(&running),
            listeners: running
                .listeners
                .iter()
                .map(|listening| Listener {
                    name: listening.name.to_string(),
                    addresses: listening.addrs.iter().map(ToString::to_string).collect(),
                })
                .collect(),
            clusters: running
                .clusters
                .iter()
                .map(|c| ClusterStatus::of(c))
                .collect(),
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

impl ClusterStatus {
    fn of(cluster: &Cluster) -> Self {
        let endpoints = cluster.set.iter().map(|endpoint| EndpointStatus {
            address: endpoint.text.to_string(),
            weight: endpoint.weight,
            tier: endpoint.tier,
            state: state(endpoint),
            in_flight: endpoint.state.in_flight(),
            connections: endpoint.state.connections(),
        });
        Self {
            name: cluster.name.to_string(),
            balancer: cluster.balancer.as_str(),
            endpoints: endpoints.collect(),
        }
    }
}

/// `POST /api/v1/reload`.
#[derive(Debug, Serialize)]
pub(super) struct ReloadAnswer {
    /// `ok`, `invalid` or `error`, as in the metric.
    result: &'static str,
    /// Of the configuration in effect.
    epoch: u64,
    /// What is different now, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Errors and warnings, as `check --json` prints them.
    diagnostics: serde_json::Value,
    /// The same for people, as `check` prints them.
    text: String,
}

impl ReloadAnswer {
    pub(super) fn of(reloaded: Reloaded, epoch_now: u64) -> Self {
        let result = reloaded.result().as_str();
        match reloaded {
            Reloaded::Applied {
                epoch,
                changes,
                warnings,
            } => Self {
                changes,
                ..Self::new(result, epoch, &warnings)
            },
            Reloaded::Invalid(diagnostics) => Self::new(result, epoch_now, &diagnostics),
            Reloaded::Failed(message) => Self {
                message: Some(message),
                ..Self::new(result, epoch_now, &Diagnostics::default())
            },
        }
    }

    fn new(result: &'static str, epoch: u64, diagnostics: &Diagnostics) -> Self {
        Self {
            result,
            epoch,
            changes: Vec::new(),
            message: None,
            diagnostics: diagnostics.to_json(),
            text: diagnostics.render_text(Color::Never),
        }
    }
}
