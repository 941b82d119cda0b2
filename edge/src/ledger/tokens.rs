//! Tokens: only hashes, each filed under its subject too.

use super::{
    change::{Change, decode},
    paging,
};
use crate::{
    command::{Outcome, PageOf},
    facts::TokenFact,
    limits::TOKENS_PER_SUBJECT,
    names,
    refusal::{Refusal, Thing},
    rows::{Rows, RowsFault},
};
use drawbridge_shared::{
    id::WorkspaceId,
    time::Timestamp,
    token::{Scope, TokenHash},
};
use std::time::Duration;

pub(super) fn put<R: Rows>(
    change: &mut Change<'_, R>,
    hash: TokenHash,
    scope: Scope,
    subject: String,
    expires_at: Option<Timestamp>,
) -> Result<Outcome, Refusal> {
    let fact = TokenFact { scope, subject, created_at: change.now(), expires_at };
    if fact.expired(change.now()) {
        return Err(Refusal::PastExpiry);
    }
    if scope == Scope::Agent && change.get(&[names::WORKSPACES, &fact.subject].concat())?.is_none() {
        return Err(Refusal::NotFound(Thing::Workspace));
    }
    let folder = names::tokens_of(scope, &fact.subject);
    drop_expired(change, &folder)?;
    if change.count(&folder, TOKENS_PER_SUBJECT)? >= TOKENS_PER_SUBJECT {
        return Err(Refusal::TooManyTokens);
    }
    change.put_fact(names::token(hash), &fact)?;
    change.mark(folder + &hash.to_hex());
    Ok(Outcome::Token(fact.item(hash)))
}

pub(super) fn list<R: Rows>(change: &Change<'_, R>, page: &PageOf) -> Result<Outcome, Refusal> {
    let item = |name: &str, value: &[u8]| {
        let fact: TokenFact = decode(name, value)?;
        Ok(TokenHash::from_hex(names::tail(name)).map(|hash| fact.item(hash)))
    };
    Ok(Outcome::Tokens(paging::page(change, names::TOKENS, page, item, |_| false)?))
}

pub(super) fn revoke<R: Rows>(change: &mut Change<'_, R>, hash: TokenHash) -> Result<Outcome, Refusal> {
    let fact: TokenFact = change.fact(&names::token(hash))?.ok_or(Refusal::NotFound(Thing::Token))?;
    let folder = names::tokens_of(fact.scope, &fact.subject);
    drop_token(change, &folder, hash);
    Ok(Outcome::Done)
}

/// Makes an agent token known; the workspace's older ones end `grace` later.
pub(super) fn rotate<R: Rows>(
    change: &mut Change<'_, R>,
    workspace: &WorkspaceId,
    hash: TokenHash,
    grace: Duration,
) -> Result<Outcome, Refusal> {
    let (subject, end) = (workspace.as_str(), change.now().after(grace));
    if grace.is_zero() {
        revoke_all(change, Scope::Agent, subject)?;
    } else {
        limit_all(change, Scope::Agent, subject, end)?;
    }
    put(change, hash, Scope::Agent, subject.to_owned(), None)
}

/// No token of one subject is good past `end`.
fn limit_all<R: Rows>(change: &mut Change<'_, R>, scope: Scope, subject: &str, end: Timestamp) -> Result<(), RowsFault> {
    for hash in filed(change, &names::tokens_of(scope, subject))? {
        let name = names::token(hash);
        let Some(mut fact) = change.fact::<TokenFact>(&name)? else { continue };
        if fact.expires_at.is_none_or(|held| held > end) {
            fact.expires_at = Some(end);
            change.put_fact(name, &fact)?;
        }
    }
    Ok(())
}

/// Revokes every token of one subject.
pub(super) fn revoke_all<R: Rows>(change: &mut Change<'_, R>, scope: Scope, subject: &str) -> Result<(), RowsFault> {
    let folder = names::tokens_of(scope, subject);
    for hash in filed(change, &folder)? {
        drop_token(change, &folder, hash);
    }
    Ok(())
}

/// Expired tokens take no room.
fn drop_expired<R: Rows>(change: &mut Change<'_, R>, folder: &str) -> Result<(), RowsFault> {
    for hash in filed(change, folder)? {
        let fact: Option<TokenFact> = change.fact(&names::token(hash))?;
        if fact.is_none_or(|fact| fact.expired(change.now())) {
            drop_token(change, folder, hash);
        }
    }
    Ok(())
}

fn filed<R: Rows>(change: &Change<'_, R>, folder: &str) -> Result<Vec<TokenHash>, RowsFault> {
    let rows = change.scan(folder, "", TOKENS_PER_SUBJECT)?;
    Ok(rows.iter().filter_map(|(name, _)| TokenHash::from_hex(names::tail(name))).collect())
}

fn drop_token<R: Rows>(change: &mut Change<'_, R>, folder: &str, hash: TokenHash) {
    change.delete(names::token(hash));
    change.unmark([folder, &hash.to_hex()].concat());
    change.revoked(hash);
}
