//! `rate_limit`: lets a request go on, wait for its turn, or be refused, as a named limiter decides.

use std::sync::Arc;
use std::time::Duration;

use super::kept::{Over, Quota};
use super::{Reply, RequestView, ResponseView, Until, Verdict};
use crate::base::{Detail, Reason, clock};
use crate::limit::{Outcome, Over as AtLimit};
use crate::limiter::{Asked, Limiter, Ruling, Told};
use crate::message::Edits;

/// The filter.
#[derive(Clone, Debug)]
pub struct RateLimit {
    limiter: Arc<Limiter>,
    owner: Box<str>,
    cost: u32,
    refusal: Reply,
    unavailable: Reply,
}

impl RateLimit {
    /// A filter of a route or a listener whose requests cost so many units of a limiter.
    pub fn new(limiter: Arc<Limiter>, owner: &str, cost: u32) -> Self {
        Self {
            limiter,
            owner: owner.into(),
            cost,
            refusal: Reply::refusal(Reason::RateLimited, Detail::Rate),
            unavailable: Reply::refusal(Reason::RateLimited, Detail::Store),
        }
    }

    /// The limiter.
    pub(super) fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// Decides. Not inlined into the walk: it is long.
    #[inline(never)]
    pub fn on_request(&self, view: &mut RequestView<'_>) -> Verdict {
        if self.limiter.shared().is_some() {
            return self.ask(view);
        }
        let now = clock::micros(view.facts.now);
        let input = || view.key_input(&self.owner);
        let client = view.facts.client_key();
        let ruling = self.limiter.decide(client, input, self.cost, now);
        self.judge(&ruling, view)
    }

    /// Decides with others, by a store.
    #[inline(never)]
    fn ask(&self, view: &mut RequestView<'_>) -> Verdict {
        let now = clock::micros(view.facts.now);
        let said = view.progress.answer.take();
        let input = view.key_input(&self.owner);
        let asked = if let Some(Over::Answer(said)) = said {
            self.limiter.answered(&input, self.cost, now, said)
        } else {
            self.limiter.ask(&input, self.cost, now)
        };
        match asked {
            Asked::Ruled(ruling) => self.judge(&ruling, view),
            Asked::Wait(ticket) => Verdict::Wait(Until::Answer(ticket)),
            Asked::Free => Verdict::Continue,
            Asked::Unavailable => self.unavailable.verdict(),
        }
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "its numbers are in registers there")]
    fn judge(&self, ruling: &Ruling, view: &mut RequestView<'_>) -> Verdict {
        let Ruling { decision, over, .. } = ruling;
        if *over == AtLimit::Shadow {
            return Verdict::Continue;
        }
        let denied = matches!(decision.outcome, Outcome::Deny(_));
        if self.limiter.told != Told::Nothing || denied {
            view.kept.put_quota(view.progress.step, Quota::of(ruling));
        }
        match decision.outcome {
            Outcome::Pass => Verdict::Continue,
            Outcome::Delay(wait) => Verdict::Wait(Until::Turn(Duration::from_micros(wait))),
            Outcome::Deny(_) => self.refusal.verdict(),
        }
    }

    /// Tells the client its quota.
    pub fn on_response(&self, view: &mut ResponseView<'_>) {
        if let Some(quota) = view.kept.quota_of(view.step) {
            self.tell(quota, view.edits);
        }
    }

    #[inline]
    fn tell(&self, quota: &Quota, edits: &mut Edits) {
        let mut digits = itoa::Buffer::new();
        if let Some(wait) = quota.retry_after {
            edits.set(b"retry-after", digits.format(wait).as_bytes());
        }
        match self.limiter.told {
            Told::Nothing => {}
            Told::Draft => {
                self.limiter.tell(quota.place, |begun| {
                    edits.finish(begun, |out| {
                        out.extend_from_slice(digits.format(quota.remaining).as_bytes());
                        out.extend_from_slice(b";t=");
                        out.extend_from_slice(digits.format(quota.reset).as_bytes());
                    });
                });
            }
            Told::XRateLimit => {
                for (name, number) in [
                    (b"x-ratelimit-limit".as_slice(), quota.limit),
                    (b"x-ratelimit-remaining", quota.remaining),
                    (b"x-ratelimit-reset", quota.reset),
                ] {
                    edits.set(name, digits.format(number).as_bytes());
                }
            }
        }
    }
}
