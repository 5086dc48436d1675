//! A question to a cluster on behalf of an exchange: an exchange within it, over the same pick, checkout and attempts, whose
//! client is the one that asks. It has no line in the log and counts for no route, but for its cluster like any other.
//!
//! **Cancel safety.** Dropping [`ask`] is how a vanished client ends it, as with any exchange.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::side::{Answer, Answered, Downstream, Piece};
use super::{Disposition, Exchange, attempt};
use crate::base::{Detail, Error, Reason, RouteName, clock};
use crate::filter::{Errand, FilterChain, Heard};
use crate::http1::body::More;
use crate::http1::request::{HeadLimits, MAX_FIELDS, Progress, parse};
use crate::http1::trailers::Trailers;
use crate::limit::Charge;
use crate::message::path::Policy;
use crate::message::{RequestHead, ResponseHead};
use crate::net::Timer;
use crate::record::Record;
use crate::route::{Action, Route, RouteLimits, RouteTimeouts, Trace};
use crate::upstream::Private;
use crate::worker::local::group;

/// What of a request is sent along was within the limits of its listener, and is no longer than this.
const MOST_HEAD: usize = 2 << 20;

/// Asks; `None`: there was no whole answer in time.
pub(super) async fn ask(x: &Exchange, route: Option<&Route>, errand: &Errand) -> Option<Heard> {
    let heard = tokio::time::timeout(errand.timeout, hear(x, route, errand));
    let error = match heard.await {
        Ok(Ok(heard)) => return Some(heard),
        Ok(Err(error)) => error,
        Err(_) => Error::from(Reason::MaxDuration),
    };
    tracing::debug!(
        reason = error.reason().as_str(),
        detail = error.detail().as_str(),
        request_id = x.record.request_id(),
        "a question was not answered"
    );
    None
}

async fn hear(x: &Exchange, route: Option<&Route>, errand: &Errand) -> Result<Heard, Error> {
    let view = Rc::clone(&x.view);
    let cluster = view.clusters.get(errand.cluster.index());
    let cluster = cluster.ok_or_else(|| Error::from(Reason::Internal))?;
    let (local, now) = (&x.local, clock::now());
    let facts = x.record.facts();
    let record = Record::aside(&local.journal, facts, head(x, errand)?, now);
    let mut inner = Exchange {
        local: Rc::clone(local),
        view: Rc::clone(&view),
        listener: x.listener,
        record,
        kit: local.take_kit(),
        trust: x.trust,
        client: x.client,
        started: now,
        own: None,
        rested: None,
        route: None,
        // No answer to a question leads to another.
        pages: None,
        retry_after: None,
        memory: Charge::new(&local.credit),
        _among: local.begin_exchange(),
    };
    inner.record.named_as(&x.record);
    tell(&mut inner, x.record.head(), errand);
    inner.weigh(0);
    let timer = Timer::new(&local.deadlines, group(&facts.listener));
    poll_fn(|cx| {
        timer.watch(cx);
        Poll::Ready(())
    })
    .await;
    let route = within(route, errand);
    let mut ear = Ear::new(errand.most, Charge::new(&local.credit));
    // Boxed: it is as large as the exchange around it.
    let asked = Box::pin(attempt::forward(
        &mut inner, &mut ear, &timer, &route, cluster,
    ))
    .await;
    let Exchange { kit, .. } = inner;
    local.give_kit(kit);
    asked.map(|_| ear.heard)
}

/// The head, as a client would send it: it is parsed and written again as any other.
fn head(x: &Exchange, errand: &Errand) -> Result<Box<RequestHead>, Error> {
    let asked = x.record.head();
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(b"GET ");
    text.extend_from_slice(&errand.path);
    text.extend_from_slice(if asked.authority().is_empty() {
        b" HTTP/1.0\r\n"
    } else {
        b" HTTP/1.1\r\nHost: "
    });
    if !asked.authority().is_empty() {
        text.extend_from_slice(asked.authority());
        text.extend_from_slice(b"\r\n");
    }
    let mut tell = |name: &[u8], value: &[u8]| {
        for part in [name, b": ", value, b"\r\n"] {
            text.extend_from_slice(part);
        }
    };
    // As the filters before have left them: what one of them took from the client, or found out of it (E-120).
    let edits = &x.kit.request_edits;
    for field in asked.fields() {
        let name = asked.name(field);
        let mut listed = errand.send.iter();
        let listed = listed.any(|send| send.as_bytes().eq_ignore_ascii_case(name));
        if field.known.is_forwarding() || (listed && !edits.drops_alias(name)) {
            tell(name, asked.value(field));
        }
    }
    for name in &errand.send {
        for value in edits.values(name.as_bytes()) {
            tell(name.as_bytes(), value);
        }
    }
    text.extend_from_slice(b"\r\n");
    let limits = HeadLimits {
        request_line: MOST_HEAD,
        headers: MOST_HEAD,
        count: MAX_FIELDS,
        name: MOST_HEAD,
        path: Policy::DEFAULT,
        own: x.record.facts().proto(),
    };
    let mut head = Box::new(RequestHead::NONE);
    match parse(&text, &limits, &mut head)? {
        Progress::Complete(_) => {
            head.guard_as(asked);
            Ok(head)
        }
        Progress::Partial => Err(Error::from(Reason::Internal)),
    }
}

/// What the client asked for: never what it says of that itself.
fn tell(inner: &mut Exchange, asked: &RequestHead, errand: &Errand) {
    let edits = &mut inner.kit.request_edits;
    if let Some(host) = &errand.host {
        edits.set_authority(host);
    }
    edits.set(b"X-Forwarded-Method", asked.method_token());
    edits.remove(b"X-Forwarded-Uri");
    edits.add_made(b"X-Forwarded-Uri", |out| {
        out.extend_from_slice(asked.path());
        if let Some(query) = asked.query() {
            out.push(b'?');
            out.extend_from_slice(query);
        }
    });
}

/// The route's name, and nothing else of it.
fn within(route: Option<&Route>, errand: &Errand) -> Route {
    Route {
        name: route.map_or_else(RouteName::none, |route| route.name.clone()),
        action: Action::Cluster(errand.cluster),
        filters: FilterChain::default(),
        pages: None,
        timeouts: RouteTimeouts {
            request: Some(errand.timeout),
            ..RouteTimeouts::default()
        },
        limits: RouteLimits::default(),
        path: None,
        trace: Trace::Refused,
    }
}

/// The client of a question: it keeps the answer.
struct Ear {
    heard: Heard,
    most: usize,
    answered: Answered,
    trailers: Trailers,
    private: Private,
    memory: Charge,
}

const TOO_LONG: Error = Error::new(Reason::Overloaded, Detail::Memory);

impl Ear {
    fn new(most: usize, memory: Charge) -> Self {
        Self {
            heard: Heard::default(),
            most,
            answered: Answered::Nothing,
            trailers: Trailers::default(),
            private: Private::default(),
            memory,
        }
    }

    fn take(&mut self, scratch: &[u8], piece: Piece) -> Result<(), Error> {
        let bytes = scratch.get(piece.start..piece.start + piece.len);
        let bytes = bytes.unwrap_or_default();
        if self.heard.body.len() + bytes.len() > self.most {
            return Err(TOO_LONG);
        }
        self.heard.body.extend_from_slice(bytes);
        if piece.more == More::Ended {
            self.answered = Answered::Whole;
        }
        Ok(())
    }
}

impl Downstream for Ear {
    /// There is no body.
    fn poll_body(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<Result<Piece, Error>> {
        Poll::Ready(Err(Error::from(Reason::Internal)))
    }

    fn trailers(&self) -> &Trailers {
        &self.trailers
    }

    fn go_on(&mut self, _: &mut Context<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn interim(&mut self, _: &mut Context<'_>, _: &ResponseHead<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn head(
        &mut self,
        _: &mut Context<'_>,
        answer: &Answer<'_>,
        scratch: &mut [u8],
        piece: Piece,
    ) -> Result<(), Error> {
        self.heard.status = answer.head.status;
        self.heard.bytes.extend_from_slice(answer.head.bytes);
        self.heard.fields.extend_from_slice(answer.head.fields);
        self.answered = Answered::Head;
        self.take(scratch, piece)
    }

    fn piece(
        &mut self,
        _: &mut Context<'_>,
        scratch: &mut [u8],
        piece: Piece,
        _: &[u8],
    ) -> Result<(), Error> {
        self.take(scratch, piece)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn weigh(&self) {
        self.memory.set(self.heard.weight());
    }

    fn unsent(&self) -> usize {
        0
    }

    /// Who asks waits for the answer, and drops all of this when it does not.
    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<Error> {
        Poll::Pending
    }

    fn poll_hung_up(&mut self, _: &mut Context<'_>) -> Poll<Error> {
        Poll::Pending
    }

    fn answered(&self) -> Answered {
        self.answered
    }

    fn finish(&mut self) -> Disposition {
        Disposition::Close
    }

    fn break_off(&mut self) -> Disposition {
        Disposition::Close
    }

    fn private(&self) -> &Private {
        &self.private
    }

    fn bodies(&self) -> (u64, u64) {
        (0, 0)
    }
}
