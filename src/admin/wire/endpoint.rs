//! One endpoint, as the interface shows it.

use serde::Serialize;

use crate::admin::state::{state, why};
use crate::base::clock::{self, Instant};
use crate::cluster::{Cluster, Override};
use crate::endpoint::{Admin, Availability, Endpoint};
use crate::health::LastProbe;
use crate::outlier::{Moment, State};

/// One endpoint: `GET /api/v1/clusters/{cluster}/endpoints/{address}`, and the answer to a change of it.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct EndpointStatus {
    address: String,
    /// The name that it was found by, as it is written in the file; `null`: the file has the address.
    name: Option<String>,
    /// In effect.
    weight: u32,
    /// As the file or DNS gives it.
    configured_weight: u32,
    /// 0 is used first.
    tier: u8,
    /// `null`: the file says none.
    zone: Option<String>,
    /// `healthy`, `unhealthy`, `ejected`, `probation`, `draining` or `disabled`.
    state: &'static str,
    /// Why it is that, and why it may not be picked if that is so.
    why: String,
    /// Whether it may be picked now.
    available: bool,
    in_flight: u32,
    /// Leased or being made.
    connections: u32,
    /// What its answers take: peak average, seconds to the head; `null` before the first.
    response_seconds: Option<f64>,
    /// `null`: it is not probed, or was not yet.
    last_probe: Option<ProbeStatus>,
    /// How often it was ejected, less what was forgiven.
    ejections: u32,
    /// Until its ejection ends; `null` when it is not ejected.
    ejected_for_seconds: Option<f64>,
    /// An operator's word, `null` where there is none.
    #[serde(rename = "override")]
    said: Option<OverrideStatus>,
}

#[derive(Debug, Serialize)]
struct ProbeStatus {
    /// `pass` or `fail`.
    result: &'static str,
    /// Why it failed.
    why: Option<String>,
    took_seconds: f64,
    age_seconds: f64,
}

impl ProbeStatus {
    fn of(probe: LastProbe, now: Instant) -> Self {
        Self {
            result: match probe.failure {
                None => "pass",
                Some(_) => "fail",
            },
            why: probe.failure.map(String::from),
            took_seconds: probe.took.as_secs_f64(),
            age_seconds: clock::between(probe.at, now).as_secs_f64(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct OverrideStatus {
    state: Option<&'static str>,
    weight: Option<u32>,
    /// Until it ends by itself; `null`: never.
    remaining_seconds: Option<f64>,
    /// Until the endpoint that drains is disabled; `null`: never.
    deadline_seconds: Option<f64>,
}

impl EndpointStatus {
    pub(in crate::admin) fn of(
        cluster: &Cluster,
        endpoint: &Endpoint,
        said: Option<&Override>,
        now: Instant,
    ) -> Self {
        let circuit = endpoint.state.circuit();
        let availability = endpoint.availability(cluster.bulkhead.connections_per_endpoint);
        Self {
            address: endpoint.text.to_string(),
            name: endpoint.origin.name.as_deref().map(str::to_owned),
            weight: endpoint.weight,
            configured_weight: endpoint.origin.weight,
            tier: endpoint.tier,
            zone: endpoint.origin.zone.as_deref().map(str::to_owned),
            state: state(endpoint),
            why: why(endpoint, availability, said).to_owned(),
            available: availability == Availability::Available,
            in_flight: endpoint.state.in_flight(),
            connections: endpoint.state.connections(),
            response_seconds: endpoint.state.pace.time().map(|time| time.as_secs_f64()),
            last_probe: endpoint
                .health
                .as_ref()
                .and_then(|cell| cell.last_probe())
                .map(|probe| ProbeStatus::of(probe, now)),
            ejections: circuit.times(),
            ejected_for_seconds: match circuit.state() {
                State::Open { until } => Some(Moment::of(now).until(until).as_secs_f64()),
                State::Closed | State::HalfOpen => None,
            },
            said: said.map(|said| OverrideStatus::of(said, now)),
        }
    }
}

impl OverrideStatus {
    pub(super) fn of(said: &Override, now: Instant) -> Self {
        let remaining = |until| clock::between(now, until).as_secs_f64();
        Self {
            state: said.admin().map(Admin::as_str),
            weight: said.weight(),
            remaining_seconds: said.until().map(remaining),
            deadline_seconds: said.deadline().map(remaining),
        }
    }
}
