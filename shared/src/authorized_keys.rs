//! The authorized-keys document: all that one workspace's agent trusts, and nothing of another tenant.

use crate::{
    fingerprint::Fingerprint,
    id::{SnapshotSeq, UserId, WorkspaceId},
    outage::{Disbelief, Term, Untimely},
    revocation::{Revocation, Stay, longest},
    signed::{self, CannotSign, SignedFault, TrustRoots},
    snapshot::directory::DaemonEntry,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// SSHSIG namespace of the document.
pub const NAMESPACE: &str = "authorized-keys@drawbridge";
/// Longest document: 10,000 keys of 241 bytes at most, and 256 daemons of 2.5 KB.
pub const MAX_DOCUMENT: usize = 4 * 1024 * 1024;

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

impl DocumentFault {
    /// What logs and metrics call it.
    pub const fn disbelief(&self) -> Disbelief {
        match self {
            Self::TooLong => Disbelief::TooLong,
            Self::Signature(fault) => fault.disbelief(),
            Self::Version(_) => Disbelief::Version,
            Self::Foreign(_) => Disbelief::Foreign,
            Self::Rollback { .. } => Disbelief::Rollback,
            Self::Future(_) => Disbelief::Future,
            Self::Expired(_) => Disbelief::Expired,
        }
    }
}

impl AuthorizedKeys {
    /// The format that this build reads and writes.
    pub const VERSION: u32 = 1;

    /// Signs it with the edge's keys.
    pub fn sign(&self, keys: &[ssh_key::PrivateKey]) -> Result<String, CannotSign> {
        signed::sign(keys, NAMESPACE, self)
    }

    /// Believes `text` if a pinned key signed it for `workspace`, it is not older than `lowest`, and its time has come
    /// and not passed. `grace` is how long past its end it still serves ([`crate::outage`]).
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
        let document = Self::held(text, trust, workspace)?;
        if document.seq < lowest {
            return Err(DocumentFault::Rollback { offered: document.seq, held: lowest });
        }
        document.check_time(now, grace)?;
        Ok(document)
    }

    /// Reads what was believed when it came, whatever the time is now: its number guards against older ones.
    pub fn held(text: &str, trust: &TrustRoots, workspace: &WorkspaceId) -> Result<Self, DocumentFault> {
        let document: Self = signed::verify(text, trust, NAMESPACE)?;
        document.check_content(workspace)?;
        Ok(document)
    }

    /// From when until when it serves.
    pub const fn term(&self) -> Term {
        Term { issued_at: self.issued_at, not_after: self.not_after }
    }

    /// Whose key this is at `now`, if it may enter.
    pub fn user_of(&self, fingerprint: &Fingerprint, now: Timestamp) -> Option<&UserId> {
        let lasts = |key: &AuthorizedKey| key.not_after.is_none_or(|end| end >= now);
        self.keys.iter().find(|key| key.fingerprint == *fingerprint && lasts(key)).map(|key| &key.user)
    }

    /// Until when whoever came in with that key may stay: its last second, or `None` for as long as this document is the newest one,
    /// however old. It is whichever member's who has it longest: of two who have it, neither can end what the other may begin anew.
    /// Where it is nobody's, the words are for `user`, who was entered.
    pub fn stays(&self, fingerprint: &Fingerprint, user: &UserId, now: Timestamp) -> Stay {
        let grants = self.keys.iter().filter(|key| key.fingerprint == *fingerprint);
        match longest(grants.map(|key| key.not_after), now) {
            Err(Revocation::Removed) if self.keys.iter().all(|key| key.user != *user) => Err(Revocation::Gone),
            stay => stay,
        }
    }

    fn check_content(&self, workspace: &WorkspaceId) -> Result<(), DocumentFault> {
        if self.version != Self::VERSION {
            return Err(DocumentFault::Version(self.version));
        }
        if self.workspace != *workspace {
            return Err(DocumentFault::Foreign(self.workspace.clone()));
        }
        Ok(())
    }

    fn check_time(&self, now: Timestamp, grace: Duration) -> Result<(), DocumentFault> {
        self.term().admits(now, grace).map_err(|untimely| match untimely {
            Untimely::Future => DocumentFault::Future(self.issued_at),
            Untimely::Expired => DocumentFault::Expired(self.not_after),
        })
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

    #[test]
    fn who_is_in_stays_as_long_as_that_key_is_a_members() {
        let mut document = document();
        let end = NOW.after(Duration::from_secs(9));
        document.keys[1].not_after = Some(end);
        let stays = |document: &AuthorizedKeys, byte, user: &str, now| {
            document.stays(&Fingerprint([byte; 32]), &user.parse().unwrap(), now)
        };
        assert_eq!(stays(&document, 1, "alice", Timestamp::from_unix(u64::MAX)), Ok(None), "however old the news");
        assert_eq!(stays(&document, 2, "bob", end), Ok(Some(end)));
        assert_eq!(stays(&document, 2, "bob", end.after(Duration::from_secs(1))), Err(Revocation::Expired));
        assert_eq!(stays(&document, 3, "bob", NOW), Err(Revocation::Removed));
        assert_eq!(stays(&document, 3, "carol", NOW), Err(Revocation::Gone));
    }

    /// The first one is whom the login was taken for.
    #[test]
    fn what_a_colleague_says_of_a_key_ends_nothing_of_its_owners() {
        let mut document = document();
        let end = NOW.after(Duration::from_secs(9));
        document.keys[1] = AuthorizedKey { user: "bob".parse().unwrap(), not_after: Some(end), ..document.keys[0].clone() };
        document.keys.swap(0, 1);
        let stays = |document: &AuthorizedKeys, now| document.stays(&Fingerprint([1; 32]), &"bob".parse().unwrap(), now);
        assert_eq!(document.user_of(&Fingerprint([1; 32]), NOW).map(UserId::as_str), Some("bob"));
        assert_eq!(stays(&document, NOW), Ok(None));
        assert_eq!(stays(&document, end.after(Duration::from_secs(1))), Ok(None), "bob's has expired");
        document.keys.remove(0);
        assert_eq!(stays(&document, NOW), Ok(None), "bob has deleted his");
        document.keys.remove(0);
        assert_eq!(stays(&document, NOW), Err(Revocation::Gone));
    }
}
