//! `[defaults.*]`: what listeners, routes and clusters start from.

use serde::Deserialize;

use super::http2::Http2;
use super::listener::ForwardingHeader;
use super::path::PathPolicy;
use super::timeouts::{
    ClusterLimits, ClusterTimeouts, ListenerLimits, ListenerTimeouts, RouteLimits, RouteTimeouts,
};
use crate::config::span::Spanned;

/// `[defaults]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// `[defaults.listener]`.
    #[serde(default)]
    pub listener: ListenerDefaults,
    /// `[defaults.route]`.
    #[serde(default)]
    pub route: RouteDefaults,
    /// `[defaults.cluster]`.
    #[serde(default)]
    pub cluster: ClusterDefaults,
}

/// `[defaults.listener]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerDefaults {
    /// Networks whose forwarding headers are believed. Default: none.
    pub trusted_proxies: Option<Spanned<Vec<Spanned<String>>>>,
    /// Fields that tell the endpoint of the client; a stranger's own are always removed. Default: `x-forwarded-for`, `x-forwarded-proto`, `x-forwarded-host`.
    pub forwarding_headers: Option<Spanned<Vec<Spanned<ForwardingHeader>>>>,
    /// Further fields that only trusted proxies may send: removed from all other requests. Default: none.
    pub identity_headers: Option<Spanned<Vec<Spanned<String>>>>,
    /// What is done with unusual paths.
    pub path_policy: Option<Spanned<PathPolicy>>,
    /// One of `[error_pages]`. Default: none.
    pub error_pages: Option<Spanned<String>>,
    /// Timeouts.
    #[serde(default)]
    pub timeouts: ListenerTimeouts,
    /// Limits.
    #[serde(default)]
    pub limits: ListenerLimits,
    /// Limits of connections of HTTP/2.
    #[serde(default)]
    pub http2: Http2,
}

/// `[defaults.route]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteDefaults {
    /// Timeouts.
    #[serde(default)]
    pub timeouts: RouteTimeouts,
    /// Limits.
    #[serde(default)]
    pub limits: RouteLimits,
}

/// `[defaults.cluster]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterDefaults {
    /// Timeouts.
    #[serde(default)]
    pub timeouts: ClusterTimeouts,
    /// Limits.
    #[serde(default)]
    pub limits: ClusterLimits,
}
