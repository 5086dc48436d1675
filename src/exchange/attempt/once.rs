//! One attempt: a connection to the place that was picked, what passes over it, and what that comes to.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::Attempts;
use crate::base::clock::{self, Instant};
use crate::base::{Detail, Error, Phase, Reason};
use crate::cluster::Said;
use crate::endpoint::{Endpoint, EndpointIx};
use crate::exchange::checkout::{Checked, Link, Patience, Source, checkout, unless_gone};
use crate::exchange::finish::{self, Sent};
use crate::exchange::outgoing::respell;
use crate::exchange::own::{self, Whose};
use crate::exchange::place::{self, Counted, Place};
use crate::exchange::retry::{Failed, Failure, Reused};
use crate::exchange::side::Downstream;
use crate::exchange::transfer::{self, After, Ended, Over, Terms, Transfer};
use crate::exchange::upstream::Http1;
use crate::exchange::watch::{ON_TRIAL, Watch};
use crate::exchange::{Held, Served, Switched};
use crate::http1::body::More;
use crate::http1::response::Persist;
use crate::upstream::{Protocol, Spoken};

impl<'x, D: Downstream> Attempts<'x, D> {
    /// Keeps the endpoint's connection after a whole answer, where it may be used again.
    fn put_back(&self, ix: EndpointIx, link: Link, whose: Whose, over: &Over, now: Instant) {
        let Link::Http1(stream) = link else {
            return;
        };
        let waits = self.outgoing.pending(&self.x.kit.outgoing);
        let sent = match self.upload {
            More::Ended if !waits => Sent::Whole,
            _ => Sent::Part,
        };
        let asked = self.x.record.head().upgrade();
        let persist = finish::endpoint(over.says, sent, over.behind, asked);
        let parting = over.parting;
        let began = own::begun(self.cluster);
        let Some(set) = self.cluster.idle.get(ix.0 as usize) else {
            return;
        };
        let clock = self.timer.deadlines();
        match (persist, own::bound(self.x, began, whose, parting.challenge)) {
            (Persist::Reuse, Whose::Client) => self.down.private().keep(stream, set),
            (Persist::Later, Whose::Client) | (Persist::Close, _) => {}
            (Persist::Reuse, Whose::Anybody) => set.put(stream, clock, now, parting.keep_alive),
            (Persist::Later, Whose::Anybody) => {
                set.put_aside(stream, clock, now, parting.keep_alive);
            }
        }
    }

    /// An attempt that ended so.
    fn failed(&self, error: Error, reused: Reused) -> Failed {
        Failed {
            failure: Failure {
                reason: error.reason(),
                said: None,
                accepted: self.outgoing.accepted(),
                reused,
                resendable: self.outgoing.resendable(),
            },
            error,
            paid: None,
        }
    }

    /// An attempt whose answer is not passed on: another one is paid for.
    fn paid(&self, said: Said, pause: Duration, reused: Reused) -> Failed {
        let mut failed = self.failed(Error::from(Reason::RetriesExhausted), reused);
        (failed.failure.said, failed.paid) = (Some(said), Some(pause));
        failed
    }

    /// Where each endpoint agrees to what is spoken: makes the request ready for that, and counts a connection of its own.
    fn agreed(&mut self, link: &Link, watch: &Watch<'_>) -> Result<Option<Counted<'x>>, Failed> {
        let Protocol::Either(_) = self.cluster.cluster.members.protocol else {
            return Ok(None);
        };
        let spoken = match link {
            Link::Http1(_) => Spoken::Other,
            Link::Http2(_) => Spoken::Http2,
        };
        if let Err(error) = respell(self.x, &mut self.outgoing, self.upload, spoken) {
            // Nothing was sent, which says as little of the endpoint as a pooled connection that is dead.
            watch.ended(&error, Reused::Pooled);
            return Err(Failed::untouched(error, false));
        }
        let alone = spoken == Spoken::Other;
        Ok(alone.then(|| Counted::one(&self.cluster.cells.leased)))
    }

    /// A connection to the endpoint, while the client is there.
    async fn checked(
        &mut self,
        place: Place,
        endpoint: &Arc<Endpoint>,
        source: Source,
        began: Instant,
    ) -> Result<Checked, Error> {
        let (x, cluster) = (&mut *self.x, self.cluster);
        let left = self.timer.deadlines().until(self.limits.total);
        // It stays where it is made: it is large.
        let patience = Patience::new(cluster, left, began);
        let out = pin!(checkout(
            x, cluster, place, endpoint, source, patience, began
        ));
        unless_gone(self.down, self.upload, out).await
    }

    /// One attempt at one endpoint.
    pub(super) async fn once(
        &mut self,
        place: Place,
        source: Source,
        began: Instant,
    ) -> Result<Served, Failed> {
        let (cluster, ix) = (self.cluster, place.ix);
        let tried = self.tried.contains(ix);
        let cookie = place::cookie(cluster, &place);
        let Some(endpoint) = cluster.cluster.set.endpoint(ix) else {
            let error = Error::from(Reason::Internal);
            return Err(Failed::untouched(error, self.outgoing.resendable()));
        };
        let Some(watch) = Watch::begin(self.passage, endpoint, tried, began) else {
            return Err(Failed::untouched(ON_TRIAL, self.outgoing.resendable()));
        };
        self.x.record.attempt(&cluster.cluster.name, &endpoint.text);
        let whose = own::whose(self.x);
        let checked = pin!(self.checked(place, endpoint, source, began)).await;
        let Checked { link, reused, held } = match checked {
            Ok(checked) => checked,
            Err(error) => {
                watch.ended(&error, Reused::Fresh);
                return Err(Failed::untouched(error, self.outgoing.resendable()));
            }
        };
        let _leased = self.agreed(&link, &watch)?;
        let terms = Terms {
            route: self.route,
            timer: self.timer,
            watch: &watch,
            limits: self.limits.over(&link),
            account: &self.account,
            cookie,
            answers: &cluster.cluster.limits,
        };
        let (ended, over) = match &link {
            Link::Http1(stream) => {
                let (sends, out) = (self.x.record.head().body(), &mut self.outgoing);
                let up = Http1::new(stream, out, sends, self.upload, terms.answers);
                let mut transfer = Transfer::new(self.x, self.down, up, terms, self.upload);
                let ended = poll_fn(|cx| transfer.poll(cx)).await;
                (ended, transfer.over())
            }
            Link::Http2(seat) => {
                // Boxed: most exchanges need not carry its size.
                let (x, down, outgoing) = (&mut *self.x, &mut *self.down, &mut self.outgoing);
                Box::pin(transfer::http2(
                    x,
                    down,
                    seat,
                    endpoint,
                    outgoing,
                    terms,
                    self.upload,
                ))
                .await
            }
        };
        self.upload = over.body;
        let reused = match &ended {
            Err(error) => of_stream(error, self.outgoing.accepted(), source).unwrap_or(reused),
            Ok(_) => reused,
        };
        let answered = |status| {
            // Where the whole answer came with its head, the time of that is the time of its end.
            let now = over.read_at.unwrap_or_else(clock::now);
            cluster.cells.responded(status, clock::between(began, now));
            now
        };
        match ended {
            Ok(Ended::Whole {
                status,
                not_retried,
            }) => {
                let now = answered(status);
                watch.done(now);
                self.x.record.phase(Phase::Last);
                self.x.record.end(Reason::Completed, not_retried, now);
                self.put_back(ix, link, whose, &over, now);
                Ok(Served::Whole)
            }
            Ok(Ended::Switched) => {
                watch.done(answered(101));
                self.switched(link, held, reused)
            }
            // Nobody reads the rest: the connection is kept only where there is none.
            Ok(Ended::Replaced(reply)) => {
                let now = answered(reply.status());
                watch.done(now);
                self.put_back(ix, link, whose, &over, now);
                Ok(Served::Replaced(reply))
            }
            Ok(Ended::Retryable(said, pause)) => {
                answered(said.status());
                Err(self.paid(said, pause, reused))
            }
            Err(error) => {
                broke_off(&link, &over, || watch.ended(&error, reused));
                if reused == Reused::Pooled && error.reason() == Reason::UpstreamReset {
                    self.dead(ix);
                }
                Err(self.failed(error, reused))
            }
        }
    }

    /// The connection, as the tunnel that both sides agreed to.
    fn switched(&self, link: Link, held: Held, reused: Reused) -> Result<Served, Failed> {
        match link {
            Link::Http1(stream) => Ok(Served::Switched(Box::new(Switched {
                stream,
                held,
                idle: self.limits.tunnel,
            }))),
            Link::Http2(_) => Err(self.failed(Error::from(Reason::Internal), reused)),
        }
    }

    /// A connection of the endpoint that was kept turned out dead.
    fn dead(&self, ix: EndpointIx) {
        if let (Some(set), Some(rest)) = (self.cluster.idle.get(ix.0 as usize), self.x.rested) {
            set.rests.closed(rest, self.timer.deadlines());
        }
    }
}

/// A tunnel that breaks off must not look like one that has ended, unless its client's end was given to the endpoint: a reset would take what that has
/// not read yet. Any other end is the endpoint's to answer for.
fn broke_off(link: &Link, over: &Over, told: impl FnOnce()) {
    match (over.carried, link) {
        (After::Handed, _) => told(),
        (After::Carried, Link::Http1(stream)) if !over.sent => stream.abort(),
        (After::Carried, _) => {}
    }
}

/// What the end of a stream says of its connection, where that is not what the connection was.
fn of_stream(error: &Error, accepted: u64, source: Source) -> Option<Reused> {
    match error.detail() {
        // One that was reset says nothing of it.
        Detail::StreamReset => Some(Reused::Fresh),
        // How many streams an endpoint takes is known when the first of them are on their way: one too many is nobody's fault. One
        // that is refused again is.
        Detail::RefusedStream if accepted == 0 && source != Source::Fresh => Some(Reused::Pooled),
        _ => None,
    }
}
