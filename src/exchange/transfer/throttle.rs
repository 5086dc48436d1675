//! `bandwidth_limit`: a direction that has moved more than it may is not read until that is paid for. What is not read fills windows
//! and the kernel's buffers, and so the one who sends is slowed down.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::Sleep;

use super::Transfer;
use crate::base::clock;
use crate::exchange::side::Downstream;
use crate::exchange::upstream::Upstream;
use crate::filter::{Kept, Throttle, Way};

/// A wait that is shorter is not worth a timer; what it would have held back is waited for with the next.
const GRAIN: Duration = Duration::from_millis(5);

/// What is waited for, each way: one timer, set anew.
#[derive(Debug, Default)]
pub(super) struct Throttled {
    down: Option<Pin<Box<Sleep>>>,
    up: Option<Pin<Box<Sleep>>>,
    waiting: [bool; 2],
}

/// Whether the next piece may move.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    /// It may.
    Now,
    /// It may again, after a wait.
    Came,
    /// It has to wait.
    Waits,
}

impl Throttled {
    /// `None`: nothing of what filters have kept limits it.
    pub(super) fn of(kept: &Kept) -> Option<Box<Self>> {
        kept.is_throttled().then(Box::default)
    }

    fn poll(&mut self, cx: &mut Context<'_>, way: Way, kept: &Kept) -> Turn {
        let timer = match way {
            Way::Down => &mut self.down,
            Way::Up => &mut self.up,
        };
        let [down, up] = &mut self.waiting;
        let waiting = match way {
            Way::Down => down,
            Way::Up => up,
        };
        let mut turn = Turn::Now;
        loop {
            if *waiting {
                let slept = timer.as_mut().map(|timer| timer.as_mut().poll(cx));
                if slept.is_some_and(|slept| slept.is_pending()) {
                    return Turn::Waits;
                }
                *waiting = false;
                turn = Turn::Came;
            }
            // Read anew: one from before the wait would order the same wait for ever.
            let now = clock::now();
            let throttles = kept.throttles(way);
            let wait = throttles.filter_map(|it| Some((it.wait(now)?, it)));
            let Some((wait, longest)) = wait.max_by_key(|(wait, _)| *wait) else {
                return turn;
            };
            if wait < GRAIN {
                return turn;
            }
            if turn == Turn::Now {
                longest.waits();
            }
            let until = (now + wait).into();
            match timer {
                Some(timer) => timer.as_mut().reset(until),
                None => *timer = Some(Box::pin(tokio::time::sleep_until(until))),
            }
            *waiting = true;
        }
    }
}

impl<D: Downstream, U: Upstream> Transfer<'_, D, U> {
    /// Whether a piece may move that way.
    pub(super) fn turn(&mut self, cx: &mut Context<'_>, way: Way) -> Turn {
        match &mut self.throttled {
            None => Turn::Now,
            Some(throttled) => throttled.poll(cx, way, &self.x.kit.kept),
        }
    }

    /// A piece has moved that way.
    pub(super) fn throttle(&mut self, way: Way, bytes: usize) {
        if self.throttled.is_some() && bytes > 0 {
            let now = clock::now();
            for throttle in self.x.kit.kept.throttles_mut(way) {
                throttle.moved(bytes, now);
            }
        }
    }

    /// How much is read at once of what goes that way, of so much at most.
    pub(super) fn piece(&self, way: Way, most: usize) -> usize {
        if self.throttled.is_none() {
            return most;
        }
        let pieces = self.x.kit.kept.throttles(way);
        pieces.map(Throttle::piece).fold(most, usize::min)
    }
}
