//! A peer that does not take what there is for it, and whether it gets on (E-132).
//!
//! What we have left to write tells little of that: the kernel takes more only when a third of what it holds is gone, tens of KiB,
//! for which a slow peer that reads all the time needs a minute. So the kernel is asked what it holds, when a wait has lasted for a
//! while and before it ends for good: never where a peer takes its bytes at once.

use std::time::Duration;

use super::deadline::{Deadlines, Tick};
use super::pace::Pace;

/// How old a wait is when the kernel is asked for the first time; what is held later is measured against that.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// What a peer's kernel may take at a time: it opens its window again when a good part of its own buffer is free.
const GRAIN: u64 = 64 << 10;

/// The clocks of one direction.
#[derive(Debug)]
pub struct Stall {
    pace: Pace,
    wait: Option<Wait>,
}

/// What is wrong with a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Slow {
    /// It takes nothing.
    Stuck,
    /// It takes too little.
    Crawls,
}

/// One time of waiting.
#[derive(Debug)]
struct Wait {
    /// It must have got on by then.
    due: Tick,
    /// Its credit is spent.
    rate_due: Tick,
    look_due: Tick,
    /// Bytes that the kernel had not taken when that was told last.
    unsent: usize,
    /// Bytes that the kernel took.
    taken: usize,
    /// What it held when it was asked last, and what it had taken by then.
    looked: Option<(usize, usize)>,
    /// Bytes that the peer took, as far as the kernel was asked.
    left: usize,
    /// How many of them the pace has heard of.
    told: usize,
}

impl Stall {
    /// Waits for nobody. At least `rate` bytes a second; 0: any speed will do.
    pub fn new(rate: u64) -> Self {
        Self {
            pace: Pace::by_grains(rate, GRAIN),
            wait: None,
        }
    }

    /// Whether the peer is waited for.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.wait.is_some()
    }

    /// The peer is waited for, which must get on within `limit`: so many bytes are `unsent`. `owed` asks the kernel how many
    /// more it holds.
    pub fn waits(
        &mut self,
        clock: &Deadlines,
        limit: Duration,
        unsent: usize,
        owed: impl FnOnce() -> usize,
    ) {
        let now = clock.tick();
        let Some(wait) = &mut self.wait else {
            let look = match limit / 2 {
                Duration::ZERO => FIRST_LOOK,
                half => FIRST_LOOK.min(half),
            };
            self.wait = Some(Wait {
                due: clock.after(limit),
                rate_due: self.pace.wait(now),
                look_due: clock.after(look),
                unsent,
                looked: None,
                taken: 0,
                left: 0,
                told: 0,
            });
            return;
        };
        wait.takes(unsent);
        if wait.due.min(wait.rate_due).min(wait.look_due) <= now {
            wait.look_due = Tick::NEVER;
            wait.leaves(owed());
        }
        match wait.news() {
            0 => {}
            news => {
                wait.due = clock.after(limit);
                self.pace.caught_up(now, news);
            }
        }
        wait.rate_due = self.pace.wait(now);
    }

    /// The kernel has taken everything.
    pub fn ends(&mut self, now: Tick, owed: impl FnOnce() -> usize) {
        let Some(mut wait) = self.wait.take() else {
            return;
        };
        wait.takes(0);
        if wait.looked.is_some() {
            wait.leaves(owed());
        }
        self.pace.moved(now, wait.news());
        self.pace.rest(now);
    }

    /// When to say [`Stall::waits`] again.
    #[inline]
    pub fn due(&self) -> Tick {
        self.wait.as_ref().map_or(Tick::NEVER, |wait| {
            wait.due.min(wait.rate_due).min(wait.look_due)
        })
    }

    /// Whether it was waited for long enough.
    pub fn over(&self, now: Tick) -> Option<Slow> {
        match &self.wait {
            Some(wait) if wait.due <= now => Some(Slow::Stuck),
            Some(wait) if wait.rate_due <= now => Some(Slow::Crawls),
            _ => None,
        }
    }
}

impl Wait {
    fn takes(&mut self, unsent: usize) {
        self.taken += self.unsent.saturating_sub(unsent);
        self.unsent = unsent;
    }

    fn leaves(&mut self, owed: usize) {
        match self.looked.replace((owed, self.taken)) {
            Some((before, taken)) => {
                self.left += (before + self.taken - taken).saturating_sub(owed);
            }
            // From here on both count the same bytes, one when they come into the kernel, one when they go.
            None => self.left = self.taken,
        }
    }

    /// What is not told yet.
    fn news(&mut self) -> usize {
        let most = self.taken.max(self.left);
        most - std::mem::replace(&mut self.told, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;
    use std::rc::Rc;

    const LIMIT: Duration = Duration::from_secs(30);

    struct Watched {
        start: clock::Instant,
        clock: Rc<Deadlines>,
        stall: Stall,
        asked: u32,
    }

    impl Watched {
        fn new(rate: u64) -> Self {
            let start = clock::now();
            Self {
                start,
                clock: Deadlines::new(start),
                stall: Stall::new(rate),
                asked: 0,
            }
        }

        /// It is this late, so many bytes are not sent, and so many are with the kernel.
        fn at(&mut self, seconds: u64, unsent: usize, owed: usize) -> Option<Slow> {
            self.clock.sweep(self.start + Duration::from_secs(seconds));
            let asked = &mut self.asked;
            self.stall.waits(&self.clock, LIMIT, unsent, || {
                *asked += 1;
                owed
            });
            self.stall.over(self.clock.tick())
        }
    }

    #[test]
    fn who_reads_steadily_is_waited_for_while_the_kernel_takes_nothing() {
        let mut watched = Watched::new(512);
        for second in 0..600 {
            // Its own kernel takes 14 KB at a time.
            let read = 700 * usize::try_from(second).unwrap() / 14_000 * 14_000;
            assert_eq!(watched.at(second, 30_000, 500_000 - read), None, "{second}");
        }
        assert!(watched.asked < 100, "{}", watched.asked);
    }

    #[test]
    fn who_reads_nothing_or_too_little_is_not() {
        let mut watched = Watched::new(0);
        for second in 0..30 {
            assert_eq!(watched.at(second, 10, 1000), None);
        }
        assert_eq!(watched.at(31, 10, 1000), Some(Slow::Stuck));
        assert_eq!(watched.asked, 2);

        let mut watched = Watched::new(16 << 10);
        let slow = (0..30).find_map(|second| {
            let owed = 300_000 - 6400 * usize::try_from(second).unwrap();
            watched.at(second, 10, owed).map(|slow| (second, slow))
        });
        let (second, slow) = slow.unwrap();
        assert_eq!(slow, Slow::Crawls);
        assert!((11..20).contains(&second), "after {second} s");
    }

    /// What the kernel takes and then holds is one progress and not two.
    #[test]
    fn no_byte_counts_twice() {
        let mut watched = Watched::new(10_000);
        assert_eq!(watched.at(0, 50_000, 40_000), None);
        assert_eq!(watched.at(2, 50_000, 40_000), None);
        // 40 000 left, and 40 000 were taken in their place.
        assert_eq!(watched.at(8, 10_000, 40_000), None);
        let spent = (11..20).find(|&second| watched.at(second, 10_000, 40_000).is_some());
        assert_eq!(spent, Some(15), "40 000 bytes are four seconds");
    }

    #[test]
    fn who_is_quick_again_costs_the_kernel_no_question() {
        let mut watched = Watched::new(512);
        for second in 0..20 {
            assert_eq!(watched.at(second, 5000, 9000), None);
            watched
                .stall
                .ends(watched.clock.tick(), || panic!("it is asked"));
            assert_eq!(watched.stall.due(), Tick::NEVER);
        }
        assert_eq!(watched.asked, 0);
    }
}
