//! `/api/operator`: tokens, workspaces with their members, daemons, regions. Everything may be asked twice.

mod checks;
pub(super) mod import;

pub(super) use checks::ed25519;

use super::{
    asked::{Asked, Shape},
    wish::{Wish, ask},
};
use crate::{
    command::OperatorCommand,
    problem::Failure,
    refusal::{Refusal, Thing},
};
use drawbridge_shared::{
    api::{MintToken, PutDaemon, PutRegion, PutWorkspace, RotateToken},
    token::{Scope, Token, TokenHash},
};

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

impl Shape for PutRegion {
    const EXAMPLE: &str = r#"{"hosts": ["eu.example.com"], "port": 22 (optional)}"#;
}

pub(super) fn mint_token(asked: &Asked) -> Result<Wish, Failure> {
    let body: MintToken = asked.json()?;
    let subject = checks::subject(body.scope, body.subject)?;
    let token = Token::mint(body.scope, &asked.random);
    let (hash, scope, expires_at) = (token.hash(), body.scope, body.expires_at);
    Ok(Wish::Mint(OperatorCommand::PutToken { hash, scope, subject, expires_at }.into(), token))
}

pub(super) fn list_tokens(asked: &Asked) -> Result<Wish, Failure> {
    ask(OperatorCommand::ListTokens(asked.page()?))
}

pub(super) fn revoke_token(asked: &Asked) -> Result<Wish, Failure> {
    let hash = TokenHash::from_hex(asked.param(0)).ok_or(Refusal::NotFound(Thing::Token))?;
    ask(OperatorCommand::RevokeToken(hash))
}

pub(super) fn put_workspace(asked: &Asked) -> Result<Wish, Failure> {
    let body: PutWorkspace = asked.json()?;
    ask(OperatorCommand::PutWorkspace { id: asked.id(0)?, region: checks::region(body.region)? })
}

pub(super) fn get_workspace(asked: &Asked) -> Result<Wish, Failure> {
    ask(OperatorCommand::GetWorkspace(asked.id(0)?))
}

pub(super) fn list_workspaces(asked: &Asked) -> Result<Wish, Failure> {
    ask(OperatorCommand::ListWorkspaces(asked.page()?))
}

pub(super) fn delete_workspace(asked: &Asked) -> Result<Wish, Failure> {
    ask(OperatorCommand::DeleteWorkspace(asked.id(0)?))
}

pub(super) fn put_to_sleep(asked: &Asked) -> Result<Wish, Failure> {
    ask(OperatorCommand::SetAsleep(asked.id(0)?, true))
}

pub(super) fn wake(asked: &Asked) -> Result<Wish, Failure> {
    ask(OperatorCommand::SetAsleep(asked.id(0)?, false))
}

pub(super) fn reset_agent_key(asked: &Asked) -> Result<Wish, Failure> {
    ask(OperatorCommand::ResetAgentKey(asked.id(0)?))
}

pub(super) fn rotate_agent_token(asked: &Asked) -> Result<Wish, Failure> {
    let body: RotateToken = asked.json_if_any()?.unwrap_or_default();
    let (workspace, token) = (asked.id(0)?, Token::mint(Scope::Agent, &asked.random));
    let grace = checks::grace(body.grace_seconds)?;
    Ok(Wish::Mint(OperatorCommand::RotateAgentToken { workspace, hash: token.hash(), grace }.into(), token))
}

pub(super) fn list_members(asked: &Asked) -> Result<Wish, Failure> {
    ask(OperatorCommand::ListMembers(asked.id(0)?, asked.page()?))
}

pub(super) fn put_member(asked: &Asked) -> Result<Wish, Failure> {
    ask(OperatorCommand::PutMember(asked.id(0)?, asked.id(1)?))
}

pub(super) fn delete_member(asked: &Asked) -> Result<Wish, Failure> {
    ask(OperatorCommand::DeleteMember(asked.id(0)?, asked.id(1)?))
}

pub(super) fn put_daemon(asked: &Asked) -> Result<Wish, Failure> {
    let body: PutDaemon = asked.json()?;
    let (identity, region) = (ed25519(&body.identity)?, checks::region(body.region)?);
    let addresses = checks::addresses(body.addresses)?;
    ask(OperatorCommand::PutDaemon { id: asked.id(0)?, identity, region, addresses })
}

pub(super) fn list_daemons(asked: &Asked) -> Result<Wish, Failure> {
    ask(OperatorCommand::ListDaemons(asked.page()?))
}

pub(super) fn delete_daemon(asked: &Asked) -> Result<Wish, Failure> {
    ask(OperatorCommand::DeleteDaemon(asked.id(0)?))
}

pub(super) fn put_region(asked: &Asked) -> Result<Wish, Failure> {
    let body: PutRegion = asked.json()?;
    let (hosts, port) = (checks::hosts(body.hosts)?, checks::port(body.port)?);
    ask(OperatorCommand::PutRegion { region: checks::region(asked.param(0).to_owned())?, hosts, port })
}

pub(super) fn list_regions(asked: &Asked) -> Result<Wish, Failure> {
    ask(OperatorCommand::ListRegions(asked.page()?))
}

/// Whatever its name is: rules for new ones keep no old one.
pub(super) fn delete_region(asked: &Asked) -> Result<Wish, Failure> {
    ask(OperatorCommand::DeleteRegion(asked.param(0).to_owned()))
}

pub(super) fn import(asked: &Asked) -> Result<Wish, Failure> {
    import::read(asked.lines()?).map(Wish::Import)
}
