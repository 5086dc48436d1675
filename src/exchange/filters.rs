//! The filters of a route, called with what they may see of an exchange.

use std::net::IpAddr;

use super::Exchange;
use crate::base::Phase;
use crate::base::clock::Instant;
use crate::filter::{Facts, Kept, Progress, RequestView, ResponseView, Said, Verdict};
use crate::message::forwarded::{self, Proto, Trust};
use crate::message::{Edits, ResponseHead};
use crate::record::Record;
use crate::route::Route;

/// What of an exchange stands beside its kit, so that the kit can be written to meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Beside<'x> {
    pub(super) record: &'x Record,
    pub(super) client: IpAddr,
    pub(super) trust: Trust,
    pub(super) started: Instant,
}

impl<'x> Beside<'x> {
    fn facts(self, route: &'x Route, cluster: Said<'x>) -> Facts<'x> {
        Facts {
            client: self.client,
            name: Said::By(self.record),
            listener: self.record.facts().listener.as_str(),
            route: route.name.as_str(),
            cluster,
            scheme: proto(self.record, self.trust),
            tls: self.record.facts().tls(),
            now: self.started,
        }
    }
}

/// By which scheme the client asked, behind trusted proxies.
pub(super) fn scheme(x: &Exchange) -> Proto {
    proto(&x.record, x.trust)
}

fn proto(record: &Record, trust: Trust) -> Proto {
    forwarded::proto(record.head(), trust, record.facts().proto())
}

/// Runs the filters from where the request has come to.
pub(super) fn down(
    x: &mut Exchange,
    route: &Route,
    cluster: &str,
    progress: &mut Progress,
) -> Verdict {
    if route.filters.is_empty() {
        return Verdict::Continue;
    }
    x.record.phase(Phase::Filter);
    let beside = Beside {
        record: &x.record,
        client: x.client,
        trust: x.trust,
        started: x.started,
    };
    let facts = beside.facts(route, Said::Text(cluster));
    let kit = &mut *x.kit;
    let mut view = RequestView {
        head: x.record.head(),
        facts: &facts,
        edits: &mut kit.request_edits,
        kept: &mut kit.kept,
        progress,
    };
    route.filters.on_request(&mut view)
}

/// Runs the filters on an answer, an endpoint's or our own.
pub(super) fn up(
    beside: Beside<'_>,
    edits: &mut Edits,
    kept: &Kept,
    route: &Route,
    head: &ResponseHead<'_>,
) {
    if route.filters.passes_answers() {
        return;
    }
    edits.clear();
    let facts = beside.facts(route, Said::By(beside.record));
    let mut view = ResponseView {
        status: head.status,
        head,
        request: beside.record.head(),
        facts: &facts,
        edits,
        kept,
        step: 0,
    };
    route.filters.on_response(&mut view);
}
