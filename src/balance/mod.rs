//! Picks an endpoint from a set: a pure function of the set's load and health, a cursor, and what was tried.
//!
//! **Invariants.** An endpoint that is not available is never picked, but in a panic ([`Policy`]). An endpoint that this exchange has tried is
//! picked only when no other of any tier is available; a higher tier only when no lower one has an available
//! endpoint that was not tried. No allocation and no lock, but for the first pick after a set changed.
//!
//! The same key, endpoints and seed give the same endpoint on every instance, after a restart and after a reload.
//!
//! **Not here.** What makes an endpoint available (`endpoint`), and waiting for one that is full (`exchange`).

mod algorithm;
mod cursor;
mod field;
mod least_connections;
mod least_request;
mod least_time;
mod maglev;
mod outlook;
mod random;
mod rendezvous;
mod ring_hash;
mod round_robin;
mod zones;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::base::clock::Instant;
use crate::base::hash::HashKey;
use crate::endpoint::{Availability, EndpointIx, EndpointSet, Heed, Tier, Tried};
use field::{Field, Pass, Ramp};
use maglev::Slots;
use outlook::{Mood, Outlook};
use rendezvous::Scores;
use ring_hash::Ring;
use round_robin::WheelIx;
use zones::Homes;

pub use algorithm::Algorithm;
pub use cursor::Cursor;
pub use outlook::Policy;
pub use ring_hash::MAX_POINTS;

/// What a pick may see of its exchange.
#[derive(Clone, Copy, Debug)]
pub struct PickInput<'a> {
    /// The endpoints that were tried before.
    pub tried: &'a Tried,
    /// Connections that each endpoint may have; 0: any number.
    pub cap: u32,
    /// Hash of the request's key, for balancers that pick by key; `None`: it has none, and chance decides.
    pub hash: Option<u64>,
    /// The time.
    pub now: Instant,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pick {
    /// This one.
    Endpoint(EndpointIx),
    /// Every endpoint that could serve has as many connections as it may have.
    Full,
    /// No endpoint can serve.
    None,
}

/// Picks from one set of endpoints. Immutable and shared by all workers: what it needs worked out (tables of keys)
/// is built with it, when a configuration is compiled and never while it serves.
#[derive(Debug)]
pub struct Balancer {
    algorithm: Algorithm,
    seed: HashKey,
    policy: Policy,
    /// By tier; empty where it does not pick by key.
    keyed: Vec<Keyed>,
    homes: Homes,
}

/// What one tier needs to be picked from by key.
#[derive(Debug)]
struct Keyed {
    scores: Scores,
    table: Table,
}

#[derive(Debug)]
enum Table {
    Ring(Ring),
    Slots(Slots),
    /// The scores are all.
    None,
}

impl Keyed {
    fn new(algorithm: Algorithm, set: &EndpointSet, tier: &Tier, seed: HashKey) -> Option<Self> {
        let scores = Scores::new(set, tier, seed);
        let table = match algorithm {
            Algorithm::RoundRobin
            | Algorithm::Random
            | Algorithm::LeastRequest
            | Algorithm::LeastConnections
            | Algorithm::LeastTime => return None,
            Algorithm::IpHash => Table::Slots(Slots::new(&scores, Algorithm::TABLE_SIZE)),
            Algorithm::Maglev { table_size } => Table::Slots(Slots::new(&scores, table_size)),
            Algorithm::RingHash {
                vnodes,
                load_factor,
            } => Table::Ring(Ring::new(&scores, vnodes, load_factor)),
            Algorithm::Rendezvous => Table::None,
        };
        Some(Self { scores, table })
    }

    /// Where the table leads to nobody who may be picked, because nearly all of them are gone, the scores
    /// decide: by key as well.
    #[inline]
    fn pick(
        &self,
        field: &Field<'_>,
        cursor: &mut Cursor,
        number: usize,
        hash: u64,
    ) -> Option<EndpointIx> {
        let found = match &self.table {
            Table::Ring(ring) => {
                ring.pick(field, &self.scores, hash, cursor.loads.get_mut(number)?)
            }
            Table::Slots(slots) => slots.pick(field, hash),
            Table::None => None,
        };
        found.or_else(|| self.scores.pick(hash, |ix| field.takes(ix, hash)))
    }
}

impl Balancer {
    /// A balancer for this set. The seed decides where keys belong: instances with the same one agree.
    pub fn new(algorithm: Algorithm, set: &EndpointSet, seed: HashKey) -> Self {
        let tiers = set.tiers().iter();
        Self {
            algorithm,
            seed,
            policy: Policy::default(),
            homes: Homes::default(),
            keyed: tiers
                .filter_map(|tier| Keyed::new(algorithm, set, tier, seed))
                .collect(),
        }
    }

    /// The same under a policy.
    #[must_use]
    pub fn under(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// The same, standing in a zone: who picks by key goes where the key belongs, and does not heed it.
    #[must_use]
    pub fn at_home(self, zone: Option<Arc<str>>, set: &EndpointSet) -> Self {
        let zone = zone.filter(|_| self.keyed.is_empty());
        let homes = Homes::new(zone, set);
        Self { homes, ..self }
    }

    /// The same for another set.
    #[must_use]
    pub fn remade(&self, set: &EndpointSet) -> Self {
        let zone = self.homes.name().cloned();
        let made = Self::new(self.algorithm, set, self.seed).under(self.policy);
        made.at_home(zone, set)
    }

    /// Whether so few of the set are available at `now` that health is not heeded.
    pub fn panics(&self, set: &EndpointSet, now: Instant) -> bool {
        self.look(set, now).mood() == Mood::Panic
    }

    /// How it picks.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Picks an endpoint of the set that it was made for.
    #[inline]
    pub fn pick(&self, set: &EndpointSet, cursor: &mut Cursor, input: &PickInput<'_>) -> Pick {
        cursor.follow(self.algorithm, set);
        if self.policy == Policy::default() && self.homes.is_empty() {
            return self.passes(set, cursor, input);
        }
        if cursor.outlook.is_due(input.now) {
            cursor.outlook = self.look(set, input.now);
        }
        let pick = self.passes(set, cursor, input);
        if pick != Pick::None {
            return pick;
        }
        // Nobody: what was counted may be old.
        cursor.outlook = self.look(set, input.now);
        self.passes(set, cursor, input)
    }

    fn look(&self, set: &EndpointSet, now: Instant) -> Outlook {
        Outlook::look(set, self.policy, &self.homes, now)
    }

    #[inline]
    fn passes(&self, set: &EndpointSet, cursor: &mut Cursor, input: &PickInput<'_>) -> Pick {
        if let Some(ix) = self.search(set, cursor, input) {
            return Pick::Endpoint(ix);
        }
        match left(set, heed(cursor), input.cap) {
            Left::Nobody => Pick::None,
            Left::Full => Pick::Full,
            // Another worker gave a place back since the search.
            Left::Free => match self.search(set, cursor, input) {
                Some(ix) => Pick::Endpoint(ix),
                None => Pick::Full,
            },
        }
    }

    #[inline]
    fn search(
        &self,
        set: &EndpointSet,
        cursor: &mut Cursor,
        input: &PickInput<'_>,
    ) -> Option<EndpointIx> {
        let fresh = self.pass(set, cursor, input, Pass::Fresh);
        if fresh.is_some() || input.tried.is_empty() {
            return fresh;
        }
        self.pass(set, cursor, input, Pass::Any)
    }

    /// The tiers that have enough, in their order; then the others.
    #[inline]
    fn pass(
        &self,
        set: &EndpointSet,
        cursor: &mut Cursor,
        input: &PickInput<'_>,
        pass: Pass,
    ) -> Option<EndpointIx> {
        let mut later = false;
        for (number, tier) in set.tiers().iter().enumerate() {
            if cursor.outlook.comes_later(number, self.policy) {
                later = true;
            } else if let Some(ix) = self.tier(set, (number, tier), cursor, input, pass) {
                return Some(ix);
            }
        }
        if !later {
            return None;
        }
        set.tiers().iter().enumerate().find_map(|(number, tier)| {
            let short = cursor.outlook.comes_later(number, self.policy);
            short.then(|| self.tier(set, (number, tier), cursor, input, pass))?
        })
    }

    #[inline]
    fn tier(
        &self,
        set: &EndpointSet,
        (number, tier): (usize, &Tier),
        cursor: &mut Cursor,
        input: &PickInput<'_>,
        pass: Pass,
    ) -> Option<EndpointIx> {
        let zone = match heed(cursor) {
            Heed::Everything => self.homes.draw(number, &cursor.outlook, &mut cursor.rng),
            Heed::Orders => None,
        };
        if let Some(zone) = zone
            && let Some(found) = tier.zones().get(zone)
        {
            let wheel = WheelIx::Zone(number, zone);
            let found = self.among(set, (wheel, &found.members), cursor, input, pass);
            if found.is_some() {
                return found;
            }
        }
        self.among(set, (WheelIx::Tier(number), tier), cursor, input, pass)
    }

    /// Those of a whole tier, or of a zone in it.
    #[inline]
    fn among(
        &self,
        set: &EndpointSet,
        (wheel, tier): (WheelIx, &Tier),
        cursor: &mut Cursor,
        input: &PickInput<'_>,
        pass: Pass,
    ) -> Option<EndpointIx> {
        let heed = heed(cursor);
        let field = Field {
            set,
            tier,
            input: *input,
            pass,
            heed,
            ramp: None,
        };
        if !self.policy.slow_start.is_zero() && heed == Heed::Everything {
            let ramp = Some(Ramp {
                time: self.policy.slow_start,
                warmest: cursor.outlook.warmest(wheel.tier()),
            });
            let found = self.choose(&Field { ramp, ..field }, wheel, cursor);
            if found.is_some() {
                return found;
            }
        }
        self.choose(&field, wheel, cursor)
    }

    #[inline]
    fn choose(&self, field: &Field<'_>, wheel: WheelIx, cursor: &mut Cursor) -> Option<EndpointIx> {
        let number = wheel.tier();
        if let Some(keyed) = self.keyed.get(number) {
            return match field.input.hash {
                Some(hash) => keyed.pick(field, cursor, number, hash),
                None => random::pick(field, &mut cursor.rng),
            };
        }
        let rng = &mut cursor.rng;
        match self.algorithm {
            Algorithm::RoundRobin => cursor.wheels.get_mut(wheel)?.pick(field, rng),
            Algorithm::LeastRequest => least_request::pick(field, rng),
            Algorithm::LeastConnections => least_connections::pick(field, rng),
            Algorithm::LeastTime => least_time::pick(field, rng),
            Algorithm::Random
            | Algorithm::IpHash
            | Algorithm::RingHash { .. }
            | Algorithm::Maglev { .. }
            | Algorithm::Rendezvous => random::pick(field, rng),
        }
    }
}

/// What there is where nobody was found.
enum Left {
    /// One that may be picked by now.
    Free,
    /// At least one that could serve has as many connections as it may have.
    Full,
    /// Nobody could serve.
    Nobody,
}

fn left(set: &EndpointSet, heed: Heed, cap: u32) -> Left {
    let mut left = Left::Nobody;
    let members = set.tiers().iter().flat_map(Tier::members);
    for glance in members.filter_map(|&ix| set.glance(ix)) {
        match glance.availability(cap, heed) {
            Availability::Available => return Left::Free,
            Availability::Full => left = Left::Full,
            _ => {}
        }
    }
    left
}

/// What is heeded by who picks with this cursor now.
fn heed(cursor: &Cursor) -> Heed {
    match cursor.outlook.mood() {
        Mood::Calm => Heed::Everything,
        Mood::Panic => Heed::Orders,
    }
}
