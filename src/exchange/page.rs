//! Error pages: what a client is shown instead of the short text of a refusal.

use std::sync::Arc;
use std::time::Duration;

use super::Exchange;
use super::pause::pause;
use super::side::Downstream;
use crate::base::{Error, Reason};
use crate::filter::{ErrorPages, Over, Reply, Until};
use crate::limit::Level;
use crate::message::grpc::{self, Speaks, speaks};
use crate::message::{Known, ResponseHead};
use crate::net::Timer;
use crate::route::Route;

/// How long a cluster may take for its page at least. A request that failed because its time was over has none left, and is to be
/// shown its page all the same where that costs little.
const PATIENCE: Duration = Duration::from_millis(250);

/// The answer with its page, where there is one. A cluster that does not give its page in time is like none. A client that leaves
/// meanwhile is to be shown nothing.
pub(super) async fn page<D: Downstream>(
    x: &Exchange,
    down: &mut D,
    timer: &Timer,
    route: Option<&Route>,
    reply: &Reply,
) -> Result<Option<Reply>, Error> {
    let Some(pages) = pages(x) else {
        return Ok(None);
    };
    // A call hears `grpc-status` and nothing else.
    if speaks(x.record.head()) != Speaks::Http {
        return Ok(None);
    }
    if let Some(errand) = pages.errand(reply)
        && x.local.credit.level() < Level::Full
    {
        let until = Until::Heard(Arc::new(errand));
        // Boxed: a wait is rare, and its room would be in every exchange.
        let heard = match Box::pin(pause(x, down, timer, route, until, PATIENCE)).await {
            Ok(Over::Heard(heard)) => heard,
            Err(gone) if gone.reason() == Reason::ClientAbort => return Err(gone),
            Ok(_) | Err(_) => None,
        };
        if let Some(page) = pages.heard(reply, heard) {
            return Ok(Some(page));
        }
    }
    Ok(pages.own(reply, x.record.head(), x.record.request_id()))
}

fn pages(x: &Exchange) -> Option<&ErrorPages> {
    let pages = x.view.snapshot.pages.get(x.pages?.index());
    pages.map(|pages| &**pages)
}

/// Whether a page takes the place of this answer of an endpoint. Whether it is one of gRPC the endpoint says: what a client says of its
/// request would let it see what is to be hidden.
pub(super) fn replaces(x: &Exchange, head: &ResponseHead<'_>) -> bool {
    let is_call = |kind| {
        grpc::format(kind)
            .or_else(|| grpc::web_format(kind))
            .is_some()
    };
    pages(x).is_some_and(|pages| pages.replaces(head.status))
        && !head.first(Known::ContentType).is_some_and(is_call)
}
