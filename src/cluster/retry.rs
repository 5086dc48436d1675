//! What is tried again, how often, after which pause: the policy, and its compilation.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::raw::retry as raw;
use crate::config::types::{self, ByteSize};
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};
use crate::endpoint::MAX_TRIED;
use crate::message::{Method, grpc};

/// The retry policy of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Tries after the first, 0-[`MAX_TRIED`].
    pub attempts: u32,
    /// Which endings are tried again.
    pub on: RetryOn,
    /// Which methods may be sent twice once something was written.
    pub methods: Methods,
    /// For one try; `None`: only the other timeouts bound it.
    pub per_try_timeout: Option<Duration>,
    /// Pause before a try.
    pub backoff: Backoff,
    /// How many retries there may be among the requests.
    pub budget: Budget,
    /// Largest request body that is kept to be sent again, in bytes.
    pub replay_buffer: usize,
}

/// Endings that are tried again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RetryOn {
    /// The connection could not be made.
    pub connect: bool,
    /// The connection ended before any byte of the response.
    pub reset: bool,
    /// The response's head did not come in time.
    pub response_timeout: bool,
    /// The response has one of these statuses.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// It is nothing but one of these statuses of gRPC.
    pub grpc: grpc::Codes,
}

impl RetryOn {
    /// Whether a response that says this is tried again.
    #[inline]
    pub fn says(&self, said: Said) -> bool {
        match said {
            Said::Status(status) => self.statuses.iter().any(|range| range.contains(&status)),
            Said::Grpc(code) => self.grpc.has(code),
        }
    }
}

/// What of an answer may be why it is not passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Said {
    /// Its status.
    Status(u16),
    /// A status of gRPC that is all there is of it, which is said with HTTP 200.
    Grpc(grpc::Code),
}

impl Said {
    /// The status of HTTP.
    pub const fn status(self) -> u16 {
        match self {
            Self::Status(status) => status,
            Self::Grpc(_) => 200,
        }
    }
}

/// A set of methods.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Methods(u16);

impl Methods {
    /// A set of these.
    pub fn new(methods: impl IntoIterator<Item = Method>) -> Self {
        let bits = methods.into_iter().map(|method| 1 << method.index());
        Self(bits.fold(0, |set, bit| set | bit))
    }

    /// Whether `method` is one of them.
    #[inline]
    pub fn contains(self, method: Method) -> bool {
        self.0 & (1 << method.index()) != 0
    }
}

/// Full jitter: a pause is anything between nothing and a bound that doubles.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    /// Bound of the first pause.
    pub base: Duration,
    /// Bound of any pause.
    pub max: Duration,
}

impl Backoff {
    /// The pause before retry number `retry`, the first being 0.
    pub fn pause(&self, retry: u32, rng: &mut fastrand::Rng) -> Duration {
        let doubled = self
            .base
            .saturating_mul(1u32.checked_shl(retry).unwrap_or(u32::MAX));
        doubled.min(self.max).mul_f64(rng.f64())
    }
}

/// How many retries there may be among the requests of a cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Retries for each request, 0.0-1.0.
    pub ratio: f64,
    /// Retries that are always allowed, each second, by all workers together.
    pub min_per_second: f64,
}

const ATTEMPTS: u32 = 2;
const BASE: Duration = Duration::from_millis(25);
const MAX: Duration = Duration::from_millis(250);
const RATIO: f64 = 0.2;
const MIN_PER_SECOND: u32 = 3;
const REPLAY: ByteSize = ByteSize(64 << 10);

/// Largest replay buffer: it is held by each exchange with a body.
const MAX_REPLAY: ByteSize = ByteSize(16 << 20);

/// RFC 9110, 9.2.2.
const IDEMPOTENT: [Method; 6] = [
    Method::Get,
    Method::Head,
    Method::Options,
    Method::Trace,
    Method::Put,
    Method::Delete,
];

pub(super) fn compile(raw: &raw::Retry, diagnostics: &mut Diagnostics) -> Option<RetryPolicy> {
    let attempts = attempts(raw.attempts.as_ref(), diagnostics);
    let methods = methods(raw.methods.as_ref(), diagnostics);
    let backoff = backoff(raw.backoff.as_ref(), diagnostics);
    let replay = replay(raw.replay_buffer.as_ref(), diagnostics);
    let per_try = raw.per_try_timeout.map(|timeout| timeout.get());
    let budget = raw.budget.as_ref().map(|budget| &budget.value);
    let ratio = budget.and_then(|budget| budget.ratio);
    let floor = budget.and_then(|budget| budget.min_per_second);
    Some(RetryPolicy {
        attempts: attempts?,
        on: on(raw.on.as_ref()),
        methods: methods?,
        per_try_timeout: per_try.filter(|timeout| !timeout.is_zero()),
        backoff: backoff?,
        budget: Budget {
            ratio: ratio.map_or(RATIO, |ratio| ratio.0),
            min_per_second: f64::from(floor.map_or(MIN_PER_SECOND, |floor| floor.value)),
        },
        replay_buffer: replay?,
    })
}

fn attempts(raw: Option<&Spanned<u32>>, diagnostics: &mut Diagnostics) -> Option<u32> {
    let Some(raw) = raw else {
        return Some(ATTEMPTS);
    };
    if raw.value as usize <= MAX_TRIED {
        return Some(raw.value);
    }
    diagnostics.push(
        Diagnostic::error(
            Code::BadValue,
            raw.span,
            format!("{} attempts are too many", raw.value),
        )
        .note(format!(
            "allowed are 0 to {MAX_TRIED} tries after the first"
        )),
    );
    None
}

fn on(raw: Option<&Spanned<Vec<Spanned<raw::RetryOn>>>>) -> RetryOn {
    let mut on = RetryOn {
        connect: raw.is_none(),
        reset: raw.is_none(),
        response_timeout: false,
        statuses: Vec::new(),
        grpc: grpc::Codes::default(),
    };
    for ending in raw.into_iter().flat_map(|list| &list.value) {
        match ending.value {
            raw::RetryOn::Connect => on.connect = true,
            raw::RetryOn::Reset => on.reset = true,
            raw::RetryOn::ResponseTimeout => on.response_timeout = true,
            raw::RetryOn::Status(range) => on.statuses.push(range.first..=range.last),
            raw::RetryOn::Grpc(status) => on.grpc = on.grpc.with(code(status)),
        }
    }
    on
}

const fn code(raw: raw::GrpcStatus) -> grpc::Code {
    match raw {
        raw::GrpcStatus::Cancelled => grpc::Code::Cancelled,
        raw::GrpcStatus::DeadlineExceeded => grpc::Code::DeadlineExceeded,
        raw::GrpcStatus::ResourceExhausted => grpc::Code::ResourceExhausted,
        raw::GrpcStatus::Internal => grpc::Code::Internal,
        raw::GrpcStatus::Unavailable => grpc::Code::Unavailable,
    }
}

fn methods(
    raw: Option<&Spanned<Vec<Spanned<String>>>>,
    diagnostics: &mut Diagnostics,
) -> Option<Methods> {
    let Some(raw) = raw else {
        return Some(Methods::new(IDEMPOTENT));
    };
    let mut known = Vec::with_capacity(raw.len());
    for name in &raw.value {
        match Method::of(name.as_bytes()) {
            Method::Other | Method::Connect => {
                diagnostics.push(unknown_method(name));
            }
            method => known.push(method),
        }
    }
    (known.len() == raw.len()).then(|| Methods::new(known))
}

fn unknown_method(name: &Spanned<String>) -> Diagnostic {
    let shown = name.escape_debug();
    let error = Diagnostic::error(
        Code::BadMethod,
        name.span,
        format!("`{shown}` is not a method that can be tried again"),
    )
    .note("known are GET, HEAD, OPTIONS, TRACE, PUT, DELETE, POST and PATCH");
    let upper = name.to_ascii_uppercase();
    match Method::of(upper.as_bytes()) {
        Method::Other | Method::Connect => error,
        _ => error.hint(format!(
            "methods are case-sensitive: did you mean `{upper}`?"
        )),
    }
}

fn backoff(raw: Option<&Spanned<raw::Backoff>>, diagnostics: &mut Diagnostics) -> Option<Backoff> {
    let Some(raw) = raw else {
        return Some(Backoff {
            base: BASE,
            max: MAX,
        });
    };
    let time = |key: Option<Spanned<types::Duration>>, default| key.map_or(default, |d| d.get());
    let base = time(raw.base, BASE);
    // A base over the default bound lifts it.
    let max = time(raw.max, MAX.max(base));
    if base > max {
        diagnostics.push(
            Diagnostic::error(
                Code::Conflict,
                raw.max.map_or(raw.span, |max| max.span),
                "`max` is shorter than `base`",
            )
            .note("a pause is anything up to `base`, doubled with each try, up to `max`"),
        );
        return None;
    }
    Some(Backoff { base, max })
}

fn replay(raw: Option<&Spanned<ByteSize>>, diagnostics: &mut Diagnostics) -> Option<usize> {
    let size = raw.map_or(REPLAY, |raw| raw.value);
    if let Some(raw) = raw
        && size > MAX_REPLAY
    {
        diagnostics.push(
            Diagnostic::error(Code::BadValue, raw.span, "the replay buffer is too large")
                .note("each exchange with a body may hold one; the largest is 16MiB"),
        );
        return None;
    }
    usize::try_from(size.bytes()).ok()
}
