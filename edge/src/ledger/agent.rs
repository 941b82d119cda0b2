//! What an agent asks: to enrol its key, and for the document of who may enter.

use super::{change::Change, daemons, host_ca, keys, manifest, workspaces};
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
    snapshot::{BlobHash, LIFETIME},
    time::Timestamp,
    token::TokenHash,
};
use serde::Serialize;
use ssh_key::PublicKey;

pub(super) fn execute<R: Rows>(
    change: &mut Change<'_, R>,
    secrets: &Secrets,
    (workspace, token): (WorkspaceId, TokenHash),
    command: AgentCommand,
) -> Result<Outcome, Refusal> {
    match command {
        AgentCommand::Enrol { key, proof, nonce } => {
            enrol(change, (&workspace, token), key, &proof)?;
            enrolled(change, secrets, workspace, nonce)
        }
        AgentCommand::HostCertificate { nonce } => {
            Ok(Outcome::HostCertificate(host_ca::workspace(change, secrets, &workspace, nonce)?))
        }
        AgentCommand::Document { held } => document(change, secrets, workspace, held.as_deref()),
    }
}

/// The proof is over the token's id: the agent learns its workspace only from the answer, and it fits one token.
fn enrol<R: Rows>(
    change: &mut Change<'_, R>,
    (workspace, token): (&WorkspaceId, TokenHash),
    key: String,
    proof: &str,
) -> Result<(), Refusal> {
    let public = PublicKey::from_openssh(&key).map_err(|_| Refusal::WrongProof)?;
    signed::verify_detached(&public, ENROL_NAMESPACE, token.to_hex().as_bytes(), proof).map_err(|_| Refusal::WrongProof)?;
    let mut fact = workspaces::existing(change, workspace)?;
    match &fact.agent_key {
        Some(held) if *held != key => Err(Refusal::AgentKeyTaken),
        Some(_) => Ok(()),
        None => {
            fact.agent_key = Some(key);
            Ok(workspaces::store(change, workspace, &fact)?)
        }
    }
}

/// An edge without a host CA enrols all the same.
fn enrolled<R: Rows>(
    change: &Change<'_, R>,
    secrets: &Secrets,
    workspace: WorkspaceId,
    nonce: [u8; 32],
) -> Result<Outcome, Refusal> {
    let region = workspaces::existing(change, &workspace)?.region;
    let host_certificate = match host_ca::workspace(change, secrets, &workspace, nonce) {
        Ok(certificate) => Some(certificate),
        Err(Refusal::NotFound(_)) => None,
        Err(refusal) => return Err(refusal),
    };
    Ok(Outcome::Enrolled(Enrolled { workspace, region, host_certificate }))
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
    let signers = secrets.signers();
    let etag = tag(&(&workspace, &keys, &daemons, &signers), change.now());
    if etag::matches(held, &etag) {
        return Ok(Outcome::Unchanged { etag });
    }
    let seq = manifest::fresh(change, secrets)?.seq;
    let (issued_at, not_after) = (change.now(), change.now().after(LIFETIME));
    let version = AuthorizedKeys::VERSION;
    let text =
        AuthorizedKeys { version, workspace, seq, issued_at, not_after, keys, daemons, signers }.sign(secrets.signing())?;
    if text.len() > MAX_DOCUMENT { Err(Refusal::Full) } else { Ok(Outcome::Document { text, etag }) }
}

/// The members' keys, each once for every member who has it.
fn authorized<R: Rows>(change: &Change<'_, R>, workspace: &WorkspaceId) -> Result<Vec<AuthorizedKey>, Refusal> {
    let mut all = Vec::new();
    for user in workspaces::members(change, workspace)? {
        let keys = keys::of(change, &user)?.into_iter();
        let lasting = keys.filter(|(_, fact)| !fact.expired(change.now()));
        all.extend(lasting.map(|(fingerprint, fact)| AuthorizedKey {
            fingerprint,
            user: user.clone(),
            not_after: fact.expires_at,
        }));
        if all.len() > DOCUMENT_KEYS {
            return Err(Refusal::Full);
        }
    }
    Ok(all)
}

/// Changes with what the document says, and with time: whoever always holds the current one never holds an old one.
fn tag(content: &impl Serialize, now: Timestamp) -> String {
    let content = serde_json::to_vec(content).unwrap_or_default();
    let hash = BlobHash::of(&content).to_string();
    let age = now.as_unix().checked_div(DOCUMENT_AGE.as_secs()).unwrap_or_default();
    format!("\"{}-{age}\"", hash.get(..16).unwrap_or_default())
}
