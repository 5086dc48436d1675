//! What is kept of one key, and the arithmetic of each algorithm.
//!
//! Times are whole microseconds since the Unix epoch; the caller's clock. A time that lies before what a meter
//! has seen never gives anything back.

use std::collections::VecDeque;

use super::rule::{Algorithm, Decision, Outcome, Rule};

/// What is kept of one key. The default is a key that was never seen.
pub trait Meter: Default {
    /// Asks for `cost` units (at least 1) at `now`, and takes them if they may go.
    fn take(&mut self, rule: &Rule, cost: u32, now: u64) -> Decision;

    /// From when on it is as good as one that was never seen.
    fn idle_at(&self, rule: &Rule) -> u64;
}

/// What a cost gets that can never pass.
fn never(rule: &Rule, remaining: u64) -> Decision {
    Decision {
        outcome: Outcome::Deny(rule.window()),
        remaining,
        reset: rule.window(),
    }
}

fn judged(wait: u64, rule: &Rule) -> Outcome {
    if wait == 0 {
        Outcome::Pass
    } else if wait <= rule.patience() {
        Outcome::Delay(wait)
    } else {
        Outcome::Deny(wait)
    }
}

/// Token bucket and leaky bucket: the generic cell rate algorithm (ITU-T I.371, virtual scheduling). One number is
/// enough: the time at which all that was taken will have been paid back, in 2^-64 microseconds. Being a time, it
/// keeps its meaning when the numbers of the rule change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    paid: u128,
}

/// Whole microseconds, rounded up.
fn up(time: u128) -> u64 {
    let whole = u64::try_from(time >> 64).unwrap_or(u64::MAX);
    if time & u128::from(u64::MAX) == 0 {
        whole
    } else {
        whole.saturating_add(1)
    }
}

/// How many whole units fit into a time. Two steps of 2^-32 microseconds more than there is make up for intervals
/// that were rounded down, and are too little for another unit.
fn units(time: u128, rule: &Rule) -> u64 {
    let scaled = (((time >> 32) + 2) * u128::from(rule.rate())) >> 32;
    let units = match u64::try_from(scaled) {
        Ok(scaled) => scaled / rule.per(),
        Err(_) => u64::try_from(scaled / u128::from(rule.per())).unwrap_or(u64::MAX),
    };
    units.min(u64::from(rule.burst()))
}

impl Meter for Bucket {
    #[inline]
    fn take(&mut self, rule: &Rule, cost: u32, now: u64) -> Decision {
        let now = u128::from(now) << 64;
        let full = rule.full();
        let before = self.paid.max(now);
        let spare = |paid: u128| units(full.saturating_sub(paid - now), rule);
        if cost > rule.burst() {
            return never(rule, spare(before));
        }
        let cost = rule.interval() * u128::from(cost);
        let after = before + cost;
        // A token bucket lets a whole burst go at once; a leaky bucket lets each wait for those before it.
        let outcome = if rule.algorithm() == Algorithm::LeakyBucket {
            match after - now {
                queued if queued > full => Outcome::Deny(up(queued - full)),
                _ if before == now => Outcome::Pass,
                _ => Outcome::Delay(up(before - now)),
            }
        } else {
            judged(up((after - now).saturating_sub(full)), rule)
        };
        let after = match outcome {
            Outcome::Deny(_) => before,
            Outcome::Pass | Outcome::Delay(_) => after,
        };
        self.paid = self.paid.max(after);
        Decision {
            outcome,
            remaining: spare(after),
            reset: up(after - now),
        }
    }

    fn idle_at(&self, _: &Rule) -> u64 {
        up(self.paid)
    }
}

/// Windows one after the other, edges at multiples of the period. What has to wait is counted into the windows to
/// come: `count` may be more than one window holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct FixedWindow {
    start: u64,
    count: u64,
}

/// The beginning of the window that `now` is in.
fn edge(rule: &Rule, now: u64) -> u64 {
    now - now % rule.per()
}

impl FixedWindow {
    fn roll(&mut self, rule: &Rule, now: u64) {
        let edge = edge(rule, now);
        if edge > self.start {
            let passed = (edge - self.start) / rule.per();
            let served = passed.saturating_mul(u64::from(rule.rate()));
            self.count = self.count.saturating_sub(served);
            self.start = edge;
        }
    }
}

impl Meter for FixedWindow {
    #[inline]
    fn take(&mut self, rule: &Rule, cost: u32, now: u64) -> Decision {
        self.roll(rule, now);
        let (limit, cost) = (u64::from(rule.rate()), u64::from(cost));
        let end = self.start + rule.per();
        let reset = end.saturating_sub(now);
        let remaining = |count: u64| limit.saturating_sub(count);
        if cost > limit {
            return never(rule, remaining(self.count));
        }
        // A cost is never split over two windows.
        let left = limit - self.count % limit;
        let begin = if cost > left {
            self.count + left
        } else {
            self.count
        };
        let wait = match begin / limit {
            0 => 0,
            ahead => {
                (self.start.saturating_add(ahead.saturating_mul(rule.per()))).saturating_sub(now)
            }
        };
        let outcome = judged(wait, rule);
        if !matches!(outcome, Outcome::Deny(_)) {
            self.count = begin + cost;
        }
        Decision {
            outcome,
            remaining: remaining(self.count),
            reset,
        }
    }

    fn idle_at(&self, rule: &Rule) -> u64 {
        let windows = self.count.div_ceil(u64::from(rule.rate()));
        self.start
            .saturating_add(windows.saturating_mul(rule.per()))
    }
}

/// Two windows: the one before counts with the share of it that lies within the last period. Evenly spread traffic
/// is counted exactly; the worst case is under twice the rate in one period (`docs/filters/rate_limit.md`).
#[derive(Clone, Copy, Debug, Default)]
pub struct SlidingWindow {
    start: u64,
    now: u32,
    before: u32,
}

impl Meter for SlidingWindow {
    #[inline]
    fn take(&mut self, rule: &Rule, cost: u32, now: u64) -> Decision {
        let edge = edge(rule, now);
        if edge > self.start {
            self.before = match (edge - self.start) / rule.per() {
                0 | 1 => self.now,
                _ => 0,
            };
            self.now = 0;
            self.start = edge;
        }
        let limit = rule.rate();
        // Counted under a larger rate, before a reload: no more than all of this one.
        (self.now, self.before) = (self.now.min(limit), self.before.min(limit));
        let period = rule.per() / rule.grain();
        let elapsed = now.saturating_sub(self.start) / rule.grain();
        let reset = (self.start + rule.per()).saturating_sub(now);
        let weight = |before: u32, elapsed: u64| u64::from(before) * (period - elapsed.min(period));
        let room = u64::from(limit) * period;
        let used = weight(self.before, elapsed) + u64::from(self.now) * period;
        let after = used + u64::from(cost) * period;
        if cost > limit {
            return never(rule, room.saturating_sub(used) / period);
        }
        if after <= room {
            self.now += cost;
            return Decision {
                outcome: Outcome::Pass,
                remaining: (room - after) / period,
                reset,
            };
        }
        // When the window before weighs little enough, in this window or in the next.
        let at = |before: u32, free: u32| {
            let enough = u64::from(free) * period / u64::from(before.max(1));
            period - enough.min(period)
        };
        let turn = match limit.checked_sub(self.now.saturating_add(cost)) {
            Some(free) => self.start + at(self.before, free) * rule.grain(),
            None => self.start + rule.per() + at(self.now, limit - cost) * rule.grain(),
        };
        Decision {
            outcome: Outcome::Deny(turn.saturating_sub(now).max(1)),
            remaining: room.saturating_sub(used) / period,
            reset,
        }
    }

    fn idle_at(&self, rule: &Rule) -> u64 {
        let periods = if self.now > 0 { 2 } else { 1 };
        self.start.saturating_add(periods * rule.per())
    }
}

/// The time of every unit of the last period, those that wait for theirs included.
#[derive(Clone, Debug, Default)]
pub struct SlidingLog {
    times: VecDeque<u64>,
}

impl Meter for SlidingLog {
    fn take(&mut self, rule: &Rule, cost: u32, now: u64) -> Decision {
        let (limit, cost) = (rule.rate() as usize, cost as usize);
        // Without reservations nothing lies in the future: an earlier time is a clock that was read before.
        let last = self.times.back().copied().unwrap_or(0);
        let now = if rule.patience() == 0 {
            now.max(last)
        } else {
            now
        };
        while let Some(&first) = self.times.front()
            && first.saturating_add(rule.per()) <= now
        {
            self.times.pop_front();
        }
        if self.times.is_empty() {
            self.times.shrink_to(KEPT);
        }
        let held = self.times.len();
        let left = |held: usize| limit.saturating_sub(held) as u64;
        if cost > limit {
            return never(rule, left(held));
        }
        let turn = match (held + cost).checked_sub(limit + 1) {
            None => now,
            Some(leaves) => self
                .times
                .get(leaves)
                .map_or(now, |time| time.saturating_add(rule.per())),
        };
        let turn = turn.max(now).max(if held > 0 { last } else { 0 });
        let outcome = judged(turn - now, rule);
        if !matches!(outcome, Outcome::Deny(_)) {
            self.times.extend(std::iter::repeat_n(turn, cost));
        }
        let first = self.times.front().copied().unwrap_or(now);
        Decision {
            outcome,
            remaining: left(self.times.len()),
            reset: first.saturating_add(rule.per()).saturating_sub(now),
        }
    }

    fn idle_at(&self, rule: &Rule) -> u64 {
        let last = self.times.back();
        last.map_or(0, |last| last.saturating_add(rule.per()))
    }
}

/// What a store has refused, so that a client far over its limit is not asked about again: nobody gives anything
/// back to it before that time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refused {
    until: u64,
    /// When the quota is whole again, by what the store said.
    whole: u64,
    cost: u32,
}

impl Refused {
    /// A cost was refused for so long; the quota is whole again after `reset`.
    pub fn note(&mut self, cost: u32, now: u64, wait: u64, reset: u64) {
        *self = Self {
            until: now.saturating_add(wait),
            whole: now.saturating_add(reset),
            cost,
        };
    }

    /// Until the quota is whole again.
    pub fn reset(&self, now: u64) -> u64 {
        self.whole.saturating_sub(now)
    }

    /// How long a cost is still refused.
    pub fn left(&self, cost: u32, now: u64) -> Option<u64> {
        let left = self.until.checked_sub(now).filter(|left| *left > 0)?;
        (cost >= self.cost).then_some(left)
    }
}

impl Meter for Refused {
    fn take(&mut self, _: &Rule, cost: u32, now: u64) -> Decision {
        let left = self.left(cost, now);
        Decision {
            outcome: left.map_or(Outcome::Pass, Outcome::Deny),
            remaining: 0,
            reset: left.map_or(0, |_| self.reset(now)),
        }
    }

    fn idle_at(&self, _: &Rule) -> u64 {
        self.until
    }
}

/// Times for which a log that has emptied keeps its room.
const KEPT: usize = 16;
