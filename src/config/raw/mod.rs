//! What may be written: one struct a table, every key of the language.
//!
//! **Invariants.** Only shape: unknown keys and wrong types are refused here, meaning is established by
//! the room that compiles a table. What a later error may point at keeps its span. No `flatten`,
//! `untagged` or internal tags: spans and `deny_unknown_fields` break there.
//!
//! **Not here.** Values that several tables use ([`types`](super::types)); defaults (the compiling room).

pub mod access;
pub mod admin;
pub mod balancer;
pub mod bulkhead;
pub mod cluster;
pub mod defaults;
pub mod dns;
pub mod endpoint;
pub mod error_pages;
pub mod filter;
pub mod health;
pub mod http2;
pub mod limiter;
pub mod listener;
pub mod log;
pub mod outlier;
pub mod path;
pub mod retry;
pub mod route;
pub mod route_test;
pub mod runtime;
pub mod secret;
pub mod socket;
pub mod store;
pub mod timeouts;
pub mod tls;

pub use admin::Admin;
pub use balancer::Balancer;
pub use bulkhead::Bulkhead;
pub use cluster::Cluster;
pub use defaults::Defaults;
pub use dns::Dns;
pub use endpoint::Endpoint;
pub use error_pages::{ErrorPage, ErrorPages};
pub use filter::Filter;
pub use health::Health;
pub use http2::{ClusterHttp2, Http2};
pub use limiter::Limiter;
pub use listener::Listener;
pub use log::{AccessLog, Log};
pub use outlier::{Breaker, Outlier};
pub use path::{PathPolicy, RoutePathPolicy};
pub use retry::Retry;
pub use route::Route;
pub use route_test::RouteTest;
pub use runtime::Runtime;
pub use secret::{Nothing, SecretSource};
pub use store::Stores;
pub use timeouts::{
    ClusterLimits, ClusterTimeouts, ListenerLimits, ListenerTimeouts, RouteLimits, RouteTimeouts,
};

use super::span::Spanned;
use super::types::Named;

/// Top level: a whole configuration, includes merged in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Files to read as well, relative to the main file: paths, which must be there, and patterns, which may find nothing.
    /// `*` stands for any name, `?` for one character, `[…]` for one of several, `**` for any directories; none of them
    /// finds names that begin with a dot.
    pub include: Vec<Spanned<String>>,
    /// `[runtime]`.
    pub runtime: Runtime,
    /// `[admin]`; without it there is no admin interface.
    pub admin: Option<Spanned<Admin>>,
    /// `[log]`.
    pub log: Log,
    /// `[dns]`.
    pub dns: Dns,
    /// `[defaults]`.
    pub defaults: Defaults,
    /// `[[listeners]]`.
    pub listeners: Vec<Spanned<Listener>>,
    /// `[[routes]]` in the order of the files.
    pub routes: Vec<Spanned<Route>>,
    /// `[[tests]]`: what must come of some requests.
    pub tests: Vec<Spanned<RouteTest>>,
    /// `[clusters.NAME]`.
    pub clusters: Named<Cluster>,
    /// `[error_pages.NAME]`: what clients are shown when something failed.
    pub error_pages: Named<ErrorPages>,
    /// `[limiters.NAME]`: rate limiters.
    pub limiters: Named<Limiter>,
    /// `[stores]`: shared counters.
    pub stores: Stores,
}

/// The keys of the top level.
pub const KEYS: &[&str] = &[
    "include",
    "runtime",
    "admin",
    "log",
    "dns",
    "defaults",
    "listeners",
    "routes",
    "tests",
    "clusters",
    "error_pages",
    "limiters",
    "stores",
];
