//! `path_policy` of listeners and routes.

use serde::Deserialize;

use crate::config::span::Spanned;

/// `path_policy` of a listener: what is done with those parts of a path that origins read differently.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathPolicy {
    /// `.` and `..` between slashes, as `%2e` too. Default: `resolve`.
    pub dot_segments: Option<Spanned<DotSegments>>,
    /// Slashes in a row. Default: `keep`.
    pub double_slash: Option<Spanned<DoubleSlash>>,
    /// `%2F`, which is data here and never separates. Default: `keep`.
    pub encoded_slash: Option<Spanned<PathRule>>,
    /// Path parameters: `;` and `%3B`. Default: `keep`.
    pub parameters: Option<Spanned<PathRule>>,
}

/// `path_policy` of a route: what it refuses with 400 although its listeners let it through.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutePathPolicy {
    /// `refuse`: `.` and `..` between slashes, as `%2e` too.
    pub dot_segments: Option<Spanned<Stricter>>,
    /// `refuse`: slashes in a row.
    pub double_slash: Option<Spanned<Stricter>>,
    /// `refuse`: `%2F`.
    pub encoded_slash: Option<Spanned<Stricter>>,
    /// `refuse`: `;` and `%3B`.
    pub parameters: Option<Spanned<Stricter>>,
}

/// `dot_segments`: what is done with `.` and `..`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DotSegments {
    /// The path is matched and forwarded without them.
    Resolve,
    /// 400.
    Refuse,
}

/// `double_slash`: what is done with slashes in a row.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoubleSlash {
    /// They stay.
    Keep,
    /// They become one, before dot segments are resolved.
    Merge,
    /// 400.
    Refuse,
}

/// `encoded_slash` and `parameters`: whether they may stand.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathRule {
    /// They stay as they are.
    Keep,
    /// 400.
    Refuse,
}

/// A route may only be stricter than its listeners.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stricter {
    /// 400.
    Refuse,
}
