//! What a route does with a request.

use std::sync::Arc;

use bytes::Bytes;

use super::super::{Action, ClusterIx, HostPattern, Query, Redirect, Scheme};
use super::conditions::{bad_host, canonical_path};
use crate::base::{ClusterName, Reason};
use crate::config::raw::{self, route};
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned, suggest};
use crate::filter::{Place, Reply, compile_fields};

/// Compiles the one action of a route.
pub(super) fn compile(
    raw: &raw::Route,
    clusters: &[ClusterName],
    diagnostics: &mut Diagnostics,
) -> Option<Action> {
    if let Some(key) = &raw.split_key {
        diagnostics.unsupported(key.span, "splits over clusters");
    }
    let given: Vec<(&str, Span)> = [
        ("cluster", raw.cluster.as_ref().map(|it| it.span)),
        ("split", raw.split.as_ref().map(|it| it.span)),
        ("redirect", raw.redirect.as_ref().map(|it| it.span)),
        ("respond", raw.respond.as_ref().map(|it| it.span)),
    ]
    .into_iter()
    .filter_map(|(key, span)| Some((key, span?)))
    .collect();
    match given.as_slice() {
        [] => {
            diagnostics.push(
                Diagnostic::error(
                    Code::RouteAction,
                    raw.name.span,
                    format!("route `{}` has no action", raw.name.escape_debug()),
                )
                .label("where do its requests go?")
                .hint("add one of `cluster`, `redirect` and `respond`"),
            );
            return None;
        }
        [_] => {}
        [(first_key, first), (key, second), ..] => {
            diagnostics.push(
                Diagnostic::error(
                    Code::RouteAction,
                    *second,
                    format!(
                        "route `{}` has both `{first_key}` and `{key}`",
                        raw.name.escape_debug()
                    ),
                )
                .label("a second action")
                .also(*first, "the first")
                .note("a route does one thing with its requests"),
            );
            return None;
        }
    }
    if let Some(split) = &raw.split {
        diagnostics.unsupported(split.span, "splits over clusters");
        return None;
    }
    if let Some(redirect) = &raw.redirect {
        return compile_redirect(redirect, diagnostics).map(Action::Redirect);
    }
    if let Some(respond) = &raw.respond {
        return compile_respond(respond, diagnostics).map(|reply| Action::Respond(Arc::new(reply)));
    }
    compile_cluster(raw, clusters, diagnostics).map(Action::Cluster)
}

fn compile_cluster(
    raw: &raw::Route,
    clusters: &[ClusterName],
    diagnostics: &mut Diagnostics,
) -> Option<ClusterIx> {
    let name = raw.cluster.as_ref()?;
    let position = clusters
        .iter()
        .position(|known| known.as_str() == name.value);
    if let Some(position) = position.and_then(|position| u32::try_from(position).ok()) {
        return Some(ClusterIx(position));
    }
    let diagnostic = Diagnostic::error(
        Code::UnknownCluster,
        name.span,
        format!(
            "route `{}` sends to unknown cluster `{}`",
            raw.name.escape_debug(),
            name.escape_debug()
        ),
    )
    .label("no cluster has this name");
    diagnostics.push(
        match suggest(name, clusters.iter().map(ClusterName::as_str)) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => diagnostic,
        },
    );
    None
}

fn compile_redirect(
    raw: &Spanned<route::Redirect>,
    diagnostics: &mut Diagnostics,
) -> Option<Redirect> {
    let mut problems = Vec::new();
    let mut redirect = Redirect {
        status: 308,
        scheme: raw.scheme.as_ref().map(|scheme| match scheme.value {
            route::Scheme::Http => Scheme::Http,
            route::Scheme::Https => Scheme::Https,
        }),
        host: None,
        port: raw.port.map(|port| port.value),
        path: None,
        query: match raw.query.as_ref().map(|query| &query.value) {
            None | Some(route::RedirectQuery::Keep) => Query::Keep,
            Some(route::RedirectQuery::Drop) => Query::Drop,
        },
    };
    if let Some(status) = raw.status {
        redirect.status = status.value;
        if !matches!(status.value, 301 | 302 | 303 | 307 | 308) {
            problems.push(
                Diagnostic::error(
                    Code::BadStatus,
                    status.span,
                    format!("`{}` is not the status of a redirect", status.value),
                )
                .label("allowed are 301, 302, 303, 307 and 308"),
            );
        }
    }
    if let Some(port) = raw.port.filter(|port| port.value == 0) {
        let message = "`0` is not a port to send a client to";
        problems.push(Diagnostic::error(Code::BadValue, port.span, message));
    }
    if let Some(host) = &raw.host {
        match HostPattern::parse(host) {
            Ok(HostPattern::Exact(name)) => redirect.host = Some(name),
            Ok(HostPattern::Below(_)) => problems.push(
                Diagnostic::error(
                    Code::BadHost,
                    host.span,
                    format!("`{}` is not one host", host.value),
                )
                .label("a redirect leads to one host"),
            ),
            Err(error) => problems.push(bad_host(host, error)),
        }
    }
    if let Some(path) = &raw.path {
        match canonical_path(path) {
            Ok(path) => redirect.path = Some(path),
            Err(problem) => problems.push(*problem),
        }
    }
    if [
        raw.scheme.is_some(),
        raw.host.is_some(),
        raw.port.is_some(),
        raw.path.is_some(),
    ] == [false; 4]
    {
        problems.push(
            Diagnostic::error(
                Code::RouteAction,
                raw.span,
                "this redirect leads back to where it came from",
            )
            .label("nothing of the URL changes")
            .hint("say at least one of `scheme`, `host`, `port` and `path`"),
        );
    }
    if problems.is_empty() {
        return Some(redirect);
    }
    for problem in problems {
        diagnostics.push(problem);
    }
    None
}

fn compile_respond(raw: &Spanned<route::Respond>, diagnostics: &mut Diagnostics) -> Option<Reply> {
    let fields = compile_fields(&raw.headers, Place::Reply, diagnostics);
    let status = raw.status;
    let mut sound = Some(());
    if !(200..=599).contains(&status.value) {
        diagnostics.push(
            Diagnostic::error(
                Code::BadStatus,
                status.span,
                format!("`{}` is not the status of an answer", status.value),
            )
            .label("allowed are 200 to 599"),
        );
        sound = None;
    }
    let body = raw.body.as_ref().filter(|body| !body.is_empty());
    if let (Some(body), 204 | 205 | 304) = (body, status.value) {
        diagnostics.push(
            Diagnostic::error(
                Code::Conflict,
                body.span,
                format!("an answer with status {} has no body", status.value),
            )
            .also(status.span, "the status"),
        );
        sound = None;
    }
    let (fields, ()) = (fields?, sound?);
    let is_typed = fields
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let default_type = (body.is_some() && !is_typed).then_some((
        b"content-type".as_slice(),
        b"text/plain; charset=utf-8".as_slice(),
    ));
    let fields = fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let text = body.map_or_else(Bytes::new, |body| Bytes::copy_from_slice(body.as_bytes()));
    Some(Reply::new(
        status.value,
        Reason::LocalReply,
        fields.chain(default_type),
        text,
    ))
}
