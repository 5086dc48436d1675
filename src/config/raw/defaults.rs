//! `[defaults.*]`: what listeners, routes and clusters start from.

use serde::Deserialize;

use super::timeouts::{
    ClusterTimeouts, ListenerLimits, ListenerTimeouts, RouteLimits, RouteTimeouts,
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
    /// Timeouts.
    #[serde(default)]
    pub timeouts: ListenerTimeouts,
    /// Limits.
    #[serde(default)]
    pub limits: ListenerLimits,
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
}
