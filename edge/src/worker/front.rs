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
    limits::LEDGER_PATIENCE,
    names::BLOB_PATH,
    problem::{self, Failure},
};
use ::worker::{
    Delay, Env, Headers, HttpRequest, Method, Request, RequestInit, Response, Result, js_sys::Uint8Array, wasm_bindgen::JsValue,
};
use axum::{
    body::Body,
    http::{self, HeaderName, header, request::Parts},
};
use futures_util::future::{Either, select};
use std::pin::pin;
use tower_service::Service;

/// The headers that a router looks at.
const KEPT: [HeaderName; 4] = [header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_NONE_MATCH, header::UPGRADE];

/// Answers one request.
pub(super) async fn answer(request: Request, env: Env) -> Result<Response> {
    // Headers that are not visible ASCII, or an address of more than 64 KiB.
    let Ok(request) = HttpRequest::try_from(request) else {
        return refuse(env, Failure::bad("The request's address or headers cannot be read")).await;
    };
    let (parts, body) = request.into_parts();
    match read(body).await {
        Ok(body) => route(env, parts, body).await,
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

async fn route(env: Env, parts: Parts, body: Vec<u8>) -> Result<Response> {
    let token = bearer(&parts.headers).ok();
    if let Err(failure) = limiter::allow(&env, &parts.headers, token).await {
        return refuse(env, failure).await;
    }
    if token.is_none() || !can_forward(&parts.method) {
        return serve(Edge::before(env), parts, body).await;
    }
    if parts.uri.path().starts_with(BLOB_PATH) {
        let near = serve(Edge::before(env.clone()), parts.clone(), Vec::new()).await?;
        if near.status_code() == 200 {
            return Ok(near);
        }
    }
    match ask(&env, &parts, &body).await {
        Ok(answer) => Ok(answer),
        Err(fault) => serve(Edge::without(env, fault), parts, body).await,
    }
}

/// The runtime's requests make a GET of every method that they do not know; no address takes one of those.
fn can_forward(method: &http::Method) -> bool {
    Method::from(method.as_str().to_owned()).as_ref() == method.as_str()
}

async fn serve(edge: Edge, parts: Parts, body: Vec<u8>) -> Result<Response> {
    let request = http::Request::from_parts(parts, Body::from(body));
    respond(router(edge).call(request).await?).await
}

/// By the Ledger.
async fn ask(env: &Env, parts: &Parts, body: &[u8]) -> std::result::Result<Response, Unreachable> {
    fetch(env, forward(parts, body).map_err(unreachable)?).await
}

/// Within its time.
async fn fetch(env: &Env, request: Request) -> std::result::Result<Response, Unreachable> {
    let (binding, name) = LEDGER;
    let ledger = env.durable_object(binding).and_then(|namespace| namespace.get_by_name(name)).map_err(unreachable)?;
    let answer = pin!(ledger.fetch_with_request(request));
    match select(answer, pin!(Delay::from(LEDGER_PATIENCE))).await {
        Either::Left((answer, _)) => answer.map_err(unreachable),
        Either::Right(_) => Err(Unreachable("the Ledger did not answer in time".into())),
    }
}

fn forward(parts: &Parts, body: &[u8]) -> Result<Request> {
    let headers = Headers::new();
    for name in KEPT {
        if let Some(value) = parts.headers.get(&name).and_then(|value| value.to_str().ok()) {
            headers.set(name.as_str(), value)?;
        }
    }
    let mut init = RequestInit::new();
    init.with_method(parts.method.as_str().to_owned().into()).with_headers(headers);
    if !body.is_empty() {
        init.with_body(Some(JsValue::from(Uint8Array::from(body))));
    }
    Request::new_with_init(&parts.uri.to_string(), &init)
}
