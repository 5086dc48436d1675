//! What a probe asks for, as configured.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;

use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;

use super::cell::HealthPolicy;

/// What a probe does.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Check {
    /// Connects, sends a GET and looks at the answer.
    Http(HttpCheck),
    /// Connects.
    Tcp,
}

/// A GET and what its answer must be.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HttpCheck {
    /// Path and query of the request.
    pub path: PathAndQuery,
    /// Host of the request; `None`: the endpoint's address.
    pub host: Option<HeaderValue>,
    /// Statuses that pass.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Bytes that must stand in the first 64 KiB of the body.
    pub body_contains: Option<Box<str>>,
}

/// What to probe with, and what to make of it.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthSpec {
    /// What is done.
    pub check: Check,
    /// When, and what results mean.
    pub policy: HealthPolicy,
}

impl HealthSpec {
    /// Identity of the check within this process. The policy has no part in it: under new thresholds
    /// the old observations stand.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.check.hash(&mut hasher);
        hasher.finish()
    }
}
