//! `[limiters.NAME]`: whose request it is, which limit holds for it, and what was decided.
//!
//! Turns a request and a cost into a [`Ruling`]. The arithmetic and the tables are `limit`'s; here they get names,
//! keys, tiers and a life that is longer than a configuration's.
//!
//! **Invariants.** State is kept by name (and algorithm): a reload that changes numbers changes what is asked of the
//! same meters. What is kept of a key is a hash under a key that nobody outside knows, so that no client can choose
//! its place in a table; a decision about a known key allocates nothing and holds one lock of 256.
//!
//! **Not here.** What a refusal looks like (`filter`), waiting for a turn (`exchange`).

mod compile;
mod live;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::base::LimiterName;
use crate::limit::{Decision, Outcome, Over};
use crate::message::key::{self, KeyInput, KeySource};

pub use compile::{Found, Limiters, compile};
pub use live::{LimiterState, Live};
pub use rules::{Rules, Tier};

/// Which fields tell a client its quota.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
    Draft,
    /// `X-RateLimit-Limit`, -Remaining and -Reset.
    XRateLimit,
    /// None.
    Nothing,
}

/// A named limit.
#[derive(Debug)]
pub struct Limiter {
    /// Its name.
    pub name: LimiterName,
    /// Which fields tell a client its quota.
    pub told: Told,
    key: Box<[KeySource]>,
    rules: Rules,
    most: usize,
    state: Arc<LimiterState>,
}

/// A decision and the numbers that it was made by.
#[derive(Clone, Copy, Debug)]
pub struct Ruling<'l> {
    /// The decision.
    pub decision: Decision,
    /// The rule that holds for this request.
    pub tier: &'l Tier,
    /// Its place: 0 is that of no tier.
    pub place: u32,
}

impl Limiter {
    /// Decides on a request that costs so many units, at `now` (microseconds since the Unix epoch).
    #[inline]
    pub fn decide(&self, input: &KeyInput<'_>, cost: u32, now: u64) -> Ruling<'_> {
        let (tier, place) = self.rules.find(&self.key, input);
        let key = self.key_of(input, place);
        let decision = self.state.meters.take(key, &tier.rule, cost, now);
        if matches!(decision.outcome, Outcome::Deny(_)) {
            self.state.limited(key, || self.label(input));
        }
        Ruling {
            decision,
            tier,
            place,
        }
    }

    /// Each tier counts apart: a client that changes its plan begins anew.
    #[inline]
    fn key_of(&self, input: &KeyInput<'_>, place: u32) -> u128 {
        let mut hasher = key::joined(self.state.hash, &self.key, input);
        hasher.write(&place.to_le_bytes());
        hasher.finish()
    }

    /// How an operator sees whose request it is. What may be a secret is shown by its beginning.
    fn label(&self, input: &KeyInput<'_>) -> Box<str> {
        let mut label = String::new();
        for source in &self.key {
            if !label.is_empty() {
                label.push_str(", ");
            }
            let value = source.read(input).map(|value| value.to_string());
            match value {
                None => label.push('-'),
                Some(value) => {
                    let shown = if source.is_private() { SHOWN } else { LONGEST };
                    label.extend(value.chars().take(shown));
                    if value.len() > shown {
                        label.push('…');
                    }
                }
            }
        }
        label.into()
    }

    /// How the rule at this place is told in RateLimit-Policy.
    pub fn policy(&self, place: u32) -> &[u8] {
        &self.rules.at(place).policy
    }

    /// The parts of its key.
    pub fn key(&self) -> &[KeySource] {
        &self.key
    }

    /// Its numbers.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What it knows of its keys.
    pub fn state(&self) -> &LimiterState {
        &self.state
    }

    /// The largest cost that can pass whatever tier a request is of.
    pub fn capacity(&self) -> u32 {
        let rules = self.rules.all();
        rules.map(|tier| tier.rule.capacity()).min().unwrap_or(0)
    }

    /// Takes on the number of keys of this configuration. To be called when it is in effect.
    pub fn settle(&self) {
        self.state.limit(self.most);
    }

    /// What happens over the limit.
    pub fn over(&self) -> Over {
        self.rules.base.rule.over()
    }
}

/// How much of a value that may be a secret is shown, and of any other.
const SHOWN: usize = 6;
const LONGEST: usize = 64;
