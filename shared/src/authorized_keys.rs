//! The authorized-keys document: all that one workspace's agent trusts, and nothing of another tenant.

use crate::{
    fingerprint::Fingerprint,
    id::{SnapshotSeq, UserId, WorkspaceId},
    signed::{self, CannotSign, SignedFault, TrustRoots},
    snapshot::{CLOCK_SKEW, directory::DaemonEntry},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// SSHSIG namespace of the document.
pub const NAMESPACE: &str = "authorized-keys@drawbridge";
/// Longest document: 10,000 keys of 100 bytes.
pub const MAX_DOCUMENT: usize = 1024 * 1024;

/// One key that may enter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorizedKey {
    /// The key.
    pub fingerprint: Fingerprint,
    /// Whose it is.
    pub user: UserId,
    /// Until when; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

/// Who may enter one workspace, and which daemons may carry them there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorizedKeys {
    /// The format, [`AuthorizedKeys::VERSION`].
    pub version: u32,
    /// The workspace that it is for.
    pub workspace: WorkspaceId,
    /// Which publish it reflects.
    pub seq: SnapshotSeq,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// Until when it serves.
    pub not_after: Timestamp,
    /// The members' keys.
    pub keys: Vec<AuthorizedKey>,
    /// The daemons of the workspace's region.
    pub daemons: Vec<DaemonEntry>,
    /// As [`crate::snapshot::Manifest::signers`].
    #[serde(default)]
    pub signers: Vec<String>,
}

/// Why a document is refused and the old one kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentFault {
    /// Longer than [`MAX_DOCUMENT`].
    #[error("the document is longer than {} bytes", MAX_DOCUMENT)]
    TooLong,
    /// The signature says no.
    #[error(transparent)]
    Signature(#[from] SignedFault),
    /// A version that this build does not know.
    #[error("the document has version {0}, this build reads {known}: upgrade the agent", known = AuthorizedKeys::VERSION)]
    Version(u32),
    /// Another workspace's.
    #[error("the document is for workspace {0}")]
    Foreign(WorkspaceId),
    /// Older than what is held.
    #[error("the document is number {offered}, older than the {held} already held")]
    Rollback {
        /// What came.
        offered: SnapshotSeq,
        /// What is held.
        held: SnapshotSeq,
    },
    /// Issued in the future.
    #[error("the document was issued at {0}, in the future: check both clocks")]
    Future(Timestamp),
    /// Past its end.
    #[error("the document ended at {0}")]
    Expired(Timestamp),
}

impl AuthorizedKeys {
    /// The format that this build reads and writes.
    pub const VERSION: u32 = 1;

    /// Signs it with the edge's keys.
    pub fn sign(&self, keys: &[ssh_key::PrivateKey]) -> Result<String, CannotSign> {
        signed::sign(keys, NAMESPACE, self)
    }

    /// Believes `text` if a pinned key signed it for `workspace`, it is not older than `lowest`, and its time has come
    /// and not passed. `grace` is how long past its end it still serves.
    pub fn verify(
        text: &str,
        trust: &TrustRoots,
        workspace: &WorkspaceId,
        now: Timestamp,
        lowest: SnapshotSeq,
        grace: Duration,
    ) -> Result<Self, DocumentFault> {
        if text.len() > MAX_DOCUMENT {
            return Err(DocumentFault::TooLong);
        }
        let document: Self = signed::verify(text, trust, NAMESPACE)?;
        document.check_content(workspace, lowest)?;
        document.check_time(now, grace)?;
        Ok(document)
    }

    /// Whose key this is at `now`, if it may enter.
    pub fn user_of(&self, fingerprint: &Fingerprint, now: Timestamp) -> Option<&UserId> {
        let lasts = |key: &AuthorizedKey| key.not_after.is_none_or(|end| end >= now);
        self.keys.iter().find(|key| key.fingerprint == *fingerprint && lasts(key)).map(|key| &key.user)
    }

    fn check_content(&self, workspace: &WorkspaceId, lowest: SnapshotSeq) -> Result<(), DocumentFault> {
        if self.version != Self::VERSION {
            return Err(DocumentFault::Version(self.version));
        }
        if self.workspace != *workspace {
            return Err(DocumentFault::Foreign(self.workspace.clone()));
        }
        if self.seq < lowest {
            return Err(DocumentFault::Rollback { offered: self.seq, held: lowest });
        }
        Ok(())
    }

    fn check_time(&self, now: Timestamp, grace: Duration) -> Result<(), DocumentFault> {
        if self.issued_at > now.after(CLOCK_SKEW) {
            return Err(DocumentFault::Future(self.issued_at));
        }
        if now > self.not_after.after(grace) {
            return Err(DocumentFault::Expired(self.not_after));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssh_key::{PrivateKey, private::Ed25519Keypair};

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn document() -> AuthorizedKeys {
        let key = |byte, user: &str, not_after| AuthorizedKey {
            fingerprint: Fingerprint([byte; 32]),
            user: user.parse().unwrap(),
            not_after,
        };
        AuthorizedKeys {
            version: AuthorizedKeys::VERSION,
            workspace: "796636".parse().unwrap(),
            seq: SnapshotSeq(4),
            issued_at: NOW,
            not_after: NOW.after(Duration::from_secs(60)),
            keys: vec![key(1, "alice", None), key(2, "bob", Some(Timestamp::from_unix(9)))],
            daemons: vec![],
            signers: vec![],
        }
    }

    fn verify(document: &AuthorizedKeys, workspace: &str, now: Timestamp, lowest: u64) -> Result<AuthorizedKeys, DocumentFault> {
        let key: PrivateKey = Ed25519Keypair::from_seed(&[1; 32]).into();
        let trust = key.public_key().to_openssh().unwrap().parse().unwrap();
        let text = document.sign(&[key]).unwrap();
        AuthorizedKeys::verify(&text, &trust, &workspace.parse().unwrap(), now, SnapshotSeq(lowest), Duration::ZERO)
    }

    #[test]
    fn only_ones_own_current_document_is_believed() {
        assert_eq!(verify(&document(), "796636", NOW, 4), Ok(document()));
        assert!(matches!(verify(&document(), "lighthouse", NOW, 4), Err(DocumentFault::Foreign(_))));
        assert!(matches!(verify(&document(), "796636", NOW, 5), Err(DocumentFault::Rollback { .. })));
        assert!(matches!(verify(&document(), "796636", NOW.after(Duration::from_secs(61)), 0), Err(DocumentFault::Expired(_))));
        assert!(matches!(verify(&document(), "796636", Timestamp::from_unix(1), 0), Err(DocumentFault::Future(_))));
    }

    #[test]
    fn an_expired_key_is_nobodys() {
        let document = document();
        assert_eq!(document.user_of(&Fingerprint([1; 32]), NOW).map(UserId::as_str), Some("alice"));
        assert_eq!(document.user_of(&Fingerprint([2; 32]), NOW), None);
        assert_eq!(document.user_of(&Fingerprint([3; 32]), NOW), None);
    }
}
