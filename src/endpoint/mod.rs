//! One address in a cluster: who it is, how to reach it, and the state that outlives a configuration; and the
//! set of them that a balancer picks from.
//!
//! **Invariants.** Identity is (cluster, address): weight, tier and timeouts never enter it. Counts go up when
//! a guard is made and down exactly once, when it is dropped; who waits for what it gives back is then called. One function, `availability`, says
//! whether an endpoint may be picked.
//!
//! **Not here.** Which endpoint is picked (`balance`), who probes (`health`), connections (`upstream`).

pub mod gate;
pub mod seen;
pub mod set;
pub mod state;
pub mod tried;

use std::fmt;
use std::sync::Arc;

use crate::base::{ClusterName, EndpointAddr};
use crate::health::HealthCell;
use crate::upstream::ConnectSpec;

pub use gate::{Gate, Permit, QueueTerms, Seat, Turn, Want};
pub use seen::{Outcome, Pace, Seen};
pub use set::{EndpointIx, EndpointSet, Glance, Tier, Zone};
pub use state::{Admin, ConnectionSlot, EndpointState, InFlight};
pub use tried::{MAX_TRIED, Tried};

/// What an operator would call the same endpoint.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EndpointKey {
    /// The cluster it stands in.
    pub cluster: ClusterName,
    /// Where it is.
    pub addr: EndpointAddr,
}

impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.addr)
    }
}

/// Largest weight; the smallest is 1.
pub const MAX_WEIGHT: u32 = 1000;

/// What the file or DNS says of an endpoint; an operator may have said otherwise since.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// Its weight.
    pub weight: u32,
    /// The weight that the file gives, also where DNS gives another.
    pub written_weight: u32,
    /// The state that the file gives.
    pub admin: Admin,
    /// The name that it was found by.
    pub name: Option<Arc<str>>,
    /// The zone that the file gives.
    pub zone: Option<Arc<str>>,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            weight: 1,
            written_weight: 1,
            admin: Admin::Ready,
            name: None,
            zone: None,
        }
    }
}

/// An endpoint as one configuration sees it.
#[derive(Debug)]
pub struct Endpoint {
    /// Its identity.
    pub key: EndpointKey,
    /// Its address as text, for the log.
    pub text: Arc<str>,
    /// Its share among the endpoints of its tier, 1-[`MAX_WEIGHT`], as it is in effect.
    pub weight: u32,
    /// An operator's word, or the file's where there is none. It is in force ([`EndpointState::admin`]) once the
    /// set that this endpoint stands in is.
    pub admin: Admin,
    /// What was written.
    pub origin: Origin,
    /// 0 is used first; a higher tier only when no lower one has an available endpoint.
    pub tier: u8,
    /// How to connect.
    pub spec: Arc<ConnectSpec>,
    /// What the probes say; `None` where the cluster has none. One of the state's own ([`EndpointState::health_cell`]).
    pub health: Option<Arc<HealthCell>>,
    /// What outlives this configuration.
    pub state: Arc<EndpointState>,
}

/// Whether an endpoint may be picked now, and why not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Availability {
    /// It may.
    Available,
    /// It has as many connections as it may have.
    Full,
    /// The probes say no.
    Unhealthy,
    /// An operator lets it run empty: nothing new goes to it.
    Draining,
    /// Real traffic says no: it is ejected, or on probation with a request on trial already.
    Ejected,
    /// An operator says no.
    Disabled,
}

/// What of that which speaks against an endpoint is heeded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heed {
    /// All of it.
    Everything,
    /// What operators say, and the cap; not what was found out about it.
    Orders,
}

impl Endpoint {
    /// Takes what an attempt has shown. The one call for everything that judges an endpoint by real traffic.
    #[inline]
    pub fn observe(&self, seen: &Seen) {
        self.state.pace.observe(seen);
    }

    /// Whether this endpoint may be picked while it may have `cap` connections (0: any number).
    #[inline]
    pub fn availability(&self, cap: u32) -> Availability {
        availability(&self.state, self.health.as_deref(), cap, Heed::Everything)
    }

    /// The same for a client that is bound to this endpoint: one that runs empty keeps those that it has.
    pub fn availability_to_bound(&self, cap: u32) -> Availability {
        match self.state.admin() {
            Admin::Ready | Admin::Drain => {
                fitness(&self.state, self.health.as_deref(), cap, Heed::Everything)
            }
            Admin::Disabled => Availability::Disabled,
        }
    }
}

#[inline]
fn availability(
    state: &EndpointState,
    health: Option<&HealthCell>,
    cap: u32,
    heed: Heed,
) -> Availability {
    match state.admin() {
        Admin::Ready => fitness(state, health, cap, heed),
        Admin::Drain => Availability::Draining,
        Admin::Disabled => Availability::Disabled,
    }
}

#[inline]
fn fitness(
    state: &EndpointState,
    health: Option<&HealthCell>,
    cap: u32,
    heed: Heed,
) -> Availability {
    // Cells are elsewhere: they are asked only where one of them says something.
    let ill = || state.seems_ill() && health.is_some_and(|cell| !cell.is_healthy());
    if heed == Heed::Everything && ill() {
        return Availability::Unhealthy;
    }
    if heed == Heed::Everything && !state.circuit().admits() {
        return Availability::Ejected;
    }
    if cap != 0 && state.connections() >= cap {
        return Availability::Full;
    }
    Availability::Available
}
