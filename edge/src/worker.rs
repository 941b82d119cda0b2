//! The only room that knows the Workers runtime: requests in, the Durable Object, KV and secrets behind them.

mod body;
mod ledger;
mod platform;
mod sql;

use crate::{
    api::router,
    problem::{self, Failure},
};
use ::worker::{Context, Env, HttpRequest, Request, Result, event};
use axum::{
    body::Body,
    http::{self, Response},
};
use platform::Edge;
use tower_service::Service;

/// Name of the KV binding.
const KV: &str = "KV";
/// Header that carries the call of an upgrade from Worker to Durable Object.
const CALL: &str = "drawbridge-call";
/// Name of the Durable Object's binding, and of its only instance.
const LEDGER: (&str, &str) = ("LEDGER", "ledger");

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response<Body>> {
    let edge = Edge::new(env);
    // Headers that are not visible ASCII, or an address of more than 64 KiB.
    let Ok(request) = HttpRequest::try_from(request) else {
        return Ok(problem::answer(&edge, Failure::bad("The request's address or headers cannot be read")));
    };
    let (parts, body) = request.into_parts();
    match body::read(body).await {
        Ok(body) => Ok(router(edge).call(http::Request::from_parts(parts, body)).await?),
        Err(_) => Ok(problem::answer(&edge, Failure::bad("The body cannot be read"))),
    }
}
