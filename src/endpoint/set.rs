//! The endpoints of a cluster in the order of the configuration, with what balancers need worked out once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::{Availability, Endpoint, EndpointState, Heed};
use crate::health::HealthCell;

/// Position of an endpoint in its [`EndpointSet`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EndpointIx(pub u32);

/// The endpoints of one cluster, immutable.
#[derive(Debug)]
pub struct EndpointSet {
    endpoints: Vec<Arc<Endpoint>>,
    /// One for each of them.
    glances: Vec<Glance>,
    tiers: Vec<Tier>,
    shape: u64,
}

/// What a pick reads of an endpoint. They lie side by side, so that the reads of a scan do not wait for each other.
#[derive(Debug)]
pub struct Glance {
    /// See [`Endpoint::state`].
    pub state: Arc<EndpointState>,
    /// See [`Endpoint::weight`].
    pub weight: u32,
    health: Option<Arc<HealthCell>>,
}

impl Glance {
    /// Whether the endpoint may be picked while it may have `cap` connections (0: any number), by who heeds so much.
    #[inline]
    pub fn availability(&self, cap: u32, heed: Heed) -> Availability {
        super::availability(&self.state, self.health.as_deref(), cap, heed)
    }
}

/// The endpoints of one priority.
#[derive(Debug)]
pub struct Tier {
    members: Vec<EndpointIx>,
    /// Running sums of the weights, one for each member; empty when all weights are equal.
    sums: Vec<u64>,
    /// Empty unless the members are in different zones.
    zones: Vec<Zone>,
}

/// Those of a tier that are in one zone.
#[derive(Debug)]
pub struct Zone {
    /// Its name; `None`: of these it is not known.
    pub name: Option<Arc<str>>,
    /// They; without zones of their own.
    pub members: Tier,
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
            endpoint.origin.zone.hash(&mut hasher);
        }
        let glance = |endpoint: &Arc<Endpoint>| Glance {
            state: Arc::clone(&endpoint.state),
            weight: endpoint.weight,
            health: endpoint.health.clone(),
        };
        Self {
            tiers,
            shape: hasher.finish(),
            glances: endpoints.iter().map(glance).collect(),
            endpoints,
        }
    }

    /// The endpoint at `ix`.
    #[inline]
    pub fn endpoint(&self, ix: EndpointIx) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(ix.0 as usize)
    }

    /// What a pick reads of the endpoint at `ix`.
    #[inline]
    pub fn glance(&self, ix: EndpointIx) -> Option<&Glance> {
        self.glances.get(ix.0 as usize)
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

    /// A digest of identities, weights, tiers, zones and their order: equal sets can share a cursor.
    #[inline]
    pub fn shape(&self) -> u64 {
        self.shape
    }
}

impl Tier {
    fn new(endpoints: &[Arc<Endpoint>], number: u8) -> Self {
        let of_tier = |endpoint: &Endpoint| endpoint.tier == number;
        let mut names: Vec<_> = endpoints
            .iter()
            .filter(|endpoint| of_tier(endpoint))
            .map(|endpoint| endpoint.origin.zone.clone())
            .collect();
        names.sort_unstable();
        names.dedup();
        let zone = |name: Option<Arc<str>>| Zone {
            members: Self::of(endpoints, |e| of_tier(e) && e.origin.zone == name),
            name,
        };
        let zones = match names.len() {
            0 | 1 => Vec::new(),
            _ => names.into_iter().map(zone).collect(),
        };
        Self {
            zones,
            ..Self::of(endpoints, of_tier)
        }
    }

    fn of(endpoints: &[Arc<Endpoint>], wanted: impl Fn(&Endpoint) -> bool) -> Self {
        let mut members = Vec::new();
        let mut sums = Vec::new();
        let mut sum = 0;
        for (ix, endpoint) in (0..=u32::MAX).zip(endpoints) {
            if wanted(endpoint) {
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
        Self {
            members,
            sums,
            zones: Vec::new(),
        }
    }

    /// The members by zone, in the order of the names; empty unless they are in different ones.
    #[inline]
    pub fn zones(&self) -> &[Zone] {
        &self.zones
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
