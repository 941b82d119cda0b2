//! What an agent asks: to enrol its key, and for the document of who may enter.

use super::{change::Change, daemons, documents::Documents, host_ca, keys, manifest, workspaces};
use crate::{
    command::{AgentCommand, Outcome},
    etag,
    limits::DOCUMENT_AGE,
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
    (secrets, documents): (&Secrets, &Documents),
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
        AgentCommand::Document { held } => match documents.tag(&workspace, change.now()) {
            Some(etag) if etag::matches(held.as_deref(), &etag) => Ok(Outcome::Unchanged { etag }),
            _ => document(change, (secrets, documents), workspace, held.as_deref()),
        },
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
    (secrets, documents): (&Secrets, &Documents),
    workspace: WorkspaceId,
    held: Option<&str>,
) -> Result<Outcome, Refusal> {
    let fact = workspaces::existing(change, &workspace)?;
    let keys = authorized(change, &workspace)?;
    let mut daemons = daemons::entries(change)?;
    daemons.retain(|daemon| daemon.region == fact.region);
    let signers = secrets.signers();
    let (age, next_age) = age(change.now());
    let etag = tag(&(&workspace, &keys, &daemons, &signers), age);
    documents.remember(&workspace, &etag, keys.iter().filter_map(|key| key.not_after).fold(next_age, Ord::min));
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

/// The members' keys, each once for every member who has it; how many there may be was decided when they came ([`super::room`]).
fn authorized<R: Rows>(change: &Change<'_, R>, workspace: &WorkspaceId) -> Result<Vec<AuthorizedKey>, Refusal> {
    let mut all = Vec::new();
    for user in workspaces::members(change, workspace)? {
        let lasting = keys::lasting(change, &user)?.into_iter();
        all.extend(lasting.map(|(fingerprint, fact)| AuthorizedKey {
            fingerprint,
            user: user.clone(),
            not_after: fact.expires_at,
        }));
    }
    Ok(all)
}

/// Which age a document of `now` is of, and when the next one begins.
fn age(now: Timestamp) -> (u64, Timestamp) {
    let length = DOCUMENT_AGE.as_secs();
    let age = now.as_unix().checked_div(length).unwrap_or_default();
    (age, Timestamp::from_unix(age.saturating_add(1).saturating_mul(length)))
}

/// Changes with what the document says, and with time: whoever always holds the current one never holds an old one.
fn tag(content: &impl Serialize, age: u64) -> String {
    let content = serde_json::to_vec(content).unwrap_or_default();
    let hash = BlobHash::of(&content).to_string();
    format!("\"{}-{age}\"", hash.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{DAEMONS, DOCUMENT_KEYS};
    use drawbridge_shared::{
        api::{MAX_ADDRESS, MAX_ADDRESSES, MAX_REGION},
        fingerprint::Fingerprint,
        id::{MAX_LABEL, MAX_USER_ID, SnapshotSeq},
        snapshot::directory::DaemonEntry,
    };
    use ssh_key::{PrivateKey, private::Ed25519Keypair};

    /// As long as all of it can be: JSON writes a quote as two characters.
    #[test]
    fn as_many_keys_as_there_may_be_fit_a_document() {
        let key: PrivateKey = Ed25519Keypair::from_seed(&[1; 32]).into();
        let identity = key.public_key().to_openssh().unwrap();
        let now = Timestamp::from_unix(1_800_000_000);
        let user = "\"".repeat(MAX_USER_ID).parse().unwrap();
        let authorized = AuthorizedKey { fingerprint: Fingerprint([0xff; 32]), user, not_after: Some(now) };
        let daemon = DaemonEntry {
            id: "d".repeat(MAX_LABEL).parse().unwrap(),
            region: "r".repeat(MAX_REGION),
            identity: identity.clone(),
            addresses: vec!["a".repeat(MAX_ADDRESS); MAX_ADDRESSES],
        };
        let document = AuthorizedKeys {
            version: AuthorizedKeys::VERSION,
            workspace: "w".repeat(MAX_LABEL).parse().unwrap(),
            seq: SnapshotSeq(u64::MAX),
            issued_at: now,
            not_after: now,
            keys: vec![authorized; DOCUMENT_KEYS],
            daemons: vec![daemon; DAEMONS],
            signers: vec![identity; 2],
        };
        assert!(document.sign(&[key.clone(), key]).unwrap().len() <= MAX_DOCUMENT);
    }
}
