//! What an attempt shows of its endpoint, and an exchange of its cluster, each told once.

use std::cell::Cell;
use std::time::Duration;

use super::retry::Reused;
use crate::base::clock::{self, Instant};
use crate::base::reason::Blame;
use crate::base::{Detail, Error, Reason};
use crate::cluster::Visit;
use crate::endpoint::{Endpoint, Outcome, Seen};
use crate::message::{ResponseHead, retry_after};
use crate::outlier::{Gate, Moment};
use crate::worker::ClusterView;

/// Whether an endpoint that answers so has failed: it could not serve, or could not reach what it stands for.
const fn is_failure(status: u16) -> bool {
    matches!(status, 502..=504)
}

/// Watches one attempt. Dropped before anything was told, it says that the wait was given up: a client that goes
/// away because an endpoint is silent must not leave it looking as fast as before.
pub(super) struct Watch<'x> {
    cluster: &'x ClusterView,
    endpoint: &'x Endpoint,
    passage: &'x Passage<'x>,
    visit: Cell<Visit>,
    began: Instant,
    told: Cell<Told>,
    judged: Cell<Judged>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Told {
    Nothing,
    Outcome,
}

/// What outlier detection was told. Its verdict on a good answer waits for the answer's end, as a response that
/// breaks off is a failure; but for a request on trial, which would keep all others away for as long as it lasts.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Judged {
    NotYet,
    Good,
    Bad,
}

impl<'x> Watch<'x> {
    /// An attempt at this endpoint that began then; `None` when another request is on trial there. One that comes a second
    /// time, as there is nobody else, is let through.
    pub(super) fn begin(
        passage: &'x Passage<'x>,
        endpoint: &'x Endpoint,
        tried: bool,
        began: Instant,
    ) -> Option<Self> {
        let cluster = passage.cluster;
        let visit = match cluster.cluster.visit(endpoint) {
            None if tried => Visit::Ordinary,
            visit => visit?,
        };
        Some(Self {
            cluster,
            endpoint,
            passage,
            visit: Cell::new(visit),
            began,
            told: Cell::new(Told::Nothing),
            judged: Cell::new(Judged::NotYet),
        })
    }

    /// It answered.
    pub(super) fn answered(&self, head: &ResponseHead<'_>, now: Instant) {
        let retry_after = match head.status {
            429 | 503 => retry_after::read(head, clock::wall()),
            _ => None,
        };
        let status = head.status;
        let answered = Outcome::Answered {
            status,
            retry_after,
        };
        let took = self.tell(answered, now);
        let cluster = &self.cluster.cluster;
        if cluster.outlier.latency.is_some() {
            cluster.took(self.endpoint, Moment::of(now), took);
        }
        if is_failure(status) {
            self.bad(now);
        } else if self.visit.get() == Visit::Trial {
            self.good(now);
        }
    }

    /// It was reached, and what follows are bytes that nobody judges: all that a session shows of its endpoint.
    pub(super) fn connected(&self, now: Instant) {
        let took = self.tell(Outcome::Connected, now);
        let cluster = &self.cluster.cluster;
        if cluster.outlier.latency.is_some() {
            cluster.took(self.endpoint, Moment::of(now), took);
        }
        self.good(now);
        self.passage.served(now);
    }

    /// That answer goes to the client.
    pub(super) fn passed_on(&self, status: u16, now: Instant) {
        self.passage.answered(status, now);
    }

    /// It is over, and the client has the whole answer or the new protocol.
    pub(super) fn done(&self, now: Instant) {
        if self.judged.get() == Judged::NotYet {
            self.good(now);
        }
    }

    /// It ended with an error. A pooled connection that turned out dead says nothing about the endpoint; what is not
    /// its fault says nothing about its answer.
    pub(super) fn ended(&self, error: &Error, reused: Reused) {
        let dead = reused == Reused::Pooled && error.reason() == Reason::UpstreamReset;
        if dead {
            self.told.set(Told::Outcome);
        } else if error.reason().row().blame == Blame::Endpoint {
            let now = clock::now();
            self.tell(Outcome::Failed, now);
            if self.judged.get() != Judged::Bad {
                self.bad(now);
            }
        }
    }

    /// Tells the endpoint's averages; how long the attempt has taken.
    fn tell(&self, outcome: Outcome, at: Instant) -> Duration {
        self.told.set(Told::Outcome);
        let took = clock::between(self.began, at);
        self.endpoint.observe(&Seen { outcome, took, at });
        took
    }

    fn good(&self, now: Instant) {
        self.judged.set(Judged::Good);
        let visit = self.visit.replace(Visit::Ordinary);
        let cluster = &self.cluster.cluster;
        cluster.good(self.endpoint, visit, Moment::of(now), &self.cluster.health);
    }

    #[cold]
    fn bad(&self, now: Instant) {
        self.judged.set(Judged::Bad);
        let visit = self.visit.replace(Visit::Ordinary);
        let (at, cells) = (Moment::of(now), &self.cluster.health);
        let cluster = &self.cluster.cluster;
        cluster.bad(self.endpoint, visit, at, fastrand::f64, cells);
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.told.get() == Told::Nothing {
            self.tell(Outcome::Abandoned, clock::now());
        }
        self.cluster.cluster.left(self.endpoint, self.visit.get());
    }
}

/// An exchange's way through its cluster's breaker. Dropped before anything was told, it showed nothing of the cluster:
/// the client left, or there was no endpoint to ask.
pub(super) struct Passage<'x> {
    cluster: &'x ClusterView,
    gate: Gate,
    told: Cell<Told>,
}

impl<'x> Passage<'x> {
    /// Through, or how long the client should wait before it asks again.
    pub(super) fn open(cluster: &'x ClusterView, now: Instant) -> Result<Self, Duration> {
        match cluster.cluster.enter(now, &cluster.health) {
            Gate::Shut(wait) => {
                cluster.cells.rejected(Reason::BreakerOpen);
                Err(wait)
            }
            gate => Ok(Self {
                cluster,
                gate,
                told: Cell::new(Told::Nothing),
            }),
        }
    }

    fn answered(&self, status: u16, now: Instant) {
        if is_failure(status) {
            self.told.set(Told::Outcome);
            let cells = &self.cluster.health;
            self.cluster.cluster.failed(self.gate, now, cells);
        } else {
            self.served(now);
        }
    }

    fn served(&self, now: Instant) {
        self.told.set(Told::Outcome);
        let cells = &self.cluster.health;
        self.cluster.cluster.served(self.gate, now, cells);
    }

    /// The exchange failed.
    pub(super) fn failed(&self, error: &Error) {
        if self.told.get() == Told::Nothing && error.reason().row().blame == Blame::Endpoint {
            self.told.set(Told::Outcome);
            let cells = &self.cluster.health;
            self.cluster.cluster.failed(self.gate, clock::now(), cells);
        }
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        if self.told.get() == Told::Nothing {
            self.cluster.cluster.gave_up(self.gate);
        }
    }
}

/// The pick and its endpoint disagree: another request is on trial there since.
pub(super) const ON_TRIAL: Error = Error::new(Reason::QueueFull, Detail::Endpoint);
