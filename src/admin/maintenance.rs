//! `/api/v1/maintenance…`: what an operator has taken out of service.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::Serialize;

use crate::base::clock::{self, Instant};
use crate::base::{CidrSet, ListenerName, RouteName};
use crate::config::types::Duration;
use crate::listener::Serves;
use crate::metrics::{Scrape, names};
use crate::route::{Closed, Maintenance, Scope};

use super::clusters::Denied;
use super::context::Context;
use super::wire::MaintenanceOrder as Order;

/// Longest body of a change.
const MAX_BODY: usize = 64 * 1024;
/// When clients should come back where nothing is said.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_mins(1);

/// What is out of service: one of `GET /api/v1/maintenance`, and a part of the status.
#[derive(Debug, Serialize)]
pub(super) struct ClosedStatus {
    /// `all`, `listener` or `route`.
    scope: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: String,
    retry_after_seconds: f64,
    /// Who is served all the same.
    allow: Vec<String>,
    /// Without it, until it is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<f64>,
}

fn named(scope: &Scope) -> (&'static str, &str) {
    match scope {
        Scope::All => ("all", ""),
        Scope::Listener(name) => ("listener", name.as_str()),
        Scope::Route(name) => ("route", name.as_str()),
    }
}

impl ClosedStatus {
    /// All of it.
    pub(super) fn list(maintenance: &Maintenance) -> Vec<Self> {
        let now = clock::now();
        let words = maintenance.list(now);
        words.iter().map(|(at, it)| Self::of(at, it, now)).collect()
    }

    fn of(scope: &Scope, closed: &Closed, now: Instant) -> Self {
        let (scope, name) = named(scope);
        Self {
            scope,
            name: name.to_owned(),
            retry_after_seconds: closed.retry_after.as_secs_f64(),
            allow: closed.allow.iter().map(ToString::to_string).collect(),
            ttl_seconds: closed
                .until
                .map(|until| until.duration_since(now).as_secs_f64()),
        }
    }
}

/// Shows it as metrics.
pub(super) fn collect(maintenance: &Maintenance, scrape: &mut Scrape) {
    for (scope, _) in maintenance.list(clock::now()) {
        let (scope, name) = named(&scope);
        scrape.gauge(&names::MAINTENANCE, &[scope, name], 1.0);
    }
}

/// The paths of this page.
pub(super) fn router() -> Router<Arc<Context>> {
    use axum::extract::DefaultBodyLimit;
    use axum::routing::{get, put};
    Router::new()
        .route(
            "/api/v1/maintenance",
            get(list).put(close_all).delete(open_all),
        )
        .route(
            "/api/v1/maintenance/{scope}/{name}",
            put(close_one).delete(open_one),
        )
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn list(State(context): State<Arc<Context>>) -> Response {
    Json(ClosedStatus::list(&context.live.maintenance)).into_response()
}

async fn close_all(State(context): State<Arc<Context>>, body: Bytes) -> Result<Response, Denied> {
    close(&context, &Scope::All, &body)
}

async fn close_one(
    State(context): State<Arc<Context>>,
    Path((scope, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Denied> {
    let scope = read_scope(&scope, &name)?;
    let running = context.running.borrow().clone();
    let there = match &scope {
        Scope::All => true,
        Scope::Listener(name) => {
            let mut listeners = running.listeners.iter();
            let found = listeners.find(|it| it.name == *name);
            if found.is_some_and(|it| it.serves != Serves::Http) {
                let why = format!(
                    "listener `{name}` does not speak http: only requests can be refused; drain the endpoints of its cluster"
                );
                return Err(Denied(StatusCode::UNPROCESSABLE_ENTITY, why));
            }
            found.is_some()
        }
        Scope::Route(name) => running.routes.routes().iter().any(|it| it.name == *name),
    };
    if !there {
        let (scope, name) = named(&scope);
        let why = format!("no {scope} `{name}`");
        return Err(Denied(StatusCode::NOT_FOUND, why));
    }
    close(&context, &scope, &body)
}

async fn open_all(State(context): State<Arc<Context>>) -> Response {
    open(&context, &Scope::All)
}

/// One that is gone can be taken back, too.
async fn open_one(
    State(context): State<Arc<Context>>,
    Path((scope, name)): Path<(String, String)>,
) -> Result<Response, Denied> {
    Ok(open(&context, &read_scope(&scope, &name)?))
}

fn read_scope(scope: &str, name: &str) -> Result<Scope, Denied> {
    let found = match scope {
        "listeners" => ListenerName::parse(name).ok().map(Scope::Listener),
        "routes" => RouteName::parse(name).ok().map(Scope::Route),
        _ => None,
    };
    found.ok_or_else(|| {
        let why = "say /api/v1/maintenance/listeners/NAME or /api/v1/maintenance/routes/NAME";
        Denied(StatusCode::NOT_FOUND, why.to_owned())
    })
}

/// In effect for every request that begins once this has answered.
fn close(context: &Context, scope: &Scope, body: &[u8]) -> Result<Response, Denied> {
    let now = clock::now();
    let closed = read(body, now).map_err(|why| Denied(StatusCode::UNPROCESSABLE_ENTITY, why))?;
    let maintenance = &context.live.maintenance;
    let done = maintenance.close(scope.clone(), closed.clone(), now);
    done.map_err(|_| {
        let why = "too much is under maintenance: take something back, or close all";
        Denied(StatusCode::CONFLICT, why.to_owned())
    })?;
    let (scope, name) = named(scope);
    let allow: Vec<_> = closed.allow.iter().map(ToString::to_string).collect();
    tracing::info!(
        scope,
        name,
        retry_after = closed.retry_after.as_secs(),
        allow = allow.join(" "),
        ttl = closed
            .until
            .map(|until| until.duration_since(now).as_secs()),
        "maintenance switched on"
    );
    Ok(Json(ClosedStatus::list(maintenance)).into_response())
}

/// Taking back nothing is no failure.
fn open(context: &Context, scope: &Scope) -> Response {
    let maintenance = &context.live.maintenance;
    if maintenance.open(scope, clock::now()) {
        let (scope, name) = named(scope);
        tracing::info!(scope, name, "maintenance switched off");
    }
    Json(ClosedStatus::list(maintenance)).into_response()
}

fn read(body: &[u8], now: Instant) -> Result<Closed, String> {
    let order: Order = match body {
        [] => Order::default(),
        body => serde_json::from_slice(body).map_err(|error| error.to_string())?,
    };
    let network = |text: &String| {
        CidrSet::parse_entry(text)
            .ok_or_else(|| format!("`{}` is not an address or a network", text.escape_debug()))
    };
    let allow = order.allow.iter().map(network).collect::<Result<_, _>>()?;
    if order.ttl.is_some_and(Duration::is_zero) {
        return Err("`ttl` must be longer than 0s; without it, it is for good".to_owned());
    }
    Ok(Closed::new(
        order.retry_after.map_or(RETRY_AFTER, Duration::get),
        allow,
        order.ttl.map(|ttl| now + ttl.get()),
    ))
}
