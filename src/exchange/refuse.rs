//! Answers of our own: what is configured, and what is left to say when something failed.

use std::future::poll_fn;

use super::filters::{self, Beside};
use super::page::page;
use super::side::{Answer, Answered, Author, Downstream, Piece};
use super::{Exchange, Served, grpc};
use crate::base::reason::Side;
use crate::base::{Detail, Error, Reason, clock};
use crate::filter::Reply;
use crate::http1::body::More;
use crate::message::{BodyLength, Edits, Known, Method, ResponseHead, Upgrade};
use crate::net::{Stall, Timer};
use crate::route::Route;
use crate::worker::View;
use crate::worker::scratch::{HEADROOM, READ};

/// Sends what a redirect, a fixed response or a filter answers.
pub(super) async fn reply<D: Downstream>(
    x: &mut Exchange,
    down: &mut D,
    timer: &Timer,
    route: &Route,
    reply: &Reply,
) -> Result<Served, Error> {
    let told = match reply.reason() {
        // What is configured is sent as it is.
        Reason::LocalReply => None,
        reason => grpc::refusal(x.record.head(), reason, reply.detail(), Reply::RETRY_AFTER),
    };
    let reply = told.as_ref().unwrap_or(reply);
    let paged = page(x, down, timer, Some(route), reply).await?;
    let reply = paged.as_ref().unwrap_or(reply);
    filter(x, route, reply);
    x.end(reply.reason(), reply.detail());
    let sent = send(x, down, timer, reply, Author::Proxy).await;
    sent.map(|()| Served::Whole)
}

/// The filters see an answer of ours as they see any.
fn filter(x: &mut Exchange, route: &Route, reply: &Reply) {
    let beside = Beside {
        record: &x.record,
        client: x.client,
        trust: x.trust,
        started: x.started,
    };
    let kit = &mut *x.kit;
    filters::up(
        beside,
        &mut kit.response_edits,
        &kit.kept,
        route,
        &reply.head(),
    );
}

/// Ends an exchange that failed: tells the client if that is still possible, through the response filters of its route, if it has
/// found one. They go by what they kept of the request, and so those that it did not reach say what they say to everybody: a
/// script of another site may read why its request failed where `cors` allows that.
pub(super) async fn tell<D: Downstream>(
    x: &mut Exchange,
    down: &mut D,
    timer: &Timer,
    view: &View,
    error: Error,
) -> Served {
    let (reason, detail) = (error.reason(), error.detail());
    log(x, view, &error);
    let status = reason.status(detail);
    if down.answered() != Answered::Nothing || status == 0 || reason == Reason::ClientAbort {
        x.end(reason, detail);
        return Served::Cut;
    }
    x.kit.response_edits.clear();
    let route = x
        .route
        .and_then(|ix| view.snapshot.routes.routes().get(ix.index()));
    let author = match reason.side() {
        Side::Downstream => Author::Refusal,
        Side::Upstream | Side::Local => Author::Proxy,
    };
    let wait = x.retry_after.unwrap_or(Reply::RETRY_AFTER);
    let refusal = grpc::refusal(x.record.head(), reason, detail, wait)
        .unwrap_or_else(|| Reply::refusal_after(reason, detail, wait));
    // What failed is how it ended only if the client stays to hear it.
    let paged = match page(x, down, timer, route, &refusal).await {
        Ok(paged) => paged,
        Err(gone) => {
            x.end(gone.reason(), gone.detail());
            return Served::Cut;
        }
    };
    x.end(reason, detail);
    let refusal = paged.as_ref().unwrap_or(&refusal);
    if let Some(route) = route {
        filter(x, route, refusal);
    }
    match send(x, down, timer, refusal, author).await {
        Ok(()) => Served::Whole,
        Err(_) => Served::Cut,
    }
}

/// Endpoint failures are worth a line beside the access log while someone debugs.
fn log(x: &Exchange, view: &View, error: &Error) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let cause = std::error::Error::source(error)
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::debug!(
            reason = error.reason().as_str(),
            detail = error.detail().as_str(),
            cause,
            request_id = x.record.request_id(),
            epoch = view.epoch,
            "an exchange failed"
        );
    }
}

/// Says when the answer was made, as who answers with a clock must (RFC 9110, 6.6.1), where neither it says so itself nor a
/// filter takes it away.
fn date(edits: &mut Edits, head: &ResponseHead<'_>) {
    let is_dated = head.fields.iter().any(|field| field.known == Known::Date);
    if !is_dated && !edits.drops(b"date") && edits.values(b"date").next().is_none() {
        edits.add(b"date", &clock::http_date());
    }
}

/// Gives the answer to the driver and waits until the kernel has taken it.
async fn send<D: Downstream>(
    x: &mut Exchange,
    down: &mut D,
    timer: &Timer,
    reply: &Reply,
    author: Author,
) -> Result<(), Error> {
    x.record.status(reply.status());
    date(&mut x.kit.response_edits, &reply.head());
    let body = match x.record.head().method() {
        Method::Head => &[],
        _ => &reply.body()[..],
    };
    let limit = x.view.listeners.get(x.listener).map(|listener| {
        (
            listener.spec.timeouts.write,
            listener.spec.limits.write_rate,
        )
    });
    let (limit, rate) = limit.unwrap_or_default();
    let clock = timer.deadlines();
    let mut stall = Stall::new(rate);
    let mut rest = body;
    let mut first = true;
    poll_fn(|cx| {
        loop {
            match down.poll_flush(cx) {
                std::task::Poll::Ready(Ok(())) if !first && rest.is_empty() => {
                    return std::task::Poll::Ready(Ok(()));
                }
                std::task::Poll::Ready(Ok(())) => stall.ends(clock.tick(), || 0),
                std::task::Poll::Ready(Err(error)) => return std::task::Poll::Ready(Err(error)),
                std::task::Poll::Pending => {
                    stall.waits(clock, limit, down.unsent(), || down.owed());
                    if forced(x) || stall.over(clock.tick()).is_some() {
                        let error = Error::new(Reason::BodyTimeout, Detail::WriteStall);
                        return std::task::Poll::Ready(Err(error));
                    }
                    timer.set(stall.due());
                    down.weigh();
                    return std::task::Poll::Pending;
                }
            }
            let mut scratch = x.local.scratch();
            let len = rest.len().min(READ);
            let (now, later) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            if let Some(place) = scratch.get_mut(HEADROOM..HEADROOM + len) {
                place.copy_from_slice(now);
            }
            rest = later;
            let more = if rest.is_empty() {
                More::Ended
            } else {
                More::Follows
            };
            let piece = Piece {
                start: HEADROOM,
                len,
                more,
            };
            let given = if std::mem::take(&mut first) {
                let head = reply.head();
                let length = BodyLength::Exact(reply.body().len() as u64);
                let answer = Answer {
                    head: &head,
                    edits: &x.kit.response_edits,
                    body: length,
                    switching: Upgrade::None,
                    author,
                };
                down.head(cx, &answer, &mut scratch, piece)
            } else {
                down.piece(cx, &mut scratch, piece, b"")
            };
            if let Err(error) = given {
                return std::task::Poll::Ready(Err(error));
            }
        }
    })
    .await
}

fn forced(x: &Exchange) -> bool {
    x.local.drain.phase() == crate::drain::Phase::Forced
}

impl Exchange {
    fn end(&mut self, reason: Reason, detail: Detail) {
        self.record.end(reason, detail, clock::now());
    }
}
