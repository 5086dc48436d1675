//! Whether an attempt that failed is followed by another: one table (reliability rules E-200 to E-202).

use crate::base::reason::Retry;
use crate::base::{Detail, Reason};
use crate::cluster::RetryPolicy;
use crate::message::Method;

/// How an attempt failed before any byte of a response that may be passed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    /// Why.
    pub(super) reason: Reason,
    /// The status that the endpoint answered with, if it did and the configuration retries it.
    pub(super) status: Option<u16>,
    /// Bytes of the request that the kernel took.
    pub(super) accepted: u64,
    /// Whether the connection had served another request before.
    pub(super) reused: Reused,
    /// Whether all that was sent can be sent again.
    pub(super) resendable: bool,
}

/// Whether a connection came from the pool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reused {
    /// It was made for this attempt.
    Fresh,
    /// It came from the pool.
    Pooled,
}

/// What follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Decision {
    /// The same endpoint over a new connection: the pooled one was dead, which says nothing about the endpoint.
    /// Not counted against the budget.
    FreshConnection,
    /// Another endpoint, if attempts and budget allow.
    OtherEndpoint,
    /// None, and why.
    Stop(Detail),
}

/// The table. Pure: attempts and budget are looked at only after it allows a retry.
pub(super) fn decide(policy: &RetryPolicy, method: Method, failure: &Failure) -> Decision {
    let untouched = failure.accepted == 0;
    let repeatable = if !policy.methods.contains(method) {
        Err(Detail::NotIdempotent)
    } else if failure.resendable {
        Ok(())
    } else {
        Err(Detail::BodyNotReplayable)
    };
    let unless = |allowed: Result<(), Detail>| match allowed {
        Ok(()) => Decision::OtherEndpoint,
        Err(why) => Decision::Stop(why),
    };
    if failure.status.is_some() {
        return unless(repeatable);
    }
    match failure.reason.row().retry {
        Retry::OtherEndpoint if policy.on.connect => unless(if failure.resendable {
            Ok(())
        } else {
            Err(Detail::BodyNotReplayable)
        }),
        Retry::IfIdempotent => {
            let again = untouched && failure.resendable || repeatable.is_ok();
            match (failure.reused, again) {
                (Reused::Pooled, true) => Decision::FreshConnection,
                (_, _) if untouched && failure.resendable && policy.on.connect => {
                    Decision::OtherEndpoint
                }
                _ if policy.on.reset => unless(repeatable),
                _ => Decision::Stop(Detail::None),
            }
        }
        Retry::IfConfigured if policy.on.response_timeout => unless(repeatable),
        _ => Decision::Stop(Detail::None),
    }
}
