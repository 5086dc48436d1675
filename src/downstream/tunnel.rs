//! A tunnel: after the protocol was changed, bytes go both ways untouched.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::Seat;
use super::connection::Connection;
use crate::base::{Detail, Phase, Reason, clock};
use crate::exchange::Tunnel;
#[cfg(debug_assertions)]
use crate::exchange::fault;
use crate::metrics::Closed;
use crate::net::deadline::{Fired, Tick, Ticks};
use crate::net::{Pipe, Stream};
use crate::worker::scratch::{HEADROOM, READ};
use crate::worker::{Local, Presence};

/// One direction of a tunnel.
#[derive(Debug)]
struct Flow {
    /// Bytes that `to` has not taken, and how many of them it has by now.
    spill: Vec<u8>,
    taken: u32,
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

/// Up to this length a copy is cheaper than to wake the other side for it alone.
const LITTLE: usize = 4 << 10;

impl Flow {
    fn new(from: &Stream, to: &Stream, spill: Vec<u8>) -> Self {
        let bytes = spill.len() as u64;
        Self {
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
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        local: &Local,
        from: &Stream,
        to: &Stream,
    ) -> Result<bool, Broken> {
        let mut moved = false;
        loop {
            while let Some(rest @ [_, ..]) = self.spill.get(self.taken as usize..) {
                match to.poll_write(cx, rest) {
                    Poll::Ready(Ok(wrote @ 1..)) => {
                        // A buffer's length at most.
                        self.taken += u32::try_from(wrote).unwrap_or(0);
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
                State::Ending => match to.poll_shutdown(cx) {
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
                    match to.poll_pour(cx, pipe) {
                        Poll::Ready(Ok(1..)) => moved = true,
                        Poll::Ready(_) => return Err(Broken::Writing),
                        Poll::Pending => return Ok(moved),
                    }
                    continue;
                }
                match from.poll_fill(cx, pipe) {
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
            match from.poll_read(cx, buf) {
                Poll::Ready(Ok(0)) => self.state = State::Ending,
                Poll::Ready(Ok(read)) => {
                    moved = true;
                    self.bytes += read as u64;
                    let bytes = buf.get(..read).unwrap_or_default();
                    if read <= LITTLE && local.tunnels.is_crowd() {
                        self.spill = local.take_buffer();
                        self.spill.extend_from_slice(bytes);
                        cx.waker().wake_by_ref();
                        return Ok(true);
                    }
                    let wrote = match to.poll_write(cx, bytes) {
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

/// A tunnel that runs. What it is made of stays in its box: a task that may be silent for hours does not carry it.
#[derive(Debug)]
struct Run {
    parts: Box<Tunnel>,
    up: Flow,
    down: Flow,
    /// When something has moved. The timer is not set anew for each piece: when it fires, it is looked here.
    moved_at: Tick,
    /// How long nothing may.
    patience: Ticks,
    /// What the connection is charged with.
    weighed: usize,
    _among: Presence,
}

/// How a tunnel ended.
type Outcome = (Reason, Detail);

impl Run {
    fn begin(connection: &Connection, parts: Box<Tunnel>) -> Self {
        let (local, timer) = (&connection.local, &connection.timer);
        let (ours, theirs, terms) = (&connection.stream, &parts.stream, parts.terms);
        theirs.keep_alive();
        ours.keep_alive();
        let early = std::mem::take(&mut *connection.input.borrow_mut());
        let weighed = early.capacity();
        connection.weigh(weighed);
        let now = local.deadlines.tick();
        timer.set(now.later(terms.idle).min(terms.until));
        Self {
            up: Flow::new(ours, theirs, early),
            down: Flow::new(theirs, ours, Vec::new()),
            moved_at: now,
            patience: terms.idle,
            weighed,
            _among: local.tunnels.join(),
            parts,
        }
    }

    /// Moves what can be moved. Ready when both sides have ended, one of them broke, or nothing moved for too long.
    fn poll(&mut self, cx: &mut Context<'_>, connection: &Connection) -> Poll<Outcome> {
        let local = &connection.local;
        let (ours, theirs) = (&connection.stream, &self.parts.stream);
        let up = self.up.poll(cx, local, ours, theirs);
        let moved = match (up, self.down.poll(cx, local, theirs, ours)) {
            (Ok(up), Ok(down)) => up || down,
            (Err(Broken::Reading), _) | (_, Err(Broken::Writing)) => {
                return Poll::Ready((Reason::ClientAbort, Detail::Reset));
            }
            (Err(Broken::Writing), _) | (_, Err(Broken::Reading)) => {
                return Poll::Ready((Reason::UpstreamTruncated, Detail::Reset));
            }
        };
        let now = local.deadlines.tick();
        if moved {
            self.moved_at = now;
        }
        let terms = &self.parts.terms;
        let patience = match (self.up.state, self.down.state) {
            (State::Ended, State::Ended) => return Poll::Ready((Reason::Completed, Detail::None)),
            (State::Ended, _) | (_, State::Ended) => terms.half_closed,
            _ => terms.idle,
        };
        if local.drain.phase() == crate::drain::Phase::Forced {
            return Poll::Ready((Reason::Shutdown, Detail::None));
        }
        let timer = &connection.timer;
        let fired = timer.why_fired();
        match fired {
            Some(_) if now >= terms.until => {
                return Poll::Ready((Reason::MaxDuration, Detail::None));
            }
            // With all others of its endpoint.
            Some(Fired::Told) => return Poll::Ready((Reason::Killed, Detail::EndpointDown)),
            Some(Fired::Due) if now >= self.moved_at.later(self.patience) => {
                return Poll::Ready((Reason::UpstreamIdle, Detail::Idle));
            }
            _ => {}
        }
        if fired.is_some() || patience != self.patience {
            self.patience = patience;
            timer.set(self.moved_at.later(patience).min(terms.until));
        }
        let held = self.up.spill.capacity() + self.down.spill.capacity();
        // What TLS holds is another with each piece.
        if self.weighed != held || !ours.is_plain() {
            self.weighed = held;
            connection.weigh(held);
        }
        Poll::Pending
    }

    /// What closes now is a reset, whoever broke it, we included: only an end that its sender declared says that what came
    /// before it is whole. One that was declared stands: a reset would take what the kernel has not delivered yet.
    fn abort(&self, connection: &Connection) {
        if self.down.state != State::Ended {
            connection.stream.abort();
        }
        if self.up.state != State::Ended {
            self.parts.stream.abort();
        }
    }

    fn end(self, connection: &Connection, (reason, detail): Outcome) {
        if reason != Reason::Completed {
            self.abort(connection);
        }
        let Tunnel {
            stream,
            mut record,
            held,
            kept,
            ..
        } = *self.parts;
        record.phase(if reason == Reason::Completed {
            Phase::Last
        } else {
            Phase::Data
        });
        record.request_bytes(self.up.bytes);
        record.response_bytes(self.down.bytes);
        record.end(reason, detail, clock::now());
        // Written, and the places given back, before the endpoint sees the end.
        drop((record, held, kept));
        drop(stream);
    }
}

/// Runs a tunnel, and takes it out when it has ended.
fn poll_to_end(run: &mut Option<Run>, cx: &mut Context<'_>, connection: &Connection) -> Poll<()> {
    if let Some(running) = run {
        let outcome = ready!(running.poll(cx, connection));
        if let Some(run) = run.take() {
            run.end(connection, outcome);
        }
    }
    Poll::Ready(())
}

/// A tunnel as a task of its own: what found the endpoint has ended, and its size is gone with it. Not an `async` block, which
/// would hold some of it twice.
struct Serving {
    /// `None` when it has ended.
    run: Option<Run>,
    seat: Seat,
    watched: bool,
}

impl Drop for Serving {
    /// Dropped before its end: by a panic, or with its worker.
    fn drop(&mut self) {
        if let Some(run) = &self.run {
            run.abort(&self.seat.connection);
        }
    }
}

impl Future for Serving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let connection = &*this.seat.connection;
        if !this.watched {
            connection.timer.watch(cx);
            this.watched = true;
        }
        if this.run.is_some() {
            ready!(poll_to_end(&mut this.run, cx, connection));
            this.seat.closed();
        }
        Poll::Ready(())
    }
}

/// Serves a tunnel that a connection has become.
pub(super) fn serve(seat: Seat, parts: Box<Tunnel>) -> impl Future<Output = ()> {
    seat.connection.ends_by(Closed::Tunnel);
    Serving {
        run: Some(Run::begin(&seat.connection, parts)),
        seat,
        watched: false,
    }
}

/// One within the task of its connection, which spoke HTTP before.
struct Within<'c> {
    /// `None` when it has ended.
    run: Option<Run>,
    connection: &'c Connection,
}

impl Drop for Within<'_> {
    /// As [`Serving`]'s.
    fn drop(&mut self) {
        if let Some(run) = &self.run {
            run.abort(self.connection);
        }
    }
}

/// The same within the task of its connection, which spoke HTTP before.
pub(super) async fn run(connection: &Connection, parts: Box<Tunnel>) {
    let run = Some(Run::begin(connection, parts));
    let mut within = Within { run, connection };
    poll_fn(|cx| {
        let polled = poll_to_end(&mut within.run, cx, connection);
        #[cfg(debug_assertions)]
        if let Some(run) = within.run.as_ref().filter(|run| run.up.bytes > 0) {
            fault::strike(run.parts.record.head(), fault::Place::Tunnel);
        }
        polled
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the task of a silent tunnel may take: with what it is made of, it is most of what such a tunnel costs.
    const MOST: usize = 240;

    fn size<F: Future>(_: impl FnOnce(Seat, Box<Tunnel>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_silent_tunnel_is_small() {
        let size = size(serve);
        assert!(size <= MOST, "{size} bytes");
    }
}
