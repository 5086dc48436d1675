//! The lingering close: a client that is still sending must be able to read the answer (E-034, E-035).
//!
//! Closing a socket with unread bytes in it makes the kernel send a reset, which throws away what the client has
//! not read yet. So: a FIN, then read and throw away, within a bound of bytes and of time, then close.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::connection::Connection;
use crate::worker::local::{HEADROOM, READ};

/// Most bytes that are read and thrown away.
const MOST: usize = 256 * 1024;
/// Longest time that they are waited for.
const LONGEST: Duration = Duration::from_secs(2);

/// Closes gently.
pub(super) async fn linger(connection: &Connection) {
    if poll_fn(|cx| connection.stream.poll_shutdown(cx))
        .await
        .is_err()
    {
        return;
    }
    connection
        .timer
        .set(connection.local.deadlines.after(LONGEST));
    let mut thrown = 0;
    poll_fn(|cx| {
        loop {
            let mut scratch = connection.local.scratch();
            let buf = scratch
                .get_mut(HEADROOM..HEADROOM + READ)
                .unwrap_or_default();
            match connection.stream.poll_read(cx, buf) {
                Poll::Ready(Ok(read @ 1..)) => {
                    thrown += read;
                    if thrown > MOST {
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
