//! `filters` of a route.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{Duration, FilePath, Named, OneOrMany};

/// `filters`: each is one step on the request or on the response.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Admits or refuses by client address. Not in this build.
    IpAccess(IpAccess),
    /// A named rate limiter.
    RateLimit(RateLimit),
    /// A limit on requests in flight for each key.
    ConcurrencyLimit(ConcurrencyLimit),
    /// Another path or host towards the endpoint. Not in this build.
    Rewrite(Rewrite),
    /// Edits fields of the request.
    RequestHeaders(HeaderEdits),
    /// Edits fields of the response.
    ResponseHeaders(HeaderEdits),
    /// User and password. Not in this build.
    BasicAuth(BasicAuth),
    /// Cross-origin requests. Not in this build.
    Cors(Cors),
}

/// `ip_access`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpAccess {
    /// Networks that are admitted.
    pub allow: Option<Spanned<Vec<Spanned<String>>>>,
    /// Networks that are refused.
    pub deny: Option<Spanned<Vec<Spanned<String>>>>,
}

/// `rate_limit`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// One of `[limiters]`.
    pub limiter: Spanned<String>,
    /// How many units a request takes; at most what can pass at once. Default: `1`.
    pub cost: Option<Spanned<u32>>,
}

/// `concurrency_limit`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConcurrencyLimit {
    /// What is counted apart.
    pub key: Spanned<OneOrMany<String>>,
    /// Most in flight for one key. Range: at least `1`.
    pub max: Spanned<u32>,
}

/// `rewrite`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// Replaces the matched `path_prefix`.
    pub prefix: Option<Spanned<String>>,
    /// What to replace in the path.
    pub path_regex: Option<Spanned<String>>,
    /// What to put there.
    pub replacement: Option<Spanned<String>>,
    /// Another Host.
    pub host: Option<Spanned<String>>,
}

/// `request_headers` and `response_headers`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderEdits {
    /// Replaces all fields of the name.
    #[serde(default)]
    pub set: Named<Spanned<String>>,
    /// Adds one more.
    #[serde(default)]
    pub add: Named<Spanned<String>>,
    /// Removes all fields of the name.
    #[serde(default)]
    pub remove: Vec<Spanned<String>>,
}

/// `basic_auth`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// htpasswd file with bcrypt or argon2 hashes.
    pub users_file: Spanned<FilePath>,
}

/// `cors`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins.
    pub allow_origins: Spanned<Vec<Spanned<String>>>,
    /// Methods.
    pub allow_methods: Option<Spanned<Vec<Spanned<String>>>>,
    /// How long a browser may remember the answer.
    pub max_age: Option<Spanned<Duration>>,
}
