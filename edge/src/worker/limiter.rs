//! How often anybody may call, by the platform's rate-limit bindings. An edge without them limits nothing.

use crate::{caller, problem::Failure};
use ::worker::{Env, console_error};
use axum::http::request::Parts;
use drawbridge_shared::token::TokenHash;

/// Name of the binding that counts by address.
const BY_ADDRESS: &str = "LIMIT_ADDRESS";
/// The address that the platform saw; a client cannot set it.
const ADDRESS: &str = "cf-connecting-ip";

/// Anybody can make up a token: its address is counted first.
pub(super) async fn allow(env: &Env, parts: &Parts, token: Option<TokenHash>) -> Result<(), Failure> {
    if let Some(address) = parts.headers.get(ADDRESS).and_then(|address| address.to_str().ok()) {
        count(env, BY_ADDRESS, caller::source(address)).await?;
    }
    let Some(token) = token else { return Ok(()) };
    for binding in caller::counts(parts) {
        count(env, binding, token.to_hex()).await?;
    }
    Ok(())
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
