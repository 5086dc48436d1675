//! Whether an attempt that failed is followed by another: one table (reliability rules E-200 to E-202), and what a
//! retry is paid from.

use std::cell::Cell;
use std::time::Duration;

use crate::base::clock::Instant;
use crate::base::reason::Retry;
use crate::base::{Detail, Error, Reason};
use crate::cluster::{RetryPolicy, Said};
use crate::limit::{Grant, Level};
use crate::message::Method;
use crate::metrics::{Outcome, RetryResult};
use crate::worker::ClusterView;

/// How an attempt failed before any byte of a response that may be passed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    /// Why.
    pub(super) reason: Reason,
    /// If it is an answer that the configuration retries, what of it says so.
    pub(super) said: Option<Said>,
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
    /// Another endpoint, if tries, time and budget allow.
    OtherEndpoint(When),
    /// None, and why.
    Stop(Detail),
}

/// When another endpoint is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum When {
    /// As soon as one is found that was not asked yet: nobody was there, which says nothing of load.
    AtOnce,
    /// After the pause: whoever answers that it cannot, or does not answer in time, may have too much to do, and so may
    /// the others. So it is where one is asked again.
    Later,
}

impl When {
    /// When a try follows, with this place found for it already.
    pub(super) const fn before<P>(found: Option<&P>) -> Self {
        match found {
            Some(_) => Self::AtOnce,
            None => Self::Later,
        }
    }
}

/// A failure, as far as it matters for what follows. The rows of the table, in its order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Case {
    NoConnection,
    PooledUntouched,
    PooledDead,
    FreshUntouched,
    Reset,
    ResponseTimeout,
    Status,
    Grpc,
    Final,
}

/// Which requests a row tries again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Who {
    /// Any method: nothing of it can have been done; or the operator says of what an endpoint says that it may be.
    Any,
    /// A method of `methods`, if all that was sent is kept.
    Repeatable,
    /// None.
    Nobody,
}

/// What the configuration has to list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum On {
    Always,
    Connect,
    Reset,
    ResponseTimeout,
    Said,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
struct Row {
    who: Who,
    on: On,
    then: Decision,
}

const fn row(who: Who, on: On, then: Decision) -> Row {
    Row { who, on, then }
}

impl Case {
    /// The table. `docs/reliability.md` shows it, and a test holds the page to it.
    #[expect(clippy::match_same_arms, reason = "one row for each case")]
    const fn row(self) -> Row {
        use Decision::{FreshConnection, OtherEndpoint, Stop};
        use When::{AtOnce, Later};
        match self {
            Self::NoConnection => row(Who::Any, On::Connect, OtherEndpoint(AtOnce)),
            Self::PooledUntouched => row(Who::Any, On::Always, FreshConnection),
            Self::PooledDead => row(Who::Repeatable, On::Always, FreshConnection),
            Self::FreshUntouched => row(Who::Any, On::Connect, OtherEndpoint(AtOnce)),
            Self::Reset => row(Who::Repeatable, On::Reset, OtherEndpoint(AtOnce)),
            Self::ResponseTimeout => {
                row(Who::Repeatable, On::ResponseTimeout, OtherEndpoint(Later))
            }
            Self::Status => row(Who::Repeatable, On::Said, OtherEndpoint(Later)),
            // Every call is a POST, and who lists these statuses says that calls which end so may be made again.
            Self::Grpc => row(Who::Any, On::Said, OtherEndpoint(Later)),
            Self::Final => row(Who::Nobody, On::Always, Stop(Detail::None)),
        }
    }

    fn of(failure: &Failure, policy: &RetryPolicy) -> Self {
        match failure.said {
            Some(Said::Status(_)) => return Self::Status,
            Some(Said::Grpc(_)) => return Self::Grpc,
            None => {}
        }
        match (failure.reason.row().retry, failure.reused) {
            (Retry::OtherEndpoint, _) => Self::NoConnection,
            (Retry::IfIdempotent, Reused::Pooled) if failure.accepted == 0 => Self::PooledUntouched,
            (Retry::IfIdempotent, Reused::Pooled) => Self::PooledDead,
            // Where `on` has no `connect` it is a reset like any other.
            (Retry::IfIdempotent, Reused::Fresh) if failure.accepted == 0 && policy.on.connect => {
                Self::FreshUntouched
            }
            (Retry::IfIdempotent, Reused::Fresh) => Self::Reset,
            (Retry::IfConfigured, _) => Self::ResponseTimeout,
            (Retry::Never, _) => Self::Final,
        }
    }
}

/// An attempt that gave no response to pass on.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) failure: Failure,
    /// The pause before the next try, where that is paid for already.
    pub(super) paid: Option<Duration>,
}

impl Failed {
    /// A failure before anything was written.
    pub(super) fn untouched(error: Error, resendable: bool) -> Self {
        Self {
            failure: Failure {
                reason: error.reason(),
                said: None,
                accepted: 0,
                reused: Reused::Fresh,
                resendable,
            },
            error,
            paid: None,
        }
    }
}

/// What the table says. Pure: tries, time and budget are looked at only after it allows a retry.
pub(super) fn decide(policy: &RetryPolicy, method: Method, failure: &Failure) -> Decision {
    let Row { who, on, then } = Case::of(failure, policy).row();
    let listed = match on {
        On::Always => true,
        On::Connect => policy.on.connect,
        On::Reset => policy.on.reset,
        On::ResponseTimeout => policy.on.response_timeout,
        On::Said => failure.said.is_some_and(|said| policy.on.says(said)),
    };
    if !listed {
        return Decision::Stop(Detail::None);
    }
    match who {
        Who::Nobody => Decision::Stop(Detail::None),
        Who::Repeatable if !policy.methods.contains(method) => {
            Decision::Stop(Detail::NotIdempotent)
        }
        // Nothing is kept where no try would follow.
        Who::Any | Who::Repeatable if !failure.resendable && policy.attempts == 0 => {
            Decision::Stop(Detail::Attempts)
        }
        Who::Any | Who::Repeatable if !failure.resendable => {
            Decision::Stop(Detail::BodyNotReplayable)
        }
        Who::Any | Who::Repeatable => then,
    }
}

/// What the retries of one exchange are paid from.
#[derive(Debug)]
pub(super) struct Account<'x> {
    cluster: &'x ClusterView,
    /// Retries paid for.
    made: Cell<u32>,
}

impl<'x> Account<'x> {
    pub(super) fn new(cluster: &'x ClusterView) -> Self {
        Self {
            cluster,
            made: Cell::new(0),
        }
    }

    pub(super) fn policy(&self) -> &'x RetryPolicy {
        &self.cluster.cluster.retry
    }

    /// Pays for one more try, with `left` of the exchange's time, and gives the pause before it. The budget comes last:
    /// what another rule denies must not use it up.
    pub(super) fn pay(
        &self,
        when: When,
        level: Level,
        left: Option<Duration>,
        now: Instant,
    ) -> Result<Duration, Detail> {
        let policy = self.policy();
        if self.made.get() >= policy.attempts {
            return Err(Detail::Attempts);
        }
        // Who is short of memory does nothing twice.
        if level >= Level::Short {
            return Err(Detail::Memory);
        }
        let pause = match when {
            When::AtOnce => Duration::ZERO,
            When::Later => policy
                .backoff
                .pause(self.made.get(), &mut fastrand::Rng::new()),
        };
        if left.is_some_and(|left| left <= pause) {
            return Err(Detail::Deadline);
        }
        match self.cluster.budget.borrow_mut().withdraw(now) {
            Grant::Granted => {
                self.made.set(self.made.get() + 1);
                Ok(pause)
            }
            Grant::Denied => Err(Detail::BudgetEmpty),
        }
    }

    /// Counts a retry that was not made.
    pub(super) fn denied(&self, why: Detail) {
        if why != Detail::None {
            self.cluster.cells.retry_denied(why);
        }
    }

    /// The error as the client and the log get it: with why it was not tried again.
    pub(super) fn deny(&self, error: &Error, why: Detail) -> Error {
        self.denied(why);
        let detail = match why {
            Detail::None => error.detail(),
            // What is wrong with a certificate, an endpoint's or ours, is worth more than that nobody else was left to ask.
            _ if error.reason() == Reason::UpstreamTls => error.detail(),
            _ if error.detail() == Detail::Alert => Detail::Alert,
            why => why,
        };
        Error::new(error.reason(), detail)
    }

    /// Counts what an answer of gRPC says.
    pub(super) fn called(&self, outcome: Outcome) {
        self.cluster.cells.called(outcome);
    }

    /// Counts a retry that was made, by what caused it.
    pub(super) fn made(&self, cause: Option<Reason>, result: RetryResult) {
        if let Some(cause) = cause {
            self.cluster.cells.retried(cause, result);
        }
    }
}

#[cfg(test)]
mod tests;
