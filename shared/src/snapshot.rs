//! The key snapshot: a signed manifest that names immutable shards by hash, and the order in which a daemon believes it.

pub mod directory;
pub mod key_shard;
pub mod workspace_shard;

use crate::{
    hex,
    id::SnapshotSeq,
    outage::{Disbelief, Term, Untimely},
    signed::{self, SignedFault, TrustRoots},
    time::Timestamp,
};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, time::Duration};

/// SSHSIG namespace of the manifest.
pub const NAMESPACE: &str = "key-snapshot@drawbridge";
/// Until when a manifest serves, counted from its issue.
pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest manifest text: two families of 256 shards and the directory, at 150 bytes each, and the signature.
pub const MAX_MANIFEST: usize = 128 * 1024;
/// Longest shard: far above a million keys' 256th part, below what Workers KV holds.
pub const MAX_SHARD: usize = 16 * 1024 * 1024;

/// What a shard holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Family {
    /// Keys by the first byte of their fingerprint: [`key_shard`].
    #[serde(rename = "k")]
    Keys,
    /// Workspaces by the first byte of the SHA-256 of their id: [`workspace_shard`].
    #[serde(rename = "w")]
    Workspaces,
    /// The directory of daemons, always shard 0: [`directory`].
    #[serde(rename = "d")]
    Daemons,
}

/// SHA-256 of a shard's bytes: its name. Lower-case hex on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobHash(pub [u8; 32]);

impl BlobHash {
    /// The name of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Back from its hex form.
    pub fn from_hex(text: &str) -> Option<Self> {
        hex::decode32(text).map(Self)
    }
}

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for BlobHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlobHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("a hash has 64 lower-case hex digits"))
    }
}

/// One shard as the manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardRef {
    /// What it holds.
    pub family: Family,
    /// Its number: the first byte of what it is sorted by.
    pub id: u8,
    /// Its length in bytes.
    pub length: u32,
    /// Its name.
    pub sha256: BlobHash,
}

/// The signed list of all shards. Empty shards are not listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// The format, [`Manifest::VERSION`].
    pub version: u32,
    /// Which publish this is.
    pub seq: SnapshotSeq,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// Until when it serves.
    pub not_after: Timestamp,
    /// Sorted by family and number, each at most once.
    pub shards: Vec<ShardRef>,
    /// The edge's signing keys, `ssh-ed25519 AAAA...`, two while they are rolled: whoever believes this manifest trusts
    /// them beside the pinned ones, until the next one it believes.
    #[serde(default)]
    pub signers: Vec<String>,
}

/// Why a manifest or a shard is refused and the old state kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotFault {
    /// Longer than [`MAX_MANIFEST`].
    #[error("the manifest is longer than {} bytes", MAX_MANIFEST)]
    TooLong,
    /// The signature says no.
    #[error(transparent)]
    Signature(#[from] SignedFault),
    /// A version that this build does not know.
    #[error("the manifest has version {0}, this build reads {known}: upgrade the daemon", known = Manifest::VERSION)]
    Version(u32),
    /// Older than what is served already.
    #[error("the manifest is number {offered}, older than the {held} already held: a replay, or an edge restored from a back-up")]
    Rollback {
        /// What came.
        offered: SnapshotSeq,
        /// What is held.
        held: SnapshotSeq,
    },
    /// Issued in the future.
    #[error("the manifest was issued at {0}, in the future: check both clocks")]
    Future(Timestamp),
    /// Past its end.
    #[error("the manifest ended at {0}")]
    Expired(Timestamp),
    /// Doubled or unsorted shards, or a shard too long.
    #[error("the manifest's list of shards is not sorted, unique and bounded")]
    Shards,
    /// The bytes are not those that the manifest names.
    #[error("shard {0} is not the one that the manifest names")]
    WrongShard(BlobHash),
    /// The bytes are the named ones, and still no shard.
    #[error("shard {0} cannot be read")]
    BrokenShard(BlobHash),
}

impl SnapshotFault {
    /// What logs and metrics call it.
    pub const fn disbelief(&self) -> Disbelief {
        match self {
            Self::TooLong => Disbelief::TooLong,
            Self::Signature(fault) => fault.disbelief(),
            Self::Version(_) => Disbelief::Version,
            Self::Rollback { .. } => Disbelief::Rollback,
            Self::Future(_) => Disbelief::Future,
            Self::Expired(_) => Disbelief::Expired,
            Self::Shards | Self::BrokenShard(_) => Disbelief::Malformed,
            Self::WrongShard(_) => Disbelief::WrongShard,
        }
    }
}

impl Manifest {
    /// The format that this build reads and writes.
    pub const VERSION: u32 = 1;

    /// A manifest issued at `now` over `shards`, in any order.
    pub fn new(seq: SnapshotSeq, now: Timestamp, mut shards: Vec<ShardRef>) -> Self {
        shards.sort_unstable_by_key(|shard| (shard.family, shard.id));
        Self { version: Self::VERSION, seq, issued_at: now, not_after: now.after(LIFETIME), shards, signers: Vec::new() }
    }

    /// The same with the edge's signing keys announced.
    #[must_use]
    pub fn announcing(self, signers: Vec<String>) -> Self {
        Self { signers, ..self }
    }

    /// The entity tag under which the edge serves manifest `seq`: whoever was pushed it needs not fetch it again.
    pub fn etag(seq: SnapshotSeq) -> String {
        format!("\"{seq}\"")
    }

    /// Signs it with the edge's keys.
    pub fn sign(&self, keys: &[ssh_key::PrivateKey]) -> Result<String, signed::CannotSign> {
        signed::sign(keys, NAMESPACE, self)
    }

    /// Believes `text` if a pinned key signed it, it is not older than `lowest`, and its time has come and not passed.
    /// `grace` is how long past its end it still serves ([`crate::outage`]).
    pub fn verify(
        text: &str,
        trust: &TrustRoots,
        now: Timestamp,
        lowest: SnapshotSeq,
        grace: Duration,
    ) -> Result<Self, SnapshotFault> {
        if text.len() > MAX_MANIFEST {
            return Err(SnapshotFault::TooLong);
        }
        let manifest = Self::held(text, trust)?;
        if manifest.seq < lowest {
            return Err(SnapshotFault::Rollback { offered: manifest.seq, held: lowest });
        }
        manifest.check_time(now, grace)?;
        Ok(manifest)
    }

    /// Reads what was believed when it came, whatever the time is now: its number guards against older ones.
    pub fn held(text: &str, trust: &TrustRoots) -> Result<Self, SnapshotFault> {
        let manifest: Self = signed::verify(text, trust, NAMESPACE)?;
        manifest.check_content()?;
        Ok(manifest)
    }

    /// From when until when it serves.
    pub const fn term(&self) -> Term {
        Term { issued_at: self.issued_at, not_after: self.not_after }
    }

    fn check_content(&self) -> Result<(), SnapshotFault> {
        if self.version != Self::VERSION {
            return Err(SnapshotFault::Version(self.version));
        }
        let ascending = self.shards.is_sorted_by(|a, b| (a.family, a.id) < (b.family, b.id));
        let bounded = self.shards.iter().all(|shard| shard.length as usize <= MAX_SHARD);
        if ascending && bounded { Ok(()) } else { Err(SnapshotFault::Shards) }
    }

    fn check_time(&self, now: Timestamp, grace: Duration) -> Result<(), SnapshotFault> {
        self.term().admits(now, grace).map_err(|untimely| match untimely {
            Untimely::Future => SnapshotFault::Future(self.issued_at),
            Untimely::Expired => SnapshotFault::Expired(self.not_after),
        })
    }
}

impl ShardRef {
    /// The reference to `bytes`.
    pub fn of(family: Family, id: u8, bytes: &[u8]) -> Self {
        Self { family, id, length: u32::try_from(bytes.len()).unwrap_or(u32::MAX), sha256: BlobHash::of(bytes) }
    }

    /// Whether `bytes` are the ones that the manifest names.
    pub fn check(&self, bytes: &[u8]) -> Result<(), SnapshotFault> {
        let same = bytes.len() == self.length as usize && BlobHash::of(bytes) == self.sha256;
        same.then_some(()).ok_or(SnapshotFault::WrongShard(self.sha256))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outage::CLOCK_SKEW;
    use ssh_key::{PrivateKey, private::Ed25519Keypair};

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
    const NO_GRACE: Duration = Duration::ZERO;

    fn key() -> PrivateKey {
        Ed25519Keypair::from_seed(&[1; 32]).into()
    }

    fn trust() -> TrustRoots {
        key().public_key().to_openssh().unwrap().parse().unwrap()
    }

    fn manifest(seq: u64, issued: Timestamp) -> Manifest {
        let shards = vec![ShardRef::of(Family::Workspaces, 3, b"w"), ShardRef::of(Family::Keys, 9, b"k")];
        Manifest::new(SnapshotSeq(seq), issued, shards)
    }

    fn verify(manifest: &Manifest, now: Timestamp, lowest: u64) -> Result<Manifest, SnapshotFault> {
        Manifest::verify(&manifest.sign(&[key()]).unwrap(), &trust(), now, SnapshotSeq(lowest), NO_GRACE)
    }

    #[test]
    fn a_good_manifest_is_believed() {
        let good = manifest(7, NOW);
        assert_eq!(verify(&good, NOW, 7), Ok(good.clone()));
        assert_eq!(good.shards.first().unwrap().family, Family::Keys);
    }

    #[test]
    fn time_and_order_are_kept() {
        assert!(matches!(verify(&manifest(6, NOW), NOW, 7), Err(SnapshotFault::Rollback { .. })));
        let ahead = manifest(7, NOW.after(CLOCK_SKEW + Duration::from_secs(1)));
        assert_eq!(verify(&ahead, NOW, 0), Err(SnapshotFault::Future(ahead.issued_at)));
        let old = manifest(7, NOW);
        let later = NOW.after(LIFETIME + Duration::from_secs(1));
        assert_eq!(verify(&old, later, 0), Err(SnapshotFault::Expired(old.not_after)));
        let text = old.sign(&[key()]).unwrap();
        assert!(Manifest::verify(&text, &trust(), later, SnapshotSeq(0), Duration::from_secs(60)).is_ok());
    }

    #[test]
    fn a_doubled_shard_is_refused() {
        let mut doubled = manifest(7, NOW);
        doubled.shards = vec![doubled.shards[0]; 2];
        assert_eq!(verify(&doubled, NOW, 0), Err(SnapshotFault::Shards));
        let mut versioned = manifest(7, NOW);
        versioned.version = 2;
        assert_eq!(verify(&versioned, NOW, 0), Err(SnapshotFault::Version(2)));
    }

    #[test]
    fn a_swapped_shard_is_noticed() {
        let shard = ShardRef::of(Family::Keys, 9, b"right");
        assert_eq!(shard.check(b"right"), Ok(()));
        assert_eq!(shard.check(b"wrong"), Err(SnapshotFault::WrongShard(shard.sha256)));
    }
}
