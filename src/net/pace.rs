//! The least speed at which a peer must move bytes while we wait for it (E-131, E-132).
//!
//! A credit of bytes: waiting for the peer spends it at the least rate, and every byte that moves earns itself
//! back, up to the grace. An idle timeout alone can be fed one byte at a time; an average over the whole message
//! forgives a stall after a burst.

use super::deadline::{TICK, Tick};

/// How long a peer may be silent before the rate matters, at the beginning and after a burst: ten seconds, and a
/// tick because the first may be nearly over.
const GRACE_TICKS: u64 = 101;
const TICKS_PER_SECOND: u64 = 10;
const _: () = assert!(TICK.as_millis() == 100);

/// One direction's credit.
#[derive(Debug)]
pub struct Pace {
    /// Bytes a second; 0: any speed will do.
    rate: u64,
    /// The largest credit.
    most: u64,
    /// In bytes, times [`TICKS_PER_SECOND`]: so a tick costs `rate`.
    credit: u64,
    /// Since when the peer is waited for.
    since: Option<Tick>,
}

impl Pace {
    /// Full credit at `rate` bytes a second; 0: no limit.
    pub fn new(rate: u64) -> Self {
        Self::by_grains(rate, 0)
    }

    /// The same of a peer that moves so many bytes at a time: the credit is at least for these.
    pub fn by_grains(rate: u64, grain: u64) -> Self {
        let most = rate
            .saturating_mul(GRACE_TICKS)
            .max(grain.saturating_mul(TICKS_PER_SECOND));
        Self {
            rate,
            most,
            credit: most,
            since: None,
        }
    }

    /// The peer is waited for; when its credit will be spent.
    pub fn wait(&mut self, now: Tick) -> Tick {
        if self.rate == 0 {
            return Tick::NEVER;
        }
        self.spend(now);
        self.since = Some(now);
        Tick(now.0.saturating_add(self.credit.div_ceil(self.rate)))
    }

    /// So many bytes moved.
    pub fn moved(&mut self, now: Tick, bytes: usize) {
        self.spend(now);
        let earned = (bytes as u64).saturating_mul(TICKS_PER_SECOND);
        self.credit = self.credit.saturating_add(earned).min(self.most);
    }

    /// So many bytes moved since this was asked last, whenever that was: they pay for the time, which nothing else is forgiven.
    pub fn caught_up(&mut self, now: Tick, bytes: usize) {
        let earned = (bytes as u64).saturating_mul(TICKS_PER_SECOND);
        self.credit = self.credit.saturating_add(earned);
        self.spend(now);
        self.credit = self.credit.min(self.most);
    }

    /// From now on it is not the peer that holds things up.
    pub fn rest(&mut self, now: Tick) {
        self.spend(now);
        self.since = None;
    }

    fn spend(&mut self, now: Tick) {
        if let Some(since) = &mut self.since {
            let waited = now.0.saturating_sub(since.0);
            self.credit = self.credit.saturating_sub(waited.saturating_mul(self.rate));
            *since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_now_and_then_does_not_help() {
        let mut pace = Pace::new(256);
        let mut due = pace.wait(Tick(0));
        assert_eq!(due, Tick(101), "ten seconds of grace");
        for second in 1..=10 {
            pace.moved(Tick(second * 10), 1);
            due = pace.wait(Tick(second * 10));
        }
        assert_eq!(due, Tick(102), "what moved bought less than a tick");
    }

    #[test]
    fn the_least_rate_is_enough_for_ever() {
        let mut pace = Pace::new(256);
        for second in 1..10_000 {
            assert!(pace.wait(Tick((second - 1) * 10)) > Tick(second * 10));
            pace.moved(Tick(second * 10), 256);
        }
    }

    #[test]
    fn what_moved_before_it_is_asked_pays_for_that_time_alone() {
        let mut pace = Pace::new(256);
        pace.wait(Tick(0));
        pace.caught_up(Tick(101), 1 << 30);
        assert_eq!(pace.wait(Tick(101)), Tick(202), "it was quick all the time");
        pace.caught_up(Tick(202), 256 * 5);
        assert_eq!(pace.wait(Tick(202)), Tick(252));
        pace.caught_up(Tick(300), 256 * 4);
        assert_eq!(
            pace.wait(Tick(300)),
            Tick(300),
            "there is no credit for a debt"
        );
    }

    #[test]
    fn a_burst_buys_no_more_than_the_grace() {
        let mut pace = Pace::new(256);
        pace.wait(Tick(0));
        pace.moved(Tick(50), 1 << 30);
        assert_eq!(pace.wait(Tick(50)), Tick(151));
        assert_eq!(pace.wait(Tick(151)), Tick(151), "over is over");
    }

    #[test]
    fn what_others_hold_up_costs_nothing() {
        let mut pace = Pace::new(256);
        pace.wait(Tick(0));
        pace.rest(Tick(10));
        assert_eq!(pace.wait(Tick(10_000)), Tick(10_091));
        assert_eq!(Pace::new(0).wait(Tick(1)), Tick::NEVER);
    }
}
