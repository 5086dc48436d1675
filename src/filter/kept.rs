//! What a filter keeps from the request: for the response, or until the end of the exchange.

use super::auth::Proof;
use super::bandwidth_limit::{Throttle, Way};
use super::errand::Heard;
use super::recode::Recode;
use crate::limit::{Decision, Outcome, Place};
use crate::limiter::Ruling;
use crate::message::Claims;

/// What the filters of one exchange keep. Its memory is reused from exchange to exchange.
#[derive(Debug, Default)]
pub struct Kept {
    /// What clients are told: apart, since it is for the response alone, and nothing has to be given back.
    quotas: Vec<(usize, Quota)>,
    rest: Vec<(usize, Keep)>,
}

/// A field for the client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    /// Its name.
    pub name: Box<[u8]>,
    /// Its value.
    pub value: Box<[u8]>,
}

/// What one filter keeps.
#[derive(Debug)]
pub enum Keep {
    /// A place among those that are under way, given back when it is dropped.
    Place(Place),
    /// What a token says that was found sound.
    Claims(Claims),
    /// What it does with the bodies.
    Recode(Recode),
    /// Fields that the client is to get.
    Fields(Vec<Told>),
    /// How fast bodies pass, one way.
    Throttle(Throttle),
}

/// What a client is told of its quota; times in whole seconds, rounded up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quota {
    /// Place of the tier.
    pub place: u32,
    /// Units in a window.
    pub limit: u64,
    /// Units that are left.
    pub remaining: u64,
    /// Until the quota is whole again.
    pub reset: u64,
    /// When it is worth while to come again; `None`: the request went on.
    pub retry_after: Option<u64>,
}

/// How far a request has come in its chain.
#[derive(Debug, Default)]
pub struct Progress {
    pub(super) step: usize,
    pub(super) answer: Option<Over>,
}

/// What came of a wait.
#[derive(Debug)]
pub enum Over {
    /// The turn has come.
    Turn,
    /// The store said this, or nothing in time.
    Answer(Option<Decision>),
    /// A password was hashed.
    Proof(Proof),
    /// A cluster answered so, or not at all in time.
    Heard(Option<Heard>),
    /// Keys were fetched, or could not be in time.
    Keys,
}

impl Progress {
    /// The wait that the last filter asked for is over.
    pub fn resume(&mut self, over: Over) {
        match over {
            Over::Turn => self.step += 1,
            Over::Answer(_) | Over::Proof(_) | Over::Heard(_) | Over::Keys => {
                self.answer = Some(over);
            }
        }
    }
}

impl Kept {
    /// Forgets everything but the allocations.
    pub fn clear(&mut self) {
        self.quotas.clear();
        self.rest.clear();
    }

    /// Whether bodies may pass no faster than at some rate.
    pub fn is_throttled(&self) -> bool {
        let mut kept = self.rest.iter();
        kept.any(|(_, keep)| matches!(keep, Keep::Throttle(_)))
    }

    /// What slows down this way.
    pub fn throttles(&self, way: Way) -> impl Iterator<Item = &Throttle> {
        let kept = self.rest.iter().filter_map(|(_, keep)| match keep {
            Keep::Throttle(throttle) => Some(throttle),
            _ => None,
        });
        kept.filter(move |throttle| throttle.way() == way)
    }

    /// The same, to be told what has moved.
    pub fn throttles_mut(&mut self, way: Way) -> impl Iterator<Item = &mut Throttle> {
        let kept = self.rest.iter_mut().filter_map(|(_, keep)| match keep {
            Keep::Throttle(throttle) => Some(throttle),
            _ => None,
        });
        kept.filter(move |throttle| throttle.way() == way)
    }

    /// What is known of who asks: the last token counts.
    pub fn claims(&self) -> Option<&Claims> {
        let mut kept = self.rest.iter().rev();
        kept.find_map(|(_, keep)| match keep {
            Keep::Claims(claims) => Some(claims),
            Keep::Place(_) | Keep::Recode(_) | Keep::Fields(_) | Keep::Throttle(_) => None,
        })
    }

    /// What is done with the bodies: the first filter that changes them does it.
    #[inline]
    pub fn take_recode(&mut self) -> Option<Recode> {
        let recodes = |(_, keep): &(usize, Keep)| matches!(keep, Keep::Recode(_));
        let at = self.rest.iter().position(recodes)?;
        match self.rest.remove(at) {
            (_, Keep::Recode(recode)) => Some(recode),
            _ => None,
        }
    }

    /// Keeps something of the filter at this step.
    pub(super) fn put(&mut self, step: usize, keep: Keep) {
        self.rest.push((step, keep));
    }

    /// Keeps what a client is told of its quota.
    pub(super) fn put_quota(&mut self, step: usize, quota: Quota) {
        self.quotas.push((step, quota));
    }

    /// What a client is told of its quota by the filter at this step.
    #[inline]
    pub(super) fn quota_of(&self, step: usize) -> Option<&Quota> {
        let mut quotas = self.quotas.iter();
        quotas.find(|(at, _)| *at == step).map(|(_, quota)| quota)
    }

    /// What the filter at this step kept.
    pub(super) fn of(&self, step: usize) -> Option<&Keep> {
        let mut kept = self.rest.iter();
        kept.find(|(at, _)| *at == step).map(|(_, keep)| keep)
    }
}

impl Quota {
    pub(super) fn of(ruling: &Ruling) -> Self {
        let seconds = |micros: u64| micros.div_ceil(1_000_000);
        let decision = &ruling.decision;
        Self {
            place: ruling.place,
            limit: ruling.capacity.into(),
            remaining: decision.remaining,
            reset: seconds(decision.reset),
            retry_after: match decision.outcome {
                Outcome::Deny(wait) => Some(seconds(wait).max(1)),
                Outcome::Pass | Outcome::Delay(_) => None,
            },
        }
    }
}
