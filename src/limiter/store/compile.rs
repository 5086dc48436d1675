//! `[stores.redis]` → [`Shared`].

use std::sync::Arc;
use std::time::Duration;

use super::Store;
use crate::config::raw::store::{OnStoreError, RedisStore};
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};
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
    let wrong = |message: &str| Diagnostic::error(Code::BadAddress, span, message);
    // What the library says of a URL may repeat it, and with it a password.
    let client = match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("redis" | "redis+unix" | "unix") => redis::Client::open(url.as_str()).ok(),
        Some(scheme) if scheme.starts_with("redis") => {
            diagnostics.push(
                wrong("this build speaks to one Redis, without TLS")
                    .label("Sentinel, Cluster and TLS are not supported")
                    .hint("write `redis://host:port/database` or `unix:///path`"),
            );
            return None;
        }
        _ => None,
    };
    let Some(client) = client else {
        diagnostics.push(
            wrong("not the URL of a Redis")
                .hint("write `redis://[user:password@]host:port[/database]` or `unix:///path`"),
        );
        return None;
    };
    let timeout = timeout?;
    Some(Shared {
        store: live.store(&url, timeout, client),
        on_error: match raw.on_error.as_ref().map(|on_error| &on_error.value) {
            None | Some(OnStoreError::Local) => OnError::Local,
            Some(OnStoreError::Allow) => OnError::Allow,
            Some(OnStoreError::Deny) => OnError::Deny,
        },
    })
}
