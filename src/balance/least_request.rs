//! The power of two choices: draw two, take the one with fewer exchanges under way for its weight.
//!
//! Two random draws come close to a full scan at a constant price, and workers that look at the same
//! counts do not all run to the same endpoint. Both draws follow the weights; so at rest, when the counts
//! tie and the first draw stands, the shares are those of the weights.

use super::{Field, random};
use crate::endpoint::EndpointIx;

pub(super) fn pick(field: &Field<'_>, rng: &mut fastrand::Rng) -> Option<EndpointIx> {
    let first = random::draw(field, rng, |_| true)?;
    if field.tier.members().len() == 1 {
        return Some(first);
    }
    let Some(second) = random::draw(field, rng, |ix| ix != first) else {
        return Some(first);
    };
    let (load, weight) = field.load(first)?;
    let (other_load, other_weight) = field.load(second)?;
    if other_load * weight < load * other_weight {
        Some(second)
    } else {
        Some(first)
    }
}
