//! `[stores.redis]` → [`Shared`].

use std::sync::Arc;
use std::time::Duration;

use super::address::{Address, Wrong};
use super::{Store, secure};
use crate::config::raw::store::{OnStoreError, RedisStore};
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};
use crate::limiter::Live;

const TIMEOUT: Duration = Duration::from_millis(20);

/// A store and what holds without it.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The store.
    pub store: Arc<Store>,
    /// What holds when it does not answer.
    pub on_error: OnError,
}

/// What holds when the store does not answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnError {
    /// Buckets of this process.
    Local,
    /// Everything passes.
    Allow,
    /// Nothing passes: 503.
    Deny,
}

/// Compiles the table; what is wrong with it is told.
pub fn compile(
    raw: &Spanned<RedisStore>,
    live: &Live,
    diagnostics: &mut Diagnostics,
) -> Option<Shared> {
    let timeout = match raw.timeout {
        None => Some(TIMEOUT),
        Some(timeout) if timeout.is_zero() => {
            let message = "`timeout` must be longer than 0s";
            diagnostics.push(Diagnostic::error(Code::BadValue, timeout.span, message));
            None
        }
        Some(timeout) => Some(timeout.get()),
    };
    let span = raw.url.span;
    let url = raw.url.resolve().map_err(|error| {
        let message = format!("the URL of the store cannot be had: {error}");
        diagnostics.push(Diagnostic::error(Code::SecretUnavailable, span, message));
    });
    let url = url.ok()?;
    let tls = match &raw.tls {
        None => None,
        Some(tls) => Some(secure::compile(tls, diagnostics)?),
    };
    let identity = secure::identity(&url, tls.as_ref());
    let address = Address::parse(&url, tls)
        .map_err(|why| {
            let tls = raw.tls.as_ref().map_or(span, |tls| tls.span);
            diagnostics.push(wrong(why, span, tls));
        })
        .ok()?;
    let timeout = timeout?;
    Some(Shared {
        store: live.store(identity, timeout, address),
        on_error: match raw.on_error.as_ref().map(|on_error| &on_error.value) {
            None | Some(OnStoreError::Local) => OnError::Local,
            Some(OnStoreError::Allow) => OnError::Allow,
            Some(OnStoreError::Deny) => OnError::Deny,
        },
    })
}

/// The text is not shown: there may be a password in it.
fn wrong(why: Wrong, span: Span, tls: Span) -> Diagnostic {
    let error = |message: &str| Diagnostic::error(Code::BadAddress, span, message);
    match why {
        Wrong::Plain => {
            let message = "`tls` stands beside a URL without TLS";
            Diagnostic::error(Code::Conflict, tls, message)
                .hint("with TLS the URL begins with `rediss`")
        }
        Wrong::Master => error("which master of the Sentinels?")
            .label("its name stands behind the addresses")
            .hint("write `redis-sentinel://host:port,host:port/NAME`"),
        Wrong::Url => error("not the URL of a Redis").hint(
            "write `redis://[user:password@]host:port[/database]`, `unix:///path`, `redis-sentinel://…` or `redis-cluster://…`; `rediss…` for TLS",
        ),
    }
}
