//! An agent's documents: only what the edge signed for that workspace is believed, in its time, and nobody stays by more.

use drawbridge_shared::{
    authorized_keys::{AuthorizedKeys, DocumentFault, MAX_DOCUMENT, NAMESPACE},
    id::SnapshotSeq,
    signed::{self, SignedFault, TrustRoots},
    time::Timestamp,
};
use ssh_key::{PrivateKey, private::Ed25519Keypair};
use std::time::Duration;

/// `data` as a whole text from a stranger, and its first line as a payload that the edge signed.
pub fn check(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    from_a_stranger(&text);
    from_the_edge(text.lines().next().unwrap_or_default())
}

fn key(seed: u8) -> PrivateKey {
    Ed25519Keypair::from_seed(&[seed; 32]).into()
}

fn trust(seed: u8) -> TrustRoots {
    let line = key(seed).public_key().to_openssh().expect("a public key is a line");
    line.parse().expect("a public key is a trust root")
}

/// The key of seed 3 has never signed anything.
fn from_a_stranger(text: &str) {
    let workspace = "796636".parse().expect("a workspace");
    let now = Timestamp::from_unix(1_800_000_000);
    assert!(AuthorizedKeys::verify(text, &trust(3), &workspace, now, SnapshotSeq(0), Duration::MAX).is_err());
    assert!(AuthorizedKeys::held(text, &trust(3), &workspace).is_err());
}

fn from_the_edge(payload: &str) -> bool {
    let Ok(said) = serde_json::from_str::<AuthorizedKeys>(payload) else { return false };
    let line = [payload, "\n"].concat();
    let armor = signed::detached(&key(1), NAMESPACE, line.as_bytes()).expect("an Ed25519 key signs");
    let text = [line, armor].concat();
    let verify = |by: u8, now, lowest| {
        AuthorizedKeys::verify(&text, &trust(by), &said.workspace, now, SnapshotSeq(lowest), Duration::ZERO)
    };
    let Ok(document) = verify(1, said.issued_at, 0) else { return false };
    assert!(document == said && text.len() <= MAX_DOCUMENT);
    assert_eq!(AuthorizedKeys::held(&text, &trust(1), &said.workspace).as_ref(), Ok(&document));
    let elsewhere = "elsewhere-9".parse().expect("a workspace");
    let foreign = AuthorizedKeys::held(&text, &trust(1), &elsewhere);
    assert!(said.workspace == elsewhere || foreign == Err(DocumentFault::Foreign(said.workspace.clone())));
    assert_eq!(verify(2, said.issued_at, 0), Err(DocumentFault::Signature(SignedFault::Untrusted)));
    let older = said.seq.0.checked_add(1).map(|lowest| verify(1, said.issued_at, lowest));
    assert!(older.is_none_or(|older| matches!(older, Err(DocumentFault::Rollback { .. }))));
    entered_and_stayed(&document);
    true
}

/// Whoever gets in by a key may stay by it, and no longer than the key lasts.
fn entered_and_stayed(document: &AuthorizedKeys) {
    for one in &document.keys {
        let now = one.not_after.unwrap_or(document.issued_at);
        let Some(user) = document.user_of(&one.fingerprint, now) else { continue };
        let stays = document.stays(&one.fingerprint, user, now);
        assert!(stays.is_ok_and(|end| end.is_none_or(|end| end >= now)));
    }
}
