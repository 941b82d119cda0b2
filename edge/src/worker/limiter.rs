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
/// The address that the platform saw; a client cannot set it.
const ADDRESS: &str = "cf-connecting-ip";

/// Anybody can make up a token: its address is counted first. Behind one address there may be many, of whom one calls for all: a
/// token that KV knows is then counted by its bearer, however many tokens that has.
pub(super) async fn allow(env: &Env, parts: &Parts, token: Option<TokenHash>) -> Result<(), Failure> {
    if let Some(address) = parts.headers.get(ADDRESS).and_then(|address| address.to_str().ok())
        && let Err(refused) = count(env, BY_ADDRESS, caller::source(address)).await
    {
        let bearer = bearer(env, token).await.ok_or(refused)?;
        count(env, BY_TOKEN, bearer).await?;
    }
    let Some(token) = token else { return Ok(()) };
    for binding in caller::counts(parts) {
        count(env, binding, token.to_hex()).await?;
    }
    Ok(())
}

/// Whose the token is, by KV alone, which is asked once a minute in each place: the Ledger hears nothing of a flood.
async fn bearer(env: &Env, token: Option<TokenHash>) -> Option<String> {
    let name = names::token(token?);
    let fact = env.kv(KV).ok()?.get(&name).cache_ttl(TOKEN_MEMORY).bytes().await.ok()??;
    caller::bearer(&fact, now())
}

/// A limiter that fails lets through: it guards against floods, not against callers.
async fn count(env: &Env, binding: &str, key: String) -> Result<(), Failure> {
    let Ok(limiter) = env.rate_limiter(binding) else { return Ok(()) };
    match limiter.limit(key).await {
        Ok(outcome) if !outcome.success => Err(Failure::too_often()),
        Ok(_) => Ok(()),
        Err(fault) => {
            console_error!("{binding} fails: {fault}");
            Ok(())
        }
    }
}
