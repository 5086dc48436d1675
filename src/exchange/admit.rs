//! The filters of a listener, before a session of layer 4 goes to a cluster.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::base::{Error, Phase, Reason};
use crate::drain::{self, Drain};
use crate::filter::{Caller, Kept, Over, Progress, SessionFilters, Until, Verdict};
use crate::record::Record;

/// Lets a connection in, or says why not. What is kept is kept until its end.
pub async fn connection(
    record: &mut Record,
    client: IpAddr,
    started: Instant,
    filters: &SessionFilters,
    drain: &Drain,
    mut hung_up: impl FnMut(&mut Context<'_>) -> Poll<Error>,
) -> Result<Kept, Error> {
    let mut kept = Kept::default();
    if filters.is_empty() {
        return Ok(kept);
    }
    record.phase(Phase::Filter);
    let caller = Caller {
        head: record.head(),
        client,
        listener: record.facts().listener.as_str(),
        now: started,
    };
    let mut progress = Progress::default();
    loop {
        let until = match filters.run(&caller, &mut kept, &mut progress) {
            Verdict::Continue => return Ok(kept),
            Verdict::Respond(reply) => return Err(Error::new(reply.reason(), reply.detail())),
            Verdict::Wait(until) => until,
        };
        let mut over = pin!(wait(until));
        let over = poll_fn(|cx| {
            if let Poll::Ready(over) = over.as_mut().poll(cx) {
                return Poll::Ready(over);
            }
            if let Poll::Ready(gone) = hung_up(cx) {
                return Poll::Ready(Err(gone));
            }
            if drain.phase() == drain::Phase::Forced {
                return Poll::Ready(Err(Error::from(Reason::Shutdown)));
            }
            Poll::Pending
        });
        progress.resume(over.await?);
    }
}

/// Lets a flow of datagrams in, or says why not: nothing is waited for.
pub fn flow(
    record: &mut Record,
    client: IpAddr,
    started: Instant,
    filters: &SessionFilters,
) -> Result<Kept, Error> {
    let mut kept = Kept::default();
    if filters.is_empty() {
        return Ok(kept);
    }
    record.phase(Phase::Filter);
    let caller = Caller {
        head: record.head(),
        client,
        listener: record.facts().listener.as_str(),
        now: started,
    };
    match filters.run(&caller, &mut kept, &mut Progress::default()) {
        Verdict::Continue => Ok(kept),
        Verdict::Respond(reply) => Err(Error::new(reply.reason(), reply.detail())),
        // An operator has said so at run time, of a limiter that refuses in the file.
        Verdict::Wait(_) => Err(Error::from(Reason::RateLimited)),
    }
}

async fn wait(until: Until) -> Result<Over, Error> {
    match until {
        Until::Turn(time) => {
            tokio::time::sleep(time).await;
            Ok(Over::Turn)
        }
        Until::Answer(ticket) => Ok(Over::Answer(ticket.answer().await)),
        // No filter that a session has asks for these.
        Until::Proof(_) | Until::Heard(_) => Err(Error::from(Reason::Internal)),
    }
}
