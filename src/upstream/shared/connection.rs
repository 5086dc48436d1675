//! One HTTP/2 connection to an endpoint: who may use it, and the task that drives it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, PingPong, SendStream};
use http::Request;
use tokio::sync::Notify;

use super::Means;
use super::io::{Io, Traffic};
use crate::base::{Detail, Error, Reason};
use crate::metrics::Http2Cells;
use crate::net::Stream;
use crate::net::deadline::{Deadlines, Tick};
use crate::upstream::spec::Http2;
use crate::upstream::{ConnectSpec, Protocol, Spoken, connect, spoken};

/// The most that is kept of a request that the connection did not take yet.
const MAX_SEND: usize = 64 * 1024;

/// A ping's answer and nothing else, in bytes: a frame header and eight more.
const PONG: u64 = 17;
/// Pings that only pongs answer come no more often: gRPC servers end the connections of those who ping more than
/// that without sending anything (`min_recv_ping_interval_without_data`).
const QUIET_PING: Duration = Duration::from_mins(5);

#[derive(Debug)]
enum State {
    Connecting,
    Open(SendRequest<Bytes>),
    /// Nothing new goes over it. What is under way ends as it does.
    Closed(Reason, Detail),
}

/// A connection, for as long as somebody uses it or may.
#[derive(Debug)]
pub(super) struct Connection {
    state: RefCell<State>,
    /// It opened or closed.
    changed: Notify,
    /// Of one that agreed to HTTP/1.1, for whoever asked for it.
    declined: RefCell<Option<Stream>>,
    /// Its peer has spoken: its settings come first (RFC 9113, 3.4).
    greeted: Cell<bool>,
    task: RefCell<Option<Waker>>,
    /// Exchanges that hold a place.
    seats: Cell<u32>,
    settings: Http2,
    traffic: Rc<Traffic>,
    clock: Rc<Deadlines>,
    /// Since when it has had no exchange.
    idle_since: Cell<Tick>,
    pulse: Pulse,
    pub(super) cells: Arc<Http2Cells>,
}

/// Whether the peer still lives, as far as one can hear.
#[derive(Debug)]
struct Pulse {
    heard: Cell<u64>,
    heard_at: Cell<Tick>,
    /// Only a pong came since the last ping.
    quiet: Cell<bool>,
    /// Until when a ping must be answered.
    awaited: Cell<Tick>,
    wanted: Cell<bool>,
    dead: Cell<bool>,
}

impl Connection {
    /// A connection that is being made by a task of its own: whoever asked for it first may leave.
    pub(super) fn open(means: &Means<'_>) -> Rc<Self> {
        let Means {
            spec,
            settings,
            connect,
            clock,
            cells,
        } = *means;
        let connection = Rc::new(Self {
            state: RefCell::new(State::Connecting),
            changed: Notify::new(),
            declined: RefCell::default(),
            greeted: Cell::new(false),
            task: RefCell::new(None),
            seats: Cell::new(0),
            settings,
            traffic: Rc::default(),
            clock: Rc::clone(clock),
            idle_since: Cell::new(clock.tick()),
            pulse: Pulse {
                heard: Cell::new(0),
                heard_at: Cell::new(clock.tick()),
                quiet: Cell::new(false),
                awaited: Cell::new(Tick::NEVER),
                wanted: Cell::new(false),
                dead: Cell::new(false),
            },
            cells: Arc::clone(cells),
        });
        let task = run(Rc::clone(&connection), Arc::clone(spec), connect);
        crate::task::spawn("endpoint connection", task);
        connection
    }

    /// Whether another exchange may use it.
    pub(super) fn has_room(&self) -> bool {
        let most = match &*self.state.borrow() {
            State::Connecting => self.settings.streams,
            State::Open(send) => {
                let theirs = u32::try_from(send.current_max_send_streams()).unwrap_or(u32::MAX);
                theirs.min(self.settings.streams)
            }
            State::Closed(..) => 0,
        };
        self.seats.get() < most
    }

    pub(super) fn is_connecting(&self) -> bool {
        matches!(*self.state.borrow(), State::Connecting)
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(*self.state.borrow(), State::Closed(..))
    }

    /// Whether it was given up because its peer was silent.
    pub(super) fn is_dead(&self) -> bool {
        self.pulse.dead.get()
    }

    /// Whether somebody has a place.
    pub(super) fn is_used(&self) -> bool {
        self.seats.get() > 0
    }

    /// Since when nobody has used it.
    pub(super) fn idle_since(&self) -> Option<Tick> {
        let open = matches!(*self.state.borrow(), State::Open(_));
        (open && !self.is_used()).then(|| self.idle_since.get())
    }

    pub(super) fn sit(&self) {
        self.seats.set(self.seats.get() + 1);
    }

    pub(super) fn rise(&self) {
        self.seats.set(self.seats.get().saturating_sub(1));
        self.idle_since.set(self.clock.tick());
    }

    /// Nothing new goes over it; when what is under way has ended it says so to its peer and closes.
    pub(super) fn retire(&self, reason: Reason, detail: Detail) {
        if !self.is_closed() {
            // The handle's drop is what tells the driver.
            self.state.replace(State::Closed(reason, detail));
            self.changed.notify_waiters();
        }
    }

    /// The connection as it is, where its peer may choose and does not speak HTTP/2: to one of those who waited for it.
    pub(super) fn take_declined(&self) -> Option<Stream> {
        self.declined.take()
    }

    /// Waits until it is open; an error is why it never will be.
    pub(super) async fn opened(&self) -> Result<(), Error> {
        loop {
            let changed = self.changed.notified();
            match &*self.state.borrow() {
                State::Connecting => {}
                State::Open(_) => return Ok(()),
                State::Closed(reason, detail) => return Err(Error::new(*reason, *detail)),
            }
            changed.await;
        }
    }

    /// Waits until the peer has said what it takes; whether a WebSocket is among that. The connection may close before.
    pub(super) async fn takes_websockets(&self) -> Result<bool, Error> {
        loop {
            let changed = self.changed.notified();
            match &*self.state.borrow() {
                State::Open(send) if self.greeted.get() => {
                    return Ok(send.is_extended_connect_protocol_enabled());
                }
                State::Open(_) | State::Connecting => {}
                State::Closed(reason, detail) => return Err(Error::new(*reason, *detail)),
            }
            changed.await;
        }
    }

    /// Begins a stream.
    pub(super) fn send(
        &self,
        request: Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut send = match &*self.state.borrow() {
            State::Open(send) => send.clone(),
            State::Connecting | State::Closed(..) => return Err(h2::Reason::CANCEL.into()),
        };
        let begun = send.send_request(request, end);
        match &begun {
            // After a long silence nobody knows whether the peer is still there.
            Ok(_) if self.silent_for(self.settings.ping_interval) => self.ping(),
            Ok(_) => {}
            Err(_) => self.retire(Reason::UpstreamReset, Detail::GoAway),
        }
        begun
    }

    fn silent_for(&self, limit: Duration) -> bool {
        !limit.is_zero()
            && self.clock.since(self.pulse.heard_at.get()) >= limit
            && self.pulse.awaited.get() == Tick::NEVER
    }

    fn ping(&self) {
        self.pulse.wanted.set(true);
        self.pulse
            .awaited
            .set(self.clock.after(self.settings.ping_timeout));
        self.wake();
    }

    fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// Looks whether the peer still lives. Called once in a while.
    pub(super) fn examine(&self) {
        let pulse = &self.pulse;
        if pulse.dead.get() {
            return;
        }
        let heard = self.traffic.heard.get();
        if heard != pulse.heard.get() {
            let only_pong = pulse.awaited.get() != Tick::NEVER && heard - pulse.heard.get() == PONG;
            pulse.quiet.set(only_pong);
            pulse.heard.set(heard);
            pulse.heard_at.set(self.clock.tick());
            pulse.awaited.set(Tick::NEVER);
        } else if pulse.awaited.get() <= self.clock.tick() {
            self.cells.pings_lost.inc();
            pulse.dead.set(true);
            self.retire(Reason::UpstreamReset, Detail::PingTimeout);
            self.wake();
        } else if self.is_used() {
            let said = self.traffic.said.get() > self.traffic.answered.get();
            let owed = said && !pulse.quiet.get();
            let patience = if owed {
                self.settings.ping_interval
            } else {
                self.settings.ping_interval.max(QUIET_PING)
            };
            if self.silent_for(self.settings.ping_interval) && self.silent_for(patience) {
                self.ping();
            }
        }
    }
}

/// Connects, and drives the connection to its end.
async fn run(connection: Rc<Connection>, spec: Arc<ConnectSpec>, limit: Duration) {
    let made = tokio::time::timeout(limit, connect(&spec, &[])).await;
    let stream = match made.unwrap_or_else(|_| Err(Error::from(Reason::ConnectTimeout))) {
        Ok(stream) => stream,
        Err(error) => return connection.retire(error.reason(), error.detail()),
    };
    if matches!(spec.protocol, Protocol::Either(_)) && spoken(&stream) != Spoken::Http2 {
        connection.declined.replace(Some(stream));
        return connection.retire(Reason::UpstreamTls, Detail::Alpn);
    }
    stream.keep_alive();
    let settings = connection.settings;
    let io = Io {
        stream,
        traffic: Rc::clone(&connection.traffic),
    };
    // A client that does not read holds up its stream and no other: the connection's window has room for all of them.
    let whole = u64::from(settings.window) * u64::from(settings.streams);
    let handshake = h2::client::Builder::new()
        .initial_window_size(settings.window)
        .initial_connection_window_size(u32::try_from(whole).unwrap_or(MAX_WINDOW).min(MAX_WINDOW))
        .max_header_list_size(settings.head)
        .initial_max_send_streams(settings.streams as usize)
        .max_send_buffer_size(MAX_SEND)
        // What belongs to one stream must not end all the others: answers that are not what they say, and what still comes of answers
        // that nobody waits for. The frames of those who wait for their client are taken from the crate (`hold`).
        .max_local_error_reset_streams(None)
        .max_concurrent_reset_streams(RESET)
        .data_frame_budget(usize::MAX)
        .enable_push(false)
        .handshake::<_, Bytes>(io);
    let Ok((send, mut h2)) = handshake.await else {
        return connection.retire(Reason::UpstreamReset, Detail::Reset);
    };
    let mut pings = h2.ping_pong();
    let open = !connection.is_closed();
    if open {
        connection.state.replace(State::Open(send));
        connection.changed.notify_waiters();
    } else {
        drop(send);
    }
    connection.cells.active.inc();
    let ended = poll_fn(|cx| connection.drive(cx, Pin::new(&mut h2), pings.as_mut())).await;
    connection.cells.active.dec();
    connection.retire(Reason::UpstreamReset, ended);
}

/// Streams that we reset and whose frames are still expected, for a second: they are a burst at most.
const RESET: usize = 1024;

/// The shortest greeting: SETTINGS without any. A peer that sends its settings in pieces is taken for one without.
const GREETING: u64 = 9;

/// The largest window that the protocol has (RFC 9113, 6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;

impl Connection {
    fn drive(
        &self,
        cx: &mut Context<'_>,
        h2: Pin<&mut h2::client::Connection<Io, Bytes>>,
        pings: Option<&mut PingPong>,
    ) -> Poll<Detail> {
        {
            let mut task = self.task.borrow_mut();
            match &*task {
                Some(waker) if waker.will_wake(cx.waker()) => {}
                _ => *task = Some(cx.waker().clone()),
            }
        }
        if self.pulse.dead.get() {
            return Poll::Ready(Detail::PingTimeout);
        }
        if let Some(pings) = pings {
            // The answer is heard as traffic; an error comes from the connection, too.
            let _ = pings.poll_pong(cx);
            if self.pulse.wanted.take() {
                let _ = pings.send_ping(Ping::opaque());
            }
        }
        match Future::poll(h2, cx) {
            Poll::Pending => {
                if !self.greeted.get() && self.traffic.heard.get() >= GREETING {
                    self.greeted.set(true);
                    self.changed.notify_waiters();
                }
                Poll::Pending
            }
            Poll::Ready(Ok(())) => Poll::Ready(Detail::Eof),
            Poll::Ready(Err(error)) => {
                let remote = error.is_go_away() && error.is_remote();
                if remote {
                    self.cells.goaways.inc();
                }
                let detail = match error.reason() {
                    Some(_) if remote => Detail::GoAway,
                    Some(_) => Detail::Http2,
                    None => Detail::Reset,
                };
                tracing::debug!(%error, "an HTTP/2 connection to an endpoint ended");
                Poll::Ready(detail)
            }
        }
    }
}
