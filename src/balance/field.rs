//! What a balancer sees of one tier in one pass.

use std::time::Duration;

use super::PickInput;
use super::rendezvous::{mix, unit};
use crate::endpoint::{Availability, EndpointIx, EndpointSet, Heed, Tier};

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
    pub(super) heed: Heed,
    /// `None`: everybody has its full share.
    pub(super) ramp: Option<Ramp>,
}

/// How slowly those start that came back.
#[derive(Clone, Copy)]
pub(super) struct Ramp {
    pub(super) time: Duration,
    /// What counts as warm.
    pub(super) warmest: f64,
}

/// Tells a key's chance to be early at a cold endpoint from its place.
const EARLY: u64 = 0x2545_f491_4f6c_dd1d;

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
        self.set.glance(ix).is_some_and(|glance| {
            glance.availability(self.input.cap, self.heed) == Availability::Available
        })
    }

    /// Whether an endpoint takes its turn. One that just came back leaves a part of its turns to others; which, the
    /// `draw` in 0-1 decides.
    #[inline]
    pub(super) fn admits(&self, ix: EndpointIx, draw: impl FnOnce() -> f64) -> bool {
        self.ramp.is_none_or(|ramp| {
            let warmth = self.warmth(ix, ramp);
            warmth >= 1.0 || draw() < warmth
        })
    }

    /// The same by key: the same keys come back first, whoever asks.
    #[inline]
    pub(super) fn takes(&self, ix: EndpointIx, hash: u64) -> bool {
        self.may_pick(ix) && self.admits(ix, || unit(mix(hash ^ EARLY)))
    }

    fn warmth(&self, ix: EndpointIx, ramp: Ramp) -> f64 {
        let glance = self.set.glance(ix);
        glance.map_or(1.0, |glance| {
            glance.state.warmth(self.input.now, ramp.time) / ramp.warmest
        })
    }

    /// Load, in 1/1024, and weight. One that just came back counts as having (load + 1) / warmth − 1 under way: however
    /// idle it is, it is not the least busy of all before it is warm.
    #[inline]
    pub(super) fn slowed(&self, ix: EndpointIx) -> Option<(u64, u64)> {
        const UNIT: u64 = 1024;
        let (load, weight) = self.load(ix)?;
        let slowed = self.ramp.map_or(load * UNIT, |ramp| {
            let warmth = self.warmth(ix, ramp).min(1.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a load divided by a tenth at least"
            )]
            let counted = ((load + 1) as f64 / warmth * UNIT as f64) as u64;
            counted.saturating_sub(UNIT)
        });
        Some((slowed, weight))
    }

    /// Load and weight of an endpoint that may be picked.
    #[inline]
    pub(super) fn load(&self, ix: EndpointIx) -> Option<(u64, u64)> {
        let glance = self.set.glance(ix)?;
        Some((
            u64::from(glance.state.in_flight()),
            u64::from(glance.weight),
        ))
    }

    /// What asking this endpoint costs now, in seconds; `None` while nobody knows.
    #[inline]
    pub(super) fn cost(&self, ix: EndpointIx) -> Option<f64> {
        self.set.glance(ix)?.state.pace.cost(self.input.now)
    }

    /// Whether this endpoint asked to be left alone.
    #[inline]
    pub(super) fn is_held(&self, ix: EndpointIx) -> bool {
        self.set
            .glance(ix)
            .is_some_and(|glance| glance.state.pace.is_held(self.input.now))
    }
}
