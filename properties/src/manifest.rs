//! Signed manifests: only what the edge signed is believed, and whatever it signed comes back as it was, in its time.

use drawbridge_shared::{
    id::SnapshotSeq,
    signed::{self, SignedFault, TrustRoots},
    snapshot::{BlobHash, Family, MAX_MANIFEST, MAX_SHARD, Manifest, NAMESPACE, ShardRef, SnapshotFault},
    time::Timestamp,
};
use ssh_key::{PrivateKey, private::Ed25519Keypair};
use std::{sync::LazyLock, time::Duration};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

/// All that the edge ever said.
static SAID: LazyLock<Manifest> = LazyLock::new(|| {
    let shards = vec![ShardRef::of(Family::Keys, 9, b"keys"), ShardRef::of(Family::Workspaces, 3, b"workspaces")];
    Manifest::new(SnapshotSeq(7), NOW, shards)
});

/// Its key, for this alone: what an older format had signed, and a fuzzer has learned, is no genuine text any more.
static EDGE: LazyLock<PrivateKey> = LazyLock::new(|| {
    let payload = serde_json::to_vec(&*SAID).expect("a manifest is JSON");
    key(&BlobHash::of(&payload).0)
});

static GENUINE: LazyLock<String> = LazyLock::new(|| signed_by_the_edge(&SAID));

static TRUST: LazyLock<TrustRoots> = LazyLock::new(|| trust(&EDGE));

/// `data` as a signed text from a stranger, and as a payload that the edge signed.
pub fn check(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let believed = from_a_stranger(&text);
    from_the_edge(payload_of(&text)) | believed
}

/// The one text that the edge signed: a seed.
pub fn genuine() -> &'static str {
    &GENUINE
}

fn key(seed: &[u8; 32]) -> PrivateKey {
    Ed25519Keypair::from_seed(seed).into()
}

fn trust(key: &PrivateKey) -> TrustRoots {
    key.public_key().to_openssh().ok().and_then(|line| line.parse().ok()).expect("a public key is a trust root")
}

fn signed_by_the_edge(manifest: &Manifest) -> String {
    manifest.sign(std::slice::from_ref(&*EDGE)).expect("an Ed25519 key signs")
}

fn verify(text: &str, now: Timestamp, lowest: SnapshotSeq) -> Result<Manifest, SnapshotFault> {
    Manifest::verify(text, &TRUST, now, lowest, Duration::ZERO)
}

/// Nobody who does not hold the key gets anything believed but what the edge said.
fn from_a_stranger(text: &str) -> bool {
    let Ok(manifest) = verify(text, NOW, SnapshotSeq(0)) else { return false };
    assert_eq!(manifest, *SAID, "a forgery is believed");
    assert!(text.starts_with(payload_of(&GENUINE)), "other bytes than the signed ones are believed");
    true
}

/// Everything in front of the first line's end, and the end.
fn payload_of(text: &str) -> &str {
    text.split_inclusive('\n').next().unwrap_or_default()
}

/// What the edge signed and we read is what a second reader reads, and bounds hold even against the edge.
fn from_the_edge(payload: &str) -> bool {
    let Ok(signed) = serde_json::from_str::<Manifest>(payload) else { return false };
    let line = [payload.trim_end_matches('\n'), "\n"].concat();
    let armor = signed::detached(&EDGE, NAMESPACE, line.as_bytes()).expect("an Ed25519 key signs");
    let text = [line, armor].concat();
    let Ok(manifest) = verify(&text, signed.issued_at, SnapshotSeq(0)) else { return false };
    assert_eq!(manifest, signed);
    bounded(&text, &manifest);
    in_its_time(&text, &manifest);
    let again = signed_by_the_edge(&manifest);
    assert!(again.len() > MAX_MANIFEST || verify(&again, manifest.issued_at, manifest.seq).as_ref() == Ok(&manifest));
    true
}

fn bounded(text: &str, manifest: &Manifest) {
    let place = |shard: &ShardRef| (shard.family, shard.id);
    assert!(text.len() <= MAX_MANIFEST && manifest.version == Manifest::VERSION);
    assert!(manifest.shards.windows(2).all(|pair| place(&pair[0]) < place(&pair[1])));
    assert!(manifest.shards.iter().all(|shard| shard.length as usize <= MAX_SHARD));
}

fn in_its_time(text: &str, manifest: &Manifest) {
    let higher = SnapshotSeq(manifest.seq.0.saturating_add(1));
    if higher > manifest.seq {
        let refused = verify(text, manifest.issued_at, higher);
        assert_eq!(refused, Err(SnapshotFault::Rollback { offered: manifest.seq, held: higher }));
    }
    let over = Timestamp::from_unix(manifest.not_after.as_unix() + 1);
    assert!(over == manifest.not_after || verify(text, over, SnapshotSeq(0)) == Err(SnapshotFault::Expired(manifest.not_after)));
    let stranger = Manifest::verify(text, &trust(&key(&[2; 32])), manifest.issued_at, SnapshotSeq(0), Duration::ZERO);
    assert_eq!(stranger, Err(SnapshotFault::Signature(SignedFault::Untrusted)));
}
