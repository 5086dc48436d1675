//! `[clusters.NAME]`.

use serde::Deserialize;

use super::balancer::Balancer;
use super::bulkhead::Bulkhead;
use super::endpoint::Endpoint;
use super::health::Health;
use super::http2::ClusterHttp2;
use super::outlier::{Breaker, Outlier};
use super::retry::Retry;
use super::socket::ClusterSocket;
use super::timeouts::{ClusterLimits, ClusterTimeouts};
use super::tls::ClusterTls;
use crate::config::span::Spanned;
use crate::config::types::{Choice, Duration, Percent};

/// `[clusters.NAME]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// How an endpoint is picked. Default: `least_request`.
    pub balancer: Option<Spanned<Choice<Balancer>>>,
    /// What is spoken to endpoints. Default: `http1`.
    pub protocol: Option<Spanned<Choice<UpstreamProtocol>>>,
    /// Where to.
    pub endpoints: Spanned<Vec<Spanned<Endpoint>>>,
    /// Timeouts; each wins over the defaults.
    #[serde(default)]
    pub timeouts: ClusterTimeouts,
    /// Limits of answers; each wins over the defaults.
    #[serde(default)]
    pub limits: ClusterLimits,
    /// How long an endpoint that is new or came back takes to get its full share, from a tenth of it on. Default: `0s`.
    pub slow_start: Option<Spanned<Duration>>,
    /// Below this percent of available endpoints health is ignored; 0: never, with none available 503. Default: `0`.
    pub panic_threshold: Option<Spanned<Percent>>,
    /// `[clusters.NAME.health]`. Default: no probes.
    pub health: Option<Spanned<Health>>,
    /// `[clusters.NAME.outlier]`. Default: on, with the defaults of its keys.
    pub outlier: Option<Spanned<Outlier>>,
    /// Refuses at once while the whole cluster fails. Default: none.
    pub breaker: Option<Spanned<Breaker>>,
    /// `[clusters.NAME.bulkhead]`.
    #[serde(default)]
    pub bulkhead: Bulkhead,
    /// `[clusters.NAME.retry]`.
    #[serde(default)]
    pub retry: Retry,
    /// What keeps a client at its endpoint. Default: nothing.
    pub sticky: Option<Spanned<Choice<Sticky>>>,
    /// TLS to endpoints.
    pub tls: Option<Spanned<ClusterTls>>,
    /// What becomes of tunnels to an endpoint that probes find unhealthy, or that is disabled. Default: `keep`.
    pub on_endpoint_down: Option<Spanned<OnEndpointDown>>,
    /// Options of connections to endpoints, probes included.
    pub socket: Option<Spanned<ClusterSocket>>,
    /// Whether a PROXY protocol header goes first; with datagrams `v2`, in the first of a flow. Default: `off`.
    pub send_proxy_protocol: Option<Spanned<SendProxyProtocol>>,
}

/// `protocol` of a cluster: what is spoken to endpoints.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, known beforehand: there is no other on the connection.
    Http2(ClusterHttp2),
    /// What each endpoint agrees to by ALPN, HTTP/2 rather than HTTP/1.1; with `tls`.
    Auto(ClusterHttp2),
}

/// `on_endpoint_down`: what becomes of the tunnels of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnEndpointDown {
    /// They go on until one of their sides ends them.
    Keep,
    /// They are cut, so that clients come back to another endpoint.
    Close,
}

/// `send_proxy_protocol`: the PROXY protocol to endpoints.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendProxyProtocol {
    /// None.
    Off,
    /// The text form.
    V1,
    /// The binary form, with the name of the connection in the log, and what its client hello asks for.
    V2,
}

/// `sticky`: what keeps a client at its endpoint.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sticky {
    /// A cookie of ours.
    Cookie(StickyCookie),
    /// A field that the application sends.
    Header(StickyHeader),
}

/// `sticky = { cookie = … }`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StickyCookie {
    /// Name of the cookie.
    pub name: Spanned<String>,
    /// How long it lives. Range: at least `1s`. Default: as long as the browser's session.
    pub max_age: Option<Spanned<Duration>>,
    /// Only over TLS. Default: `false`.
    pub secure: Option<Spanned<bool>>,
    /// Not for scripts. Default: `true`.
    pub http_only: Option<Spanned<bool>>,
    /// Whether other sites' requests carry it; `none` needs `secure`. Default: `lax`.
    pub same_site: Option<Spanned<SameSite>>,
}

/// `sticky = { header = … }`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StickyHeader {
    /// Name of the field.
    pub name: Spanned<String>,
}

/// Whether requests from other sites carry a cookie.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SameSite {
    /// Never.
    Strict,
    /// On navigation.
    Lax,
    /// Always.
    None,
}
