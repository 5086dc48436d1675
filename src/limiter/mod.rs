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
mod label;
mod live;
mod overlay;
mod rules;
pub mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::base::LimiterName;
use crate::base::hash::HashKey;
use crate::config::Diagnostics;
use crate::limit::{Decision, Outcome, Over, Rule};
use crate::message::Begun;
use crate::message::key::{self, KeyInput, KeySource};

pub use compile::{Found, Limiters, compile};
pub use live::{LimiterState, Live, Owner};
pub use overlay::{Overlay, Said};
pub use rules::{Rules, Tier};
use store::{OnError, Shared, Ticket};

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

/// What its keys are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Apart {
    /// The client alone, whatever its requests are.
    ByClient,
    /// What has to be read of each request.
    ByMore,
}

/// A named limit.
pub struct Limiter {
    /// Its name.
    pub name: LimiterName,
    /// Which fields tell a client its quota.
    pub told: Told,
    key: Box<[KeySource]>,
    apart: Apart,
    rules: Rules,
    most: usize,
    /// The table of the file, for what is said at run time.
    raw: crate::config::raw::Limiter,
    state: Arc<LimiterState>,
    shared: Option<Shared>,
    /// The same on every instance that must count alike.
    hash: HashKey,
}

/// A decision and the numbers that it was made by.
#[derive(Clone, Copy, Debug)]
pub struct Ruling {
    /// The decision.
    pub decision: Decision,
    /// The most that passes at once by the rule that holds for this request.
    pub capacity: u32,
    /// What happens over it.
    pub over: Over,
    /// Its place: 0 is that of no tier.
    pub place: u32,
}

/// What came of a question.
#[derive(Debug)]
pub enum Asked {
    /// A decision.
    Ruled(Ruling),
    /// The shared store is asked; its answer is for [`Limiter::answered`].
    Wait(Ticket),
    /// The store does not answer, and everything passes.
    Free,
    /// The store does not answer, and nothing passes.
    Unavailable,
}

/// One question: by which rule, and under which hash.
struct Case<'r> {
    rule: &'r Rule,
    place: u32,
    key: u128,
}

impl Case<'_> {
    fn ruling(&self, decision: Decision) -> Ruling {
        Ruling {
            decision,
            capacity: self.rule.capacity(),
            over: self.rule.over(),
            place: self.place,
        }
    }
}

impl Limiter {
    /// Decides on a request that costs so many units, at `now` (microseconds since the Unix epoch), without a store. `client` is
    /// the number of its client as a key, where that is known.
    #[inline]
    pub fn decide<'i>(
        &self,
        client: Option<u128>,
        input: impl Fn() -> KeyInput<'i>,
        cost: u32,
        now: u64,
    ) -> Ruling {
        let overlay = self.state.overlay.at(now);
        let rules = self.in_effect(overlay.as_deref());
        let case = match client {
            Some(key) if self.apart == Apart::ByClient => Case {
                rule: &rules.base.rule,
                place: 0,
                key,
            },
            _ => self.case(rules, self.state.hash, &input()),
        };
        self.local(&case, input, cost, now)
    }

    /// The same, by a store if there is one.
    pub fn ask(&self, input: &KeyInput<'_>, cost: u32, now: u64) -> Asked {
        let Some(shared) = &self.shared else {
            return Asked::Ruled(self.decide(None, || *input, cost, now));
        };
        let overlay = self.state.overlay.at(now);
        let rules = self.in_effect(overlay.as_deref());
        let case = self.case(rules, self.hash, input);
        if let Some(decision) = self.state.refused(case.key, cost, now) {
            return Asked::Ruled(self.noted(&case, input, decision));
        }
        let asked = shared
            .store
            .ask(&self.name, case.key, case.rule, cost, None);
        match asked {
            Some(ticket) => Asked::Wait(ticket),
            None => self.without(shared, &case, input, cost, now),
        }
    }

    /// Decides by what the store said; `None`: nothing in time.
    pub fn answered(
        &self,
        input: &KeyInput<'_>,
        cost: u32,
        now: u64,
        answer: Option<Decision>,
    ) -> Asked {
        let overlay = self.state.overlay.at(now);
        let case = self.case(self.in_effect(overlay.as_deref()), self.hash, input);
        match (answer, &self.shared) {
            (Some(decision), _) => {
                if let Outcome::Deny(wait) = decision.outcome {
                    self.state.refuse(&case, cost, now, wait, decision.reset);
                }
                Asked::Ruled(self.noted(&case, input, decision))
            }
            (None, Some(shared)) => self.without(shared, &case, input, cost, now),
            (None, None) => Asked::Ruled(self.local(&case, || *input, cost, now)),
        }
    }

    fn without(
        &self,
        shared: &Shared,
        case: &Case<'_>,
        input: &KeyInput<'_>,
        cost: u32,
        now: u64,
    ) -> Asked {
        match shared.on_error {
            OnError::Allow => Asked::Free,
            OnError::Deny => Asked::Unavailable,
            OnError::Local => {
                let key = self.state.inner(case.key);
                let case = Case { key, ..*case };
                Asked::Ruled(self.local(&case, || *input, cost, now))
            }
        }
    }

    /// A decision of this process.
    #[inline]
    fn local<'i>(
        &self,
        case: &Case<'_>,
        input: impl Fn() -> KeyInput<'i>,
        cost: u32,
        now: u64,
    ) -> Ruling {
        let decision = self.state.meters.take(case.key, case.rule, cost, now);
        if matches!(decision.outcome, Outcome::Deny(_)) {
            self.denied(case, &input());
        }
        case.ruling(decision)
    }

    /// Counts a request over the limit among those of its key: by one number, whoever decided, a store or this process.
    #[cold]
    fn denied(&self, case: &Case<'_>, input: &KeyInput<'_>) {
        let key = match self.shared {
            None => case.key,
            Some(_) => self.number(self.state.hash, case.place, input),
        };
        self.state.limited(key, || self.label(input));
    }

    /// A decision of the store, or of before.
    fn noted(&self, case: &Case<'_>, input: &KeyInput<'_>, decision: Decision) -> Ruling {
        self.state.noted(decision.outcome, case.rule.over());
        if matches!(decision.outcome, Outcome::Deny(_)) {
            self.denied(case, input);
        }
        case.ruling(decision)
    }

    /// The rules of the file, or what an operator has said since.
    #[inline]
    fn in_effect<'r>(&'r self, overlay: Option<&'r Overlay>) -> &'r Rules {
        overlay.map_or(&self.rules, |overlay| &overlay.rules)
    }

    /// Each tier counts apart: a client that changes its plan begins anew.
    #[inline]
    fn case<'r>(&self, rules: &'r Rules, hash: HashKey, input: &KeyInput<'_>) -> Case<'r> {
        let place = self.rules.find(&self.key, input);
        Case {
            rule: &rules.at(place).rule,
            place,
            key: self.number(hash, place, input),
        }
    }

    /// Whose request it is, as a number.
    #[inline]
    fn number(&self, hash: HashKey, place: u32, input: &KeyInput<'_>) -> u128 {
        let mut hasher = key::joined(hash, &self.key, input);
        if place != 0 {
            hasher.word(TIER | u64::from(place));
        }
        hasher.finish()
    }

    /// Tells how the rule at this place is told in `RateLimit-Policy`, and how `RateLimit` begins.
    #[inline]
    pub fn tell(&self, place: u32, tell: impl FnOnce(&Begun)) {
        let overlay = self.state.overlay.any();
        let rules = self.in_effect(overlay.as_deref());
        tell(&rules.at(place).told);
    }

    /// Takes an operator's word, by the rules that hold for the file; what is wrong with it, a line each.
    pub fn put(&self, said: Said, until: Option<u64>) -> Result<(), Vec<String>> {
        let mut diagnostics = Diagnostics::default();
        let rules = compile::rules(&self.name, &said.over(&self.raw), &mut diagnostics);
        let fits = |rules: &Rules| {
            self.shared.is_none() || rules.all().all(|tier| tier.rule.suits_doubles())
        };
        match rules {
            Some(rules) if fits(&rules) => {
                self.state.say(Some(Overlay {
                    said,
                    until,
                    file: Said::of(&self.raw),
                    rules,
                }));
                Ok(())
            }
            Some(_) => Err(vec!["these numbers are too large for a store".to_owned()]),
            None => Err(diagnostics.lines().collect()),
        }
    }

    /// Takes an operator's word back.
    pub fn take_back(&self) {
        self.state.say(None);
    }

    /// An operator's word, if one holds.
    pub fn overlay(&self, now: u64) -> Option<Arc<Overlay>> {
        self.state.overlay.at(now)
    }

    /// What the file says now may end what an operator said before.
    fn follow(&self) {
        let Some(overlay) = self.state.overlay.any() else {
            return;
        };
        let file = Said::of(&self.raw);
        let said = overlay.said.kept(&overlay.file, &file);
        if said == Said::default() || self.put(said, overlay.until).is_err() {
            self.take_back();
        }
    }

    /// The parts of its key.
    pub fn key(&self) -> &[KeySource] {
        &self.key
    }

    /// Whether it tells requests apart by what tokens say.
    pub fn reads_claims(&self) -> bool {
        let claim = |source: &KeySource| matches!(source, KeySource::Claim(_));
        self.sources().any(claim)
    }

    /// What it tells requests apart by, in its key and in its tiers.
    pub fn sources(&self) -> impl Iterator<Item = &KeySource> {
        self.key.iter().chain(self.rules.fields())
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
        self.follow();
        if let Some(shared) = &self.shared {
            self.state.settle(&self.rules);
            shared.store.start();
        }
    }

    /// The store that it shares its counters through.
    pub fn shared(&self) -> Option<&Shared> {
        self.shared.as_ref()
    }

    /// What happens over the limit.
    pub fn over(&self) -> Over {
        self.rules.base.rule.over()
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("name", &self.name)
            .field("told", &self.told)
            .field("key", &self.key)
            .field("rules", &self.rules)
            .field("most", &self.most)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

/// What makes a place another word than any that a key ends with.
const TIER: u64 = 1 << 62;
