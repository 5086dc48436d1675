//! A wait that a filter asked for, while the client may go away, the drain may end and the time may run out.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Exchange;
use super::ask::ask;
use super::side::Downstream;
use crate::base::{Error, Reason, clock};
use crate::drain::{Drain, Phase};
use crate::filter::{Over, Until};
use crate::message::grpc;
use crate::net::Timer;
use crate::net::deadline::Tick;
use crate::route::Route;

/// No time at all would be no limit.
pub(super) const MOMENT: Duration = Duration::from_millis(1);

/// What is waited for, unless nobody is there any more to wait or the drain has run out of time.
pub(super) async fn unless<T>(
    drain: &Drain,
    mut hung_up: impl FnMut(&mut Context<'_>) -> Poll<Error>,
    waits: impl Future<Output = T>,
) -> Result<T, Error> {
    let mut waits = pin!(waits);
    poll_fn(|cx| {
        if let Poll::Ready(gone) = hung_up(cx) {
            return Poll::Ready(Err(gone));
        }
        if drain.phase() == Phase::Forced {
            return Poll::Ready(Err(Error::from(Reason::Shutdown)));
        }
        waits.as_mut().poll(cx).map(Ok)
    })
    .await
}

async fn over(x: &Exchange, route: Option<&Route>, until: Until) -> Over {
    match until {
        Until::Turn(time) => {
            tokio::time::sleep(time).await;
            Over::Turn
        }
        Until::Answer(ticket) => Over::Answer(ticket.answer().await),
        Until::Proof(job) => Over::Proof(job.proof().await),
        Until::Keys(fetch) => {
            fetch.over().await;
            Over::Keys
        }
        // Boxed: most waits are for less.
        Until::Heard(errand) => Over::Heard(Box::pin(ask(x, route, &errand)).await),
    }
}

/// Waits until a filter lets the request go on, or a page is there: as long as there is time for the request, and for so long at
/// `least`.
pub(super) async fn pause<D: Downstream>(
    x: &Exchange,
    down: &mut D,
    timer: &Timer,
    route: Option<&Route>,
    until: Until,
    least: Duration,
) -> Result<Over, Error> {
    let called = grpc::deadline(x.record.head());
    let longest = route.and_then(|route| route.timeouts.request);
    let longest = longest.into_iter().chain(called).min();
    let due = longest.map_or(Tick::NEVER, |limit| {
        let left = limit.saturating_sub(clock::between(x.started, clock::now()));
        timer.deadlines().after(left.max(least))
    });
    let mut over = pin!(over(x, route, until));
    poll_fn(|cx| {
        if let Poll::Ready(over) = over.as_mut().poll(cx) {
            return Poll::Ready(Ok(over));
        }
        if let Poll::Ready(gone) = down.poll_gone(cx) {
            return Poll::Ready(Err(gone));
        }
        if x.local.drain.phase() == Phase::Forced {
            return Poll::Ready(Err(Error::from(Reason::Shutdown)));
        }
        if due <= timer.deadlines().tick() {
            return Poll::Ready(Err(Error::from(Reason::MaxDuration)));
        }
        timer.set(due);
        Poll::Pending
    })
    .await
}
