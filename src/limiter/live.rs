//! What limiters leave to the configuration after them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::LimiterName;
use crate::base::hash::HashKey;
use crate::limit::top::Place;
use crate::limit::{Algorithm, Meters, Tally, Top};
use crate::state::Registry;

/// The state of every limiter that a configuration or an exchange still holds. One for the process.
#[derive(Debug, Default)]
pub struct Live {
    limiters: Registry<(LimiterName, Algorithm), LimiterState>,
}

/// What is known of the keys of one limiter.
pub struct LimiterState {
    pub(super) meters: Meters,
    pub(super) hash: HashKey,
    top: Mutex<Top<Box<str>>>,
}

impl Live {
    /// The state of a limiter: the one that is alive, or a new one of at most so many keys. Another algorithm
    /// counts other things, and so begins anew.
    pub fn limiter(
        &self,
        name: &LimiterName,
        algorithm: Algorithm,
        most: usize,
    ) -> Arc<LimiterState> {
        let identity = (name.clone(), algorithm);
        self.limiters.keep_or_make(&identity, || LimiterState {
            meters: Meters::new(algorithm, most),
            hash: HashKey::random(),
            top: Mutex::default(),
        })
    }

    /// Forgets the identities of what is gone. To be called after a reload.
    pub fn sweep(&self) {
        self.limiters.sweep();
    }
}

impl fmt::Debug for LimiterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterState").finish_non_exhaustive()
    }
}

impl LimiterState {
    /// Counts a request over the limit.
    pub(super) fn limited(&self, key: u128, label: impl FnOnce() -> Box<str>) {
        let mut top = self.top.lock().unwrap_or_else(PoisonError::into_inner);
        top.count(key, label);
    }

    /// Who was over the limit most often.
    pub fn top(&self) -> Vec<Place<Box<str>>> {
        self.top
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .list()
    }

    /// Keys that are held.
    pub fn keys(&self) -> usize {
        self.meters.len()
    }

    /// Keys that were forgotten before they were done with.
    pub fn evicted(&self) -> u64 {
        self.meters.evicted()
    }

    /// What was decided.
    pub fn tally(&self) -> Tally {
        self.meters.tally()
    }

    /// From now on at most so many keys.
    pub fn limit(&self, most: usize) {
        self.meters.limit(most);
    }
}
