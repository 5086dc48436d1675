//! The HTTP/1 driver: a head, its exchange, and again.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::behind::{Behind, give_up};
use super::connection::Connection;
use super::intake::Arrived;
use super::linger::Skipped;
use super::reading::{Next, Place, Reading};
use super::side::Side;
use super::slot::{Idle, Slot};
use super::{linger, tunnel};
use crate::base::Error;
use crate::base::clock::Instant;
use crate::drain::Phase;
use crate::exchange::Disposition;
use crate::message::RequestHead;
use crate::metrics::Closed;
use crate::net::bundle;
use crate::worker::Local;

/// Where a connection of HTTP/1 ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// Here.
    Here,
    /// It began as one of HTTP/2 does; what it sent is kept.
    Http2,
}

/// Serves requests until the connection ends.
pub(super) async fn drive(connection: Rc<Connection>) -> Ended {
    poll_fn(|cx| {
        connection.timer.watch(cx);
        Poll::Ready(())
    })
    .await;
    let mut place = Place::First;
    let Some(mut terms) = connection.terms() else {
        return Ended::Here;
    };
    while connection.renew(&mut terms) {
        connection.ends_by(Closed::Client);
        let (head, began, arrived, refused) = {
            let mut reading = Reading::new(&connection, &terms, place);
            let (arrived, refused) = match reading.next().await {
                Next::End => break,
                Next::Http2 => return Ended::Http2,
                Next::Request(arrived) => (arrived, None),
                Next::Refused(error) => (None, Some(error)),
            };
            let Some((head, began)) = reading.head else {
                break;
            };
            (head, began, arrived, refused)
        };
        let disposition = match begin(&connection, head, began, arrived, refused) {
            Some(slot) => run(&connection.local, slot).await,
            None => break,
        };
        place = Place::Later;
        match disposition {
            Disposition::Reuse => {}
            Disposition::Drain(body) => {
                if linger::skip(&connection, body, terms.patience).await == Skipped::Part {
                    linger::linger(&connection, terms.patience).await;
                    break;
                }
            }
            Disposition::Close => break,
            // What was given away is forgotten.
            Disposition::Abort => {
                connection.stream.abort();
                break;
            }
            Disposition::Linger => {
                linger::linger(&connection, terms.patience).await;
                break;
            }
            Disposition::Tunnel(parts) => {
                connection.ends_by(Closed::Tunnel);
                Box::pin(tunnel::run(&connection, parts)).await;
                break;
            }
        }
    }
    if connection.stream.holds_given() {
        depart(&connection, Behind::new(&terms)).await;
    }
    Ended::Here
}

/// The last answer was given away: waits until the kernel has it, for as long as a client may take to read.
async fn depart(connection: &Connection, mut behind: Behind) {
    poll_fn(|cx| {
        if connection.stream.poll_given(cx).is_ready() {
            return Poll::Ready(());
        }
        let forced = connection.local.drain.phase() == Phase::Forced;
        match behind.waits(connection) {
            Some(due) if !forced => {
                connection.timer.set(due);
                Poll::Pending
            }
            _ => {
                give_up(connection);
                Poll::Ready(())
            }
        }
    })
    .await;
}

thread_local! {
    /// Those of this worker.
    static SLOTS: Idle<Side> = const { Idle::none() };
}

/// Begins one exchange, outside of any future: the connection's own must not carry its size. One whose head is refused ends
/// with the connection, because what follows on it cannot be told apart.
fn begin(
    connection: &Rc<Connection>,
    head: Box<RequestHead>,
    at: Instant,
    arrived: Option<Arrived>,
    refused: Option<Error>,
) -> Option<Slot<Side>> {
    let opening = connection.opening(head, at, refused)?;
    let spec = &opening.view.listeners.get(opening.listener)?.spec;
    let down = match opening.refused {
        None => Side::serving(connection, spec, &opening.head, arrived),
        Some(_) => Side::refusing(connection, spec),
    };
    let slot = SLOTS.with(Idle::take);
    slot.begin(opening, down, &connection.timer);
    Some(slot)
}

/// Runs an exchange that has begun to its end. Among many it goes to the end of the line first (`Presence::is_crowd`), unless
/// what it sends does. Streams of HTTP/2 have a task each, which stands there anyway.
async fn run(local: &Local, mut slot: Slot<Side>) -> Disposition {
    let mut waits = local.exchanges.is_crowd() && !bundle::gathers();
    let disposition = poll_fn(|cx| {
        if std::mem::take(&mut waits) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        slot.poll(cx)
    })
    .await;
    SLOTS.with(|slots| slots.keep(slot));
    disposition
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an idle connection's future may take: it is most of what such a connection costs.
    const MOST: usize = 1024;

    fn size<F: Future>(_: impl FnOnce(Rc<Connection>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_carries_no_exchange() {
        let size = size(drive);
        assert!(size <= MOST, "{size} bytes");
    }
}
