//! The last good snapshot on disk, believed again only after every check.

use crate::keyset::{KeySet, Shard};
use bytes::Bytes;
use drawbridge_shared::{
    id::SnapshotSeq,
    native::state_dir::{StateDir, StateFault},
    signed::TrustRoots,
    snapshot::{MAX_MANIFEST, MAX_SHARD, Manifest, ShardRef, SnapshotFault},
    time::Timestamp,
};
use std::{collections::HashSet, fs, time::Duration};

const MANIFEST: &str = "manifest";

/// A folder with one manifest and its shards, each named by its hash.
#[derive(Debug)]
pub struct Store(StateDir);

/// The state on disk is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadFault {
    /// It cannot be read.
    #[error(transparent)]
    State(#[from] StateFault),
    /// It is not believed.
    #[error(transparent)]
    Snapshot(#[from] SnapshotFault),
    /// A shard is gone.
    #[error("shard {0} is missing")]
    Missing(String),
}

impl Store {
    /// In its own folder below the daemon's state.
    pub fn open(state: &StateDir) -> Result<Self, StateFault> {
        StateDir::open(&state.path("snapshot")).map(Self)
    }

    /// What was saved last; empty where nothing was. One past its end is loaded too: its number guards against
    /// rollback, and whether it still decides is asked at every login.
    pub(super) fn load(&self, trust: &TrustRoots, now: Timestamp) -> Result<KeySet, LoadFault> {
        let Some(text) = self.0.read(MANIFEST, MAX_MANIFEST as u64)? else { return Ok(KeySet::default()) };
        let text = String::from_utf8_lossy(&text);
        let manifest = Manifest::verify(&text, trust, now, SnapshotSeq(0), Duration::MAX)?;
        let shards = manifest.shards.iter().map(|reference| self.shard(*reference)).collect::<Result<_, _>>()?;
        Ok(KeySet::default().next(manifest, shards)?)
    }

    /// Shards first, so that a manifest on disk always finds its own.
    pub(super) fn save(&self, manifest: &str, fresh: &[(ShardRef, Bytes)]) -> Result<(), StateFault> {
        for (reference, bytes) in fresh {
            self.0.write(&reference.sha256.to_string(), bytes)?;
        }
        self.0.write(MANIFEST, manifest.as_bytes())
    }

    /// Removes shards that `view` no longer names. Best effort: what stays only takes space.
    pub(super) fn prune(&self, view: &KeySet) {
        let named: HashSet<String> = view.references().map(|reference| reference.sha256.to_string()).collect();
        let Ok(files) = fs::read_dir(self.0.path("")) else { return };
        for file in files.flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if name != MANIFEST && !named.contains(&name) {
                let _ = fs::remove_file(file.path());
            }
        }
    }

    fn shard(&self, reference: ShardRef) -> Result<Shard, LoadFault> {
        let name = reference.sha256.to_string();
        let bytes = self.0.read(&name, MAX_SHARD as u64)?.ok_or(LoadFault::Missing(name))?;
        Ok(Shard::open(reference, bytes.into())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyset::tests::{NOW, fingerprint};
    use drawbridge_shared::{
        native::identity::Identity,
        snapshot::{Family, key_shard},
    };

    struct Disk {
        _root: tempfile::TempDir,
        store: Store,
        edge: Identity,
    }

    impl Disk {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let store = Store::open(&StateDir::open(&root.path().join("state")).unwrap()).unwrap();
            Self { _root: root, store, edge: Identity::from_seed(&[1; 32]) }
        }

        fn save(&self, seq: u64) -> ShardRef {
            let row = key_shard::row(&fingerprint(1), &"alice".parse().unwrap(), None);
            let bytes = Bytes::from(key_shard::build(vec![row]));
            let reference = ShardRef::of(Family::Keys, 1, &bytes);
            let manifest = Manifest::new(SnapshotSeq(seq), NOW, vec![reference]).sign(&[self.edge.ssh()]).unwrap();
            self.store.save(&manifest, &[(reference, bytes)]).unwrap();
            reference
        }

        fn load(&self) -> Result<KeySet, LoadFault> {
            self.store.load(&self.edge.public().to_line().parse().unwrap(), NOW)
        }
    }

    #[test]
    fn what_was_saved_is_served_again() {
        let disk = Disk::new();
        assert_eq!(disk.load().unwrap().seq(), SnapshotSeq(0));
        disk.save(7);
        let view = disk.load().unwrap();
        assert_eq!(view.seq(), SnapshotSeq(7));
        assert_eq!(view.users(&fingerprint(1), NOW).len(), 1);
    }

    #[test]
    fn what_was_changed_on_disk_is_not() {
        let disk = Disk::new();
        let shard = disk.save(7).sha256.to_string();
        disk.store.0.write(&shard, b"swapped").unwrap();
        assert!(matches!(disk.load(), Err(LoadFault::Snapshot(SnapshotFault::WrongShard(_)))));
        fs::remove_file(disk.store.0.path(&shard)).unwrap();
        assert!(matches!(disk.load(), Err(LoadFault::Missing(_))));
        disk.store.0.write(MANIFEST, b"hello").unwrap();
        assert!(matches!(disk.load(), Err(LoadFault::Snapshot(SnapshotFault::Signature(_)))));
    }

    #[test]
    fn shards_that_nothing_names_are_removed() {
        let disk = Disk::new();
        let shard = disk.save(7).sha256.to_string();
        disk.store.0.write("old", b"old").unwrap();
        disk.store.prune(&disk.load().unwrap());
        assert!(!disk.store.0.path("old").exists());
        assert!(disk.store.0.path(&shard).exists());
    }
}
