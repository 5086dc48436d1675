//! `[limiters.NAME]` → [`Limiter`].

use std::sync::Arc;

use super::rules::Member;
use super::store::{self, Shared};
use super::{Apart, Limiter, Live, Rules, Tier, Told};
use crate::base::hash::HashKey;
use crate::base::{CidrSet, LimiterName};
use crate::config::raw::limiter::{self as raw, LimitHeaders, OnLimit};
use crate::config::types::Duration;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned, suggest};
use crate::limit::{Algorithm, Over, Rule, RuleError};
use crate::message::key::{self, KeySource, Words};

/// Keys that are held at once.
const MAX_KEYS: u32 = 1_000_000;
/// Most of them that can be configured.
const MOST_KEYS: u32 = 16_777_216;
/// Times that the logs of one limiter keep together, unless `max_keys` says more: 64 MiB.
const LOGGED: u32 = 8 << 20;
/// Most units in a log: each is a time.
const MAX_LOG: u64 = 10_000;
const PER: u64 = 1_000_000;
const MAX_DELAY: u64 = 1_000_000;

/// The limiters of a configuration, in the order of their names.
#[derive(Debug, Default)]
pub struct Limiters {
    compiled: Vec<Arc<Limiter>>,
    /// Every name that is defined, sound or not.
    names: Vec<String>,
}

/// What a name stands for.
#[derive(Debug)]
pub enum Found {
    /// This limiter.
    Limiter(Arc<Limiter>),
    /// One that is wrong; that has been told.
    Wrong,
    /// Nothing.
    Unknown,
}

impl Limiters {
    /// The limiter of this name.
    pub fn find(&self, name: &str) -> Found {
        let mut compiled = self.compiled.iter();
        match compiled.find(|limiter| limiter.name.as_str() == name) {
            Some(limiter) => Found::Limiter(Arc::clone(limiter)),
            None if self.names.iter().any(|known| known == name) => Found::Wrong,
            None => Found::Unknown,
        }
    }

    /// The name that may have been meant.
    pub fn near(&self, name: &str) -> Option<String> {
        suggest(name, self.names.iter().map(String::as_str)).map(ToOwned::to_owned)
    }

    /// Those that are sound, in the order of their names.
    pub fn into_vec(self) -> Vec<Arc<Limiter>> {
        self.compiled
    }
}

/// Compiles all limiters. Reports everything that is wrong with them; what a living configuration knows of their
/// keys is taken over from `live`.
pub fn compile(
    raw: &crate::config::raw::Config,
    live: &Live,
    diagnostics: &mut Diagnostics,
) -> Limiters {
    let seed = raw.runtime.hash_seed.as_ref();
    let stores = Stores {
        given: raw.stores.redis.is_some(),
        redis: raw
            .stores
            .redis
            .as_ref()
            .and_then(|redis| store::compile(redis, live, diagnostics)),
        hash: HashKey::configured(seed.map(|seed| seed.as_str())),
    };
    let mut compiled: Vec<_> = raw
        .limiters
        .iter()
        .filter_map(|(name, raw)| compile_one(name, raw, live, &stores, diagnostics))
        .map(Arc::new)
        .collect();
    compiled.sort_by(|a, b| a.name.cmp(&b.name));
    Limiters {
        compiled,
        names: raw.limiters.names().map(ToOwned::to_owned).collect(),
    }
}

fn compile_one(
    name: &Spanned<String>,
    raw: &raw::Limiter,
    live: &Live,
    stores: &Stores,
    diagnostics: &mut Diagnostics,
) -> Option<Limiter> {
    let parsed = LimiterName::parse(name).map_err(|error| {
        let message = format!("`{}` is not a name for a limiter", name.escape_debug());
        let diagnostic = Diagnostic::error(Code::BadName, name.span, message);
        diagnostics.push(diagnostic.label(error.to_string()));
    });
    let key = key::compile(&raw.key, Words::All, diagnostics);
    let parsed = parsed.ok()?;
    let rules = rules(&parsed, raw, diagnostics);
    let (key, rules) = (key?, rules?);
    let shared = match raw.store.as_ref() {
        Some(store) if store.value == raw::LimitStore::Redis => {
            Some(shared(store.span, &rules, stores, diagnostics)?)
        }
        _ => None,
    };
    let most = max_keys(raw, &rules, diagnostics)?;
    let algorithm = rules.base.rule.algorithm();
    let state = live.limiter(&parsed, algorithm, most as usize);
    Some(Limiter {
        name: parsed,
        told: match raw.headers.as_ref().map(|told| &told.value) {
            None | Some(LimitHeaders::Draft) => Told::Draft,
            Some(LimitHeaders::XRatelimit) => Told::XRateLimit,
            Some(LimitHeaders::Off) => Told::Nothing,
        },
        apart: if key::is_of_client(&key) && rules.tiers.is_empty() {
            Apart::ByClient
        } else {
            Apart::ByMore
        },
        key,
        rules,
        most: most as usize,
        raw: raw.clone(),
        state,
        shared,
        hash: stores.hash,
    })
}

/// What limiters may share their counters through.
struct Stores {
    /// Whether the table is there, sound or not.
    given: bool,
    redis: Option<Shared>,
    hash: HashKey,
}

fn shared(
    span: Span,
    rules: &Rules,
    stores: &Stores,
    diagnostics: &mut Diagnostics,
) -> Option<Shared> {
    if !stores.given {
        let diagnostic = Diagnostic::error(Code::MissingKey, span, "there is no `[stores.redis]`");
        diagnostics.push(diagnostic.hint("say where it is: `[stores.redis]` with `url`"));
        return None;
    }
    if !rules.all().all(|tier| tier.rule.suits_doubles()) {
        let message = "these numbers are too large for a store, which counts in doubles";
        let diagnostic = Diagnostic::error(Code::BadValue, span, message);
        diagnostics.push(diagnostic.hint(
            "take a rate and a period that are round multiples of each other, or a smaller burst",
        ));
        return None;
    }
    stores.redis.clone()
}

/// Compiles the numbers of a limiter.
pub fn rules(
    name: &LimiterName,
    raw: &raw::Limiter,
    diagnostics: &mut Diagnostics,
) -> Option<Rules> {
    let algorithm = match raw.algorithm.as_ref().map(|algorithm| &algorithm.value) {
        None | Some(raw::Algorithm::TokenBucket) => Algorithm::TokenBucket,
        Some(raw::Algorithm::LeakyBucket) => Algorithm::LeakyBucket,
        Some(raw::Algorithm::FixedWindow) => Algorithm::FixedWindow,
        Some(raw::Algorithm::SlidingWindow) => Algorithm::SlidingWindow,
        Some(raw::Algorithm::SlidingLog) => Algorithm::SlidingLog,
    };
    let over = over(raw, algorithm, diagnostics);
    let numbers = Numbers {
        name,
        algorithm,
        per: raw.per,
        over: over.unwrap_or(Over::Reject),
    };
    let base = numbers.tier(raw.rate, raw.burst, diagnostics);
    let first = raw.key.value.0.first();
    let by_address = first.is_some_and(|key| key.starts_with("client_ip"));
    let tiers = raw.tiers.iter().flat_map(|tiers| tiers.value.iter());
    let tiers: Vec<_> = tiers
        .map(|tier| {
            let member = member(tier, by_address, diagnostics);
            let numbers = numbers.tier(tier.rate, tier.burst, diagnostics);
            Some((member?, numbers?))
        })
        .collect();
    over?;
    Some(Rules {
        base: base?,
        tiers: tiers.into_iter().collect::<Option<_>>()?,
    })
}

/// What all rules of a limiter have in common.
struct Numbers<'a> {
    name: &'a LimiterName,
    algorithm: Algorithm,
    per: Option<Spanned<Duration>>,
    over: Over,
}

impl Numbers<'_> {
    fn tier(
        &self,
        rate: Spanned<u64>,
        burst: Option<Spanned<u64>>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Tier> {
        let algorithm = self.algorithm;
        if let Some(burst) = burst.filter(|_| !algorithm.has_burst()) {
            let message = format!("`burst` means nothing to a `{}`", algorithm.as_str());
            let diagnostic = Diagnostic::error(Code::Conflict, burst.span, message);
            diagnostics.push(diagnostic.hint("`token_bucket` and `leaky_bucket` have one"));
            return None;
        }
        if algorithm == Algorithm::SlidingLog && rate.value > MAX_LOG {
            let message = format!(
                "a `sliding_log` keeps the time of every request: `{}` are too many",
                rate.value
            );
            let diagnostic = Diagnostic::error(Code::BadValue, rate.span, message);
            diagnostics.push(
                diagnostic
                    .label(format!("at most {MAX_LOG}"))
                    .hint("a `sliding_window` needs 16 bytes whatever its rate"),
            );
            return None;
        }
        let per = self.per.map_or(PER, |per| micros(per.value));
        let burst_value = burst.map_or(rate.value, |burst| burst.value);
        match Rule::new(algorithm, rate.value, per, burst_value, self.over) {
            Ok(rule) => Some(Tier::new(self.name, rule)),
            Err(error) => {
                let per = self.per.map_or(rate.span, |per| per.span);
                let burst = burst.map_or(rate.span, |burst| burst.span);
                diagnostics.push(refused(error, rate.span, per, burst));
                None
            }
        }
    }
}

const RANGE: &str = "allowed are 1 to 1000000000";

fn refused(error: RuleError, rate: Span, per: Span, burst: Span) -> Diagnostic {
    let wrong = |span, message: &str| Diagnostic::error(Code::BadValue, span, message);
    match error {
        RuleError::Rate => wrong(rate, "not a rate").label(RANGE),
        RuleError::Burst => wrong(burst, "not a burst").label(RANGE),
        RuleError::Period => wrong(per, "`per` must be longer than 0s"),
        RuleError::Refill => wrong(
            burst,
            "a whole burst would take longer than a year to come back",
        )
        .hint("burst × per / rate is at most 8760h"),
        RuleError::Window => wrong(
            per,
            "rate and period are too large together for a `sliding_window`",
        )
        .hint("take a smaller rate in a shorter period, or a `token_bucket`"),
    }
}

fn over(raw: &raw::Limiter, algorithm: Algorithm, diagnostics: &mut Diagnostics) -> Option<Over> {
    let Some(wanted) = &raw.on_limit else {
        return Some(Over::Reject);
    };
    let delay = match &wanted.value.0 {
        OnLimit::Reject => return Some(Over::Reject),
        OnLimit::Shadow => return Some(Over::Shadow),
        OnLimit::Delay(delay) => delay,
    };
    let hint = match algorithm {
        Algorithm::LeakyBucket => {
            "a `leaky_bucket` delays by itself, for as long as its `burst` says"
        }
        Algorithm::SlidingWindow => {
            "the estimate of a `sliding_window` has no order of turns: take a \
             `token_bucket`, a `fixed_window` or a `sliding_log`"
        }
        _ => {
            let longest = delay.max.map_or(MAX_DELAY, |max| micros(max.value));
            if longest > 0 {
                return Some(Over::Delay(longest));
            }
            let span = delay.max.map_or(wanted.span, |max| max.span);
            let message = "`max` must be longer than 0s";
            diagnostics
                .push(Diagnostic::error(Code::BadValue, span, message).hint("write `reject`"));
            return None;
        }
    };
    let message = format!("`delay` cannot be had with a `{}`", algorithm.as_str());
    diagnostics.push(Diagnostic::error(Code::Conflict, wanted.span, message).hint(hint));
    None
}

fn member(
    raw: &Spanned<raw::LimitTier>,
    by_address: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Member> {
    let value = || raw.value.value.value.as_bytes().into();
    if let (Some(header), Some(claim)) = (&raw.header, &raw.claim) {
        let message = "`header` and `claim` cannot stand together";
        let diagnostic = Diagnostic::error(Code::Conflict, claim.span, message);
        diagnostics.push(diagnostic.also(header.span, "the header"));
        return None;
    }
    if let Some(header) = &raw.header {
        let spelled = Spanned::new(format!("header:{}", header.value), header.span);
        return KeySource::compile(&spelled, Words::All, diagnostics)
            .map(|source| Member::Field(source, value()));
    }
    if let Some(claim) = &raw.claim {
        let spelled = Spanned::new(format!("claim:{}", claim.value), claim.span);
        return KeySource::compile(&spelled, Words::All, diagnostics)
            .map(|source| Member::Field(source, value()));
    }
    if !by_address {
        return Some(Member::Key(value()));
    }
    let text = &raw.value.value;
    if let Some(network) = CidrSet::parse_entry(text) {
        return Some(Member::Networks(CidrSet::new(&[network])));
    }
    let message = format!("`{}` is not a network", text.escape_debug());
    let diagnostic = Diagnostic::error(Code::BadNetwork, text.span, message);
    diagnostics.push(
        diagnostic
            .note("the key is `client_ip`, so a tier without `header` and `claim` is a network")
            .hint("write `10.0.0.0/8`, or say which `header` or `claim` has this value"),
    );
    None
}

fn max_keys(raw: &raw::Limiter, rules: &Rules, diagnostics: &mut Diagnostics) -> Option<u32> {
    match raw.max_keys {
        None => {
            let largest = rules.all().map(|tier| tier.rule.rate()).max().unwrap_or(1);
            Some(match rules.base.rule.algorithm() {
                Algorithm::SlidingLog => (LOGGED / largest.max(1)).clamp(1, MAX_KEYS),
                _ => MAX_KEYS,
            })
        }
        Some(most) if (1..=MOST_KEYS).contains(&most.value) => Some(most.value),
        Some(most) => {
            let message = format!("`{}` is not a number of keys", most.value);
            let diagnostic = Diagnostic::error(Code::BadValue, most.span, message);
            diagnostics.push(diagnostic.label(format!("allowed are 1 to {MOST_KEYS}")));
            None
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.get().as_micros()).unwrap_or(u64::MAX)
}
