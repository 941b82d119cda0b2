//! From a bearer token to who is calling.

use super::change::Change;
use crate::{facts::TokenFact, names, refusal::Refusal, rows::Rows, secrets::Secrets};
use drawbridge_shared::{
    id::{DaemonId, UserId, WorkspaceId},
    token::{Scope, TokenHash},
};

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Operator,
    User(UserId),
    Agent(WorkspaceId),
    Daemon(DaemonId),
}

impl Caller {
    pub(super) const fn scope(&self) -> Scope {
        match self {
            Self::Operator => Scope::Operator,
            Self::User(_) => Scope::User,
            Self::Agent(_) => Scope::Agent,
            Self::Daemon(_) => Scope::Daemon,
        }
    }
}

/// The bearer of the token with this hash. The rows are asked by hash, so their timing tells nothing about tokens.
pub(super) fn authenticate<R: Rows>(change: &Change<'_, R>, secrets: &Secrets, hash: &TokenHash) -> Result<Caller, Refusal> {
    if secrets.is_operator(hash) {
        return Ok(Caller::Operator);
    }
    let fact: TokenFact = change.fact(&names::token(*hash))?.ok_or(Refusal::UnknownToken)?;
    if fact.expired(change.now()) {
        return Err(Refusal::ExpiredToken);
    }
    let caller = match fact.scope {
        Scope::Operator => Some(Caller::Operator),
        Scope::User => fact.subject.parse().ok().map(Caller::User),
        Scope::Agent => fact.subject.parse().ok().map(Caller::Agent),
        Scope::Daemon => fact.subject.parse().ok().map(Caller::Daemon),
    };
    caller.ok_or(Refusal::UnknownToken)
}
