//! What a balancer sees of one tier in one pass.

use super::PickInput;
use crate::endpoint::{Availability, EndpointIx, EndpointSet, Tier};

/// Most endpoints that are refused one by one before all of them are looked at once. With nine in ten
/// gone, one pick in 800 gets there; a small tier is looked at sooner, as that costs no more.
const MAX_REFUSALS: usize = 64;

/// Which endpoints a pass may pick.
#[derive(Clone, Copy)]
pub(super) enum Pass {
    /// Available and not tried.
    Fresh,
    /// Available.
    Any,
}

/// One tier in one pass.
pub(super) struct Field<'a> {
    pub(super) set: &'a EndpointSet,
    pub(super) tier: &'a Tier,
    pub(super) input: PickInput<'a>,
    pub(super) pass: Pass,
}

impl Field<'_> {
    #[inline]
    pub(super) fn refusals(&self) -> usize {
        self.tier.members().len().min(MAX_REFUSALS)
    }

    /// The same for those who look along a key's sequence, in which one endpoint can stand many times.
    #[inline]
    pub(super) fn redraws(&self) -> usize {
        (self.tier.members().len() * 8).min(MAX_REFUSALS)
    }

    #[inline]
    pub(super) fn may_pick(&self, ix: EndpointIx) -> bool {
        if matches!(self.pass, Pass::Fresh) && self.input.tried.contains(ix) {
            return false;
        }
        self.set
            .endpoint(ix)
            .is_some_and(|e| e.availability(self.input.cap) == Availability::Available)
    }

    /// Load and weight of an endpoint that may be picked.
    #[inline]
    pub(super) fn load(&self, ix: EndpointIx) -> Option<(u64, u64)> {
        let endpoint = self.set.endpoint(ix)?;
        Some((
            u64::from(endpoint.state.in_flight()),
            u64::from(endpoint.weight),
        ))
    }

    /// What asking this endpoint costs now, in seconds; `None` while nobody knows.
    #[inline]
    pub(super) fn cost(&self, ix: EndpointIx) -> Option<f64> {
        self.set.endpoint(ix)?.state.pace.cost(self.input.now)
    }

    /// Whether this endpoint asked to be left alone.
    #[inline]
    pub(super) fn is_held(&self, ix: EndpointIx) -> bool {
        self.set
            .endpoint(ix)
            .is_some_and(|e| e.state.pace.is_held(self.input.now))
    }
}
