//! Tokens whose signature was found sound. What they say, and for how long, is judged with each request all the same.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::token::Verified;
use crate::base::hash::HashKey;

const SHARDS: usize = 16;
/// Longer ones are verified each time: what is remembered of a token is several times as long as it.
const LONGEST: usize = 4 << 10;

/// Tokens by a hash that nobody outside can make.
pub(super) struct Cache {
    hash: HashKey,
    shards: [Mutex<HashMap<u128, Arc<Verified>>>; SHARDS],
    /// Of a shard.
    most: usize,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl Cache {
    /// At most so many tokens.
    pub(super) fn new(most: usize) -> Self {
        Self {
            hash: HashKey::random(),
            shards: Default::default(),
            most: most.div_ceil(SHARDS),
        }
    }

    fn shard(&self, key: u128) -> MutexGuard<'_, HashMap<u128, Arc<Verified>>> {
        let index = usize::try_from(key % SHARDS as u128).unwrap_or_default();
        let [first, ..] = &self.shards;
        let shard = self.shards.get(index).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found by the keys of this set. Others may have been taken out of trust.
    pub(super) fn find(&self, token: &[u8], set: u64) -> Option<Arc<Verified>> {
        if self.most == 0 || token.len() > LONGEST {
            return None;
        }
        let key = self.hash.hash128(token);
        let known = Arc::clone(self.shard(key).get(&key)?);
        (known.set == set).then_some(known)
    }

    /// Remembers a token that was let in at this time since the epoch.
    pub(super) fn note(&self, token: &[u8], verified: Arc<Verified>, now: Duration) {
        if self.most == 0 || token.len() > LONGEST {
            return;
        }
        let key = self.hash.hash128(token);
        let mut shard = self.shard(key);
        if shard.len() >= self.most && !shard.contains_key(&key) {
            let now = now.as_secs_f64();
            shard.retain(|_, known| known.until().is_none_or(|until| now < until));
        }
        if shard.len() >= self.most && !shard.contains_key(&key) {
            // Any eighth, and one at least: looking for the oldest at each would be work that tokens order.
            let mut at = 0_u32;
            shard.retain(|_, _| {
                at += 1;
                at % 8 != 1
            });
        }
        shard.insert(key, verified);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|it| it.lock().unwrap().len()).sum()
    }
}
