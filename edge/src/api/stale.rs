//! Reads while the Ledger is unreachable: from KV, which may be behind, and said to be so.

use super::{Platform, Unreachable, document, extract::Caller, json};
use crate::{
    etag,
    facts::{KeyFact, TokenFact, sort_keys},
    limits::KEYS_PER_USER,
    names,
    problem::Failure,
    refusal::Refusal,
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use drawbridge_shared::{
    id::UserId,
    snapshot::{BlobHash, Manifest},
    token::Scope,
};
use serde::de::DeserializeOwned;

const STALE: &str = "drawbridge-stale";

/// A user's keys as KV has them.
pub(super) async fn keys<P: Platform>(caller: &Caller<P>, fault: Unreachable) -> Result<Response, Failure> {
    let fact = bearer(caller).await?.ok_or(fault)?;
    let user: UserId = match fact.scope {
        Scope::User => fact.subject.parse()?,
        has => return Err(Refusal::Scope { has, needs: Scope::User }.into()),
    };
    let mut items = Vec::new();
    for name in caller.platform.kv_list(&names::keys_of(&user)).await?.iter().take(KEYS_PER_USER) {
        let key: Option<KeyFact> = record(&caller.platform, name).await?;
        items.extend(key.and_then(|key| Some(key.item(names::fingerprint_of(name)?, None))));
    }
    sort_keys(&mut items);
    Ok(marked(json(StatusCode::OK, &items)))
}

/// The manifest as KV has it. Its signature and its end tell how far it can be trusted.
pub(super) async fn manifest<P: Platform>(
    caller: &Caller<P>,
    held: Option<&str>,
    fault: Unreachable,
) -> Result<Response, Failure> {
    follower(caller).await?.ok_or_else(|| fault.clone())?;
    let bytes = caller.platform.kv_get(names::MANIFEST).await?.ok_or_else(|| fault.clone())?;
    let text = String::from_utf8(bytes).map_err(|_| fault.clone())?;
    let manifest: Manifest = serde_json::from_slice(text.lines().next().unwrap_or_default().as_bytes()).map_err(|_| fault)?;
    let etag = format!("\"{}\"", manifest.seq);
    let fresh = if etag::matches(held, &etag) { super::unchanged(&etag) } else { document(text, &etag) };
    Ok(marked(fresh))
}

/// A shard, if KV knows both it and the bearer. Its name is its content's: it cannot be stale.
pub(super) async fn blob<P: Platform>(caller: &Caller<P>, hash: BlobHash) -> Option<Vec<u8>> {
    follower(caller).await.ok()??;
    caller.platform.kv_get(&names::blob(hash)).await.ok()?
}

/// `None`: KV does not know the token, which is no proof that there is none.
async fn bearer<P: Platform>(caller: &Caller<P>) -> Result<Option<TokenFact>, Failure> {
    let fact: Option<TokenFact> = record(&caller.platform, &names::token(caller.token)).await?;
    match fact {
        Some(fact) if fact.expired(caller.platform.now()) => Err(Refusal::ExpiredToken.into()),
        fact => Ok(fact),
    }
}

/// The bearer, who may read snapshots.
async fn follower<P: Platform>(caller: &Caller<P>) -> Result<Option<TokenFact>, Failure> {
    let fact = bearer(caller).await?;
    match fact.as_ref().map(|fact| fact.scope) {
        None | Some(Scope::Daemon | Scope::Operator) => Ok(fact),
        Some(has) => Err(Refusal::Scope { has, needs: Scope::Daemon }.into()),
    }
}

async fn record<P: Platform, T: DeserializeOwned>(platform: &P, name: &str) -> Result<Option<T>, Unreachable> {
    let Some(bytes) = platform.kv_get(name).await? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|fault| Unreachable(format!("{name} in KV: {fault}")))
}

fn marked(mut response: Response) -> Response {
    response.headers_mut().insert(STALE, HeaderValue::from_static("true"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
