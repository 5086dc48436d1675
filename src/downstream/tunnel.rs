//! A tunnel: after the protocol was changed, bytes go both ways untouched.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use super::connection::Connection;
use crate::base::{Detail, Phase, Reason, clock};
use crate::exchange::Tunnel;
use crate::net::{Pipe, Stream};
use crate::worker::Local;
use crate::worker::local::{HEADROOM, READ};

/// One direction of a tunnel.
struct Flow<'t> {
    from: &'t Stream,
    to: &'t Stream,
    /// Bytes that `to` has not taken, and how many of them it has by now.
    spill: Vec<u8>,
    taken: usize,
    bytes: u64,
    state: State,
    way: Way,
}

/// How bytes are moved.
#[derive(Debug)]
enum Way {
    /// Through the worker's buffer: cheapest for what fits into it.
    Copied,
    /// Through a pipe, without coming up from the kernel: for bulk. Left as soon as nothing more is there at once.
    Spliced(Pipe),
    /// Copied: a pipe does not work here, or there is TLS to be done.
    NeverSpliced,
}

/// How far a direction has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Open,
    /// The sender closed its side; what waits is written, then the receiver is told.
    Ending,
    Ended,
}

/// How a tunnel broke.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Broken {
    Reading,
    Writing,
}

impl<'t> Flow<'t> {
    fn new(from: &'t Stream, to: &'t Stream, spill: Vec<u8>) -> Self {
        let bytes = spill.len() as u64;
        Self {
            from,
            to,
            spill,
            taken: 0,
            bytes,
            state: State::Open,
            way: if from.is_plain() && to.is_plain() {
                Way::Copied
            } else {
                Way::NeverSpliced
            },
        }
    }

    /// Moves what can be moved. Whether anything was.
    fn poll(&mut self, cx: &mut Context<'_>, local: &Local) -> Result<bool, Broken> {
        let mut moved = false;
        loop {
            while let Some(rest @ [_, ..]) = self.spill.get(self.taken..) {
                match self.to.poll_write(cx, rest) {
                    Poll::Ready(Ok(wrote @ 1..)) => {
                        self.taken += wrote;
                        moved = true;
                    }
                    Poll::Ready(_) => return Err(Broken::Writing),
                    Poll::Pending => return Ok(moved),
                }
            }
            if self.spill.capacity() > 0 {
                local.give_buffer(std::mem::take(&mut self.spill));
            }
            self.taken = 0;
            match self.state {
                State::Ended => return Ok(moved),
                State::Ending => match self.to.poll_shutdown(cx) {
                    Poll::Ready(_) => {
                        self.state = State::Ended;
                        return Ok(true);
                    }
                    Poll::Pending => return Ok(moved),
                },
                State::Open => {}
            }
            if let Way::Spliced(pipe) = &mut self.way {
                if pipe.holds() > 0 {
                    match self.to.poll_pour(cx, pipe) {
                        Poll::Ready(Ok(1..)) => moved = true,
                        Poll::Ready(_) => return Err(Broken::Writing),
                        Poll::Pending => return Ok(moved),
                    }
                    continue;
                }
                match self.from.poll_fill(cx, pipe) {
                    Poll::Ready(Ok(0)) => {
                        self.way = Way::Copied;
                        self.state = State::Ending;
                    }
                    Poll::Ready(Ok(more)) => {
                        moved = true;
                        self.bytes += more as u64;
                    }
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                        self.way = Way::NeverSpliced;
                    }
                    Poll::Ready(Err(_)) => return Err(Broken::Reading),
                    // What comes next may be small again.
                    Poll::Pending => {
                        self.way = Way::Copied;
                        return Ok(moved);
                    }
                }
                continue;
            }
            let mut scratch = local.scratch();
            let buf = scratch
                .get_mut(HEADROOM..HEADROOM + local.read_len())
                .unwrap_or_default();
            match self.from.poll_read(cx, buf) {
                Poll::Ready(Ok(0)) => self.state = State::Ending,
                Poll::Ready(Ok(read)) => {
                    moved = true;
                    self.bytes += read as u64;
                    let bytes = buf.get(..read).unwrap_or_default();
                    let wrote = match self.to.poll_write(cx, bytes) {
                        Poll::Ready(Ok(wrote)) => wrote,
                        Poll::Ready(Err(_)) => return Err(Broken::Writing),
                        Poll::Pending => 0,
                    };
                    let rest = bytes.get(wrote..).unwrap_or_default();
                    // A whole buffer at once: there is more where that came from.
                    if read == READ && matches!(self.way, Way::Copied) {
                        self.way = local.pipes.take().map_or(Way::Copied, Way::Spliced);
                    }
                    if !rest.is_empty() {
                        self.spill = local.take_buffer();
                        self.spill.extend_from_slice(rest);
                    }
                }
                Poll::Ready(Err(_)) => return Err(Broken::Reading),
                Poll::Pending => return Ok(moved),
            }
        }
    }
}

/// Runs a tunnel until both sides have ended, one of them broke, or nothing moved for its idle time.
pub(super) async fn run(connection: &Connection, parts: Box<Tunnel>) {
    let Tunnel {
        stream,
        mut record,
        terms,
        held,
        kept,
    } = *parts;
    let local = &connection.local;
    stream.keep_alive();
    connection.stream.keep_alive();
    let early = std::mem::take(&mut *connection.input.borrow_mut());
    let mut up = Flow::new(&connection.stream, &stream, early);
    let mut down = Flow::new(&stream, &connection.stream, Vec::new());
    let timer = &connection.timer;
    if let Some(group) = terms.group {
        timer.regroup(group);
    }
    let clock = &local.deadlines;
    let mut due = clock.after(terms.idle).min(terms.until);
    timer.set(due);
    let (reason, detail) = poll_fn(|cx| {
        let moved = match (up.poll(cx, local), down.poll(cx, local)) {
            (Ok(up), Ok(down)) => up || down,
            (Err(Broken::Reading), _) | (_, Err(Broken::Writing)) => {
                return Poll::Ready((Reason::ClientAbort, Detail::Reset));
            }
            (Err(Broken::Writing), _) | (_, Err(Broken::Reading)) => {
                return Poll::Ready((Reason::UpstreamTruncated, Detail::Reset));
            }
        };
        if up.state == State::Ended && down.state == State::Ended {
            return Poll::Ready((Reason::Completed, Detail::None));
        }
        if local.drain.phase() == crate::drain::Phase::Forced {
            return Poll::Ready((Reason::Shutdown, Detail::None));
        }
        // Looked at before the timer is set anew, which forgets it: a tunnel that never pauses has its end, too.
        if timer.fired() {
            match clock.tick() {
                now if now >= terms.until => {
                    return Poll::Ready((Reason::MaxDuration, Detail::None));
                }
                now if now < due => {
                    // Not its own deadline: that of all who are with this endpoint.
                    return Poll::Ready((Reason::Killed, Detail::EndpointDown));
                }
                _ if !moved => return Poll::Ready((Reason::UpstreamIdle, Detail::Idle)),
                _ => {}
            }
        }
        if moved {
            let half = up.state == State::Ended || down.state == State::Ended;
            let idle = if half { terms.half_closed } else { terms.idle };
            due = clock.after(idle).min(terms.until);
            timer.set(due);
        }
        connection.weigh(up.spill.capacity() + down.spill.capacity());
        Poll::Pending
    })
    .await;
    record.phase(if reason == Reason::Completed {
        Phase::Last
    } else {
        Phase::Data
    });
    record.request_bytes(up.bytes);
    record.response_bytes(down.bytes);
    record.end(reason, detail, clock::now());
    drop((record, held, kept));
}
