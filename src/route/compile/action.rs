//! What a route does with a request.

use std::sync::Arc;

use bytes::Bytes;

use super::super::{Action, ClusterIx, HostPattern, Query, Redirect, Scheme, Split};
use super::conditions::{bad_host, canonical_path};
use crate::base::hash::HashKey;
use crate::base::{ClusterName, Reason};
use crate::config::raw::{self, route};
use crate::config::types::OneOrMany;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned, suggest};
use crate::filter::{Place, Reply, compile_fields};
use crate::message::key::KeySource;

/// Compiles the one action of a route.
pub(super) fn compile(
    raw: &raw::Route,
    clusters: &[ClusterName],
    hash: HashKey,
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
        return compile_split(raw, split, clusters, hash, diagnostics).map(Action::Split);
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
    find_cluster(raw, raw.cluster.as_ref()?, clusters, diagnostics)
}

/// The position of a cluster that the route names.
fn find_cluster(
    raw: &raw::Route,
    name: &Spanned<String>,
    clusters: &[ClusterName],
    diagnostics: &mut Diagnostics,
) -> Option<ClusterIx> {
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

/// Largest weight of a part; 0 sends nothing there, until a reload says otherwise.
const MAX_WEIGHT: u32 = 1_000_000;

fn compile_split(
    raw: &raw::Route,
    split: &Spanned<Vec<Spanned<route::SplitPart>>>,
    clusters: &[ClusterName],
    hash: HashKey,
    diagnostics: &mut Diagnostics,
) -> Option<Split> {
    let mut parts: Vec<(ClusterIx, &str, u32, Span)> = Vec::with_capacity(split.len());
    let mut sound = Some(());
    for part in &split.value {
        let found = find_cluster(raw, &part.cluster, clusters, diagnostics);
        let first = parts.iter().find(|(ix, ..)| Some(*ix) == found);
        let problem = if part.weight.value > MAX_WEIGHT {
            let message = format!("weight {} is not in 0-{MAX_WEIGHT}", part.weight.value);
            let error = Diagnostic::error(Code::BadWeight, part.weight.span, message);
            Some(error.hint("only the ratio of the weights counts"))
        } else {
            first.map(|&(.., span)| {
                let name = part.cluster.escape_debug();
                let message = format!("cluster `{name}` stands twice in this split");
                Diagnostic::error(Code::DuplicateName, part.cluster.span, message)
                    .also(span, "first here")
            })
        };
        match (found, problem) {
            (Some(ix), None) => {
                parts.push((
                    ix,
                    part.cluster.as_str(),
                    part.weight.value,
                    part.cluster.span,
                ));
            }
            (_, problem) => {
                if let Some(problem) = problem {
                    diagnostics.push(problem);
                }
                sound = None;
            }
        }
    }
    let key = match &raw.split_key {
        None => Some(Vec::new()),
        Some(keys) => compile_keys(keys, diagnostics),
    };
    if sound.is_some() && parts.iter().all(|&(_, _, weight, _)| weight == 0) {
        diagnostics.push(
            Diagnostic::error(Code::Empty, split.span, "this split sends nothing anywhere")
                .hint("at least one part must have a weight above 0"),
        );
        return None;
    }
    sound?;
    let parts: Vec<_> = parts
        .into_iter()
        .map(|(ix, name, weight, _)| (ix, name, weight))
        .collect();
    Some(Split::new(&parts, key?, hash))
}

fn compile_keys(
    raw: &Spanned<OneOrMany<String>>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<KeySource>> {
    let mut sources = Some(Vec::new());
    for text in &raw.value.0 {
        match (KeySource::parse(text), &mut sources) {
            (Ok(source), Some(sources)) => sources.push(source),
            (Ok(_), None) => {}
            (Err(error), _) => {
                let message = format!("`{}` is not a key", text.escape_debug());
                diagnostics.push(
                    Diagnostic::error(Code::BadValue, raw.span, message)
                        .label(error.to_string())
                        .note(
                            "keys are client_ip, global, route, host, path, header:NAME, cookie:NAME and query:NAME",
                        ),
                );
                sources = None;
            }
        }
    }
    sources
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
