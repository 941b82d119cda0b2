//! The REST API: one router, the same in the Worker and in native tests.

mod answer;
mod asked;
mod keys;
mod machines;
mod operator;
mod platform;
mod stale;
mod user;
mod wish;

pub use asked::bearer;
pub use platform::{Platform, Unreachable};

use crate::{
    limits::MAX_IMPORT,
    names::{KEYS_PATH, OPENAPI_PATH},
    problem::{self, Failure},
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    middleware,
    response::Response,
    routing::{MethodRouter, delete, get, post, put},
};
use drawbridge_shared::api::MAX_BODY;
use wish::{Understand, grant};

/// All routes over `platform`.
pub fn router<P: Platform>(platform: P) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route(OPENAPI_PATH, get(openapi::<P>))
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
        .route(KEYS_PATH, get(grant::<P>(keys::list)).post(grant::<P>(keys::add)).delete(grant::<P>(keys::remove)))
        .route("/api/ssh/keys/{*fingerprint}", delete(grant::<P>(keys::remove_named)))
        .route("/api/ssh/workspaces", get(grant::<P>(user::list_workspaces)))
        .route("/api/ssh/config", get(grant::<P>(user::get_config)))
        .route("/api/ssh/known_hosts", get(grant::<P>(user::get_known_hosts)))
}

fn operator_routes<P: Platform>() -> Router<P> {
    Router::new()
        .route("/tokens", get(grant::<P>(operator::list_tokens)).post(grant::<P>(operator::mint_token)))
        .route("/tokens/{id}", delete(grant::<P>(operator::revoke_token)))
        .route("/workspaces", get(grant::<P>(operator::list_workspaces)))
        .route(
            "/workspaces/{id}",
            get(grant::<P>(operator::get_workspace)).merge(item(operator::put_workspace, operator::delete_workspace)),
        )
        .route("/workspaces/{id}/sleep", item::<P>(operator::put_to_sleep, operator::wake))
        .route("/workspaces/{id}/agent-key", delete(grant::<P>(operator::reset_agent_key)))
        .route("/workspaces/{id}/agent-token", post(grant::<P>(operator::rotate_agent_token)))
        .route("/workspaces/{id}/members", get(grant::<P>(operator::list_members)))
        .route("/workspaces/{id}/members/{user}", item::<P>(operator::put_member, operator::delete_member))
        .route("/daemons", get(grant::<P>(operator::list_daemons)))
        .route("/daemons/{id}", item::<P>(operator::put_daemon, operator::delete_daemon))
        .route("/regions", get(grant::<P>(operator::list_regions)))
        .route("/regions/{region}", item::<P>(operator::put_region, operator::delete_region))
        .route("/import", post(grant::<P>(operator::import)).layer(DefaultBodyLimit::max(MAX_IMPORT)))
}

fn machine_routes<P: Platform>() -> Router<P> {
    Router::new()
        .route("/v1/agent/enrol", post(grant::<P>(machines::enrol)))
        .route("/v1/agent/authorized-keys", get(grant::<P>(machines::authorized_keys)))
        .route("/v1/agent/host-certificate", get(grant::<P>(machines::agent_certificate)))
        .route("/v1/daemon/host-certificate", get(grant::<P>(machines::daemon_certificate)))
        .route("/v1/daemon/used", post(grant::<P>(machines::used)))
        .route("/v1/snapshot", get(grant::<P>(machines::manifest)))
        .route("/v1/snapshot/blob/{hash}", get(grant::<P>(machines::shard)))
        .route("/v1/feed", get(grant::<P>(machines::feed)).head(no_method))
}

/// What can be put and deleted.
fn item<P: Platform>(put_it: Understand, delete_it: Understand) -> MethodRouter<P> {
    put(grant::<P>(put_it)).delete(grant::<P>(delete_it))
}

async fn healthz() -> Response {
    answer::json_text(br#"{"status":"ok"}"#.to_vec())
}

/// The same for everybody, and no secret.
async fn openapi<P: Platform>(State(platform): State<P>) -> Result<Response, Failure> {
    Ok(answer::json_text(platform.openapi().await?))
}

async fn no_route() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "There is nothing at this address")
}

async fn no_method() -> Failure {
    let advice = "The 'Allow' header names the methods that this address takes.";
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "This address does not take that method").advice(advice)
}
