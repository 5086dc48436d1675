//! A head of HTTP/1 on its way in.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::behind::{Behind, give_up};
use super::connection::{Connection, LAST_WAIT, Outlook, Terms};
use super::intake::Arrived;
use super::prior::Prior;
use crate::base::clock::{self, Instant};
use crate::base::{Detail, Error, Reason};
use crate::drain::Phase;
use crate::http1::glimpse::glimpse;
use crate::http1::request::{HeadLimits, MAX_BLANK_LINES, Progress, parse};
use crate::limit::Level;
use crate::listener::H2c;
use crate::message::{BodyLength, Expect, RequestHead};
use crate::metrics::Closed;
use crate::worker::scratch::HEADROOM;

/// Whether a request is the first of its connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    First,
    Later,
}

/// What came.
pub(super) enum Next {
    /// A whole head, and the beginning of a body that is kept where it was read.
    Request(Option<Arrived>),
    /// The preface of HTTP/2.
    Http2,
    /// A head that is not served.
    Refused(Error),
    /// The connection ended, or was idle for too long.
    End,
}

/// A head on its way in.
pub(super) struct Reading<'c> {
    connection: &'c Connection,
    limits: HeadLimits,
    header: Duration,
    idle: Duration,
    h2c: H2c,
    place: Place,
    behind: Behind,
    /// What is known of it, and when its first byte came.
    pub(super) head: Option<(Box<RequestHead>, Instant)>,
    /// Bytes since the last end of a line.
    unended: usize,
    /// Blank lines before the request.
    blank: usize,
}

/// A connection waits for its next request.
fn rest(connection: &Connection, idle: Duration) {
    let idle = match connection.outlook() {
        Outlook::Stays => idle,
        Outlook::Ends(_) => LAST_WAIT,
    };
    let clock = &connection.local.deadlines;
    connection.timer.set_idle(clock.after(idle));
}

impl<'c> Reading<'c> {
    pub(super) fn new(connection: &'c Connection, terms: &Terms, place: Place) -> Self {
        let clock = &connection.local.deadlines;
        match place {
            // Nothing is lost with a connection that never spoke: a drain need not wait for it.
            Place::First => connection.timer.set_idle(clock.after(terms.first_byte)),
            Place::Later => rest(connection, terms.idle),
        }
        Self {
            connection,
            limits: terms.limits,
            header: terms.header,
            idle: terms.idle,
            h2c: terms.h2c,
            place,
            behind: Behind::new(terms),
            head: None,
            unended: 0,
            blank: 0,
        }
    }

    /// Waits until a head is whole, or will never be.
    pub(super) async fn next(&mut self) -> Next {
        if !self.connection.input.borrow().is_empty() {
            if let Some(next) = poll_fn(|cx| self.poll_caught_up(cx)).await {
                return next;
            }
            if let Some(next) = self.pipelined() {
                return next;
            }
        }
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Looks at what came with the request before.
    fn pipelined(&mut self) -> Option<Next> {
        match self.prior(&self.connection.input.borrow()) {
            Prior::Whole => return Some(Next::Http2),
            Prior::Part => {
                self.begin();
                return None;
            }
            Prior::No => {}
        }
        let input = std::mem::take(&mut *self.connection.input.borrow_mut());
        if self.blank_lines(&input) {
            self.connection.local.give_buffer(input);
            return None;
        }
        let next = self.parse(&input, Place::First);
        let left = match &next {
            Some((_, used)) => input.get(*used..).unwrap_or_default(),
            None => &input,
        };
        self.connection.keep(left);
        self.connection.local.give_buffer(input);
        next.map(|(next, _)| next)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let connection = self.connection;
        if let Some(next) = ready!(self.poll_caught_up(cx)) {
            return Poll::Ready(next);
        }
        loop {
            let mut scratch = connection.local.scratch();
            let buf = scratch
                .get_mut(HEADROOM..HEADROOM + connection.local.read_len())
                .unwrap_or_default();
            let read = match connection.stream.poll_read(cx, buf) {
                Poll::Ready(Ok(read)) => read,
                Poll::Ready(Err(_)) => 0,
                Poll::Pending if connection.timer.fired() => return Poll::Ready(self.late()),
                Poll::Pending => {
                    if let Some(refused) = self.unaffordable() {
                        return Poll::Ready(refused);
                    }
                    connection.release();
                    connection.weigh(0);
                    return Poll::Pending;
                }
            };
            let bytes = buf.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Poll::Ready(self.ended());
            }
            if self.head.is_none() {
                if self.blank_lines(bytes) {
                    continue;
                }
                match self.prior(bytes) {
                    Prior::Whole => {
                        connection.keep(bytes);
                        return Poll::Ready(Next::Http2);
                    }
                    Prior::Part => {
                        self.begin();
                        connection.keep(bytes);
                        continue;
                    }
                    Prior::No => {}
                }
                if let Some((next, used)) = self.parse(bytes, Place::First) {
                    let place = HEADROOM + used..HEADROOM + read;
                    if self.is_body(&next, place.len())
                        && let Some(page) = connection.local.turn_page(&mut scratch, &place)
                    {
                        return Poll::Ready(Next::Request(Some(Arrived { page, place })));
                    }
                    connection.keep(scratch.get(place).unwrap_or_default());
                    return Poll::Ready(next);
                }
                connection.keep(bytes);
                continue;
            }
            connection.keep(bytes);
            let line_ended = memchr::memchr(b'\n', bytes).is_some();
            drop(scratch);
            match self.prior(&connection.input.borrow()) {
                Prior::Whole => {
                    if let Some((head, _)) = self.head.take() {
                        connection.local.journal.give_head(head);
                    }
                    return Poll::Ready(Next::Http2);
                }
                Prior::Part => continue,
                Prior::No => {}
            }
            // Only a line's end can make the head whole, and only so much may come before one.
            self.unended += read;
            let most = self.limits.request_line.max(self.limits.headers);
            if line_ended || self.unended > most {
                let mut input = std::mem::take(&mut *connection.input.borrow_mut());
                let parsed = self.parse(&input, Place::Later);
                if let Some((_, used)) = &parsed {
                    input.drain(..*used);
                }
                *connection.input.borrow_mut() = input;
                if let Some((next, _)) = parsed {
                    return Poll::Ready(next);
                }
            }
        }
    }

    /// A head that comes in pieces is not waited for where there is no memory to hold it.
    fn unaffordable(&mut self) -> Option<Next> {
        if self.connection.local.credit.level() != Level::Full {
            return None;
        }
        self.head.as_ref()?;
        Some(self.cut(Error::new(Reason::Overloaded, Detail::Memory)))
    }

    /// A line end behind a body does not begin a request (RFC 9112, 2.2): the connection stays idle. Only so many
    /// are passed over.
    fn blank_lines(&mut self, bytes: &[u8]) -> bool {
        let blank = matches!(bytes, b"\r\n" | b"\r\n\r\n") && self.blank < MAX_BLANK_LINES;
        if blank {
            self.blank += bytes.len() / 2;
        }
        blank
    }

    /// Parses a head from the beginning of `input`; `None` when it is not whole. With it, the bytes it took.
    fn parse(&mut self, input: &[u8], place: Place) -> Option<(Next, usize)> {
        let local = &self.connection.local;
        let (head, _) = self
            .head
            .get_or_insert_with(|| (local.journal.take_head(), clock::now()));
        match parse(input, &self.limits, head) {
            Ok(Progress::Complete(used)) => Some((Next::Request(None), used)),
            Ok(Progress::Partial) => {
                if place == Place::First {
                    self.limit();
                }
                let ended = memchr::memrchr(b'\n', input).map_or(0, |end| end + 1);
                self.unended = input.len() - ended;
                None
            }
            Err(error) => {
                glimpse(input, head);
                Some((Next::Refused(error), input.len()))
            }
        }
    }

    /// Whether so many bytes behind a head are of its body alone, which goes on as it is.
    fn is_body(&self, next: &Next, len: usize) -> bool {
        let Some((head, _)) = &self.head else {
            return false;
        };
        match (next, head.body(), head.expect()) {
            (Next::Request(_), BodyLength::Exact(length), Expect::Nothing) => length >= len as u64,
            _ => false,
        }
    }

    /// The head must be whole by then.
    fn limit(&self) {
        let clock = &self.connection.local.deadlines;
        self.connection.timer.set(clock.after(self.header));
    }

    /// Something came that is no head yet.
    fn begin(&mut self) {
        self.limit();
        self.head = Some((self.connection.local.journal.take_head(), clock::now()));
    }

    /// Whether what came first on a connection is what HTTP/2 begins with.
    fn prior(&self, input: &[u8]) -> Prior {
        match self.place {
            Place::First => Prior::of(input, self.h2c),
            Place::Later => Prior::No,
        }
    }

    /// A head that will not be whole.
    fn cut(&mut self, error: Error) -> Next {
        if let Some((head, _)) = &mut self.head {
            glimpse(&self.connection.input.borrow(), head);
        }
        Next::Refused(error)
    }

    /// The deadline passed: silence between requests is an end, half a head is refused.
    fn late(&mut self) -> Next {
        let forced = self.connection.local.drain.phase() == Phase::Forced;
        if self.head.is_some() {
            let reason = if forced {
                Reason::Shutdown
            } else {
                Reason::HeaderTimeout
            };
            return self.cut(Error::from(reason));
        }
        self.connection.ends_by(match self.place {
            _ if self.connection.local.drain.phase() != Phase::Serving => Closed::Drain,
            _ if self.connection.local.credit.level() >= Level::Short => Closed::Overloaded,
            Place::First => Closed::FirstByte,
            Place::Later => Closed::Idle,
        });
        Next::End
    }

    /// Ready when the client has the last of its answer: until then, for as long as it may take, its requests are not read.
    #[inline]
    fn poll_caught_up(&mut self, cx: &mut Context<'_>) -> Poll<Option<Next>> {
        match self.connection.stream.poll_left(cx) {
            Poll::Ready(Ok(())) if !self.behind.is_on() => Poll::Ready(None),
            left => self.catch_up(&left),
        }
    }

    #[cold]
    fn catch_up(&mut self, left: &Poll<io::Result<()>>) -> Poll<Option<Next>> {
        let connection = self.connection;
        // What has begun of a head has its own deadline.
        let rests = self.head.is_none();
        let forced = connection.local.drain.phase() == Phase::Forced;
        match left {
            Poll::Ready(Ok(())) => {
                self.behind.ends();
                if rests {
                    rest(connection, self.idle);
                }
                return Poll::Ready(None);
            }
            Poll::Pending if forced || (!rests && connection.timer.fired()) => {}
            Poll::Pending => {
                if let Some(due) = self.behind.waits(connection) {
                    if rests {
                        connection.timer.set(due);
                    }
                    connection.weigh(connection.stream.left());
                    return Poll::Pending;
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        give_up(connection);
        Poll::Ready(Some(Next::End))
    }

    /// The client closed: in the middle of a head that is worth a line.
    fn ended(&mut self) -> Next {
        match self.head {
            Some(_) => self.cut(Error::new(Reason::ClientAbort, Detail::Eof)),
            None => Next::End,
        }
    }
}
