//! `/api/v1/clusters…`: what is known of clusters and their endpoints, and an operator's word on one of them.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};

use crate::base::{EndpointAddr, clock};
use crate::cluster::{Cluster, Override, TooMany};
use crate::config::types::Duration;
use crate::endpoint::{Admin, Endpoint, EndpointKey, MAX_WEIGHT};

use super::context::Context;
use super::wire::{AdminWord, ClusterStatus, Clusters, EndpointStatus, OverrideRequest, Refusal};

/// Longest body of a change.
const MAX_BODY: usize = 4 * 1024;

/// The paths of this page.
pub(super) fn router() -> Router<Arc<Context>> {
    use axum::extract::DefaultBodyLimit;
    use axum::routing::get;
    const ENDPOINT: &str = "/api/v1/clusters/{cluster}/endpoints/{address}";
    Router::new()
        .route("/api/v1/clusters", get(all))
        .route("/api/v1/clusters/{cluster}", get(one))
        .route(ENDPOINT, get(endpoint).put(put).delete(delete))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn all(State(context): State<Arc<Context>>) -> Response {
    let running = context.running.borrow().clone();
    let overrides = context.live.clusters.overrides();
    Json(Clusters::of(&running.clusters, overrides)).into_response()
}

async fn one(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Response, Denied> {
    let cluster = cluster(&context, &name)?;
    let overrides = context.live.clusters.overrides();
    Ok(Json(ClusterStatus::of(&cluster, overrides)).into_response())
}

async fn endpoint(
    State(context): State<Arc<Context>>,
    Path((name, address)): Path<(String, String)>,
) -> Result<Response, Denied> {
    let (cluster, key) = key(&context, &name, &address)?;
    let endpoint = find(&cluster, &key)?;
    Ok(shown(&context, &cluster, &endpoint))
}

/// Says something of an endpoint, in place of what was said before; answers once every worker keeps to it.
async fn put(
    State(context): State<Arc<Context>>,
    Path((name, address)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Denied> {
    let (cluster, key) = key(&context, &name, &address)?;
    let endpoint = find(&cluster, &key)?;
    let wanted = read(&body).map_err(|why| Denied(StatusCode::UNPROCESSABLE_ENTITY, why))?;
    let until = wanted.ttl.map(|ttl| clock::now() + ttl.get());
    let admin = wanted.state.map(Admin::from);
    let deadline = wanted.deadline.map(|end| clock::now() + end.get());
    let said = Override::new(admin, wanted.weight, until, &endpoint.origin).drained_by(deadline);
    let overrides = context.live.clusters.overrides();
    overrides.put(&key, said).map_err(|TooMany| {
        let why = "too many endpoints have an override: take some back".to_owned();
        Denied(StatusCode::CONFLICT, why)
    })?;
    tracing::info!(
        cluster = key.cluster.as_str(),
        endpoint = %key.addr,
        state = admin.map(Admin::as_str),
        weight = wanted.weight,
        ttl_ms = wanted.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        "override set"
    );
    in_effect(&context, &key).await
}

/// Takes back what was said. Taking back nothing is no failure.
async fn delete(
    State(context): State<Arc<Context>>,
    Path((name, address)): Path<(String, String)>,
) -> Result<Response, Denied> {
    let (cluster, key) = key(&context, &name, &address)?;
    if context.live.clusters.overrides().remove(&key).is_some() {
        let cluster = key.cluster.as_str();
        tracing::info!(cluster, endpoint = %key.addr, "override taken back");
    } else {
        find(&cluster, &key)?;
    }
    in_effect(&context, &key).await
}

/// Waits until every worker keeps to what was said, and shows the endpoint; nothing, if it is not there.
async fn in_effect(context: &Context, key: &EndpointKey) -> Result<Response, Denied> {
    context.swap.order().await;
    let cluster = cluster(context, key.cluster.as_str())?;
    Ok(match find(&cluster, key) {
        Ok(endpoint) => shown(context, &cluster, &endpoint),
        Err(_) => StatusCode::NO_CONTENT.into_response(),
    })
}

fn read(body: &[u8]) -> Result<OverrideRequest, String> {
    let wanted: OverrideRequest =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if wanted.state.is_none() && wanted.weight.is_none() {
        return Err(
            "say a `state` (\"ready\", \"drain\", \"disabled\"), a `weight`, or both; DELETE takes back what was said"
                .to_owned(),
        );
    }
    match wanted.weight {
        Some(0) => {
            return Err(
                "weight 0 is not in 1-1000: for an endpoint that gets nothing new say `\"state\": \"drain\"`"
                    .to_owned(),
            );
        }
        Some(weight) if weight > MAX_WEIGHT => {
            return Err(format!("weight {weight} is not in 1-{MAX_WEIGHT}"));
        }
        _ => {}
    }
    match (wanted.deadline, wanted.state) {
        (None, _) => {}
        (Some(end), Some(AdminWord::Drain)) if !end.is_zero() => {}
        (Some(_), Some(AdminWord::Drain)) => {
            return Err(
                "`deadline` must be longer than 0s; say `disabled` to end it now".to_owned(),
            );
        }
        (Some(_), _) => return Err("`deadline` stands with `\"state\": \"drain\"`".to_owned()),
    }
    if wanted.ttl.is_some_and(Duration::is_zero) {
        return Err("`ttl` must be longer than 0s; without it, it is for good".to_owned());
    }
    Ok(wanted)
}

fn cluster(context: &Context, name: &str) -> Result<Arc<Cluster>, Denied> {
    let running = context.running.borrow();
    let found = running.clusters.iter().find(|c| c.name.as_str() == name);
    found.cloned().ok_or_else(|| {
        let why = format!("no cluster `{}`", name.escape_debug());
        Denied(StatusCode::NOT_FOUND, why)
    })
}

fn key(
    context: &Context,
    name: &str,
    address: &str,
) -> Result<(Arc<Cluster>, EndpointKey), Denied> {
    let cluster = cluster(context, name)?;
    let addr = EndpointAddr::parse(address).map_err(|error| {
        let why = format!("`{}`: {error}", address.escape_debug());
        Denied(StatusCode::BAD_REQUEST, why)
    })?;
    let key = EndpointKey {
        cluster: cluster.name.clone(),
        addr,
    };
    Ok((cluster, key))
}

fn find(cluster: &Cluster, key: &EndpointKey) -> Result<Arc<Endpoint>, Denied> {
    let found = cluster.set.iter().find(|endpoint| endpoint.key == *key);
    found.map(Arc::clone).ok_or_else(|| {
        let why = format!("no endpoint `{}` in cluster `{}`", key.addr, key.cluster);
        Denied(StatusCode::NOT_FOUND, why)
    })
}

fn shown(context: &Context, cluster: &Cluster, endpoint: &Endpoint) -> Response {
    let said = context.live.clusters.overrides().of(&endpoint.key);
    let status = EndpointStatus::of(cluster, endpoint, said.as_ref(), clock::now());
    Json(status).into_response()
}

/// Why an order or a question is refused.
pub(super) struct Denied(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        (self.0, Json(Refusal { error: self.1 })).into_response()
    }
}
