//! Maglev hashing: a table of slots, each with its endpoint; a key belongs to the slot of its hash.
//!
//! Eisenbud et al. 2016 (NSDI), 3.4. Every endpoint has a permutation of all slots from the hash of its address, and takes the
//! next free slot of it when it is its turn. Turns by weight as in Envoy: the k-th of an endpoint is at
//! k / weight, the first of all at once, so that nobody gets nothing. With 100 slots an endpoint, shares are
//! exact within 1 %.
//!
//! A slot whose endpoint cannot be picked sends its keys on, each by a sequence of slots of its own; keys of other slots stay
//! where they are. So instances that differ in what they hold for healthy agree on all other keys. When an endpoint
//! is added or removed the table is built anew: a few percent of the other keys move too, which is the price of
//! the smallest and most even of the tables.
//!
//! Cost: O(1), one look into the table. Memory: 4 bytes a slot. Building: O(M log M) for M slots.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Field;
use super::rendezvous::{Entry, Scores, mix};
use crate::endpoint::EndpointIx;

/// Time between two turns of an endpoint of weight 1.
const ROUND: u64 = 1 << 32;
/// Tells the two hashes of an endpoint apart.
const SKIP: u64 = 0x5bf0_3635_dcf5_0a7d;

/// Slots of one tier.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Box<[EndpointIx]>,
}

impl Slots {
    /// Fills `size` slots. A prime, so that every step through them meets them all.
    pub(super) fn new(scores: &Scores, size: u32) -> Self {
        let size = u64::from(size.max(2));
        let mut permutations: Vec<Permutation> = scores
            .entries()
            .iter()
            .map(|entry| Permutation::new(entry, size))
            .collect();
        let mut turns: BinaryHeap<Reverse<(u64, usize)>> = (0..permutations.len())
            .map(|rank| Reverse((0, rank)))
            .collect();
        let empty = EndpointIx(u32::MAX);
        let mut slots = vec![empty; usize::try_from(size).unwrap_or_default()];
        let mut free = slots.len();
        while free > 0
            && let Some(mut turn) = turns.peek_mut()
            && let Reverse((at, rank)) = &mut *turn
            && let Some(permutation) = permutations.get_mut(*rank)
        {
            loop {
                let place = usize::try_from(permutation.next).unwrap_or_default();
                permutation.next = (permutation.next + permutation.skip) % size;
                if let Some(slot) = slots.get_mut(place)
                    && *slot == empty
                {
                    *slot = permutation.ix;
                    break;
                }
            }
            free -= 1;
            *at += permutation.stride;
        }
        Self {
            slots: slots.into(),
        }
    }

    /// The first along the key's sequence of slots that may be picked.
    #[inline]
    pub(super) fn pick(&self, field: &Field<'_>, hash: u64) -> Option<EndpointIx> {
        let mut place = hash;
        for _ in 0..field.redraws() {
            let slot = usize::try_from(place.checked_rem(self.slots.len() as u64)?).ok()?;
            let &ix = self.slots.get(slot)?;
            if field.takes(ix, hash) {
                return Some(ix);
            }
            place = mix(place);
        }
        None
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> &[EndpointIx] {
        &self.slots
    }
}

/// Where an endpoint stands in its permutation of the slots.
struct Permutation {
    next: u64,
    skip: u64,
    stride: u64,
    ix: EndpointIx,
}

impl Permutation {
    fn new(entry: &Entry, size: u64) -> Self {
        Self {
            next: mix(entry.id) % size,
            skip: mix(entry.id ^ SKIP) % (size - 1) + 1,
            stride: ROUND / u64::from(entry.weight),
            ix: entry.ix,
        }
    }
}
