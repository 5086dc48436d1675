//! `concurrency_limit`: bounds how many requests of one key are under way at once.

use std::sync::Arc;

use super::kept::Keep;
use super::{Reply, RequestView, Verdict};
use crate::base::hash::HashKey;
use crate::base::{Detail, Reason};
use crate::limit::Places;
use crate::message::KeySource;
use crate::message::key;

/// The filter.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit {
    key: Box<[KeySource]>,
    max: u32,
    owner: Box<str>,
    places: Arc<Places>,
    hash: HashKey,
    refusal: Reply,
}

impl ConcurrencyLimit {
    /// At most `max` of each key; `places` outlive the configuration.
    pub fn new(key: Box<[KeySource]>, max: u32, owner: &str, places: Arc<Places>) -> Self {
        Self {
            key,
            max,
            owner: owner.into(),
            places,
            // Exchanges of two configurations may be under way: they must agree on the number of a key.
            hash: HashKey::of_process(),
            refusal: Reply::refusal(Reason::RateLimited, Detail::Concurrency),
        }
    }

    /// The parts of its key.
    pub(super) fn key(&self) -> &[KeySource] {
        &self.key
    }

    /// Takes a place, which is given back when the exchange, or the tunnel that it opened, has ended.
    pub fn on_request(&self, view: &mut RequestView<'_>) -> Verdict {
        let input = view.key_input(&self.owner);
        let key = key::joined(self.hash, &self.key, &input).finish();
        match self.places.take(key, self.max) {
            Some(place) => {
                view.keep(Keep::Place(place));
                Verdict::Continue
            }
            None => self.refusal.verdict(),
        }
    }
}
