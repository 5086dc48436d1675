//! `[[routes]]`.

use serde::Deserialize;

use super::filter::Filter;
use super::path::RoutePathPolicy;
use super::timeouts::{RouteLimits, RouteTimeouts};
use crate::config::span::Spanned;
use crate::config::types::{Choice, FilePath, Named, OneOrMany};

/// `[[routes]]`: what a request must look like, the filters it goes through, and one action.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name.
    pub name: Spanned<String>,
    /// Larger wins before anything else is compared. Default: `0`.
    pub priority: Option<Spanned<i32>>,
    /// On which listeners. Default: every http listener.
    pub listeners: Option<Spanned<Vec<Spanned<String>>>>,
    /// Hosts, `*.` for one or more labels; the port is ignored. Default: any host.
    pub hosts: Option<Spanned<Vec<Spanned<String>>>>,
    /// The whole path.
    pub path: Option<Spanned<String>>,
    /// Its beginning, by segments.
    pub path_prefix: Option<Spanned<String>>,
    /// The whole path by regular expression, over its canonical form.
    pub path_regex: Option<Spanned<String>>,
    /// Methods. HEAD is one of its own: `GET` does not stand for it. Default: any method but TRACE, which is refused where it is not listed.
    pub methods: Option<Spanned<Vec<Spanned<String>>>>,
    /// Header fields by exact value: one field of the name must have it. The case of a name makes no difference.
    #[serde(default)]
    pub headers: Named<Spanned<String>>,
    /// Header fields by regular expression, which must match the whole value.
    #[serde(default)]
    pub headers_regex: Named<Spanned<String>>,
    /// Query parameters by exact value, decoded: the first of the name must have it.
    #[serde(default)]
    pub query: Named<Spanned<String>>,
    /// Cookies by exact value: the first of the name must have it.
    #[serde(default)]
    pub cookies: Named<Spanned<String>>,
    /// Networks of clients, behind trusted proxies; an address stands for itself.
    pub clients: Option<Spanned<Vec<Spanned<String>>>>,
    /// Server names of the handshake, `*.` for one or more labels: only requests over TLS that named one of them. Default: any, or none.
    pub sni: Option<Spanned<Vec<Spanned<String>>>>,
    /// Steps, in this order on the request, in reverse on the response.
    #[serde(default)]
    pub filters: Vec<Spanned<Choice<Filter>>>,
    /// Action: send to a cluster.
    pub cluster: Option<Spanned<String>>,
    /// Action: send to several clusters by weight.
    pub split: Option<Spanned<Vec<Spanned<SplitPart>>>>,
    /// What keeps a client on its side of a split: `client_ip`, `host`, `path`, `header:NAME`, `cookie:NAME`,
    /// `query:NAME`, or several of them joined. A request without it is told apart by its client's address.
    /// Default: each request is drawn anew.
    pub split_key: Option<Spanned<OneOrMany<String>>>,
    /// Action: send the client elsewhere.
    pub redirect: Option<Spanned<Redirect>>,
    /// Action: answer from here.
    pub respond: Option<Spanned<Respond>>,
    /// One of `[error_pages]`; wins over the listener's.
    pub error_pages: Option<Spanned<String>>,
    /// What is refused in the paths of this route, beyond what its listeners refuse.
    pub path_policy: Option<Spanned<RoutePathPolicy>>,
    /// Timeouts; each wins over the cluster's and the defaults.
    #[serde(default)]
    pub timeouts: RouteTimeouts,
    /// Limits; each wins over the defaults.
    #[serde(default)]
    pub limits: RouteLimits,
}

/// `split`: one part.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitPart {
    /// Where to.
    pub cluster: Spanned<String>,
    /// Its share, as a ratio to the others. Range: `0` to `1000000`.
    pub weight: Spanned<u32>,
}

/// `redirect` of a route: what is not said is kept from the request.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// Status of the answer: 301, 302, 303, 307 or 308. Default: `308`.
    pub status: Option<Spanned<u16>>,
    /// Another scheme.
    pub scheme: Option<Spanned<Scheme>>,
    /// Another host.
    pub host: Option<Spanned<String>>,
    /// Another port. Range: `1` to `65535`. Default: that of the scheme when scheme or host is set.
    pub port: Option<Spanned<u16>>,
    /// Another path.
    pub path: Option<Spanned<String>>,
    /// Another prefix in place of the route's `path_prefix`: `/v1/x` → `/v2/x`.
    pub prefix: Option<Spanned<String>>,
    /// What becomes of the query. Default: `keep`.
    pub query: Option<Spanned<RedirectQuery>>,
}

/// `scheme`: `http` or `https`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

/// `query` of a redirect: what becomes of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectQuery {
    /// Copied.
    Keep,
    /// Left away.
    Drop,
}

/// `respond` of a route.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// Status of the answer. Range: `200` to `599`.
    pub status: Spanned<u16>,
    /// Fields of the answer.
    #[serde(default)]
    pub headers: Named<Spanned<String>>,
    /// Body of the answer. Default: empty.
    pub body: Option<Spanned<String>>,
    /// A file that holds the body, read when the configuration is, at most 1 MiB.
    pub body_file: Option<Spanned<FilePath>>,
}
