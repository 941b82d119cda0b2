//! `/api/operator`: tokens, workspaces with their members, daemons. Everything may be asked twice.

mod checks;
pub(super) mod import;
pub(super) mod regions;

pub(super) use checks::ed25519;

use super::{
    Platform,
    extract::{Caller, InPath, InQuery, Json, MaybeJson, PageQuery, Shape},
    json, unexpected,
};
use crate::{
    command::{OperatorCommand, Outcome, Put},
    problem::Failure,
    refusal::{Refusal, Thing},
};
use axum::{http::StatusCode, response::Response};
use drawbridge_shared::{
    api::{MintToken, MintedToken, PutDaemon, PutWorkspace, RotateToken},
    token::{Scope, Token, TokenHash},
};
use serde::Serialize;

impl Shape for MintToken {
    const EXAMPLE: &str = r#"{"scope": "user" | "agent" | "daemon" | "operator", "subject": "alice", "expiresAt": "2030-01-01T00:00:00Z" (optional)}"#;
}

impl Shape for PutWorkspace {
    const EXAMPLE: &str = r#"{"region": "eu"}"#;
}

impl Shape for RotateToken {
    const EXAMPLE: &str = r#"{"graceSeconds": 3600} (optional)"#;
}

impl Shape for PutDaemon {
    const EXAMPLE: &str = r#"{"identity": "ssh-ed25519 AAAA...", "region": "eu", "addresses": ["jump.example.com:443"]}"#;
}

/// The Ledger only ever sees a token's hash.
pub(super) async fn mint_token<P: Platform>(caller: Caller<P>, Json(body): Json<MintToken>) -> Result<Response, Failure> {
    let subject = checks::subject(body.scope, body.subject)?;
    let token = Token::mint(body.scope, &caller.platform.random()?);
    let (hash, scope, expires_at) = (token.hash(), body.scope, body.expires_at);
    minted(&token, caller.ask(OperatorCommand::PutToken { hash, scope, subject, expires_at }).await?)
}

fn minted(token: &Token, outcome: Outcome) -> Result<Response, Failure> {
    match outcome {
        Outcome::Token(item) => Ok(json(StatusCode::CREATED, &MintedToken { token: token.expose().into(), item })),
        _ => Err(unexpected()),
    }
}

pub(super) async fn list_tokens<P: Platform>(caller: Caller<P>, InQuery(page): InQuery<PageQuery>) -> Result<Response, Failure> {
    match caller.ask(OperatorCommand::ListTokens(page.try_into()?)).await? {
        Outcome::Tokens(page) => Ok(json(StatusCode::OK, &page)),
        _ => Err(unexpected()),
    }
}

pub(super) async fn revoke_token<P: Platform>(caller: Caller<P>, InPath(id): InPath<String>) -> Result<StatusCode, Failure> {
    let hash = TokenHash::from_hex(&id).ok_or(Refusal::NotFound(Thing::Token))?;
    caller.done(OperatorCommand::RevokeToken(hash)).await
}

pub(super) async fn put_workspace<P: Platform>(
    caller: Caller<P>,
    InPath(id): InPath<String>,
    Json(body): Json<PutWorkspace>,
) -> Result<Response, Failure> {
    let command = OperatorCommand::PutWorkspace { id: id.parse()?, region: checks::region(body.region)? };
    workspace(caller.ask(command).await?)
}

pub(super) async fn get_workspace<P: Platform>(caller: Caller<P>, InPath(id): InPath<String>) -> Result<Response, Failure> {
    workspace(caller.ask(OperatorCommand::GetWorkspace(id.parse()?)).await?)
}

pub(super) async fn list_workspaces<P: Platform>(
    caller: Caller<P>,
    InQuery(page): InQuery<PageQuery>,
) -> Result<Response, Failure> {
    match caller.ask(OperatorCommand::ListWorkspaces(page.try_into()?)).await? {
        Outcome::Workspaces(page) => Ok(json(StatusCode::OK, &page)),
        _ => Err(unexpected()),
    }
}

pub(super) async fn delete_workspace<P: Platform>(caller: Caller<P>, InPath(id): InPath<String>) -> Result<StatusCode, Failure> {
    caller.done(OperatorCommand::DeleteWorkspace(id.parse()?)).await
}

pub(super) async fn reset_agent_key<P: Platform>(caller: Caller<P>, InPath(id): InPath<String>) -> Result<StatusCode, Failure> {
    caller.done(OperatorCommand::ResetAgentKey(id.parse()?)).await
}

/// As for any token, the Ledger only ever sees its hash.
pub(super) async fn rotate_agent_token<P: Platform>(
    caller: Caller<P>,
    InPath(id): InPath<String>,
    MaybeJson(body): MaybeJson<RotateToken>,
) -> Result<Response, Failure> {
    let (workspace, token) = (id.parse()?, Token::mint(Scope::Agent, &caller.platform.random()?));
    let grace = checks::grace(body.unwrap_or_default().grace_seconds)?;
    minted(&token, caller.ask(OperatorCommand::RotateAgentToken { workspace, hash: token.hash(), grace }).await?)
}

pub(super) async fn list_members<P: Platform>(
    caller: Caller<P>,
    InPath(id): InPath<String>,
    InQuery(page): InQuery<PageQuery>,
) -> Result<Response, Failure> {
    match caller.ask(OperatorCommand::ListMembers(id.parse()?, page.try_into()?)).await? {
        Outcome::Members(page) => Ok(json(StatusCode::OK, &page)),
        _ => Err(unexpected()),
    }
}

pub(super) async fn put_member<P: Platform>(
    caller: Caller<P>,
    InPath((id, user)): InPath<(String, String)>,
) -> Result<StatusCode, Failure> {
    caller.done(OperatorCommand::PutMember(id.parse()?, user.parse()?)).await
}

pub(super) async fn delete_member<P: Platform>(
    caller: Caller<P>,
    InPath((id, user)): InPath<(String, String)>,
) -> Result<StatusCode, Failure> {
    caller.done(OperatorCommand::DeleteMember(id.parse()?, user.parse()?)).await
}

pub(super) async fn put_daemon<P: Platform>(
    caller: Caller<P>,
    InPath(id): InPath<String>,
    Json(body): Json<PutDaemon>,
) -> Result<Response, Failure> {
    let (identity, region) = (ed25519(&body.identity)?, checks::region(body.region)?);
    let addresses = checks::addresses(body.addresses)?;
    let command = OperatorCommand::PutDaemon { id: id.parse()?, identity, region, addresses };
    match caller.ask(command).await? {
        Outcome::Daemon(put) => Ok(answer(&put)),
        _ => Err(unexpected()),
    }
}

pub(super) async fn list_daemons<P: Platform>(caller: Caller<P>, InQuery(page): InQuery<PageQuery>) -> Result<Response, Failure> {
    match caller.ask(OperatorCommand::ListDaemons(page.try_into()?)).await? {
        Outcome::Daemons(page) => Ok(json(StatusCode::OK, &page)),
        _ => Err(unexpected()),
    }
}

pub(super) async fn delete_daemon<P: Platform>(caller: Caller<P>, InPath(id): InPath<String>) -> Result<StatusCode, Failure> {
    caller.done(OperatorCommand::DeleteDaemon(id.parse()?)).await
}

fn workspace(outcome: Outcome) -> Result<Response, Failure> {
    match outcome {
        Outcome::Workspace(put) => Ok(answer(&put)),
        _ => Err(unexpected()),
    }
}

fn answer<T: Serialize>(put: &Put<T>) -> Response {
    json(if put.created { StatusCode::CREATED } else { StatusCode::OK }, &put.item)
}
