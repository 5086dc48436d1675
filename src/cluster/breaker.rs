//! The cluster's circuit breaker, if it has one.

use std::sync::Arc;
use std::time::Duration;

use super::Cluster;
use crate::base::clock::Instant;
use crate::metrics::{BreakerState, HealthCells};
use crate::outlier::{Breaker, BreakerPolicy, Gate, Moment, State};

/// A breaker's policy, and its state, which outlives the configuration.
#[derive(Clone, Debug)]
pub struct ClusterBreaker {
    /// When it opens and closes.
    pub policy: BreakerPolicy,
    /// Whether it is open.
    pub state: Arc<Breaker>,
}

impl Cluster {
    /// An exchange wants to go to this cluster.
    #[inline]
    pub fn enter(&self, now: Instant, cells: &HealthCells) -> Gate {
        match &self.breaker {
            None => Gate::Free,
            Some(breaker) => {
                let now = Moment::of(now);
                let gate = breaker.state.enter(now);
                if matches!(gate, Gate::Shut(_)) {
                    return self.enter_again(now, cells);
                }
                gate
            }
        }
    }

    /// The time may be over, and nobody has noticed yet.
    #[cold]
    fn enter_again(&self, now: Moment, cells: &HealthCells) -> Gate {
        self.sweep_breaker(now, cells);
        self.breaker
            .as_ref()
            .map_or(Gate::Free, |breaker| breaker.state.enter(now))
    }

    /// An exchange that got through so brought its client a good answer.
    #[inline]
    pub fn served(&self, gate: Gate, now: Instant, cells: &HealthCells) {
        if let Some(breaker) = &self.breaker
            && breaker.state.good(&breaker.policy, gate, Moment::of(now))
        {
            cells.breaker(BreakerState::Closed);
            tracing::info!(cluster = self.name.as_str(), "breaker closed");
        }
    }

    /// It failed, after all its tries.
    #[cold]
    pub fn failed(&self, gate: Gate, now: Instant, cells: &HealthCells) {
        let Some(breaker) = &self.breaker else { return };
        let now = Moment::of(now);
        if let Some(opening) = breaker.state.bad(&breaker.policy, gate, now) {
            cells.breaker(BreakerState::Open);
            let seconds = opening.length.as_secs_f64();
            tracing::warn!(cluster = self.name.as_str(), seconds, "breaker opened");
        }
    }

    /// It ended without showing anything of the cluster.
    pub fn gave_up(&self, gate: Gate) {
        if let (Gate::Trial, Some(breaker)) = (gate, &self.breaker) {
            breaker.state.circuit.leave();
        }
    }

    /// What the breaker is, and how much longer it is open; `None`: the cluster has none.
    pub fn breaker_state(&self, now: Moment) -> Option<(BreakerState, Duration)> {
        let breaker = self.breaker.as_ref()?;
        Some(match breaker.state.circuit.state() {
            State::Closed => (BreakerState::Closed, Duration::ZERO),
            State::Open { until } => (BreakerState::Open, now.until(until)),
            State::HalfOpen => (BreakerState::HalfOpen, Duration::ZERO),
        })
    }

    pub(super) fn sweep_breaker(&self, now: Moment, cells: &HealthCells) {
        if let Some(breaker) = &self.breaker
            && breaker.state.circuit.due(now)
        {
            cells.breaker(BreakerState::HalfOpen);
            tracing::info!(cluster = self.name.as_str(), "breaker is half-open");
        }
    }
}
