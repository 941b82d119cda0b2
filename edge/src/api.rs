//! The REST API: one router, the same in the Worker and in native tests.

mod agent;
mod daemon;
mod extract;
mod keys;
mod operator;
mod platform;
mod snapshot;
mod stale;
mod user;

pub use extract::bearer;
pub use platform::{Platform, Unreachable};

use crate::{
    command::Outcome,
    limits::MAX_IMPORT,
    problem::{self, Failure},
};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use drawbridge_shared::api::MAX_BODY;
use serde::Serialize;

/// All routes over `platform`.
pub fn router<P: Platform>(platform: P) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .merge(user_routes())
        .nest("/api/operator", operator_routes())
        .merge(machine_routes())
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(platform.clone(), problem::finish::<P>))
        .with_state(platform)
}

fn user_routes<P: Platform>() -> Router<P> {
    Router::new()
        .route("/api/ssh/keys", get(keys::list::<P>).post(keys::add::<P>).delete(keys::remove::<P>))
        .route("/api/ssh/keys/{*fingerprint}", delete(keys::remove_named::<P>))
        .route("/api/ssh/workspaces", get(user::workspaces::<P>))
        .route("/api/ssh/config", get(user::config::<P>))
        .route("/api/ssh/known_hosts", get(user::known_hosts::<P>))
}

fn operator_routes<P: Platform>() -> Router<P> {
    Router::new()
        .route("/tokens", get(operator::list_tokens::<P>).post(operator::mint_token::<P>))
        .route("/tokens/{id}", delete(operator::revoke_token::<P>))
        .route("/workspaces", get(operator::list_workspaces::<P>))
        .route(
            "/workspaces/{id}",
            get(operator::get_workspace::<P>).put(operator::put_workspace::<P>).delete(operator::delete_workspace::<P>),
        )
        .route("/workspaces/{id}/agent-key", delete(operator::reset_agent_key::<P>))
        .route("/workspaces/{id}/agent-token", post(operator::rotate_agent_token::<P>))
        .route("/workspaces/{id}/members", get(operator::list_members::<P>))
        .route("/workspaces/{id}/members/{user}", put(operator::put_member::<P>).delete(operator::delete_member::<P>))
        .route("/daemons", get(operator::list_daemons::<P>))
        .route("/daemons/{id}", put(operator::put_daemon::<P>).delete(operator::delete_daemon::<P>))
        .route("/regions", get(operator::regions::list::<P>))
        .route("/regions/{region}", put(operator::regions::put::<P>).delete(operator::regions::delete::<P>))
        .route("/import", post(operator::import::run::<P>).layer(DefaultBodyLimit::max(MAX_IMPORT)))
}

fn machine_routes<P: Platform>() -> Router<P> {
    Router::new()
        .route("/v1/agent/enrol", post(agent::enrol::<P>))
        .route("/v1/agent/authorized-keys", get(agent::document::<P>))
        .route("/v1/agent/host-certificate", get(agent::certificate::<P>))
        .route("/v1/daemon/host-certificate", get(daemon::certificate::<P>))
        .route("/v1/daemon/used", post(daemon::used::<P>))
        .route("/v1/snapshot", get(snapshot::manifest::<P>))
        .route("/v1/snapshot/blob/{hash}", get(snapshot::blob::<P>))
        .route("/v1/feed", get(snapshot::feed::<P>))
}

async fn healthz() -> Response {
    written(StatusCode::OK, br#"{"status":"ok"}"#.to_vec())
}

async fn no_route() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "There is nothing at this address")
}

async fn no_method() -> Failure {
    let advice = "The 'Allow' header names the methods that this address takes.";
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "This address does not take that method").advice(advice)
}

fn host_certificate(outcome: Outcome) -> Result<Response, Failure> {
    match outcome {
        Outcome::HostCertificate(certificate) => Ok(json(StatusCode::OK, &certificate)),
        _ => Err(unexpected()),
    }
}

/// An answer to another question.
fn unexpected() -> Failure {
    Failure::internal("the Ledger answered another question")
}

fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => written(status, bytes),
        Err(_) => Failure::internal("an answer cannot be written as JSON").into_response(),
    }
}

/// Nothing that is answered here may be kept by anybody in between.
fn written(status: StatusCode, json: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, json).into_response()
}

/// A signed document and its tag.
fn document(text: String, etag: &str) -> Response {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    (cache_headers(etag), [(header::CONTENT_TYPE, kind)], text).into_response()
}

fn unchanged(etag: &str) -> Response {
    (StatusCode::NOT_MODIFIED, cache_headers(etag)).into_response()
}

fn cache_headers(etag: &str) -> [(header::HeaderName, HeaderValue); 2] {
    let etag = HeaderValue::try_from(etag).unwrap_or_else(|_| HeaderValue::from_static("\"\""));
    [(header::ETAG, etag), (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"))]
}
