//! What is known of an endpoint whatever the configuration says, and the guards that keep its counts right.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use super::Pace;
use super::gate::{Gate, Want};
use crate::base::clock::{self, Instant};
use crate::health::{HealthCell, Patient, Status};
use crate::outlier::{Circuit, OutlierCell};
use crate::state::Registry;

/// An operator's word on an endpoint.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
pub enum Admin {
    /// It serves.
    #[default]
    Ready = 0,
    /// Nothing new goes to it; who is bound to it may stay.
    Drain = 1,
    /// Nothing goes to it.
    Disabled = 2,
}

impl Admin {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ready, Self::Drain, Self::Disabled];

    /// As it is written in the file and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Disabled => "disabled",
        }
    }

    /// Reads what [`Admin::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|admin| admin.as_str() == text)
    }

    const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Ready,
            1 => Self::Drain,
            _ => Self::Disabled,
        }
    }
}

/// State of one (cluster, address), shared by all workers and kept over a reload.
///
/// What every pick reads of every endpoint that it looks at is `at_once`, on one line of cache: a balancer that looks at ten
/// thousand waits for so many lines and no more.
#[derive(Debug, Default)]
pub struct EndpointState {
    at_once: CachePadded<AtOnce>,
    /// What attempts have shown.
    pub pace: Pace,
    /// What attempts have shown.
    pub outlier: OutlierCell,
    /// One cell for each check by which this endpoint is judged in a living configuration.
    health: Registry<u64, HealthCell>,
    /// Held while the cells are asked, so that the last one who asks has the last word.
    judging: Mutex<()>,
    /// Who waits for a connection; one for all endpoints of the cluster.
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct AtOnce {
    in_flight: AtomicU32,
    connections: AtomicU32,
    admin: AtomicU8,
    /// A check says that it is ill; which, the cells know.
    ill: AtomicBool,
    /// Stamp of when it was first seen to serve since it last did not; 0: it was not seen to.
    serving: AtomicU64,
    circuit: Circuit,
}

impl EndpointState {
    /// The state of an endpoint whose connections are waited for at this gate.
    pub fn new(gate: Arc<Gate>) -> Self {
        Self {
            gate,
            ..Self::default()
        }
    }

    /// Exchanges under way.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.at_once.in_flight.load(Ordering::Relaxed)
    }

    /// Connections leased or being made, by all workers. An idle connection does not count: the cap
    /// bounds what the endpoint is asked to do at once, and an idle one is lent without a new slot's
    /// wait by the worker that owns it.
    #[inline]
    pub fn connections(&self) -> u32 {
        self.at_once.connections.load(Ordering::Relaxed)
    }

    /// Whether it is ejected for what attempts have shown.
    #[inline]
    pub fn circuit(&self) -> &Circuit {
        &self.at_once.circuit
    }

    /// An operator's word.
    #[inline]
    pub fn admin(&self) -> Admin {
        Admin::from_u8(self.at_once.admin.load(Ordering::Relaxed))
    }

    /// Sets an operator's word and gives the one before; exchanges under way go on.
    pub fn set_admin(&self, admin: Admin) -> Admin {
        Admin::from_u8(self.at_once.admin.swap(admin as u8, Ordering::Relaxed))
    }

    /// How long it has been serving; `None`: nobody saw it serve since it last did not.
    #[inline]
    pub fn serving(&self, now: Instant) -> Option<Duration> {
        let since = self.at_once.serving.load(Ordering::Relaxed);
        let age = clock::stamp(now).saturating_sub(since);
        (since != 0).then(|| Duration::from_nanos(age))
    }

    /// How far this endpoint is on its way to its full share, `ramp` after it began to serve: linear, from a tenth,
    /// so that it has something to warm up by, to 1.
    #[inline]
    pub fn warmth(&self, now: Instant, ramp: Duration) -> f64 {
        const LEAST: f64 = 0.1;
        match self.serving(now) {
            None => LEAST,
            Some(age) => (age.as_secs_f64() / ramp.as_secs_f64()).clamp(LEAST, 1.0),
        }
    }

    /// It is seen to serve.
    pub fn serves(&self, now: Instant) {
        if self.at_once.serving.load(Ordering::Relaxed) == 0 {
            self.at_once
                .serving
                .store(clock::stamp(now), Ordering::Relaxed);
        }
    }

    /// It is seen not to.
    pub fn serves_not(&self) {
        if self.at_once.serving.load(Ordering::Relaxed) != 0 {
            self.at_once.serving.store(0, Ordering::Relaxed);
        }
    }

    /// Whether a check says that it is ill. Whether it is one that somebody heeds, its cell knows.
    #[inline]
    pub fn seems_ill(&self) -> bool {
        self.at_once.ill.load(Ordering::Relaxed)
    }

    /// The cell of the check with this fingerprint. A check that is new here starts from the status
    /// that another check of this endpoint has found, or from `initial` when there is none.
    pub fn health_cell(self: &Arc<Self>, fingerprint: u64, initial: Status) -> Arc<HealthCell> {
        let before = self.health.alive().into_iter().next();
        self.health.sweep();
        let cell = self.health.keep_or_make(&fingerprint, || {
            let cell = before.map_or_else(|| HealthCell::new(initial), |cell| cell.successor());
            let this: Weak<Self> = Arc::downgrade(self);
            cell.of(this)
        });
        self.judged();
        cell
    }
}

impl Patient for EndpointState {
    fn judged(&self) {
        let _judging = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
        let ill = |cell: &Arc<HealthCell>| !cell.is_healthy();
        let ill = self.health.alive().iter().any(ill);
        self.at_once.ill.store(ill, Ordering::Relaxed);
    }
}

/// One exchange under way at an endpoint, from pick to its end.
#[derive(Debug)]
pub struct InFlight(Arc<EndpointState>);

impl InFlight {
    /// Counts one more.
    #[inline]
    pub fn begin(state: &Arc<EndpointState>) -> Self {
        state.at_once.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for InFlight {
    #[inline]
    fn drop(&mut self) {
        self.0.at_once.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection out of those that an endpoint may have.
#[derive(Debug)]
pub struct ConnectionSlot(Arc<EndpointState>);

impl ConnectionSlot {
    /// Takes a slot if fewer than `cap` (0: any number) are taken. Workers race for the last one; the
    /// cap holds whoever wins.
    #[inline]
    pub fn take(state: &Arc<EndpointState>, cap: u32) -> Option<Self> {
        let limit = if cap == 0 { u32::MAX } else { cap };
        state
            .at_once
            .connections
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, |taken| {
                (taken < limit).then_some(taken + 1)
            })
            .ok()?;
        Some(Self(Arc::clone(state)))
    }
}

impl Drop for ConnectionSlot {
    #[inline]
    fn drop(&mut self) {
        // First this, then the look at who waits: see `gate`.
        self.0.at_once.connections.fetch_sub(1, Ordering::SeqCst);
        self.0.gate.freed(Want::Connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{HealthPolicy, Observation};
    use std::time::Duration;

    #[test]
    fn guards_count_up_and_down_once() {
        let state = Arc::new(EndpointState::default());
        let guards: Vec<_> = (0..3).map(|_| InFlight::begin(&state)).collect();
        assert_eq!(state.in_flight(), 3);
        drop(guards);
        assert_eq!(state.in_flight(), 0);

        let panicked = std::panic::catch_unwind(|| {
            let _guard = InFlight::begin(&state);
            std::panic::resume_unwind(Box::new("an exchange panics"));
        });
        assert!(panicked.is_err());
        assert_eq!(state.in_flight(), 0);
    }

    #[test]
    fn the_cap_holds_whoever_races() {
        let state = Arc::new(EndpointState::default());
        let taken: Vec<_> = std::thread::scope(|scope| {
            let take = || (0..100).filter_map(|_| ConnectionSlot::take(&state, 150));
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(move || take().collect::<Vec<_>>()))
                .collect();
            threads
                .into_iter()
                .flat_map(|t| t.join().unwrap())
                .collect()
        });
        assert_eq!((taken.len(), state.connections()), (150, 150));
        drop(taken);
        assert_eq!(state.connections(), 0);
        assert!(ConnectionSlot::take(&state, 0).is_some());
    }

    #[test]
    fn a_cell_is_kept_for_its_check_and_inherited_by_another() {
        let state = Arc::new(EndpointState::default());
        let policy = HealthPolicy {
            interval: Duration::from_secs(1),
            failing_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            max_response_time: Duration::ZERO,
            rise: 1,
            fall: 1,
            jitter: 0.0,
            initial: Status::Healthy,
        };
        let cell = state.health_cell(1, Status::Healthy);
        assert!(!state.seems_ill());
        cell.observe(Observation::Fail, &policy);
        assert!(state.seems_ill());
        assert!(Arc::ptr_eq(&cell, &state.health_cell(1, Status::Healthy)));
        assert!(
            !state.health_cell(2, Status::Healthy).is_healthy(),
            "inherited"
        );
        drop(cell);
        assert!(
            state.health_cell(3, Status::Healthy).is_healthy(),
            "none left"
        );
        assert!(!state.seems_ill());
        let (one, two) = (
            state.health_cell(4, Status::Unhealthy),
            state.health_cell(5, Status::Healthy),
        );
        assert!(state.seems_ill(), "one of the two is enough");
        for cell in [one, two] {
            cell.observe(Observation::Pass, &policy);
        }
        assert!(!state.seems_ill());
    }
}
