//! The filters of a listener, before a session of layer 4 goes to a cluster.

use std::net::IpAddr;
use std::task::{Context, Poll};

use super::pause::unless;
use crate::base::clock::Instant;
use crate::base::{Error, Phase, Reason};
use crate::drain::Drain;
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
    let caller = caller(record, client, started);
    let mut progress = Progress::default();
    loop {
        let until = match filters.run(&caller, &mut kept, &mut progress) {
            Verdict::Continue => return Ok(kept),
            Verdict::Respond(reply) => return Err(Error::new(reply.reason(), reply.detail())),
            Verdict::Wait(until) => until,
        };
        progress.resume(unless(drain, &mut hung_up, wait(until)).await??);
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
    let caller = caller(record, client, started);
    match filters.run(&caller, &mut kept, &mut Progress::default()) {
        Verdict::Continue => Ok(kept),
        Verdict::Respond(reply) => Err(Error::new(reply.reason(), reply.detail())),
        // An operator has said so at run time, of a limiter that refuses in the file.
        Verdict::Wait(_) => Err(Error::from(Reason::RateLimited)),
    }
}

/// Who asks; from here on the session is with the filters.
fn caller(record: &mut Record, client: IpAddr, started: Instant) -> Caller<'_> {
    record.phase(Phase::Filter);
    Caller {
        head: record.head(),
        client,
        listener: record.facts().listener.as_str(),
        now: started,
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
        Until::Proof(_) | Until::Heard(_) | Until::Keys(_) => Err(Error::from(Reason::Internal)),
    }
}
