//! How long a connection lives, and how it ends: by the drain, its age, its number of requests, silence.
//!
//! **Leaving.** First the client hears that the end is near, and still may begin streams; when it has answered, or after a
//! second, it hears which stream was the last (RFC 9113, 6.8). No request is lost on the way.

use std::time::Duration;

use super::{Driver, End};
use crate::base::{Detail, Reason};
use crate::downstream::connection::{LAST_WAIT, Outlook};
use crate::drain::Phase;
use crate::http2::Code;
use crate::limit::Level;
use crate::metrics::{Closed, Scope};
use crate::net::Stall;
use crate::net::deadline::Tick;

/// How long we wait for the client's answer between the two steps.
const NOTICE: Duration = Duration::from_secs(1);

/// How long streams have to end by themselves when the drain is out of time: with a 503 where no answer has begun, with a reset where one has.
const LAST_ANSWERS: Duration = Duration::from_millis(100);

/// After so much silence a connection needs no more than an idle one does.
const REST: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Serving,
    /// The client knows that the end is near; until then it has time to say so.
    Warned(Tick),
    /// Streams that were begun are served, no others.
    Leaving,
    /// The drain is out of time: until then each stream may say so to its client.
    Cut(Tick),
    /// The client broke the rules.
    Lost,
}

/// Where a connection stands, and until when it may stand there.
#[derive(Debug)]
pub(super) struct Life {
    stage: Stage,
    /// Nothing was read yet.
    new: bool,
    /// The client will begin no streams.
    client_leaves: bool,
    heard: bool,
    /// What was begun must be whole by then.
    whole_by: Tick,
    /// Silent until then, it ends.
    idle_by: Tick,
    /// Silent until then, it gives memory back.
    rest_by: Tick,
    /// The client does not take what waits for the kernel.
    stall: Stall,
    /// What the kernel had taken when it was looked at last.
    took: u64,
    /// The client does not take the last that it gets.
    parting: Stall,
}

impl Life {
    pub(super) fn new(whole_by: Tick, write_rate: u64) -> Self {
        Self {
            stage: Stage::Serving,
            new: true,
            client_leaves: false,
            heard: false,
            whole_by,
            idle_by: Tick::NEVER,
            rest_by: Tick::NEVER,
            stall: Stall::new(0),
            took: 0,
            parting: Stall::new(write_rate),
        }
    }

    /// Something is read; whether it is the first time.
    pub(super) fn begin(&mut self) -> bool {
        std::mem::take(&mut self.new)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.stage == Stage::Lost
    }

    pub(super) fn lose(&mut self) {
        self.stage = Stage::Lost;
    }

    /// A PING of ours was answered, or one that we did not send.
    pub(super) fn heard(&mut self) {
        self.heard |= matches!(self.stage, Stage::Warned(_));
    }

    pub(super) fn client_leaves(&mut self) {
        self.client_leaves = true;
    }

    /// The client closed its sending side: it begins no streams, and what it had begun is never whole.
    pub(super) fn hung_up(&mut self) {
        self.client_leaves = true;
        self.whole_by = Tick::NEVER;
    }

    /// Whether something was begun and is not whole: its time counts from when that was first so.
    pub(super) fn unfinished(&mut self, unfinished: bool, by: impl FnOnce() -> Tick) {
        match (unfinished, self.whole_by) {
            (false, _) => self.whole_by = Tick::NEVER,
            (true, Tick::NEVER) => self.whole_by = by(),
            (true, _) => {}
        }
    }
}

impl Driver {
    /// Goes from stage to stage; how the connection ends, if it does.
    pub(super) fn live(&mut self) -> Option<End> {
        let connection = &self.mux.connection;
        let clock = &connection.local.deadlines;
        let now = clock.tick();
        if self.life.stage == Stage::Lost {
            return Some(End::Told);
        }
        if connection.local.drain.phase() == Phase::Forced {
            return self.cut(now);
        }
        if self.life.whole_by <= now {
            connection.ends_by(Closed::Refused);
            self.mux.count(Scope::Connection, Code::EnhanceYourCalm);
            self.mux.session().leave(Code::EnhanceYourCalm);
            self.mux.fail_all(Reason::HeaderTimeout, Detail::None);
            self.life.lose();
            return Some(End::Told);
        }
        if self.life.stage == Stage::Serving
            && let Outlook::Ends(cause) = connection.outlook()
        {
            connection.ends_by(cause);
            self.mux.session().warn();
            self.life.stage = Stage::Warned(clock.after(NOTICE));
        }
        let empty = self.mux.peek().streams.is_empty();
        if let Stage::Warned(until) = self.life.stage
            && (self.life.heard || until <= now)
        {
            self.mux.session().leave(Code::NoError);
            self.life.stage = Stage::Leaving;
        }
        if !empty {
            self.life.idle_by = Tick::NEVER;
            self.life.rest_by = Tick::NEVER;
            return None;
        }
        if self.life.stage == Stage::Leaving {
            return Some(End::Close);
        }
        if self.life.client_leaves {
            // What it has sent since is not looked at, and it may not know that.
            self.mux.session().leave(Code::NoError);
            return Some(End::Close);
        }
        if self.life.idle_by == Tick::NEVER {
            let serving = connection.local.drain.phase() == Phase::Serving;
            let limit = if serving { self.terms.idle } else { LAST_WAIT };
            self.life.idle_by = clock.after(limit);
            self.life.rest_by = clock.after(REST);
        } else if self.life.idle_by <= now {
            if self.life.stage == Stage::Serving {
                let short = connection.local.credit.level() >= Level::Short;
                connection.ends_by(if short {
                    Closed::Overloaded
                } else {
                    Closed::Idle
                });
            }
            self.mux.session().leave(Code::NoError);
            return Some(End::Close);
        } else if self.life.rest_by <= now {
            self.life.rest_by = Tick::NEVER;
            self.mux.rest();
        }
        None
    }

    /// The drain is out of time. Exchanges see that for themselves; what they say is sent before the connection ends.
    fn cut(&mut self, now: Tick) -> Option<End> {
        let connection = &self.mux.connection;
        let until = if let Stage::Cut(until) = self.life.stage {
            until
        } else {
            connection.ends_by(Closed::Drain);
            self.mux.session().leave(Code::NoError);
            let until = connection.local.deadlines.after(LAST_ANSWERS);
            self.life.stage = Stage::Cut(until);
            until
        };
        if self.mux.peek().streams.is_empty() {
            return Some(End::Told);
        }
        if until <= now {
            self.mux.fail_all(Reason::Shutdown, Detail::None);
            self.life.lose();
            return Some(End::Told);
        }
        None
    }

    /// Whether the client has taken nothing for too long; where it `ended`, too little of what is left for it.
    pub(super) fn stalled(&mut self, ended: bool) -> bool {
        let connection = &self.mux.connection;
        let clock = &connection.local.deadlines;
        let (waiting, took) = self.mux.waiting();
        let owed = || connection.stream.owed();
        let stall = &mut self.life.stall;
        // Streams add to what waits: that the kernel took something shows in what it took alone, and begins a new wait.
        if stall.is_on() && (waiting == 0 || took != self.life.took) {
            stall.ends(clock.tick(), owed);
        }
        self.life.took = took;
        if waiting > 0 {
            stall.waits(clock, self.terms.write, 0, owed);
        }
        let parting = &mut self.life.parting;
        if !ended && parting.is_on() {
            // It has begun something after all.
            parting.ends(clock.tick(), owed);
        }
        if ended && waiting > 0 {
            parting.waits(clock, self.terms.write, waiting, owed);
            if parting.over(clock.tick()).is_some() {
                return true;
            }
        }
        stall.over(clock.tick()).is_some()
    }

    /// Sets the time at which it looks again. A drain brings it forward.
    pub(super) fn arm(&self) {
        let life = &self.life;
        let warned = match life.stage {
            Stage::Warned(until) | Stage::Cut(until) => until,
            Stage::Serving | Stage::Leaving | Stage::Lost => Tick::NEVER,
        };
        let due = if life.parting.is_on() {
            // It has ended, and waits for its last bytes alone.
            life.parting.due()
        } else {
            life.whole_by
                .min(life.idle_by)
                .min(life.rest_by)
                .min(warned)
        };
        let due = due.min(life.stall.due());
        self.mux.connection.timer.set_idle(due);
    }
}
