//! The key of a request: what a balancer by hash picks by.

use crate::base::hash::HashKey;
use crate::message::key::{self, KeyInput, KeySource};

/// Which properties of a request are its key, and how they become a number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BalanceKey {
    pub(super) seed: HashKey,
    pub(super) sources: Box<[KeySource]>,
}

impl BalanceKey {
    /// The number of a request; `None` when it has none of the properties (no cookie yet): chance decides then, so
    /// that those without a key do not all meet at one endpoint.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "any 64 bits of a hash will do"
    )]
    pub fn hash(&self, input: &KeyInput<'_>) -> Option<u64> {
        let there = self
            .sources
            .iter()
            .any(|source| source.read(input).is_some());
        there.then(|| key::joined(self.seed, &self.sources, input).finish() as u64)
    }
}
