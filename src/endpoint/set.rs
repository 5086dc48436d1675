//! The endpoints of a cluster in the order of the configuration, with what balancers need worked out once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::Endpoint;

/// Position of an endpoint in its [`EndpointSet`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EndpointIx(pub u32);

/// The endpoints of one cluster, immutable.
#[derive(Debug)]
pub struct EndpointSet {
    endpoints: Vec<Arc<Endpoint>>,
    tiers: Vec<Tier>,
    shape: u64,
}

/// The endpoints of one priority.
#[derive(Debug)]
pub struct Tier {
    members: Vec<EndpointIx>,
    /// Running sums of the weights, one for each member; empty when all weights are equal.
    sums: Vec<u64>,
}

impl EndpointSet {
    /// A set in the order given. More than `u32::MAX` endpoints: the rest is left out.
    pub fn new(endpoints: Vec<Arc<Endpoint>>) -> Self {
        let mut numbers: Vec<u8> = endpoints.iter().map(|endpoint| endpoint.tier).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let tiers = numbers
            .into_iter()
            .map(|tier| Tier::new(&endpoints, tier))
            .collect();
        let mut hasher = DefaultHasher::new();
        for endpoint in &endpoints {
            (&endpoint.key, endpoint.weight, endpoint.tier).hash(&mut hasher);
        }
        Self {
            tiers,
            shape: hasher.finish(),
            endpoints,
        }
    }

    /// The endpoint at `ix`.
    #[inline]
    pub fn endpoint(&self, ix: EndpointIx) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(ix.0 as usize)
    }

    /// Every endpoint, in the order of the configuration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Endpoint>> {
        self.endpoints.iter()
    }

    /// The tiers that have endpoints, lowest first.
    #[inline]
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// How many endpoints there are.
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// A digest of identities, weights, tiers and their order: equal sets can share a cursor.
    #[inline]
    pub fn shape(&self) -> u64 {
        self.shape
    }
}

impl Tier {
    fn new(endpoints: &[Arc<Endpoint>], number: u8) -> Self {
        let mut members = Vec::new();
        let mut sums = Vec::new();
        let mut sum = 0;
        for (ix, endpoint) in (0..=u32::MAX).zip(endpoints) {
            if endpoint.tier == number {
                members.push(EndpointIx(ix));
                sum += u64::from(endpoint.weight);
                sums.push(sum);
            }
        }
        let first = sums.first().copied().unwrap_or(0);
        let equal = (1..).zip(&sums).all(|(count, &sum)| sum == first * count);
        if equal {
            sums = Vec::new();
        }
        Self { members, sums }
    }

    /// The endpoints of this tier, in the order of the configuration.
    #[inline]
    pub fn members(&self) -> &[EndpointIx] {
        &self.members
    }

    /// One member by chance, each with the share of its weight; `None` when the tier is empty.
    #[inline]
    pub fn draw(&self, rng: &mut fastrand::Rng) -> Option<EndpointIx> {
        let index = match self.sums.last() {
            None if self.members.is_empty() => return None,
            None => rng.usize(..self.members.len()),
            Some(&total) => {
                let point = rng.u64(..total);
                self.sums.partition_point(|&sum| sum <= point)
            }
        };
        self.members.get(index).copied()
    }
}
