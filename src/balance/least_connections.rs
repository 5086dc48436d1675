//! The least loaded of all: a full scan for exchanges under way in proportion to the weight.
//!
//! Meant for few endpoints with long exchanges (tunnels, downloads), where the price of looking at all of
//! them is nothing against a wrong choice. Ties are broken by chance with the share of the weights.

use std::cmp::Ordering;

use super::Field;
use super::rendezvous::unit;
use crate::endpoint::EndpointIx;

pub(super) fn pick(field: &Field<'_>, rng: &mut fastrand::Rng) -> Option<EndpointIx> {
    let mut best: Option<(EndpointIx, u64, u64)> = None;
    let (mut tied, mut next) = (0, 0);
    for &ix in field.tier.members() {
        let (load, weight) = field.slowed(ix)?;
        let order = best.map_or(Ordering::Less, |(_, best_load, best_weight)| {
            (load * best_weight).cmp(&(best_load * weight))
        });
        // What cannot win is not looked at any closer.
        if order == Ordering::Greater || !field.may_pick(ix) {
            continue;
        }
        if order == Ordering::Less {
            (tied, next) = (0, 0);
        }
        tied += weight;
        if tied > next {
            best = Some((ix, load, weight));
            next = stays_up_to(tied, unit(rng.u64(..)));
        }
    }
    best.map(|(ix, ..)| ix)
}

/// Up to which sum of tied weights the last one of `tied` stays chosen, by a draw in (0, 1).
///
/// One of weight w that makes the sum s would take its place with the chance w / s; so the chance that nobody has up to a
/// sum s is `tied` / s, and one draw says when somebody does (reservoir sampling by skips, Vitter 1985; Li 1994).
fn stays_up_to(tied: u64, draw: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "above zero; what is too large is as good as the largest"
    )]
    let sum = (tied as f64 / draw) as u64;
    sum
}
