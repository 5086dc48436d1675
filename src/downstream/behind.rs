//! A client that has not taken the last of its answer, which was given away.

use std::time::Duration;

use super::connection::{Connection, Terms};
use crate::metrics::Closed;
use crate::net::Stall;
use crate::net::deadline::Tick;

/// How it gets on: judged as while an answer is transferred, by `timeouts.write` and `limits.write_rate`.
#[derive(Debug)]
pub(super) struct Behind {
    write: Duration,
    write_rate: u64,
    /// While it is waited for, which is rare.
    stall: Option<Box<Stall>>,
}

impl Behind {
    pub(super) fn new(terms: &Terms) -> Self {
        Self {
            write: terms.write,
            write_rate: terms.write_rate,
            stall: None,
        }
    }

    /// Whether it is waited for.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.stall.is_some()
    }

    /// It is waited for: when to look again, or `None` where that was for long enough.
    pub(super) fn waits(&mut self, connection: &Connection) -> Option<Tick> {
        let Connection { stream, local, .. } = connection;
        let clock = &local.deadlines;
        let rate = self.write_rate;
        let stall = self.stall.get_or_insert_with(|| Box::new(Stall::new(rate)));
        stall.waits(clock, self.write, stream.left(), || stream.owed());
        match stall.over(clock.tick()) {
            Some(_) => None,
            None => Some(stall.due()),
        }
    }

    /// It has everything.
    pub(super) fn ends(&mut self) {
        self.stall = None;
    }
}

/// Ends a connection whose answer never leaves whole: by a reset, so that it cannot be taken for a whole one.
pub(super) fn give_up(connection: &Connection) {
    connection.ends_by(Closed::Broken);
    connection.stream.abort();
}
