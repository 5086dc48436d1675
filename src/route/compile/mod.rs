//! `[[routes]]` → [`RouteTable`].

mod action;
mod conditions;
mod demands;
mod split;

pub use split::{Clusters, compile_split};

use super::unreachable::find_unreachable;
use super::{Route, RouteIx, RouteLimits, RouteTable, RouteTimeouts, Rule, Trace};
use crate::base::{ListenerName, RouteName};
use crate::config::raw::path::Stricter;
use crate::config::raw::{self, Config};
use crate::config::types::{ByteSize, Duration, Named};
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};
use crate::filter;
use crate::message::path::{self, Policy};

/// Compiles all routes. Reports everything that is wrong with them, and warns of those that can never match.
///
/// `listeners` and `clusters` hold every name that the file defines, whether or not it could be compiled;
/// listeners in [`RouteInput`](super::RouteInput) and [`ClusterIx`](super::ClusterIx) are positions in them.
pub fn compile(
    raw: &Config,
    listeners: &[ListenerName],
    clusters: Clusters<'_>,
    parts: filter::Parts<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<RouteTable> {
    let names = Names {
        listeners,
        clusters,
        parts,
        pages: &raw.error_pages,
    };
    let defaults = &raw.defaults.route;
    let routes: Vec<_> = raw
        .routes
        .iter()
        .map(|route| compile_one(route, defaults, names, diagnostics))
        .collect();
    let table = RouteTable::new(routes.into_iter().collect::<Option<_>>()?);
    warn_of_unreachable(&table, raw, listeners.len(), diagnostics);
    Some(table)
}

/// What routes may refer to.
#[derive(Clone, Copy)]
struct Names<'a> {
    listeners: &'a [ListenerName],
    clusters: Clusters<'a>,
    parts: filter::Parts<'a>,
    pages: &'a Named<raw::ErrorPages>,
}

fn compile_one(
    raw: &raw::Route,
    defaults: &raw::defaults::RouteDefaults,
    names: Names<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<(Route, Rule)> {
    let name = compile_name(&raw.name, diagnostics);
    let rule = conditions::compile(raw, names.listeners, diagnostics);
    let filters = name
        .as_ref()
        .and_then(|name| filter::compile(filter::Of { name, raw }, names.parts, diagnostics));
    let action = action::compile(raw, names.clusters, diagnostics);
    let pages = filter::pages::find(raw.error_pages.as_ref(), names.pages, diagnostics);
    let route = Route {
        name: name?,
        action: action?,
        filters: filters?,
        pages,
        timeouts: timeouts(&raw.timeouts, &defaults.timeouts, diagnostics)?,
        limits: limits(&raw.limits, &defaults.limits),
        path: raw.path_policy.as_deref().map(path_policy),
        trace: match &raw.methods {
            Some(methods) if methods.iter().any(|method| method.value == "TRACE") => Trace::Served,
            _ => Trace::Refused,
        },
    };
    Some((route, rule?))
}

fn compile_name(raw: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<RouteName> {
    let problem = match RouteName::parse(raw) {
        Ok(name) if name.as_str() != RouteName::NONE => return Some(name),
        Ok(_) => "in logs and metrics it stands for no route".to_owned(),
        Err(error) => error.to_string(),
    };
    diagnostics.push(
        Diagnostic::error(
            Code::BadName,
            raw.span,
            format!("`{}` is not a name for a route", raw.escape_debug()),
        )
        .label(problem),
    );
    None
}

/// The route's own value, or the default's.
fn timeouts(
    own: &raw::RouteTimeouts,
    default: &raw::RouteTimeouts,
    diagnostics: &mut Diagnostics,
) -> Option<RouteTimeouts> {
    let mut wrong = false;
    let mut pick =
        |key: &str, own: Option<Spanned<Duration>>, default: Option<Spanned<Duration>>| {
            let raw = own.or(default)?;
            if raw.is_zero() {
                wrong = true;
                // One in `[defaults.route]` is met by every route.
                let known =
                    |item: &Diagnostic| item.code() == Code::BadValue && item.span() == raw.span;
                if !diagnostics.iter().any(known) {
                    diagnostics.push(never(key, raw.span));
                }
            }
            Some(raw.get())
        };
    let timeouts = RouteTimeouts {
        request: own
            .request
            .or(default.request)
            .map(|request| request.get())
            .filter(|request| !request.is_zero()),
        response: pick("response", own.response, default.response),
        response_idle: pick("response_idle", own.response_idle, default.response_idle),
        tunnel: pick("tunnel", own.tunnel, default.tunnel),
        body: pick("body", own.body, default.body),
    };
    (!wrong).then_some(timeouts)
}

fn never(key: &str, span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::BadValue,
        span,
        format!("`{key}` must be longer than 0s"),
    )
    .hint("a peer that falls silent must not hold an exchange for ever: the longest is 8760h")
}

fn limits(own: &raw::RouteLimits, default: &raw::RouteLimits) -> RouteLimits {
    let size = |size: Option<Spanned<ByteSize>>| {
        let bytes = size.map(|size| size.bytes());
        bytes.filter(|&bytes| bytes > 0)
    };
    let count = own.header_count.or(default.header_count);
    RouteLimits {
        body: size(own.body.or(default.body)),
        headers: size(own.headers.or(default.headers)),
        header_count: count
            .map(|count| count.value as usize)
            .filter(|&count| count > 0),
    }
}

/// A route may only be stricter, so all it can say is `refuse`.
fn path_policy(raw: &raw::RoutePathPolicy) -> Policy {
    let rule = |raw: &Option<Spanned<Stricter>>| match raw.as_deref() {
        None => path::Rule::Keep,
        Some(Stricter::Refuse) => path::Rule::Refuse,
    };
    Policy {
        dot_segments: rule(&raw.dot_segments),
        encoded_slash: rule(&raw.encoded_slash),
        empty_segments: match raw.double_slash.as_deref() {
            None => path::Empty::Keep,
            Some(Stricter::Refuse) => path::Empty::Refuse,
        },
        parameters: rule(&raw.parameters),
    }
}

fn warn_of_unreachable(
    table: &RouteTable,
    raw: &Config,
    listeners: usize,
    diagnostics: &mut Diagnostics,
) {
    let name = |route: RouteIx| raw.routes.get(route.index()).map(|route| &route.name);
    for lost in find_unreachable(table, listeners) {
        let (Some(lost), Some(behind)) = (name(lost.route), name(lost.behind)) else {
            continue;
        };
        diagnostics.push(
            Diagnostic::warning(
                Code::UnreachableRoute,
                lost.span,
                format!("route `{}` can never match", lost.value),
            )
            .label("no request gets here")
            .also(behind.span, "this route takes its requests")
            .note(
                "the winner has the larger priority, then the more exact host, then the more exact path (exact, \
                 longest prefix, regex, none), then methods, then more conditions, then the earlier place in the file",
            ),
        );
    }
}

#[cfg(test)]
mod tests;
