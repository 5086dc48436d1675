//! By chance, with the share of the weights among those that may be picked.

use super::Field;
use crate::endpoint::EndpointIx;

pub(super) fn pick(field: &Field<'_>, rng: &mut fastrand::Rng) -> Option<EndpointIx> {
    draw(field, rng, |_| true)
}

/// Draws until one may be picked: exact for any set of unavailable ones, as what is refused is drawn
/// again. When chance takes too long, one look at all of them decides with the same shares.
pub(super) fn draw(
    field: &Field<'_>,
    rng: &mut fastrand::Rng,
    wanted: impl Fn(EndpointIx) -> bool,
) -> Option<EndpointIx> {
    for _ in 0..field.refusals() {
        let ix = field.tier.draw(rng)?;
        if wanted(ix) && field.may_pick(ix) && field.admits(ix, || rng.f64()) {
            return Some(ix);
        }
    }
    let mut chosen = None;
    let mut total = 0;
    for &ix in field.tier.members() {
        if !wanted(ix) || !field.may_pick(ix) || !field.admits(ix, || rng.f64()) {
            continue;
        }
        let (_, weight) = field.load(ix)?;
        total += weight;
        if rng.u64(..total) < weight {
            chosen = Some(ix);
        }
    }
    chosen
}
