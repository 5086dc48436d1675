//! Those of a route's `filters` that ask who a request is from.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{ByteSize, Duration, FilePath, Named, OneOrMany};

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
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
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
