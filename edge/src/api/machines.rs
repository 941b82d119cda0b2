//! `/v1`: what agents and daemons ask for.

use super::{
    asked::{Asked, Shape},
    operator,
    wish::{Wish, ask},
};
use crate::{
    command::{AgentCommand, DaemonCommand, SnapshotCommand},
    problem::Failure,
};
use axum::http::{StatusCode, header};
use drawbridge_shared::{
    api::{Enrol, MAX_USED, UsedKeys},
    snapshot::BlobHash,
};

impl Shape for Enrol {
    const EXAMPLE: &str = r#"{"publicKey": "ssh-ed25519 AAAA...", "proof": "-----BEGIN SSH SIGNATURE-----\n..."}"#;
}

impl Shape for UsedKeys {
    const EXAMPLE: &str =
        r#"{"used": [{"user": "alice", "publicKeyFingerprint": "SHA256:...", "usedAt": "2026-11-23T09:30:00Z"}]}"#;
}

pub(super) fn enrol(asked: &Asked) -> Result<Wish, Failure> {
    let body: Enrol = asked.json()?;
    ask(AgentCommand::Enrol { key: operator::ed25519(&body.public_key)?, proof: body.proof, nonce: asked.random })
}

pub(super) fn agent_certificate(asked: &Asked) -> Result<Wish, Failure> {
    ask(AgentCommand::HostCertificate { nonce: asked.random })
}

pub(super) fn authorized_keys(asked: &Asked) -> Result<Wish, Failure> {
    ask(AgentCommand::Document { held: held(asked) })
}

pub(super) fn daemon_certificate(asked: &Asked) -> Result<Wish, Failure> {
    ask(DaemonCommand::HostCertificate { nonce: asked.random })
}

pub(super) fn used(asked: &Asked) -> Result<Wish, Failure> {
    let body: UsedKeys = asked.json()?;
    if body.used.len() > MAX_USED {
        return Err(Failure::bad("Too many keys in one report").advice(format!("Send {MAX_USED} at a time.")));
    }
    ask(DaemonCommand::Used(body.used))
}

pub(super) fn manifest(asked: &Asked) -> Result<Wish, Failure> {
    ask(SnapshotCommand::Manifest { held: held(asked) })
}

pub(super) fn shard(asked: &Asked) -> Result<Wish, Failure> {
    let hash = BlobHash::from_hex(asked.param(0));
    hash.map(Wish::Shard).ok_or_else(|| Failure::bad("A shard is named by 64 lower-case hex digits"))
}

pub(super) fn feed(asked: &Asked) -> Result<Wish, Failure> {
    if asked.header(&header::UPGRADE).is_some_and(|wanted| wanted.eq_ignore_ascii_case("websocket")) {
        return Ok(Wish::Follow);
    }
    Err(Failure::new(StatusCode::UPGRADE_REQUIRED, "The feed is a WebSocket").advice("Poll /v1/snapshot instead."))
}

/// The `If-None-Match` header.
fn held(asked: &Asked) -> Option<String> {
    asked.header(&header::IF_NONE_MATCH).map(str::to_owned)
}
