//! The HTTP/2 driver: one task reads the frames of a connection and writes what its streams gather; every stream is a
//! task of its own, that runs one exchange.

mod begin;
mod life;
mod mux;
mod own;
mod runner;
mod side;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::connection::{Connection, Terms};
use super::linger::{self, Patience};
use crate::base::clock::{self, Instant};
use crate::base::{Detail, Reason};
use crate::http1::limits::BodyLimits;
use crate::http1::request::HeadLimits;
use crate::http2::session::Block;
use crate::http2::trailers::TrailerReader;
use crate::http2::{Code, Event, Key, Lost, Session};
use crate::listener::HalfClose;
use crate::metrics::{Closed, Scope};
use crate::worker::scratch::{HEADROOM, READ};
use begin::{Arrival, begin};
use life::Life;
use mux::{Mux, Pumped};
use own::Own;

/// Reads of one turn: then the streams have theirs.
const READS: usize = 4;

/// What is answered to frames that cost their sender nothing, and waits for the kernel: above this no more of them is read.
const MOST_OWED: usize = 16 * 1024;

/// What a cookie is put together in is kept up to this size.
const COOKIE: usize = 8 * 1024;

/// How long a client that broke the rules may take to read why.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Serves streams until the connection ends.
pub(super) async fn drive(connection: Rc<Connection>) {
    let Some(mut driver) = Driver::open(&connection) else {
        return;
    };
    let end = poll_fn(|cx| driver.poll(cx)).await;
    // Streams hear of it at once, and go.
    poll_fn(|cx| {
        driver.mux.watch(cx);
        if driver.mux.peek().streams.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    let patience = driver.terms.patience;
    drop(driver);
    match end {
        End::Gone => {}
        End::Told => {
            let time = patience.time.min(LAST_WORDS);
            linger::linger(&connection, Patience { time, ..patience }).await;
        }
        End::Close => linger::linger(&connection, patience).await,
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// There is nobody to tell.
    Gone,
    /// The client was told what it did wrong.
    Told,
    /// All is said.
    Close,
}

/// What a look at the socket gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Read {
    /// Bytes; there may be more.
    Some,
    /// Nothing for now.
    None,
    /// The client closed its sending side.
    Closed,
    /// The connection is gone.
    Gone,
}

struct Driver {
    mux: Rc<Mux>,
    terms: Terms,
    limits: HeadLimits,
    trailers: BodyLimits,
    /// Where the crumbs of a cookie are put together.
    cookie: Vec<u8>,
    half_close: HalfClose,
    life: Life,
}

impl Driver {
    fn open(connection: &Rc<Connection>) -> Option<Self> {
        let terms = connection.terms()?;
        let (view, position) = connection.current()?;
        let settings = view.listeners.get(position)?;
        let limits = settings.spec.head();
        let session = Session::new(settings.spec.http2, limits.headers);
        connection.multiplexes(&settings.spec);
        let clock = &connection.local.deadlines;
        Some(Self {
            mux: Mux::new(connection, &settings.cells, session),
            life: Life::new(clock.after(terms.header), terms.write_rate),
            terms,
            limits,
            trailers: settings.spec.limits.body,
            cookie: Vec::new(),
            half_close: settings.spec.half_close,
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mux = Rc::clone(&self.mux);
        mux.watch(cx);
        mux.connection.timer.watch(cx);
        let mut reads = 0;
        let mut owes = false;
        while reads < READS && !self.life.is_lost() {
            owes = mux.peek().owed >= MOST_OWED;
            if owes {
                break;
            }
            match self.read(cx) {
                Ok(Read::Some) => reads += 1,
                Ok(Read::None) => break,
                // Whoever waits for the answers to whole requests may still read (F-06).
                Ok(Read::Closed) if self.half_close == HalfClose::Continue => {
                    if !mux.is_hung_up() {
                        self.life.hung_up();
                        mux.hang_up();
                    }
                    break;
                }
                Ok(Read::Closed) => {
                    mux.fail_all(Reason::ClientAbort, Detail::Eof);
                    return Poll::Ready(End::Gone);
                }
                Ok(Read::Gone) => {
                    mux.fail_all(Reason::ClientAbort, Detail::Reset);
                    return Poll::Ready(End::Gone);
                }
                Err(lost) => self.lose(lost),
            }
        }
        if reads == READS {
            cx.waker().wake_by_ref();
        }
        let ended = self.live();
        let pumped = mux.pump();
        match mux.poll_write(cx) {
            Poll::Ready(Ok(())) => {
                if let Some(end) = ended {
                    return Poll::Ready(end);
                }
                // What held up reading, or streams, is gone, and nobody else says so.
                if owes || pumped == Pumped::More {
                    cx.waker().wake_by_ref();
                }
            }
            Poll::Ready(Err(error)) => {
                mux.fail_all(error.reason(), error.detail());
                return Poll::Ready(End::Gone);
            }
            Poll::Pending => {}
        }
        if self.stalled(ended.is_some()) {
            mux.connection.ends_by(Closed::Broken);
            mux.connection.stream.abort();
            mux.fail_all(Reason::BodyTimeout, Detail::WriteStall);
            return Poll::Ready(End::Gone);
        }
        self.arm();
        mux.connection.release();
        mux.weigh();
        Poll::Pending
    }

    /// Reads once, and does what comes of it.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<Read, Lost> {
        let connection = Rc::clone(&self.mux.connection);
        let mut scratch = connection.local.scratch();
        let buf = scratch
            .get_mut(HEADROOM..HEADROOM + READ)
            .unwrap_or_default();
        let kept = connection.take_input(buf);
        let free = buf.get_mut(kept..).unwrap_or_default();
        // What came with the bytes by which the protocol was known was not looked at yet.
        let unseen = self.life.begin() && kept > 0;
        let read = if unseen {
            0
        } else {
            match connection.stream.poll_read(cx, free) {
                Poll::Ready(Ok(read @ 1..)) => read,
                Poll::Ready(Ok(0)) => return Ok(Read::Closed),
                Poll::Ready(Err(_)) => return Ok(Read::Gone),
                Poll::Pending => {
                    connection.keep(buf.get(..kept).unwrap_or_default());
                    return Ok(Read::None);
                }
            }
        };
        let input = buf.get(..kept + read).unwrap_or_default();
        let used = self.take(input)?;
        connection.keep(input.get(used..).unwrap_or_default());
        let unfinished = used < input.len() || self.mux.peek().is_unfinished();
        // A client may have sent far more of them than cookies have.
        if self.cookie.capacity() > COOKIE {
            self.cookie = Vec::new();
        }
        self.life.unfinished(unfinished, || {
            connection.local.deadlines.after(self.terms.header)
        });
        Ok(Read::Some)
    }

    /// Does what frames say; how much of the input is done with.
    fn take(&mut self, input: &[u8]) -> Result<usize, Lost> {
        let mux = Rc::clone(&self.mux);
        let mut session = mux.session();
        let now = clock::now();
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let step = session.next(rest, now)?;
            let Some(event) = step.event else {
                return Ok(used + step.used);
            };
            match event {
                Event::Head { id, end, block } => {
                    let arrival = Arrival {
                        id,
                        end,
                        block,
                        input: rest,
                        now,
                    };
                    begin(&mux, &mut session, &self.limits, &mut self.cookie, &arrival)?;
                }
                Event::Trailers { key, block } => {
                    self.trailers(&mut session, key, &block, rest, now)?;
                }
                Event::Data { key, at } => {
                    self.data(&mut session, key, rest.get(at).unwrap_or_default());
                }
                Event::Refused { code } => mux.count(Scope::Stream, code),
                Event::Reset { key } => {
                    fail(&mut session, key, Reason::ClientAbort, Detail::Reset);
                }
                Event::Failed { key, code } => {
                    mux.count(Scope::Stream, code);
                    fail(&mut session, key, Reason::ClientProtocol, Detail::Stream);
                }
                Event::Window => {}
                Event::Pong => self.life.heard(),
                Event::GoAway => self.life.client_leaves(),
            }
            used += step.used;
        }
    }

    fn data(&self, session: &mut Session<Own>, key: Key, bytes: &[u8]) {
        let Some(stream) = session.streams.at_mut(key) else {
            return;
        };
        let own = &mut stream.own;
        if own.lingers {
            own.runner.wake();
            session.unwanted(key, bytes.len());
            return;
        }
        if own.inbox.capacity() == 0 {
            own.inbox = self.mux.connection.local.take_buffer();
        }
        // What has been read makes room before the rest grows.
        if own.read > own.inbox.len() / 2 {
            own.inbox.drain(..own.read);
            own.read = 0;
        }
        own.inbox.extend_from_slice(bytes);
        self.mux.charge(own);
        own.runner.wake();
    }

    fn trailers(
        &self,
        session: &mut Session<Own>,
        key: Key,
        block: &Block,
        input: &[u8],
        now: Instant,
    ) -> Result<(), Lost> {
        let mut reader = TrailerReader::new(self.trailers);
        session.read(block, input, |line| reader.line(&line))?;
        let tunnel = session.streams.at(key).is_some_and(|at| at.own.tunnel);
        // A tunnel is bytes and nothing else (RFC 9113, 8.5).
        let read = if tunnel {
            Err(Detail::Trailers)
        } else {
            reader.finish()
        };
        match read {
            Ok(trailers) => {
                if let Some(stream) = session.streams.at_mut(key) {
                    stream.own.trailers = trailers;
                    self.mux.charge(&mut stream.own);
                    stream.own.runner.wake();
                }
            }
            Err(detail) => {
                session.fail(key, Code::Protocol, now)?;
                self.mux.count(Scope::Stream, Code::Protocol);
                fail(session, key, Reason::ClientProtocol, detail);
            }
        }
        Ok(())
    }

    /// The connection is lost: the client is told, and its streams end.
    fn lose(&mut self, lost: Lost) {
        let mux = &self.mux;
        mux.count(Scope::Connection, lost.code);
        mux.connection.ends_by(match lost.abuse {
            Some(kind) => {
                mux.cells.http2.abuse(kind);
                Closed::Abuse
            }
            None => Closed::Protocol,
        });
        mux.session().leave(lost.code);
        mux.fail_all(Reason::ClientProtocol, Detail::Stream);
        self.life.lose();
    }
}

/// A stream is over before its end.
fn fail(session: &mut Session<Own>, key: Key, reason: Reason, detail: Detail) {
    if let Some(stream) = session.streams.at_mut(key) {
        stream.own.fail(reason, detail);
    }
}
