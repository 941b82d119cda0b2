//! In front of the Ledger: what bears no token goes no further, what the Ledger cannot answer is answered from KV.

use super::{
    LEDGER,
    body::{read, respond},
    limiter,
    platform::Edge,
    unreachable,
};
use crate::{
    api::{Unreachable, bearer, router},
    forwarded,
    limits::LEDGER_PATIENCE,
    names::{BLOB_PATH, IMPORT_PATH},
    problem::{self, Failure},
};
use ::worker::{
    Delay, Env, Headers, HttpRequest, Method, Request, Response, Result,
    js_sys::Uint8Array,
    web_sys::{self, RequestInit},
};
use axum::{
    body::Body,
    http::{self, request::Parts},
};
use drawbridge_shared::token::TokenHash;
use futures_util::future::{Either, select};
use std::pin::pin;
use tower_service::Service;

/// Answers one request.
pub(super) async fn answer(request: Request, env: Env) -> Result<Response> {
    // Headers that are not visible ASCII, or an address of more than 64 KiB.
    let Ok(request) = HttpRequest::try_from(request) else {
        return refuse(env, Failure::bad("The request's address or headers cannot be read")).await;
    };
    let (parts, body) = request.into_parts();
    let token = bearer(&parts.headers).ok();
    match read(body, forwarded::enough(&parts, token)).await {
        Ok(body) => route(env, parts, token, body).await,
        Err(_) => refuse(env, Failure::bad("The body cannot be read")).await,
    }
}

/// Has the Ledger do what is due.
pub(super) async fn wake(env: &Env) -> std::result::Result<(), Unreachable> {
    let request = Request::new("https://ledger/", Method::Get).map_err(unreachable)?;
    fetch(env, request).await.map(drop)
}

async fn refuse(env: Env, failure: Failure) -> Result<Response> {
    respond(problem::answer(&Edge::before(env), failure)).await
}

async fn route(env: Env, parts: Parts, token: Option<TokenHash>, body: Vec<u8>) -> Result<Response> {
    if let Err(failure) = limiter::allow(&env, &parts, token).await.and_then(|()| forwarded::check_upgrade(&parts)) {
        return refuse(env, failure).await;
    }
    if token.is_none() || !forwarded::is_taken(&parts.method) {
        return serve(Edge::before(env), parts, body).await;
    }
    if parts.uri.path().starts_with(BLOB_PATH) {
        let near = serve(Edge::before(env.clone()), parts.clone(), Vec::new()).await?;
        if near.status_code() == 200 {
            return Ok(near);
        }
    }
    // A megabyte is read by the Ledger's one thread, before anybody knows whose it is: first it says whether it would take one.
    if parts.uri.path() == IMPORT_PATH && !body.is_empty() {
        let empty = pass(&env, &parts, Vec::new()).await?;
        if empty.status_code() != 200 {
            return Ok(empty);
        }
    }
    pass(&env, &parts, body).await
}

/// The Ledger's answer, or what can be said without it.
async fn pass(env: &Env, parts: &Parts, body: Vec<u8>) -> Result<Response> {
    let request = match forward(parts, &body) {
        Ok(request) => request,
        Err(fault) => return cannot_forward(env.clone(), fault).await,
    };
    match fetch(env, request).await {
        Ok(answer) => Ok(answer),
        Err(fault) => serve(Edge::without(env.clone(), fault), parts.clone(), body).await,
    }
}

/// A Ledger that was not asked is not out of reach: nothing older than it knows may be told in its place.
async fn cannot_forward(env: Env, fault: ::worker::Error) -> Result<Response> {
    let failure = Failure::internal(&fault.to_string());
    respond(problem::answer(&Edge::without(env, unreachable(fault)), failure)).await
}

async fn serve(edge: Edge, parts: Parts, body: Vec<u8>) -> Result<Response> {
    let request = http::Request::from_parts(parts, Body::from(body));
    respond(router(edge).call(request).await?).await
}

/// By the Ledger, within its time.
async fn fetch(env: &Env, request: Request) -> std::result::Result<Response, Unreachable> {
    let (binding, name) = LEDGER;
    let ledger = env.durable_object(binding).and_then(|namespace| namespace.get_by_name(name)).map_err(unreachable)?;
    let answer = pin!(ledger.fetch_with_request(request));
    match select(answer, pin!(Delay::from(LEDGER_PATIENCE))).await {
        Either::Left((answer, _)) => answer.map_err(unreachable),
        Either::Right(_) => Err(Unreachable("the Ledger did not answer in time".into())),
    }
}

/// The request as the Ledger is to see it.
fn forward(parts: &Parts, body: &[u8]) -> Result<Request> {
    let headers = Headers::new();
    for (name, value) in forwarded::headers(parts) {
        headers.set(name.as_str(), value)?;
    }
    // The crate's own brings along what images and caches can be asked for, 5 KB gzip of it.
    let init = RequestInit::new();
    init.set_method(parts.method.as_str());
    init.set_headers(&headers.0);
    if let Some(body) = forwarded::body(&parts.method, body) {
        init.set_body(&Uint8Array::from(body));
    }
    Ok(web_sys::Request::new_with_str_and_init(&parts.uri.to_string(), &init)?.into())
}
