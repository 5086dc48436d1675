//! What the interface calls the states of endpoints, and why they are in them.

use crate::cluster::Override;
use crate::endpoint::{Availability, Endpoint};
use crate::outlier::State;

/// What an endpoint's state is called, in the API and as a label.
pub(super) const STATES: [&str; 6] = [
    "healthy",
    "unhealthy",
    "ejected",
    "probation",
    "draining",
    "disabled",
];

/// The state of an endpoint, whatever its cap says: a full one is a healthy one.
pub(super) fn state(endpoint: &Endpoint) -> &'static str {
    let circuit = endpoint.state.circuit();
    match endpoint.availability(0) {
        Availability::Available | Availability::Full | Availability::Ejected
            if circuit.state() == State::HalfOpen =>
        {
            "probation"
        }
        Availability::Available | Availability::Full => "healthy",
        Availability::Ejected => "ejected",
        Availability::Unhealthy => "unhealthy",
        Availability::Draining => "draining",
        Availability::Disabled => "disabled",
    }
}

/// Why an endpoint is in its state.
pub(super) fn why(
    endpoint: &Endpoint,
    availability: Availability,
    said: Option<&Override>,
) -> &'static str {
    let operator = said.is_some_and(|said| said.admin().is_some());
    match (availability, operator) {
        (Availability::Available, _) if endpoint.state.circuit().state() == State::HalfOpen => {
            "it was ejected, and the next request decides"
        }
        (Availability::Ejected, _) if endpoint.state.circuit().state() == State::HalfOpen => {
            "it was ejected, and a request is on trial"
        }
        (Availability::Ejected, _) => "real traffic failed there",
        (Availability::Available, _) if endpoint.health.is_some() => "the probes pass",
        (Availability::Available, _) => "nothing speaks against it",
        (Availability::Full, _) => "it has as many connections as it may have",
        (Availability::Unhealthy, _) => "the probes fail",
        (Availability::Draining | Availability::Disabled, true) => "an operator said so",
        (Availability::Draining | Availability::Disabled, false) => "the file says so",
    }
}
