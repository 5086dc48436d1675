//! Smooth weighted round robin by earliest deadline: every endpoint's turns lie evenly on a circle of
//! virtual time, one turn each `CYCLE / weight`, and a pick takes the endpoint whose turn is next.
//!
//! In a whole cycle each endpoint has exactly as many turns as its weight, whatever the phases. A heap of
//! turns makes a pick O(log n), where the textbook's running sums are O(n).

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::Field;
use crate::endpoint::{EndpointIx, EndpointKey, EndpointSet, Tier, Zone};

/// Virtual time in which an endpoint of weight 1 has one turn. Turns wrap around `u64`; they are compared
/// by their distance, which is never more than a cycle.
const CYCLE: u64 = 1 << 40;

#[derive(Clone, Copy, Debug)]
struct Turn {
    at: u64,
    stride: u64,
    ix: EndpointIx,
}

impl Turn {
    /// How far this turn lies after `then`, negative when before it.
    #[expect(clippy::cast_possible_wrap, reason = "a distance on a circle")]
    fn after(&self, then: u64) -> i64 {
        self.at.wrapping_sub(then) as i64
    }
}

/// The heap gives its greatest: the earliest turn is that.
impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = 0.cmp(&self.after(other.at));
        order.then_with(|| other.ix.cmp(&self.ix))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Turn {}

/// The turns of one tier.
#[derive(Debug)]
pub(super) struct Wheel {
    turns: BinaryHeap<Turn>,
    /// Whose turns they are, for the wheel after a reload: position in the set → identity and weight.
    keys: HashMap<EndpointIx, (EndpointKey, u32)>,
}

/// The turns of a set: those of each tier, and those of each zone in it.
#[derive(Debug, Default)]
pub(super) struct Wheels {
    tiers: Vec<Wheel>,
    /// By tier.
    zones: Vec<Vec<Wheel>>,
}

/// Whose turns are meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WheelIx {
    /// Those of a whole tier.
    Tier(usize),
    /// Those of a zone in a tier.
    Zone(usize, usize),
}

impl WheelIx {
    /// The number of the tier.
    pub(super) const fn tier(self) -> usize {
        match self {
            Self::Tier(tier) | Self::Zone(tier, _) => tier,
        }
    }
}

impl Wheels {
    /// The turns of a set; endpoints keep their place in those `before`.
    pub(super) fn new(set: &EndpointSet, before: &Self, rng: &mut fastrand::Rng) -> Self {
        let tiers = set.tiers().iter();
        let tiers = tiers.map(|tier| Wheel::new(set, tier, &before.tiers, rng));
        let tiers = tiers.collect();
        let mut zones = Vec::with_capacity(set.tiers().len());
        for (number, tier) in set.tiers().iter().enumerate() {
            let before = before.zones.get(number).map_or(&[][..], Vec::as_slice);
            let zone = |zone: &Zone| Wheel::new(set, &zone.members, before, rng);
            zones.push(tier.zones().iter().map(zone).collect());
        }
        Self { tiers, zones }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, ix: WheelIx) -> Option<&mut Wheel> {
        match ix {
            WheelIx::Tier(tier) => self.tiers.get_mut(tier),
            WheelIx::Zone(tier, zone) => self.zones.get_mut(tier)?.get_mut(zone),
        }
    }
}

impl Wheel {
    /// The turns of `tier`. An endpoint that a wheel `before` knows with the same weight keeps the
    /// distance to its next turn; any other joins somewhere in the cycle.
    pub(super) fn new(
        set: &EndpointSet,
        tier: &Tier,
        before: &[Self],
        rng: &mut fastrand::Rng,
    ) -> Self {
        let kept: HashMap<(&EndpointKey, u32), u64> =
            before.iter().flat_map(Self::distances).collect();
        let start = rng.u64(..CYCLE);
        let count = tier.members().len() as u64;
        let mut turns = Vec::with_capacity(tier.members().len());
        let mut keys = HashMap::with_capacity(tier.members().len());
        for (order, &ix) in (0u64..).zip(tier.members()) {
            let Some(endpoint) = set.endpoint(ix) else {
                continue;
            };
            let stride = CYCLE / u64::from(endpoint.weight.max(1));
            // Evenly spread phases, seen from a random point of the cycle: workers do not march in step.
            let phase = stride / count * order;
            let fresh = (phase + CYCLE - start) % stride;
            let at = kept
                .get(&(&endpoint.key, endpoint.weight))
                .copied()
                .unwrap_or(fresh);
            turns.push(Turn { at, stride, ix });
            keys.insert(ix, (endpoint.key.clone(), endpoint.weight));
        }
        Self {
            turns: BinaryHeap::from(turns),
            keys,
        }
    }

    /// Distance of every turn from the next one of all.
    fn distances(&self) -> impl Iterator<Item = ((&EndpointKey, u32), u64)> {
        let now = self.turns.peek().map_or(0, |turn| turn.at);
        self.turns.iter().filter_map(move |turn| {
            let (key, weight) = self.keys.get(&turn.ix)?;
            Some(((key, *weight), turn.at.wrapping_sub(now)))
        })
    }

    /// Takes the next turn of an endpoint that may be picked; the turns that are passed over are lost.
    #[inline]
    pub(super) fn pick(
        &mut self,
        field: &Field<'_>,
        rng: &mut fastrand::Rng,
    ) -> Option<EndpointIx> {
        for _ in 0..field.refusals() {
            let mut turn = self.turns.peek_mut()?;
            turn.at = turn.at.wrapping_add(turn.stride);
            let ix = turn.ix;
            drop(turn);
            if field.may_pick(ix) && field.admits(ix, || rng.f64()) {
                return Some(ix);
            }
        }
        self.scan(field, rng)
    }

    /// The same decision with one look at all of them, for when most may not be picked.
    fn scan(&mut self, field: &Field<'_>, rng: &mut fastrand::Rng) -> Option<EndpointIx> {
        let mut may = |ix| field.may_pick(ix) && field.admits(ix, || rng.f64());
        let turns = self.turns.iter();
        let chosen = turns.filter(|turn| may(turn.ix)).max().copied()?;
        let mut turns = std::mem::take(&mut self.turns).into_vec();
        for turn in &mut turns {
            let late = u64::try_from(-turn.after(chosen.at)).unwrap_or(0);
            if turn.ix == chosen.ix {
                turn.at = turn.at.wrapping_add(turn.stride);
            } else if late > 0 {
                let lost = late.div_ceil(turn.stride);
                turn.at = turn.at.wrapping_add(lost.wrapping_mul(turn.stride));
            }
        }
        self.turns = BinaryHeap::from(turns);
        Some(chosen.ix)
    }
}
