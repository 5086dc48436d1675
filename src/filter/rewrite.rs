//! `rewrite`: another path or host towards the endpoint.
//!
//! **Invariants.** What comes out is a canonical path, as if the client had asked for it (E-126): a result that is none
//! refuses the request. Matching, keys and the log keep to what the client asked for.

use regex::bytes::Regex;

use super::{Reply, RequestView, Verdict};
use crate::base::{Detail, Reason};
use crate::config::pattern::{Extent, regex};
use crate::config::raw::{self, filter};
use crate::config::types::Choice;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};
use crate::message::authority;
use crate::message::path::{Canonical, Policy, canonicalise};
use crate::message::prefix::NewPrefix;
use crate::message::spelled::{canonical_path, matched_prefix};

/// The filter.
#[derive(Clone, Debug)]
pub struct Rewrite {
    path: NewPath,
    authority: Option<Box<[u8]>>,
    refusal: Reply,
}

/// The path towards the endpoint.
#[derive(Clone, Debug)]
enum NewPath {
    Keep,
    /// Another one, whatever was asked for.
    Whole(Box<[u8]>),
    /// The route's `path_prefix` gives way to another prefix.
    Prefix(NewPrefix),
    /// What the expression finds gives way, all of it.
    Pattern {
        found: Regex,
        with: Box<[u8]>,
    },
}

impl Rewrite {
    pub(super) fn compile(
        raw: &filter::Rewrite,
        span: Span,
        of: &raw::Route,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let path = NewPath::compile(raw, span, of, diagnostics);
        let authority = match &raw.host {
            None => Some(None),
            Some(host) => new_authority(host, diagnostics).map(Some),
        };
        Some(Self {
            path: path?,
            authority: authority?,
            refusal: Reply::refusal(Reason::BadRequest, Detail::Path),
        })
    }

    /// Notes the new path and host; the writer takes them.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "part of the walk, on most routes")]
    pub fn on_request(&self, view: &mut RequestView<'_>) -> Verdict {
        if let Some(authority) = &self.authority {
            view.edits.set_authority(authority);
        }
        let asked = view.head.path();
        let made = view
            .edits
            .remake_path(asked, |path, out| self.path.write(path, out));
        match made {
            Ok(()) => Verdict::Continue,
            Err(_) => self.refusal.verdict(),
        }
    }
}

impl NewPath {
    /// Writes the new path, or nothing where it stays. An error: what came out is no path.
    fn write(&self, path: &[u8], out: &mut Vec<u8>) -> Result<(), Detail> {
        match self {
            // `OPTIONS *` asks of the server as a whole.
            _ if path == b"*" => {}
            Self::Keep => {}
            Self::Whole(with) => out.extend_from_slice(with),
            Self::Prefix(prefix) => prefix.write(path, out),
            Self::Pattern { found, with } => {
                if found.is_match(path) {
                    let made = found.replace_all(path, &**with);
                    if canonicalise(&made, Policy::DEFAULT, out)? == Canonical::AsIs {
                        out.extend_from_slice(&made);
                    }
                }
            }
        }
        Ok(())
    }

    fn compile(
        raw: &filter::Rewrite,
        span: Span,
        of: &raw::Route,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let keys = [
            ("path", raw.path.as_ref()),
            ("prefix", raw.prefix.as_ref()),
            ("path_regex", raw.path_regex.as_ref()),
        ];
        let given: Vec<_> = keys
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        let conflict = |span, message: String| Diagnostic::error(Code::Conflict, span, message);
        if let (Some(with), None) = (&raw.replacement, &raw.path_regex) {
            let diagnostic = conflict(
                with.span,
                "`replacement` stands without `path_regex`".into(),
            );
            diagnostics.push(diagnostic.label("what is it to replace?"));
            return None;
        }
        let (key, value) = match given.as_slice() {
            [] if raw.host.is_some() => return Some(Self::Keep),
            [] => {
                let diagnostic =
                    Diagnostic::error(Code::Empty, span, "a rewrite that changes nothing");
                diagnostics.push(
                    diagnostic.hint("say one of `prefix`, `path` and `path_regex`, or `host`"),
                );
                return None;
            }
            [one] => *one,
            [(first, one), (second, other), ..] => {
                let message = format!("`{first}` and `{second}` cannot stand together");
                diagnostics.push(conflict(other.span, message).also(one.span, "the first"));
                return None;
            }
        };
        let made = match key {
            "path_regex" => pattern(value, raw),
            "path" => canonical_path(value).map(Self::Whole),
            _ => canonical_path(value).and_then(|with| {
                if let Some(before) = rewritten_before(span, of) {
                    let message = "`prefix` stands behind another rewrite".to_owned();
                    let diagnostic = conflict(value.span, message).also(before, "this one");
                    return Err(Box::new(
                        diagnostic.note("the prefix that the route matched must still be there"),
                    ));
                }
                let matched = matched_prefix(of.path_prefix.as_ref()).ok_or_else(|| {
                    let message = "`prefix` stands on a route without `path_prefix`".to_owned();
                    Box::new(conflict(value.span, message).label("there is no prefix to replace"))
                })?;
                Ok(Self::Prefix(NewPrefix::new(matched, &with)))
            }),
        };
        made.map_err(|diagnostic| diagnostics.push(*diagnostic))
            .ok()
    }
}

/// The first rewrite of the route, if it is not this one.
fn rewritten_before(this: Span, of: &raw::Route) -> Option<Span> {
    let is_rewrite = |filter: &&Spanned<Choice<filter::Filter>>| {
        matches!(&*filter.value, filter::Filter::Rewrite(_))
    };
    let first = of.filters.iter().find(is_rewrite)?.span;
    (first != this).then_some(first)
}

fn pattern(found: &Spanned<String>, raw: &filter::Rewrite) -> Result<NewPath, Box<Diagnostic>> {
    let Some(with) = &raw.replacement else {
        let message = "`path_regex` stands without `replacement`";
        let diagnostic = Diagnostic::error(Code::MissingKey, found.span, message);
        return Err(Box::new(
            diagnostic.hint("an empty text removes what is found"),
        ));
    };
    let expression = regex(found, Extent::Part)?;
    let allowed = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '\\');
    if let Some(c) = with.chars().find(|&c| !allowed(c)) {
        let message = format!("`{}` cannot stand in a path", c.escape_default());
        return Err(Box::new(Diagnostic::error(
            Code::BadPath,
            with.span,
            message,
        )));
    }
    for group in groups(with) {
        let there = match group.parse::<usize>() {
            Ok(number) => number < expression.captures_len(),
            Err(_) => expression
                .capture_names()
                .flatten()
                .any(|name| name == group),
        };
        if !there {
            let message = format!("the expression has no group `{group}`");
            let diagnostic = Diagnostic::error(Code::BadRegex, with.span, message);
            return Err(Box::new(
                diagnostic
                    .also(found.span, "the expression")
                    .hint("`${1}x` is the first group before an `x`, `$$` a dollar"),
            ));
        }
    }
    Ok(NewPath::Pattern {
        found: expression,
        with: with.as_bytes().into(),
    })
}

/// The groups that a replacement names: `$1`, `$name`, `${name}`.
fn groups(text: &str) -> Vec<&str> {
    let mut groups = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('{') {
            groups.extend(inner.split('}').next());
        } else {
            let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
            groups.extend(rest.split(word).next().filter(|group| !group.is_empty()));
        }
    }
    groups
}

pub(super) fn new_authority(
    host: &Spanned<String>,
    diagnostics: &mut Diagnostics,
) -> Option<Box<[u8]>> {
    let mut made = Vec::new();
    let Ok(parsed) = authority::parse(host.as_bytes()) else {
        let message = format!("`{}` is not a host", host.escape_debug());
        let diagnostic = Diagnostic::error(Code::BadHost, host.span, message);
        diagnostics.push(diagnostic.hint("write `name` or `name:port`"));
        return None;
    };
    let span = parsed.make(host.as_bytes(), &mut made).authority;
    Some(span.of(&made).into())
}
