//! What a route asks of a request.

use super::super::{HostError, HostPattern, ListenerSet, MethodSet, PathMatch, Rule};
use super::demands;
use crate::base::ListenerName;
use crate::config::pattern::{Extent, regex};
use crate::config::raw;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned, suggest};
use crate::message::spelled::{canonical_path, method};

/// Compiles the conditions of one route.
pub(super) fn compile(
    raw: &raw::Route,
    listeners: &[ListenerName],
    diagnostics: &mut Diagnostics,
) -> Option<Rule> {
    let listeners = compile_listeners(raw, listeners, diagnostics);
    let hosts = compile_hosts(raw, diagnostics);
    let path = compile_path(raw, diagnostics);
    let methods = compile_methods(raw, diagnostics);
    let demands = demands::compile(raw, diagnostics);
    Some(Rule {
        priority: raw.priority.map_or(0, |priority| priority.value),
        hosts: hosts?,
        path: path?,
        methods: methods?,
        listeners: listeners?,
        demands: demands?,
    })
}

/// Refuses a list that is there but holds nothing: it would match nothing, or be taken for "any".
pub(super) fn refuse_empty<T>(
    list: &Spanned<Vec<T>>,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<()> {
    if !list.is_empty() {
        return Some(());
    }
    diagnostics.push(
        Diagnostic::error(Code::Empty, list.span, format!("`{what}` is empty"))
            .hint(format!("leave `{what}` out to match any")),
    );
    None
}

/// Compiles every item, so that every error is reported.
pub(super) fn compile_each<T, U>(
    list: &[Spanned<T>],
    mut compile: impl FnMut(&Spanned<T>) -> Result<U, Box<Diagnostic>>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<U>> {
    let mut compiled = Some(Vec::with_capacity(list.len()));
    for item in list {
        match (compile(item), &mut compiled) {
            (Ok(item), Some(compiled)) => compiled.push(item),
            (Ok(_), None) => {}
            (Err(diagnostic), _) => {
                diagnostics.push(*diagnostic);
                compiled = None;
            }
        }
    }
    compiled
}

fn compile_listeners(
    raw: &raw::Route,
    listeners: &[ListenerName],
    diagnostics: &mut Diagnostics,
) -> Option<ListenerSet> {
    let Some(list) = &raw.listeners else {
        return Some(ListenerSet::All);
    };
    refuse_empty(list, "listeners", diagnostics)?;
    let position = |name: &Spanned<String>| {
        let found = listeners
            .iter()
            .position(|known| known.as_str() == name.value);
        found.ok_or_else(|| {
            let diagnostic = Diagnostic::error(
                Code::UnknownListener,
                name.span,
                format!(
                    "route `{}` stands on unknown listener `{}`",
                    raw.name.escape_debug(),
                    name.escape_debug()
                ),
            )
            .label("no listener has this name");
            Box::new(
                match suggest(name, listeners.iter().map(ListenerName::as_str)) {
                    Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                    None => diagnostic,
                },
            )
        })
    };
    compile_each(list, position, diagnostics).map(|positions| ListenerSet::of(&positions))
}

fn compile_hosts(raw: &raw::Route, diagnostics: &mut Diagnostics) -> Option<Vec<HostPattern>> {
    let Some(list) = &raw.hosts else {
        return Some(Vec::new());
    };
    hosts(list, "hosts", diagnostics)
}

/// A list of hosts.
pub(super) fn hosts(
    list: &Spanned<Vec<Spanned<String>>>,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<HostPattern>> {
    refuse_empty(list, what, diagnostics)?;
    compile_each(
        list,
        |host| HostPattern::parse(host).map_err(|error| Box::new(bad_host(host, error))),
        diagnostics,
    )
}

pub(super) fn bad_host(host: &Spanned<String>, error: HostError) -> Diagnostic {
    Diagnostic::error(
        Code::BadHost,
        host.span,
        format!("`{}` is not a host", host.escape_debug()),
    )
    .label(error.to_string())
}

fn compile_path(raw: &raw::Route, diagnostics: &mut Diagnostics) -> Option<PathMatch> {
    let given: Vec<_> = [
        ("path", &raw.path),
        ("path_prefix", &raw.path_prefix),
        ("path_regex", &raw.path_regex),
    ]
    .into_iter()
    .filter_map(|(key, path)| Some((key, path.as_ref()?)))
    .collect();
    if let [(first_key, first), (key, second), ..] = given.as_slice() {
        diagnostics.push(
            Diagnostic::error(
                Code::Conflict,
                second.span,
                format!("`{first_key}` and `{key}` cannot stand together"),
            )
            .label("a second condition on the path")
            .also(first.span, "the first")
            .hint("write a route for each"),
        );
        return None;
    }
    match given.first() {
        None => Some(PathMatch::Any),
        Some((_, path)) if raw.path_regex.is_some() => match regex(path, Extent::Whole) {
            Ok(regex) => Some(PathMatch::Regex(regex)),
            Err(diagnostic) => {
                diagnostics.push(*diagnostic);
                None
            }
        },
        Some((_, path)) => match canonical_path(path) {
            Ok(path) if raw.path.is_some() => Some(PathMatch::Exact(path)),
            Ok(path) => Some(PathMatch::prefix(&path)),
            Err(diagnostic) => {
                diagnostics.push(*diagnostic);
                None
            }
        },
    }
}

fn compile_methods(raw: &raw::Route, diagnostics: &mut Diagnostics) -> Option<MethodSet> {
    let Some(list) = &raw.methods else {
        return Some(MethodSet::default());
    };
    refuse_empty(list, "methods", diagnostics)?;
    let methods = compile_each(list, method, diagnostics)?;
    Some(MethodSet::of(methods.iter().map(String::as_bytes)))
}
