//! What a route does with a request.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;

use super::super::{Action, HostError, HostPattern, NewPath, Query, Redirect, Scheme};
use super::conditions::bad_host;
use super::split::{Clusters, compile_split};
use crate::base::Reason;
use crate::cluster::find_cluster;
use crate::config::raw::{self, route};
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};
use crate::filter::{Place, Reply, compile_fields};
use crate::message::prefix::NewPrefix;
use crate::message::spelled::{canonical_path, matched_prefix};

/// Compiles the one action of a route.
pub(super) fn compile(
    raw: &raw::Route,
    clusters: Clusters<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Action> {
    if let (Some(key), None) = (&raw.split_key, &raw.split) {
        diagnostics.push(
            Diagnostic::error(
                Code::Conflict,
                key.span,
                "`split_key` stands without `split`",
            )
            .label("there is nothing to keep a client on"),
        );
        return None;
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
                .hint("add one of `cluster`, `split`, `redirect` and `respond`"),
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
        let key = raw.split_key.as_ref();
        return compile_split(&who(raw), split, key, clusters, diagnostics).map(Action::Split);
    }
    if let Some(redirect) = &raw.redirect {
        return compile_redirect(raw, redirect, diagnostics).map(Action::Redirect);
    }
    if let Some(respond) = &raw.respond {
        return compile_respond(respond, diagnostics).map(|reply| Action::Respond(Arc::new(reply)));
    }
    let name = raw.cluster.as_ref()?;
    find_cluster(&who(raw), name, clusters.names, diagnostics).map(Action::Cluster)
}

fn who(raw: &raw::Route) -> String {
    format!("route `{}`", raw.name.escape_debug())
}

fn compile_redirect(
    of: &raw::Route,
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
        path: NewPath::Keep,
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
            Err(error) => {
                let problem = bad_host(host, error);
                problems.push(match error {
                    HostError::Port => problem.label("a port stands apart here: `port = 8443`"),
                    _ => problem,
                });
            }
        }
    }
    match compile_path(of, raw) {
        Ok(path) => redirect.path = path,
        Err(problem) => problems.push(*problem),
    }
    if [
        raw.scheme.is_some(),
        raw.host.is_some(),
        raw.port.is_some(),
        raw.path.is_some(),
        raw.prefix.is_some(),
    ] == [false; 5]
    {
        problems.push(
            Diagnostic::error(
                Code::RouteAction,
                raw.span,
                "this redirect leads back to where it came from",
            )
            .label("nothing of the URL changes")
            .hint("say at least one of `scheme`, `host`, `port`, `path` and `prefix`"),
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

/// What becomes of the path.
fn compile_path(of: &raw::Route, raw: &route::Redirect) -> Result<NewPath, Box<Diagnostic>> {
    let conflict = |span, message| Box::new(Diagnostic::error(Code::Conflict, span, message));
    match (&raw.path, &raw.prefix) {
        (None, None) => Ok(NewPath::Keep),
        (Some(path), None) => canonical_path(path).map(NewPath::Whole),
        (Some(path), Some(prefix)) => {
            let error = conflict(prefix.span, "`path` and `prefix` cannot stand together");
            Err(Box::new(
                error.also(path.span, "this replaces the whole path"),
            ))
        }
        (None, Some(prefix)) => {
            let with = canonical_path(prefix)?;
            let matched = matched_prefix(of.path_prefix.as_ref()).ok_or_else(|| {
                let message = "`prefix` stands on a route without `path_prefix`";
                Box::new(conflict(prefix.span, message).label("there is no prefix to replace"))
            })?;
            Ok(NewPath::Prefix(NewPrefix::new(matched, &with)))
        }
    }
}

/// Largest body that is read from a file.
const MAX_BODY: u64 = 1 << 20;

/// The body that was written, or the one in the file.
fn compile_body(raw: &route::Respond, diagnostics: &mut Diagnostics) -> Option<Bytes> {
    let Some(file) = &raw.body_file else {
        let text = raw.body.as_ref().map_or("", |body| body.as_str());
        return Some(Bytes::copy_from_slice(text.as_bytes()));
    };
    if let Some(body) = &raw.body {
        diagnostics.push(
            Diagnostic::error(
                Code::Conflict,
                file.span,
                "`body` and `body_file` cannot stand together",
            )
            .also(body.span, "this is the body"),
        );
        return None;
    }
    let mut bytes = Vec::new();
    let read =
        File::open(&*file.value).and_then(|file| file.take(MAX_BODY + 1).read_to_end(&mut bytes));
    let shown = file.display();
    let problem = match read {
        Err(error) => Diagnostic::error(
            Code::FileUnreadable,
            file.span,
            format!("cannot read `{shown}`"),
        )
        .label(error.to_string()),
        Ok(_) if bytes.len() as u64 > MAX_BODY => Diagnostic::error(
            Code::FileTooLarge,
            file.span,
            format!("`{shown}` is larger than 1 MiB"),
        )
        .hint("serve it from an endpoint"),
        Ok(_) => return Some(bytes.into()),
    };
    diagnostics.push(problem);
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
    let body = compile_body(raw, diagnostics);
    let place = raw.body_file.as_ref().map(|file| file.span);
    let place = place.or_else(|| raw.body.as_ref().map(|body| body.span));
    if let (Some(place), 204 | 205 | 304) = (place, status.value)
        && body.as_ref().is_some_and(|body| !body.is_empty())
    {
        diagnostics.push(
            Diagnostic::error(
                Code::Conflict,
                place,
                format!("an answer with status {} has no body", status.value),
            )
            .also(status.span, "the status"),
        );
        sound = None;
    }
    let (fields, body, ()) = (fields?, body?, sound?);
    let is_typed = fields
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let default_type = (!body.is_empty() && !is_typed).then_some((
        b"content-type".as_slice(),
        b"text/plain; charset=utf-8".as_slice(),
    ));
    let fields = fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    Some(Reply::new(
        status.value,
        Reason::LocalReply,
        fields.chain(default_type),
        body,
    ))
}
