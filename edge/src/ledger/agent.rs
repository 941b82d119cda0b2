//! What an agent asks: to enrol its key, and for the document of who may enter.

use super::{change::Change, daemons, keys, manifest, workspaces};
use crate::{
    command::{AgentCommand, Outcome},
    etag,
    limits::{DOCUMENT_AGE, DOCUMENT_KEYS},
    refusal::Refusal,
    rows::Rows,
    secrets::Secrets,
};
use drawbridge_shared::{
    api::{ENROL_NAMESPACE, Enrolled},
    authorized_keys::{AuthorizedKey, AuthorizedKeys, MAX_DOCUMENT},
    id::WorkspaceId,
    signed,
    snapshot::{BlobHash, LIFETIME, directory::DaemonEntry},
    time::Timestamp,
    token::TokenHash,
};
use ssh_key::PublicKey;

pub(super) fn execute<R: Rows>(
    change: &mut Change<'_, R>,
    secrets: &Secrets,
    (workspace, token): (WorkspaceId, TokenHash),
    command: AgentCommand,
) -> Result<Outcome, Refusal> {
    match command {
        AgentCommand::Enrol { key, proof } => enrol(change, (workspace, token), key, &proof),
        AgentCommand::Document { held } => document(change, secrets, workspace, held.as_deref()),
    }
}

/// The proof is over the token's id: the agent learns its workspace only from the answer, and it fits one token.
fn enrol<R: Rows>(
    change: &mut Change<'_, R>,
    (workspace, token): (WorkspaceId, TokenHash),
    key: String,
    proof: &str,
) -> Result<Outcome, Refusal> {
    let public = PublicKey::from_openssh(&key).map_err(|_| Refusal::WrongProof)?;
    signed::verify_detached(&public, ENROL_NAMESPACE, token.to_hex().as_bytes(), proof).map_err(|_| Refusal::WrongProof)?;
    let mut fact = workspaces::existing(change, &workspace)?;
    match &fact.agent_key {
        Some(held) if *held != key => return Err(Refusal::AgentKeyTaken),
        Some(_) => {}
        None => {
            fact.agent_key = Some(key);
            workspaces::store(change, &workspace, &fact)?;
        }
    }
    Ok(Outcome::Enrolled(Enrolled { workspace, region: fact.region, host_certificate: None }))
}

fn document<R: Rows>(
    change: &mut Change<'_, R>,
    secrets: &Secrets,
    workspace: WorkspaceId,
    held: Option<&str>,
) -> Result<Outcome, Refusal> {
    let fact = workspaces::existing(change, &workspace)?;
    let keys = authorized(change, &workspace)?;
    let mut daemons = daemons::entries(change)?;
    daemons.retain(|daemon| daemon.region == fact.region);
    let etag = tag(&workspace, &keys, &daemons, change.now());
    if etag::matches(held, &etag) {
        return Ok(Outcome::Unchanged { etag });
    }
    let seq = manifest::fresh(change, secrets)?.seq;
    let (issued_at, not_after) = (change.now(), change.now().after(LIFETIME));
    let version = AuthorizedKeys::VERSION;
    let signers = secrets.signers();
    let text =
        AuthorizedKeys { version, workspace, seq, issued_at, not_after, keys, daemons, signers }.sign(secrets.signing())?;
    if text.len() > MAX_DOCUMENT { Err(Refusal::Full) } else { Ok(Outcome::Document { text, etag }) }
}

/// The members' keys, each once for every member who has it.
fn authorized<R: Rows>(change: &Change<'_, R>, workspace: &WorkspaceId) -> Result<Vec<AuthorizedKey>, Refusal> {
    let mut all = Vec::new();
    for user in workspaces::members(change, workspace)? {
        let keys = keys::of(change, &user)?.into_iter();
        all.extend(keys.map(|(fingerprint, _)| AuthorizedKey { fingerprint, user: user.clone(), not_after: None }));
        if all.len() > DOCUMENT_KEYS {
            return Err(Refusal::Full);
        }
    }
    Ok(all)
}

/// Changes with what the document says, and with time: whoever always holds the current one never holds an old one.
fn tag(workspace: &WorkspaceId, keys: &[AuthorizedKey], daemons: &[DaemonEntry], now: Timestamp) -> String {
    let content = serde_json::to_vec(&(workspace, keys, daemons)).unwrap_or_default();
    let hash = BlobHash::of(&content).to_string();
    let age = now.as_unix().checked_div(DOCUMENT_AGE.as_secs()).unwrap_or_default();
    format!("\"{}-{age}\"", hash.get(..16).unwrap_or_default())
}
