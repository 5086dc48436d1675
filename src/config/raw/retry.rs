//! `[clusters.NAME.retry]`.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::config::span::Spanned;
use crate::config::types::{ByteSize, Duration, Ratio, StatusRange};

/// `[clusters.NAME.retry]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Tries after the first. Range: `0` to `8`. Default: `2`.
    pub attempts: Option<Spanned<u32>>,
    /// What is tried again. Default: `connect`, `reset`.
    pub on: Option<Spanned<Vec<Spanned<RetryOn>>>>,
    /// Methods that may be sent twice. Default: the idempotent ones.
    pub methods: Option<Spanned<Vec<Spanned<String>>>>,
    /// How long one try waits for the response head once it has its connection (`timeouts.connect` bounds getting
    /// one) and the whole request was sent (`timeouts.body` bounds that); it ends as `response_timeout`, which is tried again only where `on` lists
    /// that; 0s: none. Default: `0s`.
    pub per_try_timeout: Option<Spanned<Duration>>,
    /// Pause before a try, but for one on an endpoint that was not asked yet after another was not there.
    pub backoff: Option<Spanned<Backoff>>,
    /// Share of requests that may be retries.
    pub budget: Option<Spanned<Budget>>,
    /// Largest request body that is kept for another try. Range: `0B` to `16MiB`. Default: `64KiB`.
    pub replay_buffer: Option<Spanned<ByteSize>>,
}

/// `backoff`: full jitter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// Upper end of the first pause. Default: `25ms`.
    pub base: Option<Spanned<Duration>>,
    /// Upper end of any pause. Default: `250ms`.
    pub max: Option<Spanned<Duration>>,
}

/// `budget`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Retries for each request. Default: `0.2`.
    pub ratio: Option<Spanned<Ratio>>,
    /// Retries that are always allowed. Default: `3`.
    pub min_per_second: Option<Spanned<u32>>,
}

/// What is tried again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RetryOn {
    /// The connection could not be opened.
    Connect,
    /// The connection ended before any byte of the response.
    Reset,
    /// The response head did not come in time.
    ResponseTimeout,
    /// The response has one of these statuses.
    Status(StatusRange),
    /// The response is nothing but this status of gRPC.
    Grpc(GrpcStatus),
}

/// A status of gRPC by which an endpoint may say that another could do better.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GrpcStatus {
    /// 1.
    Cancelled,
    /// 4.
    DeadlineExceeded,
    /// 8.
    ResourceExhausted,
    /// 13.
    Internal,
    /// 14.
    Unavailable,
}

const WORDS: &[&str] = &[
    "connect",
    "reset",
    "response_timeout",
    "grpc_cancelled",
    "grpc_deadline_exceeded",
    "grpc_resource_exhausted",
    "grpc_internal",
    "grpc_unavailable",
    "500-599",
];

struct RetryOnReader;

impl Visitor<'_> for RetryOnReader {
    type Value = RetryOn;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`connect`, `reset`, `response_timeout`, a status code or a status of gRPC")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RetryOn, E> {
        Ok(match text {
            "connect" => RetryOn::Connect,
            "reset" => RetryOn::Reset,
            "response_timeout" => RetryOn::ResponseTimeout,
            "grpc_cancelled" => RetryOn::Grpc(GrpcStatus::Cancelled),
            "grpc_deadline_exceeded" => RetryOn::Grpc(GrpcStatus::DeadlineExceeded),
            "grpc_resource_exhausted" => RetryOn::Grpc(GrpcStatus::ResourceExhausted),
            "grpc_internal" => RetryOn::Grpc(GrpcStatus::Internal),
            "grpc_unavailable" => RetryOn::Grpc(GrpcStatus::Unavailable),
            _ => StatusRange::parse(text)
                .map(RetryOn::Status)
                .ok_or_else(|| E::unknown_variant(text, WORDS))?,
        })
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<RetryOn, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for RetryOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RetryOnReader)
    }
}
