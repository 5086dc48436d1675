//! The client hello of a connection whose TLS is not ended here: read, looked into, and passed on as it came.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use super::connection::Connection;
use crate::base::{Detail, Error, Reason};
use crate::drain::Phase;
use crate::tls::hello::{Asked, Looked, MAX_HELLO, look};
use crate::worker::scratch::HEADROOM;

/// What the client asks for; `None`: it does not speak TLS. What was read is kept for the tunnel.
pub(super) async fn read(connection: &Connection, time: Duration) -> Result<Option<Asked>, Error> {
    let clock = &connection.local.deadlines;
    connection.timer.set(clock.after(time));
    poll_fn(|cx| poll(cx, connection)).await
}

fn poll(cx: &mut Context<'_>, connection: &Connection) -> Poll<Result<Option<Asked>, Error>> {
    loop {
        // What came behind a PROXY protocol header that was none is looked at first.
        match look(&connection.input.borrow()) {
            Ok(Looked::Whole(asked)) => return Poll::Ready(Ok(Some(asked))),
            Ok(Looked::Other) => return Poll::Ready(Ok(None)),
            Ok(Looked::Partial) => {}
            Err(_) => {
                return Poll::Ready(Err(Error::new(Reason::TlsHandshake, Detail::ClientHello)));
            }
        }
        let room = MAX_HELLO.saturating_sub(connection.input.borrow().len());
        let mut scratch = connection.local.scratch();
        let buf = scratch.get_mut(HEADROOM..HEADROOM + room);
        let buf = buf.unwrap_or_default();
        match connection.stream.poll_read(cx, buf) {
            Poll::Ready(Ok(read @ 1..)) => {
                connection.keep(buf.get(..read).unwrap_or_default());
            }
            Poll::Ready(_) => {
                return Poll::Ready(Err(Error::new(Reason::ClientAbort, Detail::Eof)));
            }
            Poll::Pending if connection.local.drain.phase() == Phase::Forced => {
                return Poll::Ready(Err(Error::from(Reason::Shutdown)));
            }
            Poll::Pending if connection.timer.fired() => {
                return Poll::Ready(Err(Error::from(Reason::HeaderTimeout)));
            }
            Poll::Pending => {
                connection.weigh(0);
                return Poll::Pending;
            }
        }
    }
}
