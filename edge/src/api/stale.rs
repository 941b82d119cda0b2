//! Reads while the Ledger is unreachable: from KV, which may be behind, and said to be so.

use super::{Platform, Unreachable, answer};
use crate::{
    command::{Command, Outcome, SnapshotCommand, UserCommand},
    etag,
    facts::{KeyFact, TokenFact, sort_keys},
    limits::{KEYS_PER_USER, STALE_PAGES},
    names,
    problem::Failure,
    refusal::Refusal,
};
use axum::{
    http::{HeaderValue, header},
    response::Response,
};
use drawbridge_shared::{
    id::UserId,
    snapshot::{BlobHash, Manifest},
    token::{Scope, TokenHash},
};
use serde::de::DeserializeOwned;

const STALE: &str = "drawbridge-stale";

/// The answer to `command` as KV has it, where it can give one.
pub(super) async fn answer<P: Platform>(
    platform: &P,
    token: TokenHash,
    command: &Command,
    fault: Unreachable,
) -> Result<Response, Failure> {
    let outcome = match command {
        Command::User(UserCommand::ListKeys) => keys(platform, token, fault).await?,
        Command::Snapshot(SnapshotCommand::Manifest { held }) => manifest(platform, token, held.as_deref(), fault).await?,
        _ => return Err(fault.into()),
    };
    Ok(marked(answer::answer(outcome, None)?))
}

/// A user's keys as KV has them.
async fn keys<P: Platform>(platform: &P, token: TokenHash, fault: Unreachable) -> Result<Outcome, Failure> {
    let fact = bearer(platform, token).await?.ok_or(fault)?;
    let user: UserId = match fact.scope {
        Scope::User => fact.subject.parse()?,
        has => return Err(Refusal::Scope { has, needs: Scope::User }.into()),
    };
    let mut items = Vec::new();
    for name in list(platform, &names::keys_of(&user)).await?.iter().take(KEYS_PER_USER) {
        let key: Option<KeyFact> = record(platform, name).await?;
        items.extend(key.and_then(|key| Some(key.item(names::fingerprint_of(name)?, None))));
    }
    sort_keys(&mut items);
    Ok(Outcome::Keys(items))
}

/// As many names as a user may have keys, if KV has them.
async fn list<P: Platform>(platform: &P, prefix: &str) -> Result<Vec<String>, Unreachable> {
    let (mut names, mut cursor) = (Vec::new(), None);
    for _ in 0..STALE_PAGES {
        let (page, next) = platform.kv_list(prefix, cursor).await?;
        names.extend(page);
        if next.is_none() || names.len() >= KEYS_PER_USER {
            return Ok(names);
        }
        cursor = next;
    }
    Err(Unreachable("KV's list does not end".into()))
}

/// The manifest as KV has it. Its signature and its end tell how far it can be trusted.
async fn manifest<P: Platform>(
    platform: &P,
    token: TokenHash,
    held: Option<&str>,
    fault: Unreachable,
) -> Result<Outcome, Failure> {
    follower(platform, token).await?.ok_or_else(|| fault.clone())?;
    let bytes = platform.kv_get(names::MANIFEST).await?.ok_or_else(|| fault.clone())?;
    let text = String::from_utf8(bytes).map_err(|_| fault.clone())?;
    let manifest: Manifest = serde_json::from_slice(text.lines().next().unwrap_or_default().as_bytes()).map_err(|_| fault)?;
    let etag = Manifest::etag(manifest.seq);
    let unchanged = etag::matches(held, &etag);
    Ok(if unchanged { Outcome::Unchanged { etag } } else { Outcome::Manifest { text, seq: manifest.seq } })
}

/// A shard, if KV knows both it and the bearer.
pub(super) async fn shard<P: Platform>(platform: &P, token: TokenHash, hash: BlobHash) -> Option<Vec<u8>> {
    follower(platform, token).await.ok()??;
    platform.kv_get(&names::blob(hash)).await.ok()?
}

/// `None`: KV does not know the token, which is no proof that there is none.
async fn bearer<P: Platform>(platform: &P, token: TokenHash) -> Result<Option<TokenFact>, Failure> {
    let fact: Option<TokenFact> = record(platform, &names::token(token)).await?;
    match fact {
        Some(fact) if fact.expired(platform.now()) => Err(Refusal::ExpiredToken.into()),
        fact => Ok(fact),
    }
}

/// The bearer, who may read snapshots.
async fn follower<P: Platform>(platform: &P, token: TokenHash) -> Result<Option<TokenFact>, Failure> {
    let fact = bearer(platform, token).await?;
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
