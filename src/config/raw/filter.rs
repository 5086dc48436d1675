//! `filters` of a route.

use serde::Deserialize;

pub use super::access::{ApiKey, BasicAuth, Credentials, Expiry, ForwardAuth, Jwt, JwtAlgorithm};

use crate::config::span::Spanned;
use crate::config::types::{ByteSize, Duration, FilePath, Named, OneOrMany};

/// `filters`: each is one step on the request or on the response.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Admits or refuses by client address.
    IpAccess(IpAccess),
    /// Serves some methods and refuses the others.
    MethodAccess(MethodAccess),
    /// A named rate limiter.
    RateLimit(RateLimit),
    /// A limit on requests in flight for each key.
    ConcurrencyLimit(ConcurrencyLimit),
    /// A limit on bytes a second of bodies.
    BandwidthLimit(BandwidthLimit),
    /// Another path or host towards the endpoint.
    Rewrite(Rewrite),
    /// Edits fields of the request.
    RequestHeaders(HeaderEdits),
    /// Edits fields of the response.
    ResponseHeaders(HeaderEdits),
    /// Tells the endpoint under which name the exchange is logged.
    RequestId(RequestId),
    /// Tells browsers to be careful, where the endpoint does not.
    SecurityHeaders(SecurityHeaders),
    /// User and password.
    BasicAuth(BasicAuth),
    /// Keys of programs.
    ApiKey(ApiKey),
    /// Tokens that somebody signed.
    Jwt(Jwt),
    /// A service that says who may go on.
    ForwardAuth(ForwardAuth),
    /// Requests of other sites' scripts.
    Cors(Cors),
    /// Calls of scripts in browsers become calls of gRPC.
    GrpcWeb(GrpcWeb),
}

impl Filter {
    /// As it is written.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::IpAccess(_) => "ip_access",
            Self::MethodAccess(_) => "method_access",
            Self::RateLimit(_) => "rate_limit",
            Self::ConcurrencyLimit(_) => "concurrency_limit",
            Self::BandwidthLimit(_) => "bandwidth_limit",
            Self::Rewrite(_) => "rewrite",
            Self::RequestHeaders(_) => "request_headers",
            Self::ResponseHeaders(_) => "response_headers",
            Self::RequestId(_) => "request_id",
            Self::SecurityHeaders(_) => "security_headers",
            Self::BasicAuth(_) => "basic_auth",
            Self::ApiKey(_) => "api_key",
            Self::Jwt(_) => "jwt",
            Self::ForwardAuth(_) => "forward_auth",
            Self::Cors(_) => "cors",
            Self::GrpcWeb(_) => "grpc_web",
        }
    }
}

/// `ip_access`: refused is who is in `deny` or `deny_file`, and where there is an `allow` or `allow_file`, who is in neither.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpAccess {
    /// Networks that are admitted; an address stands for itself. Default: all.
    pub allow: Option<Spanned<Vec<Spanned<String>>>>,
    /// Networks that are refused. Default: none.
    pub deny: Option<Spanned<Vec<Spanned<String>>>>,
    /// A file of further networks that are admitted, one a line; `#` begins a comment. It is watched, and may have 16 MiB.
    pub allow_file: Option<Spanned<FilePath>>,
    /// A file of further networks that are refused.
    pub deny_file: Option<Spanned<FilePath>>,
}

/// `method_access`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodAccess {
    /// Methods that are served; others are refused with 405. HEAD is one of its own: `GET` does not stand for it.
    pub allow: Spanned<Vec<Spanned<String>>>,
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

/// `bandwidth_limit`: how many bytes a second of bodies pass. Heads, and answers of our own, pass as ever.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandwidthLimit {
    /// Bytes a second towards the client. Range: at least `1KiB`. Default: no limit.
    pub download: Option<Spanned<ByteSize>>,
    /// Bytes a second from the client. Range: at least `1KiB`. Default: no limit.
    pub upload: Option<Spanned<ByteSize>>,
    /// Who shares a rate: all requests with the same key. Default: nobody, each request has its own.
    pub key: Option<Spanned<OneOrMany<String>>>,
    /// The first bytes of each body, which pass as fast as they can. Default: `0B`.
    pub after: Option<Spanned<ByteSize>>,
}

/// `rewrite`. What the client asked for still decides keys and is logged.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// Takes the place of the matched `path_prefix`: with `/v1` and `/`, `/v1/x` → `/x`.
    pub prefix: Option<Spanned<String>>,
    /// Takes the place of the whole path.
    pub path: Option<Spanned<String>>,
    /// What to replace in the path, wherever it is found.
    pub path_regex: Option<Spanned<String>>,
    /// What to put there; `$1` and `${name}` are groups of the expression, `$$` is a dollar.
    pub replacement: Option<Spanned<String>>,
    /// Another Host, with or without port. X-Forwarded-Host keeps the one that was asked for.
    pub host: Option<Spanned<String>>,
}

/// `request_headers` and `response_headers`. Values may have variables: `${client_ip}`, `${request_id}`, `${host}`,
/// `${authority}`, `${path}`, `${query}`, `${method}`, `${scheme}`, `${route}`, `${cluster}`, `${listener}`,
/// `${tls.version}`, `${tls.cipher}`, `${tls.server_name}`, `${header:NAME}`, `${cookie:NAME}`, `${query:NAME}`, in responses `${status}`; `$${` is a plain `${`. A value that is
/// empty because its variables stand for nothing makes no field.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderEdits {
    /// Replaces all fields of the name.
    #[serde(default)]
    pub set: Named<Spanned<String>>,
    /// Adds one more.
    #[serde(default)]
    pub add: Named<Spanned<String>>,
    /// Puts a value behind those that the name has, in one field: `a, b`.
    #[serde(default)]
    pub append: Named<Spanned<String>>,
    /// Removes all fields of the name.
    #[serde(default)]
    pub remove: Vec<Spanned<String>>,
}

/// `request_id`: the name of the exchange is a UUID of version 7, or what a trusted proxy sent in X-Request-Id.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestId {
    /// The field that tells it. Default: `x-request-id`.
    pub header: Option<Spanned<String>>,
    /// Whether the client is told too. Default: `off`.
    pub response: Option<Spanned<ToClient>>,
}

/// `response` of `request_id`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToClient {
    /// It is, in the same field.
    Send,
    /// It is not.
    Off,
}

/// `security_headers`: a field that the answer has already stays. Server, X-Powered-By and X-AspNet-Version are removed,
/// X-Content-Type-Options is `nosniff`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityHeaders {
    /// Strict-Transport-Security: how long browsers insist on TLS. Sent over TLS alone; `0s`: not sent. Default: `8760h`.
    pub hsts: Option<Spanned<Duration>>,
    /// X-Frame-Options. Default: `deny`.
    pub frame: Option<Spanned<FramePolicy>>,
    /// Referrer-Policy. Default: `strict-origin-when-cross-origin`.
    pub referrer_policy: Option<Spanned<String>>,
    /// Content-Security-Policy. Default: not sent.
    pub content_security_policy: Option<Spanned<String>>,
    /// Permissions-Policy. Default: not sent.
    pub permissions_policy: Option<Spanned<String>>,
}

/// `frame`: who may show the site in a frame.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FramePolicy {
    /// Nobody.
    Deny,
    /// The site itself.
    SameOrigin,
    /// Nothing is said.
    Off,
}

/// `cors`. Stands before filters that ask for credentials: preflights have none.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Sites whose scripts may ask: `https://app.example.com`, `https://*.example.com` for one or more labels, `*` for all.
    pub allow_origins: Spanned<Vec<Spanned<String>>>,
    /// Methods beyond the simple ones. Default: `GET`, `HEAD`, `POST`.
    pub allow_methods: Option<Spanned<Vec<Spanned<String>>>>,
    /// Fields that scripts may send, beyond the simple ones. Default: none.
    pub allow_headers: Option<Spanned<Vec<Spanned<String>>>>,
    /// Fields of answers that scripts may read, beyond the simple ones. Default: none.
    pub expose_headers: Option<Spanned<Vec<Spanned<String>>>>,
    /// Whether cookies and the like may come along. Default: `omit`.
    pub credentials: Option<Spanned<CorsCredentials>>,
    /// How long a browser may remember the answer to a preflight. Default: what the browser does.
    pub max_age: Option<Spanned<Duration>>,
}

/// `credentials` of `cors`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorsCredentials {
    /// They may.
    Allow,
    /// They may not.
    Omit,
}

/// `grpc_web`: requests of `application/grpc-web` and `application/grpc-web-text` go to the cluster as `application/grpc`, and
/// answers come back so; all others pass. Clusters of the route speak HTTP/2. It has no settings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcWeb {}
