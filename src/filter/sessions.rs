//! `filters` of a listener of layer 4: those that ask for nothing but the client's address.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::compile::{compile_concurrency_limit, compile_rate_limit};
use super::{
    Facts, Filter, FilterChain, IpAccess, Kept, Parts, Progress, RequestView, Said, Verdict,
};
use crate::base::ListenerName;
use crate::base::clock::Instant;
use crate::config::raw::filter::Filter as Raw;
use crate::config::raw::listener::{Listener, Protocol};
use crate::config::types::Choice;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};
use crate::limit::{Algorithm, Over};
use crate::limiter::{Limiter, Owner, Tier};
use crate::message::forwarded::Proto;
use crate::message::key::KeySource;
use crate::message::{Edits, RequestHead};

/// The filters that sessions go through. Two are alike when they were written alike.
#[derive(Clone, Default)]
pub struct SessionFilters {
    said: Vec<Spanned<Choice<Raw>>>,
    chain: Arc<FilterChain>,
}

impl PartialEq for SessionFilters {
    fn eq(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

impl fmt::Debug for SessionFilters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chain.fmt(f)
    }
}

/// Who begins a session.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The head that it does not have.
    pub head: &'a RequestHead,
    /// Its address, behind trusted proxies.
    pub client: IpAddr,
    /// Where it came.
    pub listener: &'a str,
    /// When it came.
    pub now: Instant,
}

impl SessionFilters {
    /// Compiles `filters` of a listener. Reports everything that is wrong with them.
    pub fn compile(
        raw: &Listener,
        name: &ListenerName,
        parts: Parts<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let compile = |(step, filter)| compile_one(raw, filter, name, step, parts, diagnostics);
        let filters: Vec<_> = raw.filters.iter().enumerate().map(compile).collect();
        Some(Self {
            said: raw.filters.clone(),
            chain: Arc::new(FilterChain::new(
                filters.into_iter().collect::<Option<_>>()?,
            )),
        })
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.chain.is_empty()
    }

    /// Runs the chain from where the session has come to. What is kept is kept until its end.
    pub fn run(&self, caller: &Caller<'_>, kept: &mut Kept, progress: &mut Progress) -> Verdict {
        let facts = Facts {
            client: caller.client,
            now: caller.now,
            // No filter that can stand here tells an endpoint anything.
            said: Said::Text {
                name: "",
                listener: caller.listener,
                route: caller.listener,
                cluster: "",
                scheme: Proto::Http,
            },
        };
        self.chain.on_request(&mut RequestView {
            head: caller.head,
            facts: &facts,
            edits: &mut Edits::default(),
            kept,
            progress,
        })
    }
}

fn compile_one(
    listener: &Listener,
    raw: &Spanned<Choice<Raw>>,
    name: &ListenerName,
    step: usize,
    parts: Parts<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Filter> {
    match &*raw.value {
        Raw::IpAccess(access) => {
            IpAccess::compile(access, raw.span, parts.files, diagnostics).map(Filter::IpAccess)
        }
        Raw::RateLimit(limit) => {
            let filter = compile_rate_limit(limit, name.as_str(), parts, diagnostics)?;
            let limiter = filter.limiter();
            let span = limit.limiter.span;
            let what = format!("limiter `{}`", limiter.name);
            check_key(limiter.sources(), span, &what, diagnostics)?;
            if lets_wait(limiter) && listener.protocol.value == Protocol::Udp {
                let message = format!("{what} lets datagrams wait");
                diagnostics.push(
                    Diagnostic::error(Code::NotOnProtocol, span, message)
                        .label("datagrams are passed on or dropped")
                        .also(listener.protocol.span, "the protocol")
                        .hint("one without `store` and `on_limit`, that is no `leaky_bucket`, refuses"),
                );
                return None;
            }
            Some(Filter::RateLimit(filter))
        }
        Raw::ConcurrencyLimit(limit) => {
            let owner = Owner::Listener(name.clone());
            let filter = compile_concurrency_limit(limit, &owner, step, parts, diagnostics)?;
            let span = limit.key.span;
            check_key(filter.key().iter(), span, "this key", diagnostics)?;
            Some(Filter::ConcurrencyLimit(filter))
        }
        _ => {
            let message = "this filter cannot stand on a listener";
            diagnostics.push(
                Diagnostic::error(Code::NotOnProtocol, raw.span, message)
                    .label("it asks for a request")
                    .also(listener.protocol.span, "the protocol")
                    .note("allowed here: ip_access, rate_limit, concurrency_limit"),
            );
            None
        }
    }
}

/// Whether the answer of a limiter may be to come later.
fn lets_wait(limiter: &Limiter) -> bool {
    let delays = |tier: &Tier| {
        let leaky = tier.rule.algorithm() == Algorithm::LeakyBucket;
        leaky || matches!(tier.rule.over(), Over::Delay(_))
    };
    limiter.shared().is_some() || limiter.rules().all().any(delays)
}

fn check_key<'k>(
    mut sources: impl Iterator<Item = &'k KeySource>,
    span: Span,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<()> {
    let Some(wrong) = sources.find(|source| source.is_of_a_head()) else {
        return Some(());
    };
    let message = format!("{what} is by `{wrong}`");
    diagnostics.push(
        Diagnostic::error(Code::NotOnProtocol, span, message)
            .label("there is no request to read it from")
            .note("allowed here: client_ip, global, route (the listener)"),
    );
    None
}
