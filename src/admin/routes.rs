//! Paths and what they answer.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::metrics::ReloadResult;
use crate::task;

use super::certificates;
use super::clusters;
use super::context::Context;
use super::limiters;
use super::maintenance;
use super::wire::{ReloadAnswer, Status};

/// What `/` says.
const INDEX: &str = "\
tidegate

GET  /metrics         for Prometheus
GET  /live            the process answers
GET  /ready           traffic is wanted; 503 with the reasons if not
GET  /api/v1/status   version, configuration, listeners, clusters and their endpoints
GET  /api/v1/clusters                                       clusters and their endpoints
GET  /api/v1/clusters/{cluster}                             one of them
GET  /api/v1/clusters/{cluster}/endpoints/{address}         one endpoint
PUT  /api/v1/clusters/{cluster}/endpoints/{address}         { \"state\": \"drain\", \"weight\": 5, \"ttl\": \"10m\" }
DELETE /api/v1/clusters/{cluster}/endpoints/{address}       take that back
GET  /api/v1/limiters                                       rate limiters: numbers, counts, who is limited most
GET  /api/v1/limiters/{limiter}                             one of them
PUT  /api/v1/limiters/{limiter}                             { \"rate\": 50, \"per\": \"1m\", \"burst\": 80, \"ttl\": \"10m\" }
DELETE /api/v1/limiters/{limiter}                           take that back
GET  /api/v1/maintenance                                    what is out of service
PUT  /api/v1/maintenance                                    { \"retry_after\": \"5m\", \"allow\": [\"10.0.0.0/8\"], \"ttl\": \"1h\" }
PUT  /api/v1/maintenance/listeners/{listener}               the same for what comes in there
PUT  /api/v1/maintenance/routes/{route}                     the same for one route
DELETE /api/v1/maintenance…                                 take that back
GET  /api/v1/certificates                                   what listeners and clusters show: names, until when, from which files
POST /api/v1/reload   load the configuration again
";

/// The type of Prometheus's text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn router(context: Context) -> Router {
    Router::new()
        .route("/", get(async || INDEX))
        .route("/metrics", get(metrics))
        .route("/live", get(async || "live\n"))
        .route("/ready", get(ready))
        .route("/api/v1/status", get(status))
        .route("/api/v1/reload", post(reload))
        .merge(clusters::router())
        .merge(limiters::router())
        .merge(maintenance::router())
        .merge(certificates::router())
        .fallback(async || (StatusCode::NOT_FOUND, "no such path; see /\n"))
        .method_not_allowed_fallback(async || {
            (
                StatusCode::METHOD_NOT_ALLOWED,
                "not with this method; see /\n",
            )
        })
        .with_state(Arc::new(context))
}

/// Encoding grows with the number of series: not for the control thread.
async fn metrics(State(context): State<Arc<Context>>) -> Response {
    match task::blocking(move || context.hub.render()).await {
        Ok(text) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn ready(State(context): State<Arc<Context>>) -> Response {
    let reasons = context.not_ready();
    if reasons.is_empty() {
        let entries = context.live.clusters.names().entries();
        let unknown = entries.iter().filter(|entry| entry.good().is_none());
        let unknown: Vec<String> = unknown.map(|entry| entry.query.to_string()).collect();
        if unknown.is_empty() {
            return "ready\n".into_response();
        }
        // What does not need these names is served.
        return format!("ready\nnot resolved yet: {}\n", unknown.join(", ")).into_response();
    }
    let text = format!("not ready: {}\n", reasons.join(", "));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn status(State(context): State<Arc<Context>>) -> Response {
    Json(Status::of(&context, &context.hub)).into_response()
}

async fn reload(State(context): State<Arc<Context>>) -> Response {
    let reloaded = context.reload.order().await;
    let status = match reloaded.result() {
        ReloadResult::Ok => StatusCode::OK,
        ReloadResult::Invalid | ReloadResult::Error => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let epoch = context.running.borrow().epoch;
    (status, Json(ReloadAnswer::of(reloaded, epoch))).into_response()
}
