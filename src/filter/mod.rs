//! Filters: the steps of a route, in order on the request and in reverse order on the response.
//!
//! Turns a request that found its route into one that may go on, or into an answer of our own. A filter sees a
//! narrow view and returns a [`Verdict`]; it changes fields through [`Edits`] alone, which the one writer
//! applies, and bodies through a [`Recode`], so that nothing a filter does can touch framing.
//!
//! **Invariants.** Names and values of every change were validated when the filter was compiled: no filter can
//! write a line end, a framing field, a field of one hop or what this proxy says of the client. Local answers
//! walk the response filters too: their fields are a head like any other ([`Reply::head`]).
//!
//! **Not here.** Which filters a route has (`route`), when they run (`exchange`), and the writing of heads
//! (`http1`).

mod api_key;
mod auth;
mod bandwidth_limit;
mod basic_auth;
mod changes;
mod compile;
mod concurrency_limit;
mod cors;
mod counts;
mod errand;
mod facts;
mod field;
mod forward_auth;
pub mod grpc_web;
mod ip_access;
mod jwt;
mod kept;
mod live;
mod method_access;
pub mod pages;
mod rate_limit;
mod recode;
mod remembered;
mod reply;
mod request_headers;
mod request_id;
mod response_headers;
mod rewrite;
mod security_headers;
mod sessions;
mod template;

use std::sync::Arc;
use std::time::Duration;

use crate::limiter::store::Ticket;
use crate::message::{Edits, KeyInput, RequestHead, ResponseHead};

pub use api_key::ApiKey;
pub use auth::{Job, Proof, Proofs, Terms};
pub use bandwidth_limit::{BandwidthLimit, Throttle, Way};
pub use basic_auth::BasicAuth;
pub use changes::Changes;
pub use compile::{Fields, Of, Parts, compile, compile_fields};
pub use concurrency_limit::ConcurrencyLimit;
pub use cors::Cors;
pub use errand::{Errand, Heard};
pub use facts::{Facts, Said};
pub use field::{FieldError, Place, check_name, check_value};
pub use forward_auth::ForwardAuth;
pub use grpc_web::GrpcWeb;
pub use ip_access::IpAccess;
pub use jwt::{Fetch, Jwt};
pub use kept::{Keep, Kept, Over, Progress, Quota};
pub use live::{Live, Tally};
pub use method_access::MethodAccess;
pub use pages::{ErrorPages, PagesIx};
pub use rate_limit::RateLimit;
pub use recode::{Recode, Recoded};
pub use reply::Reply;
pub use request_headers::RequestHeaders;
pub use request_id::RequestId;
pub use response_headers::ResponseHeaders;
pub use rewrite::Rewrite;
pub use security_headers::SecurityHeaders;
pub use sessions::{Caller, SessionFilters};
use template::Sources;

/// One step. Its tag is a byte of its own: read out of what one of them holds, it costs four instructions more each time.
#[derive(Clone, Debug)]
#[repr(u8)]
pub enum Filter {
    /// Changes the fields of the request.
    RequestHeaders(RequestHeaders),
    /// Changes the fields of the response.
    ResponseHeaders(ResponseHeaders),
    /// Admits by address.
    IpAccess(IpAccess),
    /// Admits by method.
    MethodAccess(MethodAccess),
    /// Asks for user and password.
    BasicAuth(BasicAuth),
    /// Asks for a key.
    ApiKey(ApiKey),
    /// Asks for a token.
    Jwt(Box<Jwt>),
    /// Asks a service who may go on.
    ForwardAuth(ForwardAuth),
    /// Says which sites may ask.
    Cors(Cors),
    /// Limits how many requests go on.
    RateLimit(RateLimit),
    /// Limits how many are under way.
    ConcurrencyLimit(ConcurrencyLimit),
    /// Limits how fast bodies pass.
    BandwidthLimit(BandwidthLimit),
    /// Sends another path or host to the endpoint.
    Rewrite(Rewrite),
    /// Tells the name of the exchange.
    RequestId(RequestId),
    /// Tells browsers to be careful.
    SecurityHeaders(SecurityHeaders),
    /// Makes calls of gRPC of those of scripts in browsers.
    GrpcWeb(GrpcWeb),
}

impl Filter {
    /// The word in the configuration.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::RequestHeaders(_) => "request_headers",
            Self::ResponseHeaders(_) => "response_headers",
            Self::IpAccess(_) => "ip_access",
            Self::MethodAccess(_) => "method_access",
            Self::BasicAuth(_) => "basic_auth",
            Self::ApiKey(_) => "api_key",
            Self::Jwt(_) => "jwt",
            Self::ForwardAuth(_) => "forward_auth",
            Self::Cors(_) => "cors",
            Self::RateLimit(_) => "rate_limit",
            Self::ConcurrencyLimit(_) => "concurrency_limit",
            Self::BandwidthLimit(_) => "bandwidth_limit",
            Self::Rewrite(_) => "rewrite",
            Self::RequestId(_) => "request_id",
            Self::SecurityHeaders(_) => "security_headers",
            Self::GrpcWeb(_) => "grpc_web",
        }
    }

    /// Looks at a request. Not inlined into the walk, which has those that stand on most routes in it: with all of them there, they
    /// would share its registers.
    #[inline(never)]
    fn on_request(&self, view: &mut RequestView<'_>) -> Verdict {
        match self {
            Self::RequestHeaders(filter) => filter.on_request(view),
            Self::IpAccess(filter) => filter.on_request(view),
            Self::MethodAccess(filter) => filter.on_request(view),
            Self::BasicAuth(filter) => filter.on_request(view),
            Self::ApiKey(filter) => filter.on_request(view),
            Self::Jwt(filter) => filter.on_request(view),
            Self::ForwardAuth(filter) => filter.on_request(view),
            Self::Cors(filter) => filter.on_request(view),
            Self::RateLimit(filter) => filter.on_request(view),
            Self::ConcurrencyLimit(filter) => filter.on_request(view),
            Self::BandwidthLimit(filter) => filter.on_request(view),
            Self::Rewrite(filter) => filter.on_request(view),
            Self::RequestId(filter) => filter.on_request(view),
            Self::GrpcWeb(filter) => filter.on_request(view),
            Self::ResponseHeaders(_) | Self::SecurityHeaders(_) => Verdict::Continue,
        }
    }

    /// Looks at an answer, and is not inlined either.
    #[inline(never)]
    fn on_response(&self, view: &mut ResponseView<'_>) {
        match self {
            Self::ForwardAuth(filter) => filter.on_response(view),
            Self::RequestId(filter) => filter.on_response(view),
            Self::SecurityHeaders(filter) => filter.on_response(view),
            Self::Cors(filter) => filter.on_response(view),
            Self::RateLimit(filter) => filter.on_response(view),
            Self::ResponseHeaders(filter) => filter.on_response(view),
            Self::GrpcWeb(filter) => filter.on_response(view),
            Self::RequestHeaders(_)
            | Self::ConcurrencyLimit(_)
            | Self::BandwidthLimit(_)
            | Self::Rewrite(_)
            | Self::IpAccess(_)
            | Self::BasicAuth(_)
            | Self::ApiKey(_)
            | Self::Jwt(_)
            | Self::MethodAccess(_) => debug_assert!(false, "it does not look at answers"),
        }
    }

    /// Whether it sees answers.
    const fn looks_at_answers(&self) -> bool {
        match self {
            Self::ForwardAuth(_)
            | Self::RequestId(_)
            | Self::SecurityHeaders(_)
            | Self::Cors(_)
            | Self::RateLimit(_)
            | Self::ResponseHeaders(_)
            | Self::GrpcWeb(_) => true,
            Self::RequestHeaders(_)
            | Self::ConcurrencyLimit(_)
            | Self::BandwidthLimit(_)
            | Self::Rewrite(_)
            | Self::IpAccess(_)
            | Self::BasicAuth(_)
            | Self::ApiKey(_)
            | Self::Jwt(_)
            | Self::MethodAccess(_) => false,
        }
    }
}

/// What a filter sees of a request.
#[derive(Debug)]
pub struct RequestView<'a> {
    /// The canonical head.
    pub head: &'a RequestHead,
    /// What else is known.
    pub facts: &'a Facts<'a>,
    /// What is to be changed before it goes to an endpoint.
    pub edits: &'a mut Edits,
    /// What filters keep for later.
    pub kept: &'a mut Kept,
    /// How far it has come in the chain.
    pub progress: &'a mut Progress,
}

/// What a filter sees of a response, an endpoint's or our own.
#[derive(Debug)]
pub struct ResponseView<'a> {
    /// 200-999.
    pub status: u16,
    /// The head as received or as configured.
    pub head: &'a ResponseHead<'a>,
    /// What was asked.
    pub request: &'a RequestHead,
    /// What else is known.
    pub facts: &'a Facts<'a>,
    /// What is to be changed before it goes to the client.
    pub edits: &'a mut Edits,
    /// What filters kept of the request.
    pub kept: &'a Kept,
    /// Which filter sees it: the chain's.
    pub step: usize,
}

impl RequestView<'_> {
    /// Keeps something for the response, or until the end of the exchange.
    pub fn keep(&mut self, keep: Keep) {
        self.kept.put(self.progress.step, keep);
    }

    /// What keys of `route` are read from here.
    fn key_input<'k>(&'k self, route: &'k str) -> KeyInput<'k> {
        KeyInput {
            head: self.head,
            edits: Some(self.edits),
            client: self.facts.client,
            route,
            claims: self.kept.claims(),
        }
    }
}

impl<'a> ResponseView<'a> {
    /// What values are made from.
    fn sources(&self) -> Sources<'a> {
        Sources {
            request: self.request,
            facts: self.facts,
            status: Some(self.status),
        }
    }

    /// What this filter kept of the request.
    pub fn kept(&self) -> Option<&'a Keep> {
        self.kept.of(self.step)
    }
}

/// What a filter says of a request.
#[derive(Debug)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Answer with this; no endpoint hears of it.
    Respond(Reply),
    /// Wait for this, and then go on. The exchange does the waiting: only it can see the client go away meanwhile.
    Wait(Until),
}

/// What a request waits for.
#[derive(Debug)]
pub enum Until {
    /// Its turn comes after so much time.
    Turn(Duration),
    /// A store answers; the filter is called again with what it said.
    Answer(Ticket),
    /// A password is hashed; the filter is called again with what came out.
    Proof(Job),
    /// A cluster is asked; the filter is called again with what was heard. Only the exchange can do that.
    Heard(Arc<Errand>),
    /// Keys of tokens are fetched; the filter is called again.
    Keys(Fetch),
}

/// The filters of one route.
#[derive(Clone, Debug, Default)]
pub struct FilterChain {
    filters: Box<[Filter]>,
    /// Places of those that look at answers, the last first.
    up: Box<[usize]>,
}

impl FilterChain {
    /// A chain of these filters, in the order in which requests walk them.
    pub fn new(filters: Vec<Filter>) -> Self {
        let looks = |(at, filter): (usize, &Filter)| filter.looks_at_answers().then_some(at);
        Self {
            up: filters.iter().enumerate().rev().filter_map(looks).collect(),
            filters: filters.into(),
        }
    }

    /// Whether there is nothing to run.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Whether nothing is to be run on an answer.
    #[inline]
    pub fn passes_answers(&self) -> bool {
        self.up.is_empty()
    }

    /// What its filters are called in the configuration, in their order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.filters.iter().map(Filter::as_str)
    }

    /// Whether it makes calls of gRPC of other requests.
    pub fn speaks_grpc(&self) -> bool {
        let mut filters = self.filters.iter();
        filters.any(|filter| matches!(filter, Filter::GrpcWeb(_)))
    }

    /// Begins what its filters do beside requests. To be called when the configuration is in effect.
    pub fn settle(&self) {
        for filter in &self.filters {
            if let Filter::Jwt(filter) = filter {
                filter.settle();
            }
        }
    }

    /// Runs the chain on a request from where it has come to, up to the first filter that answers or waits. After a
    /// wait it is called again, with the [`Progress`] resumed.
    pub fn on_request(&self, view: &mut RequestView<'_>) -> Verdict {
        let here = view.progress.step;
        let filters = self.filters.get(here..).unwrap_or_default();
        for (ahead, filter) in filters.iter().enumerate() {
            view.progress.step = here + ahead;
            let verdict = match filter {
                Filter::RequestHeaders(filter) => filter.on_request(view),
                Filter::IpAccess(filter) => filter.on_request(view),
                Filter::RateLimit(filter) => filter.on_request(view),
                Filter::Rewrite(filter) => filter.on_request(view),
                Filter::ResponseHeaders(_) | Filter::SecurityHeaders(_) => continue,
                _ => filter.on_request(view),
            };
            if !matches!(verdict, Verdict::Continue) {
                return verdict;
            }
        }
        Verdict::Continue
    }

    /// Runs the chain on a response, last filter first.
    pub fn on_response(&self, view: &mut ResponseView<'_>) {
        for &step in &self.up {
            view.step = step;
            match self.filters.get(step) {
                Some(Filter::RateLimit(filter)) => filter.on_response(view),
                Some(Filter::ResponseHeaders(filter)) => filter.on_response(view),
                Some(filter) => filter.on_response(view),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
