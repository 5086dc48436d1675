//! Consistent hashing on a ring, with bounded loads where asked for.
//!
//! Every endpoint has points on a ring of 2³² places, `vnodes` for each unit of its weight; a key belongs to the endpoint
//! of the next point (Karger et al. 1997; points by weight as in libketama and nginx). When an endpoint goes, its keys go
//! to those that follow its points, and nobody else's key moves. One that cannot be picked is passed over on the
//! ring: to a key, unavailable and removed are the same.
//!
//! With `load_factor` c an endpoint gets no more than ⌈c × (load of all + 1) × its share of the weights⌉ exchanges; a key
//! whose endpoint has so many goes on to the next on the ring (Mirrokni, Thorup, Zadimoghaddam 2016). The load of all is
//! added up anew once in n / 4 picks and counted on in between, so a pick looks at four endpoints for it, not at n.
//!
//! Points depend on address, seed and number alone: neither the order of the endpoints nor others' weights move them.
//!
//! Cost: O(1); an index by the upper bits of a place finds the point within two or three. Memory: 8 bytes a point and 4
//! for its index, 1.9 KiB for an endpoint of weight 1 with 160 points.

use super::Field;
use super::rendezvous::{Scores, mix};
use crate::endpoint::EndpointIx;

/// Most points of one ring, 48 MiB: one that needs more has fewer for each unit of weight.
pub const MAX_POINTS: u64 = 1 << 22;

/// Places are the upper half of a point's word.
const PLACE: u32 = 32;

/// Points of one tier.
#[derive(Debug)]
pub(super) struct Ring {
    /// Place in the upper half, position of the endpoint in the lower; sorted.
    points: Box<[u64]>,
    /// By the upper bits of a place: the first point at or after them.
    index: Box<[u32]>,
    /// How many bits of a place the index leaves out.
    shift: u32,
    /// c; `None`: loads are not bounded.
    factor: Option<f64>,
}

impl Ring {
    pub(super) fn new(scores: &Scores, vnodes: u32, factor: Option<f64>) -> Self {
        let sum: u64 = scores
            .entries()
            .iter()
            .map(|entry| u64::from(entry.weight))
            .sum();
        let vnodes = u64::from(vnodes).min(MAX_POINTS / sum.max(1)).max(1);
        let mut points = Vec::with_capacity(usize::try_from(sum * vnodes).unwrap_or_default());
        for (rank, entry) in (0u64..).zip(scores.entries()) {
            // The address has its keyed hash; its points only have to be spread well.
            let point = |number: u64| (mix(entry.id ^ mix(number)) >> PLACE << PLACE) | rank;
            points.extend((0..vnodes * u64::from(entry.weight)).map(point));
        }
        points.sort_unstable();
        // Two on one place: the lower rank has it, whatever the order of the file.
        points.dedup_by_key(|point| *point >> PLACE);
        for point in &mut points {
            let rank = usize::try_from(*point & u64::from(u32::MAX)).unwrap_or_default();
            let ix = scores.entries().get(rank).map_or(0, |entry| entry.ix.0);
            *point = (*point >> PLACE << PLACE) | u64::from(ix);
        }
        let bits = points.len().max(2).ilog2();
        let shift = PLACE - bits;
        let mut index = Vec::with_capacity(1 << bits);
        let mut at = 0u32;
        for bucket in 0..1u64 << bits {
            let before = |at: u32| {
                let point = points.get(at as usize);
                point.is_some_and(|point| point >> PLACE < bucket << shift)
            };
            while before(at) {
                at += 1;
            }
            index.push(at);
        }
        Self {
            points: points.into(),
            index: index.into(),
            shift,
            factor,
        }
    }

    /// The endpoints from the key's place on, once around.
    #[inline]
    fn walk(&self, hash: u64) -> impl Iterator<Item = EndpointIx> {
        let place = hash >> PLACE;
        let bucket = usize::try_from(place >> self.shift).unwrap_or_default();
        let mut at = self.index.get(bucket).map_or(0, |&at| at as usize);
        while self
            .points
            .get(at)
            .is_some_and(|point| point >> PLACE < place)
        {
            at += 1;
        }
        let (before, after) = self.points.split_at_checked(at).unwrap_or_default();
        after.iter().chain(before).map(|&point| {
            EndpointIx(u32::try_from(point & u64::from(u32::MAX)).unwrap_or_default())
        })
    }

    /// The first on the ring that may be picked and is below its bound.
    #[inline]
    pub(super) fn pick(
        &self,
        field: &Field<'_>,
        scores: &Scores,
        hash: u64,
        load: &mut LoadOfAll,
    ) -> Option<EndpointIx> {
        let mut walk = self.walk(hash).take(field.redraws());
        let Some(factor) = self.factor else {
            return walk.find(|&ix| field.takes(ix, hash));
        };
        load.refresh(field);
        let below = |ix| field.takes(ix, hash) && load.allows(field, ix, factor);
        let chosen = walk.find(|&ix| below(ix));
        let chosen = chosen.or_else(|| scores.pick(hash, below));
        load.picks += 1;
        chosen
    }

    #[cfg(test)]
    pub(super) fn points(&self) -> usize {
        self.points.len()
    }
}

/// What one worker believes the endpoints of one tier to have under way, those aside that may not be picked.
#[derive(Debug, Default)]
pub(super) struct LoadOfAll {
    load: u64,
    /// Sum of the weights; 0: not added up yet.
    weight: u64,
    /// Picks since it was added up.
    picks: usize,
}

impl LoadOfAll {
    fn refresh(&mut self, field: &Field<'_>) {
        let members = field.tier.members();
        if self.weight != 0 && self.picks * 4 < members.len() {
            return;
        }
        *self = Self::default();
        for &ix in members {
            if field.may_pick(ix)
                && let Some((load, weight)) = field.load(ix)
            {
                self.load += load;
                self.weight += weight;
            }
        }
    }

    fn allows(&self, field: &Field<'_>, ix: EndpointIx, factor: f64) -> bool {
        let all = (self.load + self.picks as u64 + 1) as f64;
        field.load(ix).is_some_and(|(load, weight)| {
            let share = weight as f64 / self.weight.max(1) as f64;
            (load as f64) < (factor * all * share).ceil()
        })
    }
}
