//! The record of one exchange.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::{self, Instant};
use crate::base::{ClusterName, Detail, Phase, Reason, RouteName};
use crate::message::trailer::Dropped;
use crate::message::{Known, RequestHead};
use crate::metrics::{ExchangeCells, Step};

use super::facts::{ConnectionFacts, TlsFacts};
use super::format::Value;
use super::id::Id;
use super::journal::{Journal, Weight};
use super::note::{Span, jot};
use super::plan::Field;
use super::session::Counts;

/// What is known of an exchange. Says `client_abort` until someone knows better; its drop writes the line
/// and the counts.
#[derive(Debug)]
pub struct Record {
    pub(super) journal: Rc<Journal>,
    facts: Rc<ConnectionFacts>,
    pub(super) counts: Counts,
    /// `None`: a session has none.
    pub(super) head: Option<Box<RequestHead>>,
    pub(super) note: Vec<u8>,
    pub(super) trusted_id: Option<Span>,
    route: Option<Span>,
    attempt: Option<Attempt>,
    attempts: u32,
    /// Made when it is first asked for: an exchange whose name is neither logged nor sent has none.
    pub(super) id: OnceCell<Id>,
    client: Option<IpAddr>,
    status: u16,
    reason: Reason,
    detail: Detail,
    phase: Phase,
    pub(super) begin: Instant,
    end: Option<Instant>,
    first_byte: Option<Instant>,
    queued: Option<Duration>,
    connected: Option<Duration>,
    request_bytes: u64,
    response_bytes: u64,
}

/// Where the names of the last attempt are.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    cluster: Span,
    endpoint: Span,
}

impl Record {
    /// Opens the record of an exchange whose first byte came at `at`. `cells` are those of the listener
    /// without a route.
    pub fn open(
        journal: &Rc<Journal>,
        facts: &Rc<ConnectionFacts>,
        head: Box<RequestHead>,
        cells: Arc<ExchangeCells>,
        at: Instant,
    ) -> Self {
        let counts = Counts::exchange(cells);
        Self::begun(journal, facts, Some(head), counts, at)
    }

    pub(super) fn begun(
        journal: &Rc<Journal>,
        facts: &Rc<ConnectionFacts>,
        head: Option<Box<RequestHead>>,
        counts: Counts,
        at: Instant,
    ) -> Self {
        Self {
            journal: Rc::clone(journal),
            facts: Rc::clone(facts),
            counts,
            head,
            note: journal.take_note(),
            trusted_id: None,
            route: None,
            attempt: None,
            attempts: 0,
            id: OnceCell::new(),
            client: None,
            status: 0,
            reason: Reason::ClientAbort,
            detail: Detail::None,
            phase: Phase::Request,
            begin: at,
            end: None,
            first_byte: None,
            queued: None,
            connected: None,
            request_bytes: 0,
            response_bytes: 0,
        }
    }

    /// The request's head.
    pub fn head(&self) -> &RequestHead {
        static NONE: RequestHead = RequestHead::NONE;
        self.head.as_deref().unwrap_or(&NONE)
    }

    /// The request's head, for the codec that fills it.
    pub fn head_mut(&mut self) -> &mut RequestHead {
        self.head.get_or_insert_default()
    }

    /// The facts of its connection.
    pub fn facts(&self) -> &Rc<ConnectionFacts> {
        &self.facts
    }

    /// When the exchange began.
    pub fn begin(&self) -> Instant {
        self.begin
    }

    /// The client's address, as told by trusted proxies.
    pub fn client(&mut self, client: IpAddr) {
        self.client = Some(client);
    }

    /// A route was found: it is named in the line, and its cells count.
    pub fn matched(&mut self, route: &RouteName, cells: &Arc<ExchangeCells>) {
        self.route = Some(self.jot(route.as_str().as_bytes()));
        self.counts = Counts::exchange(Arc::clone(cells));
    }

    /// Where the exchange is to go; no endpoint was tried yet.
    pub fn aim(&mut self, cluster: &ClusterName) {
        let cluster = self.jot(cluster.as_str().as_bytes());
        let endpoint = cluster.behind();
        self.attempt = Some(Attempt { cluster, endpoint });
    }

    /// An endpoint is tried. The line shows how many were, and the last.
    pub fn attempt(&mut self, cluster: &ClusterName, endpoint: &str) {
        if let Some(last) = self.attempt.take()
            && last.endpoint.is_last(&self.note)
        {
            self.note.truncate(last.cluster.start());
        }
        let cluster = self.jot(cluster.as_str().as_bytes());
        let endpoint = self.jot(endpoint.as_bytes());
        self.attempt = Some(Attempt { cluster, endpoint });
        self.attempts += 1;
    }

    /// The cluster that it goes to; empty: none so far.
    pub fn cluster(&self) -> &str {
        let cluster = self.attempt.map(|last| last.cluster.of(&self.note));
        // A name, which is ASCII.
        std::str::from_utf8(cluster.unwrap_or_default()).unwrap_or_default()
    }

    /// How many endpoints were tried.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How far the exchange is.
    pub fn phase(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// The status that the client gets.
    pub fn status(&mut self, status: u16) {
        self.status = status;
    }

    /// Waited so long for a slot at an endpoint, over all attempts.
    pub fn queued(&mut self, time: Duration) {
        *self.queued.get_or_insert_default() += time;
    }

    /// Making connections took so long, over all attempts; zero: one came from the pool.
    pub fn connected(&mut self, time: Duration) {
        *self.connected.get_or_insert_default() += time;
    }

    /// The response head began to arrive.
    pub fn first_byte(&mut self, at: Instant) {
        self.first_byte = Some(at);
    }

    /// So many more bytes of the request body were received.
    pub fn request_bytes(&mut self, bytes: u64) {
        self.request_bytes += bytes;
    }

    /// So many more bytes of the response body were sent.
    pub fn response_bytes(&mut self, bytes: u64) {
        self.response_bytes += bytes;
    }

    /// Trailer fields were not passed on.
    pub fn trailers_dropped(&self, dropped: Dropped) {
        if let Counts::Exchange(cells) = &self.counts
            && !dropped.is_empty()
        {
            cells.trailers_dropped(dropped);
        }
    }

    /// The exchange has ended. The last call counts, except that the first reason other than
    /// `client_abort` stays.
    pub fn end(&mut self, reason: Reason, detail: Detail, now: Instant) {
        if self.reason == Reason::ClientAbort {
            self.reason = reason;
            self.detail = detail;
        }
        self.end = Some(now);
    }

    /// Why the exchange ended, as far as is known.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    fn jot(&mut self, text: &[u8]) -> Span {
        jot(&mut self.note, text)
    }

    fn noted_or_absent(&self, span: Option<Span>) -> Value<'_> {
        span.map_or(Value::Absent, |span| Value::Plain(span.of(&self.note)))
    }

    /// The value of a field; `None` for the time, which the journal writes.
    fn value(&self, field: Field, end: Instant) -> Option<Value<'_>> {
        let head = self.head();
        let attempt = self.attempt;
        Some(match field {
            Field::Time => return None,
            Field::RequestId => Value::Plain(self.request_id().as_bytes()),
            Field::Client => match self.client {
                Some(client) => Value::Address(client),
                None => Value::Plain(self.facts.source_text().as_bytes()),
            },
            Field::Peer => Value::Plain(self.facts.peer_logged().as_bytes()),
            Field::Listener => Value::Plain(self.facts.listener.as_str().as_bytes()),
            Field::Method => text_or_absent(head.method_token()),
            Field::Host if self.counts.transport().is_some() => {
                self.facts.server_name().map_or(Value::Absent, Value::Text)
            }
            Field::Host => text_or_absent(head.host()),
            Field::Path => text_or_absent(head.path()),
            Field::Query => head.query().map_or(Value::Absent, Value::Text),
            Field::Protocol if let Some(spoken) = self.counts.transport() => {
                Value::Plain(spoken.as_bytes())
            }
            Field::Status if self.counts.transport().is_some() => Value::Absent,
            Field::Protocol if head.method_token().is_empty() => Value::Absent,
            Field::Protocol => Value::Plain(head.version().as_str().as_bytes()),
            Field::Status => Value::Number(u64::from(self.status)),
            Field::Reason => Value::Plain(self.reason.as_str().as_bytes()),
            Field::Phase => Value::Plain(self.phase.as_str().as_bytes()),
            Field::Side => Value::Plain(self.reason.side().as_str().as_bytes()),
            Field::Detail if self.detail == Detail::None => Value::Absent,
            Field::Detail => Value::Plain(self.detail.as_str().as_bytes()),
            Field::Duration => Value::Millis(clock::between(self.begin, end)),
            Field::Queue => self.queued.map_or(Value::Absent, Value::Millis),
            Field::Connect => self.connected.map_or(Value::Absent, Value::Millis),
            Field::FirstByte => self.first_byte.map_or(Value::Absent, |at| {
                Value::Millis(clock::between(self.begin, at))
            }),
            Field::BytesIn => Value::Number(self.request_bytes),
            Field::BytesOut => Value::Number(self.response_bytes),
            Field::Route => self.noted_or_absent(self.route),
            Field::Cluster => self.noted_or_absent(attempt.map(|last| last.cluster)),
            // A unix socket's path may hold anything.
            Field::Endpoint => match attempt {
                Some(last) if !last.endpoint.is_empty() => {
                    Value::Text(last.endpoint.of(&self.note))
                }
                _ => Value::Absent,
            },
            Field::Attempts => Value::Number(u64::from(self.attempts)),
            Field::TlsVersion => self.agreed(|tls| Some(tls.version)),
            Field::TlsCipher => self.agreed(|tls| Some(tls.cipher)),
            Field::ServerName => {
                let name = self.facts.server_name();
                name.map_or(Value::Absent, Value::Text)
            }
            Field::ConnectionId => {
                let id = self.facts.connection_id();
                id.map_or(Value::Absent, |id| Value::Plain(id.as_bytes()))
            }
            Field::ClientSubject => self.agreed(|tls| Some(&tls.client.as_ref()?.subject)),
            Field::ClientSerial => self.agreed(|tls| Some(&tls.client.as_ref()?.serial)),
            Field::ClientFingerprint => self.agreed(|tls| Some(&tls.client.as_ref()?.fingerprint)),
            Field::UserAgent => head
                .first(Known::UserAgent)
                .map_or(Value::Absent, Value::Text),
            Field::Referer => head
                .first(Known::Referer)
                .map_or(Value::Absent, Value::Text),
        })
    }

    /// What came of the handshake; names in a certificate may hold quotes.
    fn agreed<'r>(&'r self, read: impl FnOnce(&'r TlsFacts) -> Option<&'r str>) -> Value<'r> {
        let text = self.facts.tls().and_then(read);
        text.map_or(Value::Absent, |text| Value::Text(text.as_bytes()))
    }

    fn weight(&self) -> Weight {
        match self.reason {
            Reason::Completed | Reason::LocalReply if self.status < 500 => Weight::Sampled,
            _ => Weight::Always,
        }
    }

    fn count(&self, end: Instant) {
        let lasted = clock::between(self.begin, end);
        let cells = match &self.counts {
            Counts::Exchange(cells) => cells,
            Counts::Session(cells, _) => {
                cells.finish(self.reason, lasted, self.request_bytes, self.response_bytes);
                return;
            }
            Counts::Nowhere => return,
        };
        if let Some(time) = self.queued {
            cells.observe_step(Step::Queue, time);
        }
        // Zero: the connection came from the pool, nothing was made.
        if let Some(time) = self.connected.filter(|time| !time.is_zero()) {
            cells.observe_step(Step::Connect, time);
        }
        if let Some(at) = self.first_byte {
            cells.observe_step(Step::FirstByte, clock::between(self.begin, at));
            cells.observe_step(Step::Body, clock::between(at, end));
        }
        cells.finish(
            self.head().method(),
            self.status,
            self.reason,
            lasted,
            self.request_bytes,
            self.response_bytes,
        );
    }
}

fn text_or_absent(text: &[u8]) -> Value<'_> {
    match text {
        [] => Value::Absent,
        text => Value::Text(text),
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.reason = Reason::Internal;
            self.detail = Detail::None;
        }
        if self.status == 0 {
            self.status = self.reason.status(self.detail);
        }
        if !matches!(self.counts, Counts::Nowhere) {
            let end = self.end.unwrap_or_else(clock::now);
            self.count(end);
            self.journal.log(self.begin, self.weight(), |column| {
                self.value(column.field, end)
            });
        }
        if let Some(head) = self.head.take() {
            self.journal.give_head(head);
        }
        self.journal.give_note(std::mem::take(&mut self.note));
    }
}
