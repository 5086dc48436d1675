//! What a client still sends when it has its answer.
//!
//! Before the connection goes on, the rest of a request's body is skipped. Before it closes, the client must be able
//! to read the answer (E-034, E-035): closing a socket with unread bytes in it makes the kernel send a reset, which
//! throws away what the client has not read yet. So: a FIN, then read and throw away, within a bound of bytes and of
//! time, then close.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::connection::Connection;
use crate::http1::body::{BodyReader, More};
use crate::worker::scratch::{HEADROOM, READ};

/// How much is thrown away, and for how long it is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Longest time.
    pub(super) time: Duration,
    /// Most bytes before the connection goes on.
    pub(super) skip: u64,
    /// Most bytes before it closes.
    pub(super) linger: u64,
}

/// Whether the rest of a body was skipped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Skipped {
    /// The next request may follow.
    Whole,
    /// It was too long, did not come, or is malformed.
    Part,
}

/// Throws the rest of a body away.
pub(super) async fn skip(
    connection: &Connection,
    mut body: BodyReader,
    patience: Patience,
) -> Skipped {
    let deadline = connection.local.deadlines.after(patience.time);
    connection.timer.set(deadline);
    let mut thrown = 0;
    poll_fn(|cx| {
        loop {
            let mut scratch = connection.local.scratch();
            let buf = scratch
                .get_mut(HEADROOM..HEADROOM + READ)
                .unwrap_or_default();
            let kept = connection.take_input(buf);
            let len = match kept {
                0 => match connection.stream.poll_read(cx, buf) {
                    Poll::Ready(Ok(len @ 1..)) => len,
                    Poll::Pending if !connection.timer.fired() && !forced(connection) => {
                        return Poll::Pending;
                    }
                    _ => return Poll::Ready(Skipped::Part),
                },
                kept => kept,
            };
            let Ok(decoded) = body.decode(&mut scratch, HEADROOM, len) else {
                return Poll::Ready(Skipped::Part);
            };
            connection.give_back(
                scratch
                    .get(HEADROOM + decoded.used..HEADROOM + len)
                    .unwrap_or_default(),
            );
            thrown += decoded.used as u64;
            // Chunks that end within one read may be too long as well.
            if thrown > patience.skip {
                return Poll::Ready(Skipped::Part);
            }
            if decoded.more == More::Ended {
                return Poll::Ready(Skipped::Whole);
            }
        }
    })
    .await
}

/// Closes gently.
pub(super) async fn linger(connection: &Connection, patience: Patience) {
    let deadline = connection.local.deadlines.after(patience.time);
    connection.timer.set(deadline);
    // Under TLS the end is said first, which a client that reads nothing may leave no room for.
    let ended = poll_fn(|cx| match connection.stream.poll_shutdown(cx) {
        Poll::Pending if !connection.timer.fired() && !forced(connection) => Poll::Pending,
        ended => Poll::Ready(ended),
    });
    if !matches!(ended.await, Poll::Ready(Ok(()))) {
        return;
    }
    let mut thrown = 0;
    poll_fn(|cx| {
        loop {
            let mut scratch = connection.local.scratch();
            let buf = scratch
                .get_mut(HEADROOM..HEADROOM + READ)
                .unwrap_or_default();
            match connection.stream.poll_read(cx, buf) {
                Poll::Ready(Ok(read @ 1..)) => {
                    thrown += read as u64;
                    if thrown > patience.linger {
                        return Poll::Ready(());
                    }
                }
                Poll::Pending if !connection.timer.fired() && !forced(connection) => {
                    return Poll::Pending;
                }
                _ => return Poll::Ready(()),
            }
        }
    })
    .await;
}

fn forced(connection: &Connection) -> bool {
    connection.local.drain.phase() == crate::drain::Phase::Forced
}
