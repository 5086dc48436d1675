//! What the interface shows of rate limiters: numbers, counts, and who is over its limit most often.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::Serialize;

use crate::base::clock;
use crate::config::types::Duration;
use crate::limit::Over;
use crate::limiter::{Limiter, Said, Tier};
use crate::task;

use super::clusters::Denied;
use super::context::Context;
use super::wire::LimiterOrder as Order;

/// Longest body of a change.
const MAX_BODY: usize = 4 * 1024;

/// `GET /api/v1/limiters/NAME`, and one of `GET /api/v1/limiters`.
#[derive(Debug, Serialize)]
struct LimiterStatus {
    name: String,
    algorithm: &'static str,
    key: Vec<String>,
    #[serde(flatten)]
    numbers: Numbers,
    tiers: Vec<Numbers>,
    on_limit: &'static str,
    store: &'static str,
    /// Keys that are known in this process.
    keys: usize,
    evictions: u64,
    decisions: Decisions,
    /// What an operator said at run time, while it holds.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    said: Option<Word>,
    /// Who was over the limit most often since the start, the first most often.
    top: Vec<Place>,
}

#[derive(Debug, Serialize)]
struct Numbers {
    rate: u32,
    per_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<u32>,
}

/// An operator's word.
#[derive(Debug, Serialize)]
struct Word {
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<u64>,
    /// Without it, for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Decisions {
    allow: u64,
    delay: u64,
    deny: u64,
    shadow_deny: u64,
}

#[derive(Debug, Serialize)]
struct Place {
    key: String,
    /// At most so often …
    count: u64,
    /// … and so many of these may have been others.
    error: u64,
}

impl Numbers {
    fn of(tier: &Tier) -> Self {
        let rule = &tier.rule;
        Self {
            rate: rule.rate(),
            per_seconds: rule.per() as f64 / 1e6,
            burst: rule.algorithm().has_burst().then_some(rule.burst()),
        }
    }
}

impl LimiterStatus {
    fn of(limiter: &Limiter) -> Self {
        let now = clock::micros(clock::now());
        let overlay = limiter.overlay(now);
        let rules = overlay
            .as_ref()
            .map_or_else(|| limiter.rules(), |said| said.rules());
        let state = limiter.state();
        let tally = state.tally();
        Self {
            name: limiter.name.to_string(),
            algorithm: rules.base.rule.algorithm().as_str(),
            key: limiter.key().iter().map(ToString::to_string).collect(),
            numbers: Numbers::of(&rules.base),
            tiers: rules.all().skip(1).map(Numbers::of).collect(),
            on_limit: match limiter.over() {
                Over::Reject => "reject",
                Over::Delay(_) => "delay",
                Over::Shadow => "shadow",
            },
            store: if limiter.shared().is_some() {
                "redis"
            } else {
                "local"
            },
            keys: state.keys(),
            evictions: state.evicted(),
            decisions: Decisions {
                allow: tally.allow,
                delay: tally.delay,
                deny: tally.deny,
                shadow_deny: tally.shadow_deny,
            },
            said: overlay.as_ref().map(|overlay| Word {
                rate: overlay.said.rate,
                per_seconds: overlay.said.per.map(|per| per.as_secs_f64()),
                burst: overlay.said.burst,
                ttl_seconds: overlay
                    .until
                    .map(|until| until.saturating_sub(now) as f64 / 1e6),
            }),
            top: state
                .top()
                .into_iter()
                .map(|place| Place {
                    key: place.label.into(),
                    count: place.count,
                    error: place.error,
                })
                .collect(),
        }
    }
}

/// Counts are summed over many locks: not for the control thread.
async fn told(limiters: Vec<Arc<Limiter>>) -> Result<Vec<LimiterStatus>, StatusCode> {
    let sum = move || {
        limiters
            .iter()
            .map(|limiter| LimiterStatus::of(limiter))
            .collect()
    };
    task::blocking(sum).await.map_err(|error| {
        tracing::error!(%error, "limiters could not be summed up");
        StatusCode::INTERNAL_SERVER_ERROR
    })
}

/// All limiters, in the order of their names.
async fn list(State(context): State<Arc<Context>>) -> Response {
    let limiters = context.running.borrow().limiters.clone();
    told(limiters).await.map(Json).into_response()
}

/// The paths of this page.
pub(super) fn router() -> Router<Arc<Context>> {
    use axum::extract::DefaultBodyLimit;
    use axum::routing::get;
    Router::new()
        .route("/api/v1/limiters", get(list))
        .route(
            "/api/v1/limiters/{limiter}",
            get(one).put(put).delete(delete),
        )
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

fn find(context: &Context, name: &str) -> Result<Arc<Limiter>, Denied> {
    let running = context.running.borrow();
    let mut limiters = running.limiters.iter();
    let found = limiters.find(|limiter| limiter.name.as_str() == name);
    found.cloned().ok_or_else(|| {
        let why = format!("no limiter `{}`", name.escape_debug());
        Denied(StatusCode::NOT_FOUND, why)
    })
}

/// One limiter.
async fn one(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Response, Denied> {
    Ok(shown(find(&context, &name)?).await)
}

async fn shown(limiter: Arc<Limiter>) -> Response {
    match told(vec![limiter]).await {
        Ok(mut one) => Json(one.pop()).into_response(),
        Err(status) => status.into_response(),
    }
}

/// Other numbers for now; in effect on every worker when this answers.
async fn put(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Denied> {
    let limiter = find(&context, &name)?;
    let refused = |why: String| Denied(StatusCode::UNPROCESSABLE_ENTITY, why);
    let order: Order = serde_json::from_slice(&body).map_err(|error| refused(error.to_string()))?;
    let said = Said {
        rate: order.rate,
        per: order.per,
        burst: order.burst,
    };
    if said == Said::default() {
        return Err(refused(
            "say a `rate`, a `per`, a `burst`; DELETE takes back what was said".to_owned(),
        ));
    }
    if order.ttl.is_some_and(Duration::is_zero) {
        return Err(refused(
            "`ttl` must be longer than 0s; without it, it is for good".to_owned(),
        ));
    }
    let until = order.ttl.map(|ttl| clock::micros(clock::now() + ttl.get()));
    limiter
        .put(said, until)
        .map_err(|lines| refused(lines.join("; ")))?;
    let per_ms = said.per.map(|per| per.get().as_millis());
    tracing::info!(
        limiter = name,
        rate = said.rate,
        per_ms,
        burst = said.burst,
        "override of a limiter set"
    );
    Ok(shown(limiter).await)
}

/// Takes back what was said. Taking back nothing is no failure.
async fn delete(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Response, Denied> {
    let limiter = find(&context, &name)?;
    limiter.take_back();
    tracing::info!(limiter = name, "override of a limiter taken back");
    Ok(shown(limiter).await)
}
