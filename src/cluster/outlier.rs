//! What follows from attempts at the cluster's endpoints: who is ejected, who is on probation, who is back.

use std::time::Duration;

use super::Cluster;
use crate::endpoint::{Availability, Endpoint};
use crate::metrics::{Ejection, EjectionCause, HealthCells, TransitionCause};
use crate::outlier::{Entry, Moment, Opening, most_ejected, slowest};

/// As what a request goes to an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Visit {
    /// As one of many.
    Ordinary,
    /// As the one that decides whether the endpoint comes back. It owes the cluster an outcome:
    /// [`Cluster::good`], [`Cluster::bad`] or [`Cluster::left`].
    Trial,
}

/// Between two comparisons of the endpoints' times.
const COMPARE: Duration = Duration::from_secs(1);

impl Cluster {
    /// A request is about to go to this endpoint, which was picked; `None` when another one is on trial there.
    #[inline]
    pub fn visit(&self, endpoint: &Endpoint) -> Option<Visit> {
        match endpoint.state.circuit().enter() {
            // An ejected one is picked only where the cluster would rather try it than nobody.
            Entry::Free | Entry::Shut(_) => Some(Visit::Ordinary),
            Entry::Trial => Some(Visit::Trial),
            Entry::Taken => None,
        }
    }

    /// The attempt ended well.
    #[inline]
    pub fn good(&self, endpoint: &Endpoint, visit: Visit, now: Moment, cells: &HealthCells) {
        let cell = &endpoint.state.outlier;
        match visit {
            Visit::Ordinary => cell.good(&self.outlier, now),
            Visit::Trial => {
                if endpoint.state.circuit().pass(self.outlier.successes, now) {
                    cell.forget();
                    cells.became_healthy(TransitionCause::Passive);
                    let (cluster, endpoint) = (self.name.as_str(), &*endpoint.text);
                    tracing::info!(cluster, endpoint, "endpoint is back from its ejection");
                }
            }
        }
    }

    /// The head of the attempt's response came after so long.
    #[inline]
    pub fn took(&self, endpoint: &Endpoint, now: Moment, took: Duration) {
        endpoint.state.outlier.took(&self.outlier, now, took);
    }

    /// The attempt failed. `chance` is asked only when somebody is ejected, and is in 0.0-1.0.
    #[cold]
    pub fn bad(
        &self,
        endpoint: &Endpoint,
        visit: Visit,
        now: Moment,
        chance: impl FnOnce() -> f64,
        cells: &HealthCells,
    ) {
        let cell = &endpoint.state.outlier;
        if visit == Visit::Trial {
            if let Some(opening) =
                endpoint
                    .state
                    .circuit()
                    .fail(&self.outlier.timing, now, chance())
            {
                self.crowd.wake();
                self.tell(endpoint, EjectionCause::Probation, opening, cells);
            }
        } else if endpoint.state.circuit().is_closed()
            && let Some(cause) = cell.bad(&self.outlier, now)
        {
            self.eject(endpoint, cause, now, chance, cells);
        }
    }

    /// The attempt ended without showing anything of the endpoint: the client left.
    pub fn left(&self, endpoint: &Endpoint, visit: Visit) {
        if visit == Visit::Trial {
            endpoint.state.circuit().leave();
        }
    }

    /// Ejects, if the cluster can spare it.
    fn eject(
        &self,
        endpoint: &Endpoint,
        cause: EjectionCause,
        now: Moment,
        chance: impl FnOnce() -> f64,
        cells: &HealthCells,
    ) {
        let percent = self.outlier.max_ejected;
        if percent == 0 {
            return;
        }
        let Some(_ejecting) = self.crowd.ejecting(now) else {
            return;
        };
        let out = |other: &&_| {
            let other: &Endpoint = other;
            !other.state.circuit().is_closed()
        };
        let gone = self.set.iter().map(|other| &**other).filter(out).count();
        // Probes may have taken out others: whoever is left is not taken out on top of that.
        let spared = percent == 100
            || self.set.iter().any(|other| {
                other.key != endpoint.key && other.availability(0) == Availability::Available
            });
        if gone >= most_ejected(self.set.len(), percent) || !spared {
            self.crowd.full(now);
            cells.ejected(cause, Ejection::Capped);
            return;
        }
        let cell = &endpoint.state.outlier;
        if let Some(opening) = endpoint
            .state
            .circuit()
            .open(&self.outlier.timing, now, chance())
        {
            self.crowd.wake();
            cell.forget();
            cells.became_unhealthy(TransitionCause::Passive);
            self.tell(endpoint, cause, opening, cells);
        }
    }

    fn tell(
        &self,
        endpoint: &Endpoint,
        cause: EjectionCause,
        opening: Opening,
        cells: &HealthCells,
    ) {
        cells.ejected(cause, Ejection::Enforced);
        let (cluster, endpoint) = (self.name.as_str(), &*endpoint.text);
        let (cause, times) = (cause.as_str(), opening.times);
        let seconds = opening.length.as_secs_f64();
        tracing::warn!(
            cluster,
            endpoint,
            cause,
            times,
            seconds,
            "endpoint is ejected"
        );
    }

    /// What time brings: ejections end, breakers may be tried, times are compared. Asked ten times a second; costs a few
    /// loads while nobody is ejected.
    pub fn sweep(&self, now: Moment, chance: impl FnOnce() -> f64, cells: &HealthCells) {
        self.sweep_breaker(now, cells);
        if self.crowd.awake() && self.end_ejections(now) {
            self.crowd.wake();
        }
        let Some(rule) = &self.outlier.latency else {
            return;
        };
        if !self.crowd.compares(now, COMPARE) {
            return;
        }
        let mean = |endpoint: &Endpoint| endpoint.state.outlier.mean(&self.outlier, now);
        let means: Vec<_> = self.set.iter().map(|endpoint| mean(endpoint)).collect();
        if let Some(worst) = slowest(&means, rule)
            && let Some(endpoint) = self.set.iter().nth(worst)
            && endpoint.state.circuit().is_closed()
        {
            self.eject(endpoint, EjectionCause::Latency, now, chance, cells);
        }
    }

    /// Whether somebody is still away.
    fn end_ejections(&self, now: Moment) -> bool {
        let mut away = false;
        for endpoint in self.set.iter() {
            let circuit = endpoint.state.circuit();
            if circuit.is_closed() {
                continue;
            }
            if self.outlier.max_ejected == 0 {
                circuit.close(now);
                continue;
            }
            away = true;
            let healthy = endpoint
                .health
                .as_ref()
                .is_none_or(|cell| cell.is_healthy());
            if circuit.due_if_well(now, healthy) {
                let (cluster, endpoint) = (self.name.as_str(), &*endpoint.text);
                tracing::info!(cluster, endpoint, "endpoint is on probation");
            }
        }
        away
    }
}
