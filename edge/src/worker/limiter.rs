//! How often anybody may call, by the platform's rate-limit bindings. An edge without them limits nothing.

use super::{KV, platform::now};
use crate::{caller, limits::TOKEN_MEMORY, names, problem::Failure};
use ::worker::{Env, console_error};
use axum::http::request::Parts;
use drawbridge_shared::token::TokenHash;

/// Name of the binding that counts by address.
const BY_ADDRESS: &str = "LIMIT_ADDRESS";
/// Name of the binding that counts by token.
const BY_TOKEN: &str = "LIMIT_TOKEN";
/// Name of the binding that counts changes by bearer.
const BY_CHANGES: &str = "LIMIT_CHANGES";
/// The address that the platform saw; a client cannot set it.
const ADDRESS: &str = "cf-connecting-ip";

/// Anybody can make up a token: its address is counted first. Behind one address there may be many, of whom one calls for all: a
/// token that KV knows is then counted by its bearer, however many tokens that has. So are changes, if KV knows it yet.
pub(super) async fn allow(env: &Env, parts: &Parts, token: Option<TokenHash>) -> Result<(), Failure> {
    let address = parts.headers.get(ADDRESS).and_then(|address| address.to_str().ok()).map(caller::source);
    let crowded = count(env, BY_ADDRESS, address).await;
    let Some(token) = token else { return crowded };
    let changes = caller::changes(parts);
    let bearer = if changes || crowded.is_err() { bearer(env, token).await } else { None };
    if let Err(refused) = crowded {
        let known = bearer.clone().ok_or(refused)?;
        count(env, BY_TOKEN, Some(known)).await?;
    }
    count(env, BY_TOKEN, caller::counts(parts).then(|| token.to_hex())).await?;
    count(env, BY_CHANGES, changes.then(|| bearer.unwrap_or_else(|| token.to_hex()))).await
}

/// Whose the token is, by KV alone, which is asked once a minute in each place: the Ledger hears nothing of a flood.
async fn bearer(env: &Env, token: TokenHash) -> Option<String> {
    let fact = env.kv(KV).ok()?.get(&names::token(token)).cache_ttl(TOKEN_MEMORY).bytes().await.ok()??;
    caller::bearer(&fact, now())
}

/// A limiter that fails lets through: it guards against floods, not against callers.
async fn count(env: &Env, binding: &str, key: Option<String>) -> Result<(), Failure> {
    let (Some(key), Ok(limiter)) = (key, env.rate_limiter(binding)) else { return Ok(()) };
    match limiter.limit(key).await {
        Ok(outcome) if !outcome.success => Err(Failure::too_often()),
        Ok(_) => Ok(()),
        Err(fault) => {
            console_error!("{binding} fails: {fault}");
            Ok(())
        }
    }
}
