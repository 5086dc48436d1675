//! The one of two that would answer sooner: the power of two choices over peak EWMA.
//!
//! Draw two as `least_request` does; take the one with the smaller `cost × (in flight + 1) / weight`, where cost is the
//! running average of the time to a response's head with a penalty for failures ([`crate::endpoint::Pace`]). After
//! Finagle's and linkerd's load balancer (`p2c PeakEwma`); the penalty for failures as a share is our own.
//! While one of the two has not answered yet, only the load decides: unknown is neither fast nor slow, so a new
//! endpoint gets no more than its turn.
//!
//! An endpoint that answered 429 or 503 with Retry-After is left alone for so long, while another can be drawn.
//!
//! Cost: two draws, two exponentials. Memory: one line of cache an endpoint, in its state.

use super::{Field, random};
use crate::endpoint::EndpointIx;

/// How often one that asked to be left alone is drawn again before it is taken all the same.
const REDRAWS: usize = 8;

pub(super) fn pick(field: &Field<'_>, rng: &mut fastrand::Rng) -> Option<EndpointIx> {
    let first = draw(field, rng, |_| true)?;
    if field.tier.members().len() == 1 {
        return Some(first);
    }
    let Some(second) = draw(field, rng, |ix| ix != first) else {
        return Some(first);
    };
    if field.is_held(first) != field.is_held(second) {
        return Some(if field.is_held(first) { second } else { first });
    }
    let (load, weight) = field.load(first)?;
    let (other_load, other_weight) = field.load(second)?;
    let sooner = match (field.cost(first), field.cost(second)) {
        (Some(cost), Some(other)) => {
            let due = |cost: f64, load: u64, weight: u64| cost * (load + 1) as f64 / weight as f64;
            due(other, other_load, other_weight) < due(cost, load, weight)
        }
        _ => other_load * weight < load * other_weight,
    };
    Some(if sooner { second } else { first })
}

fn draw(
    field: &Field<'_>,
    rng: &mut fastrand::Rng,
    wanted: impl Fn(EndpointIx) -> bool,
) -> Option<EndpointIx> {
    let mut drawn = random::draw(field, rng, &wanted)?;
    for _ in 0..REDRAWS {
        if !field.is_held(drawn) {
            break;
        }
        drawn = random::draw(field, rng, &wanted)?;
    }
    Some(drawn)
}
