//! Attempts: pick an endpoint, check out a connection, transfer; and again where the table allows it.

mod once;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::checkout::Source;
use super::outgoing::{Keep, Outgoing, encode};
use super::own;
use super::place::{self, Counted, Place, Wish, asking};
use super::retry::{Account, Decision, Failed, When, decide};
use super::side::{Answered, Downstream};
use super::transfer::Limits;
use super::watch::Passage;
use super::{Exchange, Served, Switched};
use crate::base::reason::Blame;
use crate::base::{Error, Reason, clock};
use crate::drain;
use crate::endpoint::Tried;
use crate::http1::body::More;
use crate::limit::Level;
use crate::message::{BodyLength, Upgrade};
use crate::metrics::RetryResult;
use crate::net::Timer;
use crate::route::Route;
use crate::upstream::{Look, Protocol};
use crate::worker::ClusterView;

/// The attempts of one exchange.
struct Attempts<'x, D> {
    x: &'x mut Exchange,
    down: &'x mut D,
    timer: &'x Timer,
    route: &'x Route,
    cluster: &'x ClusterView,
    passage: &'x Passage<'x>,
    limits: Limits,
    outgoing: Outgoing,
    upload: More,
    tried: Tried,
    wish: Wish,
    account: Account<'x>,
}

/// Forwards the exchange to the cluster.
pub(super) async fn forward<D: Downstream>(
    x: &mut Exchange,
    down: &mut D,
    timer: &Timer,
    route: &Route,
    cluster: &ClusterView,
) -> Result<Served, Error> {
    x.record.aim(&cluster.cluster.name);
    let passage = Passage::open(cluster, x.started).map_err(|wait| {
        x.retry_after = Some(wait);
        Error::from(Reason::BreakerOpen)
    })?;
    cluster.budget.borrow_mut().deposit(x.started);
    let limits = Limits::of(x, timer, route, cluster);
    let tried = Tried::new();
    let wish = Wish::of(x, route, cluster);
    let keep = keep(x, cluster);
    let source = source(x, keep);
    let mut asked = asking(x, down, timer, cluster, limits.total, wish);
    let permit = asked.permit().await?;
    let waited = asked.waited;
    drop(asked);
    let place = if let Some(place) = own::take_out(x, down, cluster, source, wish) {
        place
    } else {
        let mut asked = asking(x, down, timer, cluster, limits.total, wish);
        asked.waited = waited;
        asked.place(&tried).await?
    };
    let _active = Counted::one(&cluster.cells.active);
    match cluster.cluster.members.protocol {
        Protocol::Http1 => encode(x),
        // Its head is made for each attempt; what is kept is the body as it is.
        Protocol::Http2(_) | Protocol::Either(_) => x.kit.outgoing.clear(),
    }
    let outgoing = Outgoing::new(&x.kit.outgoing, keep);
    let upload = match x.record.head().body() {
        BodyLength::None => More::Ended,
        _ => More::Follows,
    };
    let mut attempts = Attempts {
        x,
        down,
        timer,
        route,
        cluster,
        passage: &passage,
        limits,
        outgoing,
        upload,
        tried,
        wish,
        account: Account::new(cluster),
    };
    let mut served = pin!(attempts.run(place, source)).await;
    if let Ok(Served::Switched(switched)) = served {
        let held = switched.held.with(permit);
        served = Ok(Served::Switched(Box::new(Switched { held, ..*switched })));
    }
    if let Err(error) = &served {
        passage.failed(error);
    }
    served
}

/// What is sent is kept for another attempt where one could be made.
fn keep(x: &Exchange, cluster: &ClusterView) -> Keep {
    let policy = &cluster.cluster.retry;
    let tight = x.local.credit.level() >= Level::Tight;
    let body = match cluster.cluster.members.protocol {
        _ if tight => 0,
        // What marks its end is not the same in both.
        Protocol::Either(_) if x.record.head().body() == BodyLength::Chunked => 0,
        _ => policy.replay_buffer,
    };
    // A stream that was refused may be sent again whatever the method.
    let refusable = cluster.cluster.members.protocol != Protocol::Http1;
    let may = refusable || policy.methods.contains(x.record.head().method());
    if policy.attempts > 0 && may {
        Keep::UpTo(body)
    } else {
        Keep::Nothing
    }
}

/// Where the first attempt's connection may come from. A request that can be sent again may meet a dead one; for any other
/// the kernel is asked.
fn source(x: &Exchange, keep: Keep) -> Source {
    let head = x.record.head();
    if head.upgrade() == Upgrade::WebSocket {
        return Source::Fresh;
    }
    Source::Pool(match (keep, head.body()) {
        (Keep::UpTo(_), BodyLength::None) => Look::Runtime,
        (Keep::UpTo(most), BodyLength::Exact(length)) if length <= most as u64 => Look::Runtime,
        _ => Look::Kernel,
    })
}

impl<D: Downstream> Attempts<'_, D> {
    async fn run(&mut self, mut place: Place, mut source: Source) -> Result<Served, Error> {
        let usual = source;
        let mut cause: Option<Reason> = None;
        loop {
            let began = clock::now();
            let (ix, bond) = (place.ix, place.bond);
            let once = pin!(self.once(place, source, began)).await;
            let Failed {
                error,
                failure,
                paid,
            } = match once {
                Ok(served) => {
                    self.account.made(cause, RetryResult::Success);
                    return Ok(served);
                }
                Err(failed) => failed,
            };
            if error.reason() == Reason::QueueFull {
                // Somebody else is on trial there since the pick. The client's own connection leads there and nowhere else.
                self.x.own = None;
                self.tried.insert(ix);
                place = self.wait().await?;
                continue;
            }
            self.account.made(cause.take(), RetryResult::Failure);
            let blamed = error.reason().row().blame == Blame::Endpoint;
            if blamed && failure.said.is_none() {
                self.cluster
                    .cells
                    .failed(clock::between(began, clock::now()));
            }
            if !blamed || self.down.answered() != Answered::Nothing {
                return Err(error);
            }
            let method = self.x.record.head().method();
            let decision = decide(self.account.policy(), method, &failure);
            match decision {
                Decision::FreshConnection if source != Source::Fresh => {
                    source = Source::Fresh;
                    place = match place::at(self.cluster, ix, bond) {
                        Some(place) => place,
                        None => self.wait().await?,
                    };
                }
                Decision::Stop(why) => return Err(self.account.deny(&error, why)),
                Decision::FreshConnection | Decision::OtherEndpoint(_) => {
                    self.tried.insert(ix);
                    let found = place::at_once(decision, self.cluster, &self.tried, self.wish);
                    let left = self.timer.deadlines().until(self.limits.total);
                    let level = self.x.local.credit.level();
                    let pause = match paid {
                        Some(pause) => Ok(pause),
                        None => self.account.pay(
                            When::before(found.as_ref()),
                            level,
                            left,
                            clock::now(),
                        ),
                    };
                    let pause = pause.map_err(|why| self.account.deny(&error, why))?;
                    cause = Some(error.reason());
                    self.pause(pause).await?;
                    place = found
                        .map_or_else(|| place::another(self.cluster, &self.tried, self.wish), Ok)
                        .map_err(|why| self.account.deny(&error, why))?;
                    source = usual;
                }
            }
            self.outgoing.rewind();
            self.x.kit.partial.clear();
        }
    }

    /// Nothing was tried yet, and the endpoint is full by now or takes nobody else: this one asks again, and waits.
    async fn wait(&mut self) -> Result<Place, Error> {
        let total = self.limits.total;
        let mut asked = asking(
            self.x,
            self.down,
            self.timer,
            self.cluster,
            total,
            self.wish,
        );
        asked.place(&self.tried).await
    }

    /// Waits before another try. A client that leaves meanwhile needs none, and a drain does not wait for it.
    async fn pause(&mut self, pause: Duration) -> Result<(), Error> {
        let mut sleep = (!pause.is_zero()).then(|| Box::pin(tokio::time::sleep(pause)));
        poll_fn(|cx| {
            // While a body is on its way the client's bytes are that, and say nothing of the client.
            if self.upload == More::Ended
                && let Poll::Ready(gone) = self.down.poll_gone(cx)
            {
                return Poll::Ready(Err(gone));
            }
            if self.x.local.drain.phase() == drain::Phase::Forced {
                return Poll::Ready(Err(Error::from(Reason::Shutdown)));
            }
            match &mut sleep {
                Some(sleep) => sleep.as_mut().poll(cx).map(Ok),
                None => Poll::Ready(Ok(())),
            }
        })
        .await
    }
}
