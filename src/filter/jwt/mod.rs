//! `jwt`: lets in who brings a token that somebody signed whom we trust (RFC 7519).
//!
//! **Invariants.** The key decides by which algorithm a signature is verified, never the token (RFC 8725, 3.1); where keys come from
//! stands in the configuration alone. Nothing of a token is looked at for what it says before its signature was found sound. What
//! tells the endpoint who asks is taken from the client in any case (E-120).

mod algorithm;
mod cache;
mod keys;
mod source;
#[cfg(test)]
mod tests;
mod token;
mod wish;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::api_key::source as key_source;
use super::auth::{self, Credentials};
use super::basic_auth::unauthorized;
use super::compile::{Fields, compile_fields};
use super::kept::{Keep, Over};
use super::live::{Decision, Live, Tally};
use super::{Place, Reply, RequestView, Until, Verdict, check_value};
use crate::base::{Detail, Reason, RouteName, clock};
use crate::config::raw::filter as raw;
use crate::config::types::{FilePath, OneOrMany};
use crate::config::{Beside, Code, Diagnostic, Diagnostics, Span, Spanned};
use crate::message::key::{KeyInput, KeySource};
use crate::message::{Claims, Known};

use algorithm::Algorithm;
pub(super) use cache::{Cache, Whose};
pub(super) use keys::KeySet;
use keys::Origin;
pub(super) use source::Identity;
pub use source::Source;
use source::Terms;
use token::{Expiry, Fault, Policy, open};
pub use wish::Fetch;

const MAX_FILE: u64 = 1 << 20;
const LEEWAY: Duration = Duration::from_secs(30);
/// More is no difference of clocks.
const MOST_LEEWAY: Duration = Duration::from_mins(10);
/// Tokens that are remembered, and the most that can be.
const REMEMBER: u32 = 4096;
const MOST_REMEMBER: u32 = 1_000_000;
const FROM: &str = "header:authorization";

/// The filter.
#[derive(Clone, Debug)]
pub struct Jwt {
    keys: Keys,
    policy: Policy,
    cache: Arc<Cache>,
    from: KeySource,
    credentials: Credentials,
    /// Names of fields, and of the claims that they tell.
    tells: Fields,
    missing: Reply,
    wrong: Box<[(Fault, Reply)]>,
    unavailable: Reply,
    tally: Arc<Tally>,
}

#[derive(Clone, Debug)]
enum Keys {
    Of(Arc<KeySet>),
    At(Arc<Source>, Terms),
}

impl Keys {
    /// The id of the set; 0: there is none so far.
    fn id(&self) -> u64 {
        match self {
            Self::Of(keys) => keys.id(),
            Self::At(source, _) => source.set(),
        }
    }

    /// The set, if there is one.
    fn set(&self) -> Option<Arc<KeySet>> {
        match self {
            Self::Of(keys) => Some(Arc::clone(keys)),
            Self::At(source, _) => source.keys(),
        }
    }
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Refusal {
    NoToken,
    /// There are none so far.
    NoKeys,
    Fault(Fault),
}

impl Jwt {
    pub(super) fn compile(
        raw: &raw::Jwt,
        span: Span,
        filter: (RouteName, usize),
        live: &Live,
        files: &Beside,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let keys = keys(raw, span, live, files, diagnostics);
        let realm = auth::realm(raw.realm.as_ref(), diagnostics);
        let from = key_source(raw.from.as_ref(), FROM, "a token", diagnostics);
        let tells = compile_fields(&raw.claim_headers, Place::Request, diagnostics);
        let leeway = raw.leeway.map_or(LEEWAY, |leeway| leeway.get());
        if let Some(raw) = raw.leeway.filter(|leeway| leeway.get() > MOST_LEEWAY) {
            let message = "clocks are not that far apart: a `leeway` is at most 10m";
            diagnostics.push(Diagnostic::error(Code::BadValue, raw.span, message));
            return None;
        }
        let remember = raw.remember.map_or(REMEMBER, |remember| remember.value);
        if let Some(raw) = raw.remember.filter(|it| it.value > MOST_REMEMBER) {
            let message = "more tokens than a million are not remembered";
            diagnostics.push(Diagnostic::error(Code::BadValue, raw.span, message));
            return None;
        }
        refuse_empty(raw, diagnostics)?;
        let algorithms = raw.algorithms.iter().flat_map(|list| list.iter());
        let policy = Policy {
            algorithms: algorithms.map(|raw| Algorithm::of(raw)).collect(),
            issuers: texts(raw.issuer.as_ref()),
            audiences: texts(raw.audience.as_ref()),
            leeway,
            expiry: match raw.expiry.as_deref() {
                None | Some(raw::Expiry::Required) => Expiry::Required,
                Some(raw::Expiry::Optional) => Expiry::Optional,
            },
        };
        let realm = realm?;
        let wrong = format!("Bearer realm=\"{realm}\", error=\"invalid_token\"");
        let wrong = Fault::ALL.map(|fault| (fault, unauthorized(&wrong, fault.detail())));
        Some(Self {
            keys: keys?,
            tally: live.tally(&filter.0, "jwt"),
            cache: live.tokens(&Whose {
                filter,
                most: remember as usize,
                algorithms: policy.algorithms.clone(),
            }),
            policy,
            from: from?,
            credentials: Credentials::of(raw.credentials.as_ref()),
            tells: tells?,
            missing: unauthorized(&format!("Bearer realm=\"{realm}\""), Detail::None),
            wrong: wrong.into(),
            unavailable: Reply::refusal(Reason::AuthUnavailable, Detail::None),
        })
    }

    /// Begins to fetch its keys.
    pub(super) fn settle(&self) {
        if let Keys::At(source, terms) = &self.keys {
            source.tune(terms);
            source.start();
        }
    }

    /// Decides. A key that is not known may be new: the request waits for the keys that it makes us fetch, once.
    pub fn on_request(&self, view: &mut RequestView<'_>) -> Verdict {
        let waited = matches!(view.progress.answer.take(), Some(Over::Keys));
        let judged = self.judge(view);
        if let (Err(Refusal::Fault(Fault::Key)), Keys::At(source, _), false) =
            (&judged, &self.keys, waited)
            && let Some(fetch) = source.miss(view.facts.now)
        {
            return Verdict::Wait(Until::Keys(fetch));
        }
        let (decision, verdict) = match judged {
            Ok(claims) => {
                self.let_in(view, claims);
                (Decision::Allow, Verdict::Continue)
            }
            Err(refusal) => {
                let decision = match refusal {
                    Refusal::NoKeys => Decision::Fail,
                    Refusal::NoToken | Refusal::Fault(_) => Decision::Refuse,
                };
                (decision, Verdict::Respond(self.refused(refusal).clone()))
            }
        };
        self.tally.count(decision);
        verdict
    }

    fn judge(&self, view: &RequestView<'_>) -> Result<Claims, Refusal> {
        let token = &*self.token(view).ok_or(Refusal::NoToken)?;
        let now = clock::wall();
        let judged = if let Some(known) = self.cache.find(token, self.keys.id()) {
            known.holds(&self.policy, now).map(|()| known)
        } else {
            let keys = self.keys.set().ok_or(Refusal::NoKeys)?;
            open(token, &keys, &self.policy).and_then(|opened| {
                opened.holds(&self.policy, now)?;
                let opened = Arc::new(opened);
                self.cache.note(token, Arc::clone(&opened), now);
                Ok(opened)
            })
        };
        judged.map(|it| it.told.clone()).map_err(Refusal::Fault)
    }

    fn refused(&self, refusal: Refusal) -> &Reply {
        match refusal {
            Refusal::NoToken => &self.missing,
            Refusal::NoKeys => &self.unavailable,
            Refusal::Fault(fault) => {
                let mut known = self.wrong.iter();
                let reply = known.find(|(known, _)| *known == fault);
                reply.map_or(&self.missing, |(_, reply)| reply)
            }
        }
    }

    /// What stands where a token is to stand. Two Authorization fields are none: nobody can say which the endpoint reads.
    fn token<'v>(&self, view: &'v RequestView<'_>) -> Option<Cow<'v, [u8]>> {
        if matches!(&self.from, KeySource::Header(name) if Known::of(name.as_bytes()) == Known::Authorization)
        {
            let mut given = view.head.values(b"authorization");
            let (Some(value), None) = (given.next(), given.next()) else {
                return None;
            };
            let (scheme, token) = value.split_at_checked("Bearer ".len())?;
            let bearer = scheme.eq_ignore_ascii_case(b"Bearer ");
            return bearer.then(|| Cow::Borrowed(token.trim_ascii()));
        }
        let input = KeyInput::received(view.head, view.facts.client, view.facts.route());
        self.from.read(&input)?.bytes()
    }

    fn let_in(&self, view: &mut RequestView<'_>, claims: Claims) {
        if self.credentials == Credentials::Removed {
            self.from.strip(view.head, view.edits);
        }
        for (header, claim) in &self.tells {
            view.edits.remove(header.as_bytes());
            let value = claims.text(claim);
            // What no field can hold is not told, rather than told as something else: blanks around it would be lost, and
            // " admin" is not whoever is called "admin".
            if let Some(value) =
                value.filter(|value| !value.is_empty() && check_value(value).is_ok())
            {
                view.edits.add(header.as_bytes(), value.as_bytes());
            }
        }
        view.keep(Keep::Claims(claims));
    }
}

/// An empty list asks for nothing: whoever writes one means something else.
fn refuse_empty(raw: &raw::Jwt, diagnostics: &mut Diagnostics) -> Option<()> {
    let texts = |raw: &Option<Spanned<OneOrMany<String>>>| {
        raw.as_ref().map(|raw| (raw.span, raw.value.0.is_empty()))
    };
    let algorithms = raw.algorithms.as_ref();
    let lists = [
        (
            "algorithms",
            algorithms.map(|raw| (raw.span, raw.is_empty())),
        ),
        ("issuer", texts(&raw.issuer)),
        ("audience", texts(&raw.audience)),
    ];
    let mut sound = Some(());
    for (key, list) in lists {
        if let Some((span, true)) = list {
            let message = format!("`{key}` is empty");
            let diagnostic = Diagnostic::error(Code::Empty, span, message);
            diagnostics.push(diagnostic.hint(format!("leave `{key}` out to take any")));
            sound = None;
        }
    }
    sound
}

fn texts(raw: Option<&Spanned<OneOrMany<String>>>) -> Box<[Box<str>]> {
    let all = raw.iter().flat_map(|raw| raw.value.0.iter());
    all.map(|text| text.as_str().into()).collect()
}

fn keys(
    raw: &raw::Jwt,
    span: Span,
    live: &Live,
    files: &Beside,
    diagnostics: &mut Diagnostics,
) -> Option<Keys> {
    let beside = [
        ("keys_ca", raw.keys_ca.as_ref().map(|it| it.span)),
        ("keys_refresh", raw.keys_refresh.map(|it| it.span)),
    ];
    let idle = beside.into_iter().find_map(|(key, at)| Some((key, at?)));
    match (&raw.keys_file, &raw.keys_url) {
        (Some(path), None) => {
            if let Some((key, at)) = idle {
                let message = format!("`{key}` stands without `keys_url`");
                diagnostics.push(Diagnostic::error(Code::Conflict, at, message));
                return None;
            }
            from_file(path, files, diagnostics).map(|keys| Keys::Of(live.keys(keys)))
        }
        (None, Some(url)) => {
            if let Some(path) = &raw.keys_ca {
                files.note(path, MAX_FILE);
            }
            let (identity, source, terms) = Source::compile(raw, url, diagnostics)?;
            Some(Keys::At(live.source(&identity, source), terms))
        }
        (Some(path), Some(url)) => {
            let message = "`keys_file` and `keys_url` cannot stand together";
            let diagnostic = Diagnostic::error(Code::Conflict, url.span, message);
            diagnostics.push(diagnostic.also(path.span, "the file"));
            None
        }
        (None, None) => {
            let message = "nothing says by which keys tokens are signed";
            let diagnostic = Diagnostic::error(Code::MissingKey, span, message);
            diagnostics.push(diagnostic.hint("say `keys_file` or `keys_url`"));
            None
        }
    }
}

fn from_file(
    path: &Spanned<FilePath>,
    files: &Beside,
    diagnostics: &mut Diagnostics,
) -> Option<KeySet> {
    let text = files.read(path, MAX_FILE, diagnostics)?;
    match KeySet::parse(&text, Origin::File) {
        Ok(keys) => Some(keys),
        Err(why) => {
            let message = format!("`{}`: {why}", path.display());
            let diagnostic = Diagnostic::error(Code::BadSecret, path.span, message);
            diagnostics.push(diagnostic.hint("a JWK set is `{ \"keys\": [ … ] }` (RFC 7517)"));
            None
        }
    }
}
