//! Tokens whose signature was found sound. What they say, and for how long, is judged with each request all the same, and
//! which keys found it is remembered with each: so they outlive a configuration.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::algorithm::Algorithm;
use super::token::Verified;
use crate::base::RouteName;
use crate::base::hash::HashKey;
use crate::filter::remembered::Remembered;

const SHARDS: usize = 16;
/// Longer ones are verified each time: what is remembered of a token is several times as long as it.
const LONGEST: usize = 4 << 10;

type Shard = Remembered<Arc<Verified>>;

/// Whose tokens are remembered. Other algorithms are another identity: which one signed is looked at once.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::filter) struct Whose {
    /// The route, and which of its filters it is.
    pub(super) filter: (RouteName, usize),
    /// At most so many.
    pub(in crate::filter) most: usize,
    /// By which they may be signed.
    pub(super) algorithms: Box<[Algorithm]>,
}

/// Tokens by a hash that nobody outside can make.
pub(in crate::filter) struct Cache {
    hash: HashKey,
    /// `None`: nothing is remembered.
    shards: Option<[Mutex<Shard>; SHARDS]>,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl Cache {
    /// At most so many tokens.
    pub(in crate::filter) fn new(most: usize) -> Self {
        let room = most.div_ceil(SHARDS);
        let shard = |_| Mutex::new(Remembered::new(room));
        Self {
            hash: HashKey::random(),
            shards: (most > 0).then(|| std::array::from_fn(shard)),
        }
    }

    /// Where this token is remembered, and as what.
    fn place(&self, token: &[u8]) -> Option<(MutexGuard<'_, Shard>, u128)> {
        let shards = self.shards.as_ref().filter(|_| token.len() <= LONGEST)?;
        let key = self.hash.hash128(token);
        let index = usize::try_from(key % SHARDS as u128).ok()?;
        let shard = shards.get(index)?.lock();
        Some((shard.unwrap_or_else(PoisonError::into_inner), key))
    }

    /// What was found by the keys of this set. Others may have been taken out of trust.
    pub(super) fn find(&self, token: &[u8], set: u64) -> Option<Arc<Verified>> {
        let (shard, key) = self.place(token)?;
        let known = shard.get(key).filter(|known| known.set == set)?;
        Some(Arc::clone(known))
    }

    /// Remembers a token that was let in at this time since the epoch.
    pub(super) fn note(&self, token: &[u8], verified: Arc<Verified>, now: Duration) {
        if let Some((mut shard, key)) = self.place(token) {
            let now = now.as_secs_f64();
            shard.put(key, verified, |known| {
                known.until().is_none_or(|until| now < until)
            });
        }
    }
}

#[cfg(test)]
impl Cache {
    pub(super) fn len(&self) -> usize {
        let shards = self.shards.iter().flatten();
        shards
            .map(|it| it.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }
}
