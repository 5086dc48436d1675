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
    fn facts(self, route: &'x Route, cluster: Option<&'x str>) -> Facts<'x> {
        Facts {
            client: self.client,
            now: self.started,
            said: Said::By {
                record: self.record,
                trust: self.trust,
                route: &route.name,
                cluster,
            },
        }
    }
}

/// By which scheme the client asked, behind trusted proxies.
pub(super) fn scheme(x: &Exchange) -> Proto {
    let own = x.record.facts().proto();
    forwarded::proto(x.record.head(), x.trust, own)
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
    let facts = beside.facts(route, Some(cluster));
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
    let facts = beside.facts(route, None);
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
