//! The least loaded of all: a full scan for exchanges under way in proportion to the weight.
//!
//! Meant for few endpoints with long exchanges (tunnels, downloads), where the price of looking at all of
//! them is nothing against a wrong choice. Ties are broken by chance with the share of the weights.

use super::Field;
use crate::endpoint::EndpointIx;
use std::cmp::Ordering;

pub(super) fn pick(field: &Field<'_>, rng: &mut fastrand::Rng) -> Option<EndpointIx> {
    let mut best: Option<(EndpointIx, u64, u64)> = None;
    let mut tied = 0;
    for &ix in field.tier.members() {
        if !field.may_pick(ix) {
            continue;
        }
        let (load, weight) = field.slowed(ix)?;
        let order = best.map_or(Ordering::Less, |(_, best_load, best_weight)| {
            (load * best_weight).cmp(&(best_load * weight))
        });
        match order {
            Ordering::Greater => {}
            Ordering::Less => {
                best = Some((ix, load, weight));
                tied = weight;
            }
            Ordering::Equal => {
                tied += weight;
                if rng.u64(..tied) < weight {
                    best = Some((ix, load, weight));
                }
            }
        }
    }
    best.map(|(ix, ..)| ix)
}
