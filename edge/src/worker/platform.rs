//! The router's platform in the Worker: the Ledger behind its binding, KV, clock and randomness.

use super::{CALL, KV, LEDGER};
use crate::{
    api::{Platform, Unreachable},
    command::{Call, Outcome, Reply},
    limits::LEDGER_PATIENCE,
    problem::Failure,
};
use ::worker::{Date, Delay, Env, Headers, Method, Request, RequestInit, Response, console_error, kv::KvStore, send::SendFuture};
use axum::http;
use drawbridge_shared::time::Timestamp;
use futures_util::future::{Either, select};
use std::pin::pin;

/// Says that a Durable Object's answer is a shard's bytes.
pub(super) const BYTES: &str = "application/octet-stream";

/// A Durable Object is found by its binding; what stands in the address does not matter.
const ADDRESS: &str = "https://ledger/";

/// The Worker's bindings.
#[derive(Clone)]
pub(super) struct Edge(Env);

impl Edge {
    pub(super) const fn new(env: Env) -> Self {
        Self(env)
    }

    fn kv(&self) -> Result<KvStore, Unreachable> {
        self.0.kv(KV).map_err(unreachable)
    }

    /// Sends a request to the Ledger.
    async fn send(&self, request: Result<Request, Unreachable>) -> Result<Response, Unreachable> {
        let request = request?;
        let (binding, name) = LEDGER;
        let ledger = self.0.durable_object(binding).and_then(|namespace| namespace.get_by_name(name)).map_err(unreachable)?;
        let answer = pin!(ledger.fetch_with_request(request));
        match select(answer, pin!(Delay::from(LEDGER_PATIENCE))).await {
            Either::Left((answer, _)) => answer.map_err(unreachable),
            Either::Right(_) => Err(Unreachable("the Ledger did not answer in time".into())),
        }
    }
}

impl Platform for Edge {
    fn ledger(&self, call: Call) -> impl Future<Output = Result<Reply, Unreachable>> + Send {
        let edge = self.clone();
        SendFuture::new(async move { reply(edge.send(post(&call)).await?).await })
    }

    fn feed(&self, call: Call) -> impl Future<Output = Result<http::Response<axum::body::Body>, Failure>> + Send {
        let edge = self.clone();
        SendFuture::new(async move {
            let answer = edge.send(upgrade(&call)).await?;
            if answer.status_code() == 101 {
                return Ok(answer.into());
            }
            match reply(answer).await? {
                Ok(_) => Err(Failure::internal("the Ledger did not switch protocols")),
                Err(refusal) => Err(refusal.into()),
            }
        })
    }

    fn kv_get(&self, name: &str) -> impl Future<Output = Result<Option<Vec<u8>>, Unreachable>> + Send {
        let get = self.kv().map(|kv| kv.get(name));
        SendFuture::new(async move { get?.bytes().await.map_err(unreachable) })
    }

    fn kv_list(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>, Unreachable>> + Send {
        let list = self.kv().map(|kv| kv.list().prefix(prefix.to_owned()));
        SendFuture::new(async move {
            let page = list?.execute().await.map_err(unreachable)?;
            Ok(page.keys.into_iter().map(|key| key.name).collect())
        })
    }

    fn now(&self) -> Timestamp {
        now()
    }

    fn random(&self) -> Result<[u8; 32], Unreachable> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(unreachable)?;
        Ok(bytes)
    }

    fn log(&self, line: &str) {
        console_error!("{line}");
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_unix(Date::now().as_millis().checked_div(1000).unwrap_or_default())
}

fn post(call: &Call) -> Result<Request, Unreachable> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(written(call)?.into()));
    Request::new_with_init(ADDRESS, &init).map_err(unreachable)
}

/// Only a GET is upgraded, and it has no body: its header carries the call.
fn upgrade(call: &Call) -> Result<Request, Unreachable> {
    let headers = Headers::new();
    headers.set("Upgrade", "websocket").map_err(unreachable)?;
    headers.set(CALL, &written(call)?).map_err(unreachable)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Get).with_headers(headers);
    Request::new_with_init(ADDRESS, &init).map_err(unreachable)
}

fn written(call: &Call) -> Result<String, Unreachable> {
    serde_json::to_string(call).map_err(|fault| Unreachable(fault.to_string()))
}

/// An answer that is none of ours comes from a Ledger that failed.
async fn reply(mut answer: Response) -> Result<Reply, Unreachable> {
    if answer.status_code() != 200 {
        return Err(Unreachable(format!("the Ledger answered {}", answer.status_code())));
    }
    let kind = answer.headers().get("content-type").ok().flatten().unwrap_or_default();
    let bytes = answer.bytes().await.map_err(unreachable)?;
    if kind == BYTES {
        return Ok(Ok(Outcome::Blob(bytes)));
    }
    serde_json::from_slice(&bytes).map_err(|fault| Unreachable(format!("the Ledger's answer: {fault}")))
}

fn unreachable(fault: impl std::fmt::Display) -> Unreachable {
    Unreachable(fault.to_string())
}
