//! What an attempt shows of its endpoint, told to it once.

use std::cell::Cell;
use std::time::Instant;

use super::retry::Reused;
use crate::base::reason::Blame;
use crate::base::{Error, Reason, clock};
use crate::endpoint::{Endpoint, Outcome, Seen};
use crate::message::{ResponseHead, retry_after};

/// Watches one attempt. Dropped before anything was told, it says that the wait was given up: a client that goes
/// away because an endpoint is silent must not leave it looking as fast as before.
pub(super) struct Watch<'x> {
    endpoint: &'x Endpoint,
    began: Instant,
    told: Cell<Told>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Told {
    Nothing,
    Outcome,
}

impl<'x> Watch<'x> {
    /// An attempt at this endpoint that began then.
    pub(super) fn new(endpoint: &'x Endpoint, began: Instant) -> Self {
        Self {
            endpoint,
            began,
            told: Cell::new(Told::Nothing),
        }
    }

    /// It answered.
    pub(super) fn answered(&self, head: &ResponseHead<'_>, now: Instant) {
        let retry_after = match head.status {
            429 | 503 => retry_after::read(head, clock::wall()),
            _ => None,
        };
        let status = head.status;
        self.tell(
            Outcome::Answered {
                status,
                retry_after,
            },
            now,
        );
    }

    /// It ended with an error. A pooled connection that turned out dead says nothing about the endpoint; what is not
    /// its fault says nothing about its answer.
    pub(super) fn ended(&self, error: &Error, reused: Reused) {
        let dead = reused == Reused::Pooled && error.reason() == Reason::UpstreamReset;
        if dead {
            self.told.set(Told::Outcome);
        } else if error.reason().row().blame == Blame::Endpoint {
            self.tell(Outcome::Failed, clock::now());
        }
    }

    fn tell(&self, outcome: Outcome, at: Instant) {
        self.told.set(Told::Outcome);
        let took = clock::between(self.began, at);
        self.endpoint.observe(&Seen { outcome, took, at });
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.told.get() == Told::Nothing {
            self.tell(Outcome::Abandoned, clock::now());
        }
    }
}
