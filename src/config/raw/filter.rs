//! `filters` of a route.

use serde::Deserialize;

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
    /// Methods that are served; others are refused with 405.
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

/// `basic_auth`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// htpasswd file with bcrypt or argon2 hashes. It is watched.
    pub users_file: Spanned<FilePath>,
    /// What browsers show. Default: `restricted`.
    pub realm: Option<Spanned<String>>,
    /// A field that tells the endpoint who it is; what the client sends in it is removed. Default: none.
    pub user_header: Option<Spanned<String>>,
    /// Whether the endpoint gets the Authorization field. Default: `remove`.
    pub credentials: Option<Spanned<Credentials>>,
}

/// `credentials`: what becomes of them once they were found right.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credentials {
    /// They go no further.
    Remove,
    /// The endpoint gets them too.
    Forward,
}

/// `api_key`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// A file with a line for each key: a name, `:`, and the SHA-256 of the key as hexadecimal digits. It is watched.
    pub keys_file: Spanned<FilePath>,
    /// Where a key stands: `header:NAME`, `cookie:NAME` or `query:NAME`. Default: `header:x-api-key`.
    pub from: Option<Spanned<String>>,
    /// What the challenge says. Default: `restricted`.
    pub realm: Option<Spanned<String>>,
    /// A field that tells the endpoint the key's name; what the client sends in it is removed. Default: none.
    pub user_header: Option<Spanned<String>>,
    /// Whether the endpoint gets the key's field, cookie or parameter. Default: `remove`.
    pub credentials: Option<Spanned<Credentials>>,
}

/// `jwt`: tokens of RFC 7519, signed with one of the keys that are trusted. Keys are in a file or at a URL, as a JWK set (RFC 7517).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// A file with the keys. It is watched. Secrets (`oct`) say their `alg` and stand in a file only.
    pub keys_file: Option<Spanned<FilePath>>,
    /// Where the keys are: `https://host/path`, or `http://` inside a network that is trusted. Until they were fetched once, requests get 503.
    pub keys_url: Option<Spanned<String>>,
    /// File with the authorities that sign the certificate there, in PEM. Default: those that the system trusts.
    pub keys_ca: Option<Spanned<FilePath>>,
    /// How often they are fetched; and once more, at most every 10 s, when a token names a key that is not known. Range: above `0s`.
    /// Default: `10m`.
    pub keys_refresh: Option<Spanned<Duration>>,
    /// Which algorithms are taken, of those that a key can be for. Default: all.
    pub algorithms: Option<Spanned<Vec<Spanned<JwtAlgorithm>>>>,
    /// Who must have made a token (`iss`): one, or one of several. Default: whoever has the keys.
    pub issuer: Option<Spanned<OneOrMany<String>>>,
    /// For whom it must be (`aud`): one, or one of several. Default: not looked at.
    pub audience: Option<Spanned<OneOrMany<String>>>,
    /// How far clocks may be apart. Range: `0s` to `10m`. Default: `30s`.
    pub leeway: Option<Spanned<Duration>>,
    /// Whether a token must say until when it holds (`exp`). Default: `required`.
    pub expiry: Option<Spanned<Expiry>>,
    /// How many tokens are remembered whose signature was found sound. What they say is judged with each request. Range: `0` to `1000000`.
    /// Default: `4096`.
    pub remember: Option<Spanned<u32>>,
    /// Where a token stands: `header:NAME`, `cookie:NAME` or `query:NAME`; in Authorization behind `Bearer`.
    /// Default: `header:authorization`.
    pub from: Option<Spanned<String>>,
    /// What the challenge says. Default: `restricted`.
    pub realm: Option<Spanned<String>>,
    /// Fields that tell the endpoint what is in the token: a field's name and a claim's, with dots into what is nested. What the client
    /// itself sends in them is removed.
    #[serde(default)]
    pub claim_headers: Named<Spanned<String>>,
    /// Whether the endpoint gets the field, cookie or parameter that the token stands in. Default: `remove`.
    pub credentials: Option<Spanned<Credentials>>,
}

/// How a token is signed. The algorithms of RFC 7518, 3.1, and RFC 8037.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub enum JwtAlgorithm {
    /// A secret, with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// A secret, with SHA-384.
    #[serde(rename = "HS384")]
    Hs384,
    /// A secret, with SHA-512.
    #[serde(rename = "HS512")]
    Hs512,
    /// RSA, PKCS #1 v1.5, with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA, PKCS #1 v1.5, with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSA, PKCS #1 v1.5, with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSA, PSS, with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSA, PSS, with SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSA, PSS, with SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// P-256, with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// P-384, with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// P-521, with SHA-512.
    #[serde(rename = "ES512")]
    Es512,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// `expiry`: whether a token must end.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// It must.
    Required,
    /// One without an end is taken.
    Optional,
}

/// `forward_auth`: a service is asked of each request, by a GET without a body. An answer of 2xx lets it go on; one of 3xx or 4xx
/// is given to the client; without an answer, or with any other, the request is refused with 503.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardAuth {
    /// The cluster that is asked.
    pub cluster: Spanned<String>,
    /// The path that it is asked for. X-Forwarded-Method and X-Forwarded-Uri tell what the client asked for. Default: `/`.
    pub path: Option<Spanned<String>>,
    /// The Host that it is asked for. Default: the request's.
    pub host: Option<Spanned<String>>,
    /// How long it may take to answer, retries included. Range: above `0s`. Default: `2s`.
    pub timeout: Option<Spanned<Duration>>,
    /// Fields of the request that it gets, as the filters before have left them. Default: `authorization`, `cookie`.
    pub send_headers: Option<Spanned<Vec<Spanned<String>>>>,
    /// Fields of an answer that lets in: the endpoint gets them. What the client itself sends in them is removed. Default: none.
    pub copy_headers: Option<Spanned<Vec<Spanned<String>>>>,
    /// Fields of an answer that lets in: the client gets them with its own answer, in the place of the endpoint's, but for Set-Cookie,
    /// which stands beside. Default: none.
    pub client_headers: Option<Spanned<Vec<Spanned<String>>>>,
    /// Fields of an answer that does not: the client gets them. Default: `content-type`, `location`, `retry-after`, `set-cookie`,
    /// `www-authenticate`.
    pub pass_headers: Option<Spanned<Vec<Spanned<String>>>>,
    /// Longest body of an answer. Range: `0B` to `1MiB`. Default: `64KiB`.
    pub max_body: Option<Spanned<ByteSize>>,
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
