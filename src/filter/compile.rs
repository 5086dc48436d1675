//! `filters` of a route → [`FilterChain`].

use std::collections::HashMap;

use super::{
    Changes, ConcurrencyLimit, FieldError, Filter, FilterChain, Place, RateLimit, RequestHeaders,
    ResponseHeaders,
};
use super::{check_name, check_value};
use crate::base::RouteName;
use crate::config::raw::filter::{self as raw_filter, Filter as Raw, HeaderEdits};
use crate::config::types::{Choice, Named};
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};
use crate::limiter::{Found, Limiters, Live};
use crate::message::key::{self, Words};

/// Fields of the configuration, in the order of the file.
pub type Fields = Vec<(Box<str>, Box<str>)>;

/// What filters may refer to.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The limiters of the configuration.
    pub limiters: &'a Limiters,
    /// What outlives the configuration.
    pub live: &'a Live,
}

/// Compiles the filters of one route. Reports everything that is wrong with them.
pub fn compile(
    raw: &[Spanned<Choice<Raw>>],
    route: &RouteName,
    parts: Parts<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<FilterChain> {
    let filters: Vec<_> = raw
        .iter()
        .enumerate()
        .map(|(step, filter)| compile_one(filter, route, step, parts, diagnostics))
        .collect();
    filters
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .map(FilterChain::new)
}

fn compile_one(
    raw: &Spanned<Choice<Raw>>,
    route: &RouteName,
    step: usize,
    parts: Parts<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Filter> {
    let what = match &*raw.value {
        Raw::RequestHeaders(edits) => {
            let changes = compile_changes(edits, Place::Request, diagnostics)?;
            return Some(Filter::RequestHeaders(RequestHeaders::new(changes)));
        }
        Raw::ResponseHeaders(edits) => {
            let changes = compile_changes(edits, Place::Response, diagnostics)?;
            return Some(Filter::ResponseHeaders(ResponseHeaders::new(changes)));
        }
        Raw::RateLimit(limit) => {
            let filter = compile_rate_limit(limit, route, parts, diagnostics)?;
            return Some(Filter::RateLimit(filter));
        }
        Raw::ConcurrencyLimit(limit) => {
            let key = key::compile(&limit.key, Words::All, diagnostics);
            if limit.max.value == 0 {
                let message = "a `max` of 0 lets nothing through";
                let diagnostic = Diagnostic::error(Code::BadValue, limit.max.span, message);
                diagnostics.push(diagnostic.label("at least 1"));
                return None;
            }
            let places = parts.live.places(route, step);
            let filter = ConcurrencyLimit::new(key?, limit.max.value, route.clone(), places);
            return Some(Filter::ConcurrencyLimit(filter));
        }
        Raw::IpAccess(_) => "filter `ip_access`",
        Raw::Rewrite(_) => "filter `rewrite`",
        Raw::BasicAuth(_) => "filter `basic_auth`",
        Raw::Cors(_) => "filter `cors`",
    };
    diagnostics.unsupported(raw.span, what);
    None
}

fn compile_rate_limit(
    raw: &raw_filter::RateLimit,
    route: &RouteName,
    parts: Parts<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<RateLimit> {
    let name = &raw.limiter;
    let limiter = match parts.limiters.find(name) {
        Found::Limiter(limiter) => limiter,
        Found::Wrong => return None,
        Found::Unknown => {
            let message = format!("no limiter is called `{}`", name.escape_debug());
            let diagnostic = Diagnostic::error(Code::UnknownLimiter, name.span, message)
                .label("not one of `[limiters]`");
            diagnostics.push(match parts.limiters.near(name) {
                Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                None => diagnostic,
            });
            return None;
        }
    };
    let cost = raw.cost.map_or(1, |cost| cost.value);
    if let Some(cost) = raw.cost
        && !(1..=limiter.capacity()).contains(&cost.value)
    {
        let most = limiter.capacity();
        let message = format!(
            "a cost of `{}` can never pass limiter `{}`",
            cost.value, limiter.name
        );
        let diagnostic = Diagnostic::error(Code::BadValue, cost.span, message);
        diagnostics.push(diagnostic.label(format!(
            "allowed are 1 to {most}, what its smallest tier holds"
        )));
        return None;
    }
    Some(RateLimit::new(limiter, route.clone(), cost))
}

fn compile_changes(
    raw: &HeaderEdits,
    place: Place,
    diagnostics: &mut Diagnostics,
) -> Option<Changes> {
    let set = compile_fields(&raw.set, place, diagnostics);
    let add = compile_fields(&raw.add, place, diagnostics);
    let remove = compile_removals(raw, place, diagnostics);
    Some(Changes {
        remove: remove?,
        set: set?,
        add: add?,
    })
}

/// Compiles a table of field names and values. A name may stand once, whatever its case.
pub fn compile_fields(
    raw: &Named<Spanned<String>>,
    place: Place,
    diagnostics: &mut Diagnostics,
) -> Option<Fields> {
    let mut seen: HashMap<String, Span> = HashMap::new();
    let mut fields = Some(Vec::with_capacity(raw.len()));
    for (name, value) in raw.iter() {
        let mut sound = true;
        if let Err(error) = check_name(name, place) {
            diagnostics.push(bad_name(name, error));
            sound = false;
        } else if let Some(first) = seen.insert(name.to_ascii_lowercase(), name.span) {
            diagnostics.push(
                Diagnostic::error(
                    Code::DuplicateName,
                    name.span,
                    format!("field `{}` stands here twice", name.value),
                )
                .label("a second time here")
                .also(first, "first here")
                .note("the case of a field name makes no difference"),
            );
            sound = false;
        }
        if let Err(error) = check_value(value) {
            diagnostics.push(bad_value(name, value, error));
            sound = false;
        }
        match &mut fields {
            Some(fields) if sound => fields.push((name.as_str().into(), value.as_str().into())),
            _ => fields = None,
        }
    }
    fields
}

fn compile_removals(
    raw: &HeaderEdits,
    place: Place,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Box<str>>> {
    let mut names = Some(Vec::with_capacity(raw.remove.len()));
    for name in &raw.remove {
        let set = raw
            .set
            .iter()
            .find(|(set, _)| set.eq_ignore_ascii_case(name));
        let problem = match (check_name(name, place), set) {
            (Err(error), _) => Some(bad_name(name, error)),
            (Ok(()), Some((set, _))) => Some(
                Diagnostic::error(
                    Code::Conflict,
                    name.span,
                    format!("field `{}` is both removed and set", name.value),
                )
                .label("removed here")
                .also(set.span, "set here")
                .hint("`set` alone replaces every field of the name"),
            ),
            (Ok(()), None) => None,
        };
        match (problem, &mut names) {
            (None, Some(names)) => names.push(name.as_str().into()),
            (None, None) => {}
            (Some(problem), _) => {
                diagnostics.push(problem);
                names = None;
            }
        }
    }
    names
}

fn bad_name(name: &Spanned<String>, error: FieldError) -> Diagnostic {
    let message = match error {
        FieldError::Empty | FieldError::Name(_) => {
            format!("`{}` is not a field name", name.escape_debug())
        }
        _ => format!("field `{}` cannot be configured", name.value),
    };
    Diagnostic::error(Code::BadField, name.span, message).label(error.to_string())
}

fn bad_value(name: &str, value: &Spanned<String>, error: FieldError) -> Diagnostic {
    Diagnostic::error(
        Code::BadField,
        value.span,
        format!("bad value of field `{}`", name.escape_debug()),
    )
    .label(error.to_string())
    .note("a field value is visible ASCII, with spaces and tabs inside only")
}
