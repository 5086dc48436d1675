//! The models: fractions instead of shifts, lists instead of counters.

use super::*;

/// One key under one rule.
pub struct Model<'r> {
    rule: &'r Rule,
    /// Buckets: when all is paid back, in microseconds times the rate: a whole number.
    paid: i128,
    /// Windows and log: when each unit goes.
    gone: Vec<u64>,
}

impl<'r> Model<'r> {
    pub fn new(rule: &'r Rule) -> Self {
        Self {
            rule,
            paid: 0,
            gone: Vec::new(),
        }
    }

    pub fn take(&mut self, cost: u32, now: u64) -> Decision {
        let decision = match self.rule.algorithm() {
            Algorithm::TokenBucket | Algorithm::LeakyBucket => self.bucket(cost, now),
            Algorithm::FixedWindow => self.fixed(cost, now),
            Algorithm::SlidingWindow => self.sliding(cost, now),
            Algorithm::SlidingLog => self.log(cost, now),
        };
        if cost > self.rule.capacity() {
            assert!(matches!(decision.outcome, Outcome::Deny(_)));
        }
        decision
    }

    fn never(&self, remaining: u64) -> Decision {
        let window = self.rule.window();
        Decision {
            outcome: Outcome::Deny(window),
            remaining,
            reset: window,
        }
    }

    fn outcome(&self, wait: u64) -> Outcome {
        match wait {
            0 => Outcome::Pass,
            wait if wait <= self.rule.patience() => Outcome::Delay(wait),
            wait => Outcome::Deny(wait),
        }
    }

    fn bucket(&mut self, cost: u32, now: u64) -> Decision {
        let (rate, per) = (i128::from(self.rule.rate()), i128::from(self.rule.per()));
        let micros =
            |scaled: i128| u64::try_from((scaled + rate - 1).div_euclid(rate)).unwrap_or(0);
        let now = i128::from(now) * rate;
        let full = i128::from(self.rule.burst()) * per;
        let before = self.paid.max(now);
        let remaining = |paid: i128| u64::try_from((full - (paid - now)).max(0) / per).unwrap();
        if cost > self.rule.burst() {
            return self.never(remaining(before));
        }
        let after = before + i128::from(cost) * per;
        let outcome = match self.rule.algorithm() {
            Algorithm::LeakyBucket if after - now > full => {
                Outcome::Deny(micros(after - now - full))
            }
            Algorithm::LeakyBucket if before == now => Outcome::Pass,
            Algorithm::LeakyBucket => Outcome::Delay(micros(before - now)),
            _ => self.outcome(micros((after - now - full).max(0))),
        };
        let paid = match outcome {
            Outcome::Deny(_) => before,
            _ => after,
        };
        self.paid = paid;
        Decision {
            outcome,
            remaining: remaining(paid),
            reset: micros(paid - now),
        }
    }

    fn within(&self, from: u64, until: u64) -> u64 {
        self.gone
            .iter()
            .filter(|at| (from..until).contains(at))
            .count() as u64
    }

    fn fixed(&mut self, cost: u32, now: u64) -> Decision {
        let (limit, per, cost) = (
            u64::from(self.rule.rate()),
            self.rule.per(),
            u64::from(cost),
        );
        let start = now / per * per;
        // In turn: nobody passes those that wait for a later window.
        let remaining = |this: &Self| match this.gone.last() {
            Some(last) if *last >= start + per => 0,
            _ => limit.saturating_sub(this.within(start, start + per)),
        };
        if cost > limit {
            return self.never(remaining(self));
        }
        // The first window, not before that of the last one, that has room for the whole cost.
        let mut at = self
            .gone
            .last()
            .map_or(start, |last| (last / per * per).max(start));
        while self.within(at, at + per) + cost > limit {
            at += per;
        }
        let outcome = self.outcome(at.saturating_sub(now));
        if !matches!(outcome, Outcome::Deny(_)) {
            self.gone.extend((0..cost).map(|_| at.max(now)));
        }
        Decision {
            outcome,
            remaining: remaining(self),
            reset: start + per - now,
        }
    }

    fn estimate(&self, at: u64) -> (u128, u128) {
        let (per, grain) = (self.rule.per(), self.rule.grain());
        let start = at / per * per;
        let period = u128::from(per / grain);
        let elapsed = u128::from((at - start) / grain);
        let before = u128::from(self.within(start.saturating_sub(per), start));
        let here = u128::from(self.within(start, start + per));
        (before * (period - elapsed) + here * period, period)
    }

    /// used = before × (1 - elapsed / period) + now
    fn sliding(&mut self, cost: u32, now: u64) -> Decision {
        let (limit, per) = (u128::from(self.rule.rate()), self.rule.per());
        let remaining = |this: &Self| {
            let (used, period) = this.estimate(now);
            u64::try_from((limit * period).saturating_sub(used) / period).unwrap()
        };
        if u128::from(cost) > limit {
            return self.never(remaining(self));
        }
        let passes = |this: &Self, at: u64| {
            let (used, period) = this.estimate(at);
            used + u128::from(cost) * period <= limit * period
        };
        let outcome = if passes(self, now) {
            self.gone.extend((0..cost).map(|_| now));
            Outcome::Pass
        } else {
            // The estimate only falls while nobody comes: search for the first time that passes.
            let (mut no, mut yes) = (now, now / per * per + 2 * per);
            while yes - no > 1 {
                let middle = no + (yes - no) / 2;
                if passes(self, middle) {
                    yes = middle;
                } else {
                    no = middle;
                }
            }
            Outcome::Deny(yes - now)
        };
        Decision {
            outcome,
            remaining: remaining(self),
            reset: now / per * per + per - now,
        }
    }

    fn log(&mut self, cost: u32, now: u64) -> Decision {
        let (limit, per) = (u64::from(self.rule.rate()), self.rule.per());
        self.gone.retain(|at| at + per > now);
        let held = self.gone.len() as u64;
        if u64::from(cost) > limit {
            return self.never(limit.saturating_sub(held));
        }
        // In turn, at a time when the period up to it has room.
        let last = self.gone.last().copied().unwrap_or(0);
        let room = |at: u64| {
            let recent = self.gone.iter().filter(|gone| **gone + per > at).count() as u64;
            recent + u64::from(cost) <= limit
        };
        let candidates = self.gone.iter().map(|gone| gone + per).chain([now, last]);
        let turn = candidates
            .filter(|at| *at >= now && *at >= last && room(*at))
            .min()
            .unwrap();
        let outcome = self.outcome(turn - now);
        if !matches!(outcome, Outcome::Deny(_)) {
            self.gone.extend((0..cost).map(|_| turn));
        }
        Decision {
            outcome,
            remaining: limit.saturating_sub(self.gone.len() as u64),
            reset: self.gone.first().map_or(now, |first| *first) + per - now,
        }
    }
}
