//! Picks an endpoint from a set: a pure function of the set's load and health, a cursor, and what was tried.
//!
//! **Invariants.** An endpoint that is not available is never picked. An endpoint that this exchange has tried is
//! picked only when no other of any tier is available; a higher tier only when no lower one has an available
//! endpoint that was not tried. No allocation and no lock, but for the first pick after a set changed.
//!
//! **Not here.** What makes an endpoint available (`endpoint`), and waiting for one that is full (`exchange`).

mod least_connections;
mod least_request;
mod least_time;
mod random;
mod round_robin;
#[cfg(test)]
mod tests;

use std::time::Instant;

use crate::endpoint::{Availability, EndpointIx, EndpointSet, Tier, Tried};
use round_robin::Wheel;

/// How a cluster picks.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Balancer {
    /// In turn, smoothly, exact to the weights.
    RoundRobin,
    /// By chance, with the share of the weights.
    Random,
    /// The less loaded of two drawn by chance.
    #[default]
    LeastRequest,
    /// The least loaded of all.
    LeastConnections,
    /// The one of two drawn by chance that would answer sooner.
    LeastTime,
}

impl Balancer {
    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastRequest => "least_request",
            Self::LeastConnections => "least_connections",
            Self::LeastTime => "least_time",
        }
    }
}

/// What a pick may see of its exchange.
#[derive(Clone, Copy, Debug)]
pub struct PickInput<'a> {
    /// The endpoints that were tried before.
    pub tried: &'a Tried,
    /// Connections that each endpoint may have; 0: any number.
    pub cap: u32,
    /// Hash of the request's key, for balancers that pick by key.
    pub hash: Option<u64>,
    /// The time.
    pub now: Instant,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pick {
    /// This one.
    Endpoint(EndpointIx),
    /// Every endpoint that could serve has as many connections as it may have.
    Full,
    /// No endpoint can serve.
    None,
}

/// One worker's place in one cluster. It survives a reload: a set of another shape keeps the turns of
/// the endpoints that it shares with the one before.
#[derive(Debug)]
pub struct Cursor {
    rng: fastrand::Rng,
    shape: Option<u64>,
    wheels: Vec<Wheel>,
}

impl Cursor {
    /// A cursor that starts anywhere.
    pub fn new() -> Self {
        Self::with_seed(fastrand::u64(..))
    }

    /// A cursor whose picks are decided by `seed`.
    pub fn with_seed(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            shape: None,
            wheels: Vec::new(),
        }
    }

    fn follow(&mut self, set: &EndpointSet) {
        if self.shape == Some(set.shape()) {
            return;
        }
        let before = std::mem::take(&mut self.wheels);
        let turn = |tier| Wheel::new(set, tier, &before, &mut self.rng);
        self.wheels = set.tiers().iter().map(turn).collect();
        self.shape = Some(set.shape());
    }
}

impl Default for Cursor {
    fn default() -> Self {
        Self::new()
    }
}

/// Most endpoints that are refused one by one before all of them are looked at once. With nine in ten
/// gone, one pick in 800 gets there; a small tier is looked at sooner, as that costs no more.
const MAX_REFUSALS: usize = 64;

/// Which endpoints a pass may pick.
#[derive(Clone, Copy)]
enum Pass {
    /// Available and not tried.
    Fresh,
    /// Available.
    Any,
}

/// One tier in one pass.
struct Field<'a> {
    set: &'a EndpointSet,
    tier: &'a Tier,
    input: PickInput<'a>,
    pass: Pass,
}

impl Field<'_> {
    #[inline]
    fn refusals(&self) -> usize {
        self.tier.members().len().min(MAX_REFUSALS)
    }

    #[inline]
    fn may_pick(&self, ix: EndpointIx) -> bool {
        if matches!(self.pass, Pass::Fresh) && self.input.tried.contains(ix) {
            return false;
        }
        self.set
            .endpoint(ix)
            .is_some_and(|e| e.availability(self.input.cap) == Availability::Available)
    }

    /// Load and weight of an endpoint that may be picked.
    #[inline]
    fn load(&self, ix: EndpointIx) -> Option<(u64, u64)> {
        let endpoint = self.set.endpoint(ix)?;
        Some((
            u64::from(endpoint.state.in_flight()),
            u64::from(endpoint.weight),
        ))
    }

    /// What asking this endpoint costs now, in seconds; `None` while nobody knows.
    #[inline]
    fn cost(&self, ix: EndpointIx) -> Option<f64> {
        self.set.endpoint(ix)?.state.pace.cost(self.input.now)
    }

    /// Whether this endpoint asked to be left alone.
    #[inline]
    fn is_held(&self, ix: EndpointIx) -> bool {
        self.set
            .endpoint(ix)
            .is_some_and(|e| e.state.pace.is_held(self.input.now))
    }
}

impl Balancer {
    /// Picks an endpoint.
    pub fn pick(self, set: &EndpointSet, cursor: &mut Cursor, input: &PickInput<'_>) -> Pick {
        if self == Self::RoundRobin {
            cursor.follow(set);
        }
        if let Some(ix) = self.pass(set, cursor, input, Pass::Fresh) {
            return Pick::Endpoint(ix);
        }
        if !input.tried.is_empty()
            && let Some(ix) = self.pass(set, cursor, input, Pass::Any)
        {
            return Pick::Endpoint(ix);
        }
        let full = |ix| {
            set.endpoint(ix)
                .is_some_and(|e| e.availability(input.cap) == Availability::Full)
        };
        let mut members = set.tiers().iter().flat_map(Tier::members);
        if members.any(|&ix| full(ix)) {
            Pick::Full
        } else {
            Pick::None
        }
    }

    #[inline]
    fn pass(
        self,
        set: &EndpointSet,
        cursor: &mut Cursor,
        input: &PickInput<'_>,
        pass: Pass,
    ) -> Option<EndpointIx> {
        set.tiers().iter().enumerate().find_map(|(number, tier)| {
            let field = Field {
                set,
                tier,
                input: *input,
                pass,
            };
            match self {
                Self::RoundRobin => cursor.wheels.get_mut(number)?.pick(&field),
                Self::Random => random::pick(&field, &mut cursor.rng),
                Self::LeastRequest => least_request::pick(&field, &mut cursor.rng),
                Self::LeastConnections => least_connections::pick(&field, &mut cursor.rng),
                Self::LeastTime => least_time::pick(&field, &mut cursor.rng),
            }
        })
    }
}
