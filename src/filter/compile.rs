//! `filters` of a route → [`FilterChain`].

use super::auth::Terms;
use super::live::Live as FilterLive;
use super::{
    ApiKey, BandwidthLimit, BasicAuth, ConcurrencyLimit, Cors, FieldError, Filter, FilterChain,
    ForwardAuth, GrpcWeb, IpAccess, Jwt, MethodAccess, Place, RateLimit, RequestHeaders, RequestId,
    ResponseHeaders, Rewrite, SecurityHeaders,
};
use super::{check_name, check_value};
use crate::base::{ClusterName, RouteName};
use crate::config::raw::{
    self,
    filter::{self as raw_filter, Filter as Raw},
};
use crate::config::types::{Choice, Named};
use crate::config::{Beside, Code, Diagnostic, Diagnostics, Span, Spanned};
use crate::limiter::{Found, Limiters, Live, Owner};
use crate::message::key::{self, KeySource, Words};
use std::collections::HashMap;

/// Fields of the configuration, in the order of the file.
pub type Fields = Vec<(Box<str>, Box<str>)>;

/// What filters may refer to.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The limiters of the configuration.
    pub limiters: &'a Limiters,
    /// What outlives the configuration.
    pub live: &'a Live,
    /// Files beside the configuration.
    pub files: &'a Beside,
    /// What of filters outlives the configuration.
    pub kept: &'a FilterLive,
    /// The clusters of the configuration.
    pub clusters: &'a [ClusterName],
    /// What checking passwords may take.
    pub passwords: Terms,
}

/// The route that filters stand on.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// Its name.
    pub name: &'a RouteName,
    /// As it was written.
    pub raw: &'a raw::Route,
}

/// Compiles the filters of one route. Reports everything that is wrong with them.
pub fn compile(of: Of<'_>, parts: Parts<'_>, diagnostics: &mut Diagnostics) -> Option<FilterChain> {
    let filters: Vec<_> = of
        .raw
        .filters
        .iter()
        .enumerate()
        .map(|(step, filter)| compile_one(filter, of, step, parts, diagnostics))
        .collect();
    filters
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .map(FilterChain::new)
}

fn compile_one(
    raw: &Spanned<Choice<Raw>>,
    of: Of<'_>,
    step: usize,
    parts: Parts<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Filter> {
    match &*raw.value {
        Raw::RequestHeaders(edits) => {
            RequestHeaders::compile(edits, diagnostics).map(Filter::RequestHeaders)
        }
        Raw::ResponseHeaders(edits) => {
            ResponseHeaders::compile(edits, diagnostics).map(Filter::ResponseHeaders)
        }
        Raw::RateLimit(limit) => {
            let filter = compile_rate_limit(limit, of.name.as_str(), parts, diagnostics)?;
            let name = &limit.limiter;
            let what = || format!("limiter `{}`", name.value);
            if filter.limiter().reads_claims() {
                after_jwt(what, name.span, of, step, diagnostics)?;
            }
            Some(Filter::RateLimit(filter))
        }
        Raw::ConcurrencyLimit(limit) => {
            let owner = Owner::Route(of.name.clone());
            let filter = compile_concurrency_limit(limit, &owner, step, parts, diagnostics)?;
            reads_claims(filter.key(), limit.key.span, of, step, diagnostics)?;
            Some(Filter::ConcurrencyLimit(filter))
        }
        Raw::BandwidthLimit(limit) => {
            let at = (of.name, step);
            let filter = BandwidthLimit::compile(limit, raw.span, at, parts, diagnostics)?;
            let span = limit.key.as_ref().map_or(raw.span, |key| key.span);
            reads_claims(filter.key(), span, of, step, diagnostics)?;
            unpassed(raw.span, of, diagnostics);
            Some(Filter::BandwidthLimit(filter))
        }
        Raw::Rewrite(rewrite) => {
            Rewrite::compile(rewrite, raw.span, of.raw, diagnostics).map(Filter::Rewrite)
        }
        Raw::RequestId(id) => RequestId::compile(id, diagnostics).map(Filter::RequestId),
        Raw::SecurityHeaders(security) => {
            SecurityHeaders::compile(security, diagnostics).map(Filter::SecurityHeaders)
        }
        Raw::IpAccess(access) => {
            IpAccess::compile(access, raw.span, parts.files, diagnostics).map(Filter::IpAccess)
        }
        Raw::MethodAccess(access) => {
            MethodAccess::compile(access, diagnostics).map(Filter::MethodAccess)
        }
        Raw::BasicAuth(auth) => BasicAuth::compile(auth, parts, diagnostics).map(Filter::BasicAuth),
        Raw::ApiKey(key) => ApiKey::compile(key, parts.files, diagnostics).map(Filter::ApiKey),
        Raw::Jwt(jwt) => {
            let at = (of.name.clone(), step);
            Jwt::compile(jwt, raw.span, at, parts.kept, parts.files, diagnostics)
                .map(|jwt| Filter::Jwt(Box::new(jwt)))
        }
        Raw::ForwardAuth(auth) => {
            let tally = parts.kept.tally(of.name, "forward_auth");
            ForwardAuth::compile(auth, tally, parts.clusters, diagnostics).map(Filter::ForwardAuth)
        }
        Raw::Cors(cors) => Cors::compile(cors, diagnostics).map(Filter::Cors),
        Raw::GrpcWeb(raw_filter::GrpcWeb {}) => Some(Filter::GrpcWeb(GrpcWeb)),
    }
}

/// Warns of a limit on bodies where none pass.
fn unpassed(span: Span, of: Of<'_>, diagnostics: &mut Diagnostics) {
    let redirect = of.raw.redirect.as_ref().map(|it| it.span);
    let respond = of.raw.respond.as_ref().map(|it| it.span);
    if let Some(action) = redirect.or(respond) {
        let diagnostic = Diagnostic::warning(Code::Unused, span, "nothing is slowed down here");
        diagnostics.push(
            diagnostic
                .label("answers of ours pass as ever")
                .also(action, "this route passes nothing on"),
        );
    }
}

/// A key of claims stands behind what finds them.
fn reads_claims(
    key: &[KeySource],
    span: Span,
    of: Of<'_>,
    step: usize,
    diagnostics: &mut Diagnostics,
) -> Option<()> {
    if key.iter().any(|it| matches!(it, KeySource::Claim(_))) {
        return after_jwt(|| "this limit".to_owned(), span, of, step, diagnostics);
    }
    Some(())
}

/// What reads claims stands behind what finds them.
fn after_jwt(
    what: impl Fn() -> String,
    span: Span,
    of: Of<'_>,
    step: usize,
    diagnostics: &mut Diagnostics,
) -> Option<()> {
    let mut before = of.raw.filters.iter().take(step);
    if before.any(|filter| matches!(*filter.value, Raw::Jwt(_))) {
        return Some(());
    }
    let message = format!("{} reads claims, and no `jwt` stands before it", what());
    let diagnostic = Diagnostic::error(Code::Conflict, span, message);
    diagnostics.push(diagnostic.label("whose claims?"));
    None
}

pub(super) fn compile_concurrency_limit(
    raw: &raw_filter::ConcurrencyLimit,
    owner: &Owner,
    step: usize,
    parts: Parts<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<ConcurrencyLimit> {
    let key = key::compile(&raw.key, Words::All, diagnostics);
    if raw.max.value == 0 {
        let message = "a `max` of 0 lets nothing through";
        let diagnostic = Diagnostic::error(Code::BadValue, raw.max.span, message);
        diagnostics.push(diagnostic.label("at least 1"));
        return None;
    }
    let places = parts.live.places(owner, step);
    Some(ConcurrencyLimit::new(
        key?,
        raw.max.value,
        owner.as_str(),
        places,
    ))
}

pub(super) fn compile_rate_limit(
    raw: &raw_filter::RateLimit,
    owner: &str,
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
    Some(RateLimit::new(limiter, owner, cost))
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

pub(super) fn bad_name(name: &Spanned<String>, error: FieldError) -> Diagnostic {
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
