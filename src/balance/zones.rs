//! The own zone first, as far as that leaves every endpoint its share.
//!
//! Each zone is taken to bring the same part of the requests, 1/Z. Where the own zone holds at least that part of the available
//! weight, all of them stay; else as many stay as its share carries, and the rest goes to the zones that hold more than
//! theirs, in the measure of what they hold more. So with Z equal sources every endpoint gets what its weight says, and no
//! more crosses a border than must.

use std::sync::Arc;

use super::outlook::Outlook;
use crate::endpoint::{EndpointSet, Tier};

/// Where this instance stands in each tier of a set.
#[derive(Debug, Default)]
pub(super) struct Homes {
    name: Option<Arc<str>>,
    /// By tier; empty where no tier has endpoints both in this zone and elsewhere.
    by_tier: Box<[Option<usize>]>,
}

impl Homes {
    pub(super) fn new(name: Option<Arc<str>>, set: &EndpointSet) -> Self {
        let mine = |tier: &Tier| {
            let name = name.as_deref()?;
            let mut zones = tier.zones().iter();
            zones.position(|zone| zone.name.as_deref() == Some(name))
        };
        let by_tier: Vec<_> = set.tiers().iter().map(mine).collect();
        Self {
            by_tier: if by_tier.iter().any(Option::is_some) {
                by_tier.into()
            } else {
                Box::default()
            },
            name,
        }
    }

    pub(super) fn name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    /// Whether zones make no difference.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.by_tier.is_empty()
    }

    /// The position of the own zone in this tier.
    #[inline]
    pub(super) fn of(&self, tier: usize) -> Option<usize> {
        self.by_tier.get(tier).copied().flatten()
    }

    /// Draws a zone of the tier.
    #[inline]
    pub(super) fn draw(
        &self,
        tier: usize,
        outlook: &Outlook,
        rng: &mut fastrand::Rng,
    ) -> Option<usize> {
        self.of(tier)?;
        let mut draw = rng.f64();
        let shares = outlook.zones(tier);
        shares.iter().position(|share| {
            draw -= share;
            draw < 0.0
        })
    }
}

/// What part of the requests of an instance in the zone `home` goes to each zone, by the weight that is available there; nothing
/// where no zone has any.
#[expect(clippy::cast_precision_loss, reason = "weights are far below 2^52")]
pub(super) fn shares(available: &[u64], home: usize) -> Vec<f64> {
    let total: u64 = available.iter().sum();
    if total == 0 {
        return Vec::new();
    }
    let brings = 1.0 / available.len() as f64;
    let holds = |weight: &u64| *weight as f64 / total as f64;
    let own = available.get(home).map_or(0.0, holds);
    let stays = (own / brings).min(1.0);
    let surplus = |weight: &u64| (holds(weight) - brings).max(0.0);
    let all: f64 = available.iter().map(surplus).sum();
    let share = |(zone, weight): (usize, &u64)| match zone {
        zone if zone == home => stays,
        _ if all > 0.0 => (1.0 - stays) * surplus(weight) / all,
        _ => 0.0,
    };
    available.iter().enumerate().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn what_its_share_carries_stays() {
        assert_eq!(shares(&[3, 3, 3], 0), [1.0, 0.0, 0.0]);
        assert_eq!(shares(&[6, 1], 0), [1.0, 0.0]);
        let one_of_six = shares(&[5, 1], 1);
        assert!(near(one_of_six[1], 1.0 / 3.0) && near(one_of_six[0], 2.0 / 3.0));
        // The own zone is down: all goes elsewhere. Everything is down: there is nothing to prefer.
        assert_eq!(shares(&[0, 4], 0), [0.0, 1.0]);
        assert!(shares(&[0, 0], 0).is_empty());
    }

    proptest! {
        /// With equal sources every zone gets what it holds, and what crosses a border is what must.
        #[test]
        fn every_zone_gets_what_it_holds(available in prop::collection::vec(0_u64..100, 1..8)) {
            let total: u64 = available.iter().sum();
            prop_assume!(total > 0);
            let sources = available.len();
            let mut gets = vec![0.0; sources];
            let mut crosses = 0.0;
            for home in 0..sources {
                let shares = shares(&available, home);
                prop_assert!(near(shares.iter().sum(), 1.0));
                crosses += 1.0 - shares[home];
                for (got, share) in gets.iter_mut().zip(shares) {
                    *got += share / sources as f64;
                }
            }
            let mut least = 0.0;
            for (got, weight) in gets.iter().zip(&available) {
                let holds = *weight as f64 / total as f64;
                prop_assert!(near(*got, holds), "{gets:?} of {available:?}");
                least += (1.0 / sources as f64 - holds).max(0.0);
            }
            prop_assert!(near(crosses / sources as f64, least));
        }
    }
}
