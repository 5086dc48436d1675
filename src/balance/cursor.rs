//! What one worker remembers of its picks in one cluster.

use super::Algorithm;
use super::outlook::Outlook;
use super::ring_hash::LoadOfAll;
use super::round_robin::Wheels;
use crate::endpoint::EndpointSet;

/// One worker's place in one cluster. It survives a reload: a set of another shape keeps the turns of
/// the endpoints that it shares with the one before.
#[derive(Debug)]
pub struct Cursor {
    pub(super) rng: fastrand::Rng,
    /// For whom what follows was made.
    follows: Option<(Algorithm, u64)>,
    pub(super) wheels: Wheels,
    pub(super) outlook: Outlook,
    /// By tier.
    pub(super) loads: Vec<LoadOfAll>,
}

impl Cursor {
    /// A cursor that starts anywhere.
    pub fn new() -> Self {
        Self::with_seed(fastrand::u64(..))
    }

    /// A cursor whose picks are decided by `seed`.
    pub fn with_seed(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            follows: None,
            wheels: Wheels::default(),
            loads: Vec::new(),
            outlook: Outlook::default(),
        }
    }

    /// Makes what `algorithm` needs for `set`, unless it is there.
    #[inline]
    pub(super) fn follow(&mut self, algorithm: Algorithm, set: &EndpointSet) {
        if self.follows != Some((algorithm, set.shape())) {
            self.turn_to(algorithm, set);
        }
    }

    #[cold]
    fn turn_to(&mut self, algorithm: Algorithm, set: &EndpointSet) {
        self.follows = Some((algorithm, set.shape()));
        let before = std::mem::take(&mut self.wheels);
        if algorithm == Algorithm::RoundRobin {
            self.wheels = Wheels::new(set, &before, &mut self.rng);
        }
        self.outlook.forget();
        self.loads = set.tiers().iter().map(|_| LoadOfAll::default()).collect();
    }
}

impl Default for Cursor {
    fn default() -> Self {
        Self::new()
    }
}
