//! How much of a set is left, looked up now and then: what no single pick could afford to count.
//!
//! Counting takes as long as there are endpoints, so a worker does it once in [`REFRESH`], and at once when a pick
//! finds nobody. In between picks still ask every endpoint that they take; only these shares are a little old.

use std::time::Duration;

use super::zones::{self, Homes};
use crate::base::clock::Instant;
use crate::endpoint::{Availability, Endpoint, EndpointIx, EndpointSet, Zone};

/// How old a count may be.
const REFRESH: Duration = Duration::from_millis(100);

/// What holds for a cluster's endpoints, whatever picks from them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    /// Below this percent of available endpoints health is ignored; 0: never.
    pub panic_threshold: u8,
    /// How long an endpoint that came back takes to get its full share; zero: no time.
    pub slow_start: Duration,
}

/// What was counted of one tier.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Those that no operator took out.
    enabled: usize,
    available: usize,
    /// The largest [`crate::endpoint::EndpointState::warmth`] of the available.
    warmest: f64,
}

/// The last count.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    until: Option<Instant>,
    tiers: Vec<Count>,
    /// By tier, then by zone: what part of the requests goes there. Empty where zones make no difference.
    zones: Vec<Vec<f64>>,
    mood: Mood,
}

/// Whether health is heeded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Mood {
    /// It is.
    #[default]
    Calm,
    /// No tier has enough available endpoints: all are picked from, in the hope that some serve.
    Panic,
}

impl Outlook {
    /// A count of now.
    pub(super) fn look(set: &EndpointSet, policy: Policy, homes: &Homes, now: Instant) -> Self {
        let count = |members: &[EndpointIx]| {
            let endpoints = members.iter().filter_map(|&ix| set.endpoint(ix));
            endpoints.fold(Count::default(), |mut count, endpoint| {
                count.add(endpoint, policy, now);
                count
            })
        };
        let tiers: Vec<Count> = set
            .tiers()
            .iter()
            .map(|tier| count(tier.members()))
            .collect();
        let left = tiers.iter().any(|count| count.enabled > 0);
        let short = tiers.iter().all(|count| count.is_short(policy));
        let mood = if policy.panic_threshold > 0 && left && short {
            Mood::Panic
        } else {
            Mood::Calm
        };
        let zones = if homes.is_empty() {
            Vec::new()
        } else {
            zones(set, homes)
        };
        Self {
            until: now.checked_add(REFRESH),
            tiers,
            zones,
            mood,
        }
    }

    /// What part of a tier's requests goes to each of its zones.
    #[inline]
    pub(super) fn zones(&self, tier: usize) -> &[f64] {
        self.zones.get(tier).map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    #[inline]
    pub(super) fn mood(&self) -> Mood {
        self.mood
    }

    /// Whether another tier is to be asked before this one: it has too few available endpoints, and another has enough.
    #[inline]
    pub(super) fn comes_later(&self, tier: usize, policy: Policy) -> bool {
        policy.panic_threshold > 0
            && self.mood == Mood::Calm
            && self
                .tiers
                .get(tier)
                .is_some_and(|count| count.is_short(policy))
    }

    /// What the warmth of a tier's endpoints is measured by: when all came back at once, nobody is cold.
    #[inline]
    pub(super) fn warmest(&self, tier: usize) -> f64 {
        self.tiers.get(tier).map_or(1.0, |count| count.warmest)
    }
}

/// The shares of all zones of all tiers, as they are available now.
fn zones(set: &EndpointSet, homes: &Homes) -> Vec<Vec<f64>> {
    let weight = |&ix: &EndpointIx| match set.endpoint(ix) {
        Some(endpoint) if endpoint.availability(0) == Availability::Available => {
            u64::from(endpoint.weight)
        }
        _ => 0,
    };
    let available = |zone: &Zone| zone.members.members().iter().map(weight).sum();
    let tiers = set.tiers().iter().enumerate();
    tiers
        .map(|(number, tier)| match homes.of(number) {
            None => Vec::new(),
            Some(home) => {
                let available: Vec<u64> = tier.zones().iter().map(available).collect();
                zones::shares(&available, home)
            }
        })
        .collect()
}

impl Count {
    fn add(&mut self, endpoint: &Endpoint, policy: Policy, now: Instant) {
        match endpoint.availability(0) {
            Availability::Available | Availability::Full => {
                self.enabled += 1;
                self.available += 1;
                if !policy.slow_start.is_zero() {
                    endpoint.state.serves(now);
                    self.warmest = self
                        .warmest
                        .max(endpoint.state.warmth(now, policy.slow_start));
                }
            }
            Availability::Unhealthy | Availability::Ejected => {
                self.enabled += 1;
                endpoint.state.serves_not();
            }
            Availability::Draining | Availability::Disabled => endpoint.state.serves_not(),
        }
    }

    fn is_short(&self, policy: Policy) -> bool {
        self.available * 100 < usize::from(policy.panic_threshold) * self.enabled.max(1)
    }
}
