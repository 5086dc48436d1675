//! What limiters leave to the configuration after them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::overlay::{Overlay, Slot};
use super::store::{Address, Store};
use super::{Case, Rules};
use crate::base::hash::HashKey;
use crate::base::{LimiterName, ListenerName, RouteName};
use crate::limit::meter::Refused;
use crate::limit::top::Place;
use crate::limit::{Algorithm, Decision, Meters, Outcome, Over, Places, Table, Tally, Top};
use crate::state::Registry;

/// Who has filters.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Owner {
    /// A route.
    Route(RouteName),
    /// A listener of layer 4.
    Listener(ListenerName),
}

impl Owner {
    /// The name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Route(name) => name.as_str(),
            Self::Listener(name) => name.as_str(),
        }
    }
}

/// The state of every limiter that a configuration or an exchange still holds. One for the process.
#[derive(Debug, Default)]
pub struct Live {
    limiters: Registry<(LimiterName, Algorithm), LimiterState>,
    stores: Registry<(u128, Duration), Store>,
    places: Registry<(Owner, usize), Places>,
}

/// What is known of the keys of one limiter.
pub struct LimiterState {
    pub(super) meters: Meters,
    pub(super) hash: HashKey,
    top: Mutex<Top<Box<str>>>,
    /// What a store has refused.
    refused: Table<Refused>,
    /// Decisions that were made elsewhere.
    elsewhere: Mutex<Tally>,
    /// The rules by which was refused.
    settled: Mutex<String>,
    /// What an operator says.
    pub(super) overlay: Slot,
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
            hash: HashKey::of_process(),
            top: Mutex::default(),
            refused: Table::new(most),
            elsewhere: Mutex::default(),
            settled: Mutex::default(),
            overlay: Slot::default(),
        })
    }

    /// The store of this identity.
    pub(super) fn store(&self, identity: u128, timeout: Duration, address: Address) -> Arc<Store> {
        self.stores
            .keep_or_make(&(identity, timeout), || Store::new(address, timeout))
    }

    /// What is under way by key, for the filter at this step of a route or a listener.
    pub fn places(&self, owner: &Owner, step: usize) -> Arc<Places> {
        self.places
            .keep_or_make(&(owner.clone(), step), Places::default)
    }

    /// Forgets the identities of what is gone. To be called after a reload.
    pub fn sweep(&self) {
        self.limiters.sweep();
        self.stores.sweep();
        self.places.sweep();
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
        let mut tally = self.meters.tally();
        tally.add(
            *self
                .elsewhere
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        tally
    }

    /// Takes an operator's word, or takes it back.
    pub(super) fn say(&self, overlay: Option<Overlay>) {
        self.overlay.set(overlay);
        self.refused.clear();
    }

    /// Counts a decision that was made elsewhere.
    pub(super) fn noted(&self, outcome: Outcome, over: Over) {
        let mut tally = self
            .elsewhere
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tally.count(outcome, over);
    }

    /// The place in a table of a hash that other instances know: clients could choose it.
    pub(super) fn inner(&self, hash: u128) -> u128 {
        self.hash.hash128(&hash.to_le_bytes())
    }

    /// What the store has refused for longer than until now.
    pub(super) fn refused(&self, hash: u128, cost: u32, now: u64) -> Option<Decision> {
        self.refused.peek(self.inner(hash), |refused| {
            Some(Decision {
                outcome: Outcome::Deny(refused.left(cost, now)?),
                remaining: 0,
                reset: refused.reset(now),
            })
        })?
    }

    /// The store has refused.
    pub(super) fn refuse(&self, case: &Case<'_>, cost: u32, now: u64, wait: u64, reset: u64) {
        let key = self.inner(case.key);
        self.refused.with(key, case.rule, now, |refused| {
            refused.note(cost, now, wait, reset);
        });
    }

    /// Forgets refusals by other numbers.
    pub(super) fn settle(&self, rules: &Rules) {
        let rules = format!("{rules:?}");
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if *settled != rules {
            *settled = rules;
            self.refused.clear();
        }
    }

    /// From now on at most so many keys.
    pub fn limit(&self, most: usize) {
        self.meters.limit(most);
        self.refused.limit(most);
    }
}
