//! The last good snapshot on disk, believed again only after every check.

use crate::{
    keyset::{KeySet, Shard},
    limits::DISK_THREADS,
};
use bytes::Bytes;
use drawbridge_shared::{
    id::SnapshotSeq,
    native::{
        slot,
        state_dir::{StateDir, StateFault},
    },
    signed::TrustRoots,
    snapshot::{BlobHash, MAX_MANIFEST, MAX_SHARD, Manifest, ShardRef, SnapshotFault},
};
use std::{
    collections::{HashMap, HashSet},
    fs,
    num::NonZero,
    panic, thread,
};

const MANIFEST: &str = "manifest";

/// A folder with one manifest and its shards, each named by its hash.
#[derive(Debug)]
pub struct Store {
    state: StateDir,
    folder: StateDir,
    /// What is there as far as it was written or checked by this process.
    held: HashSet<BlobHash>,
}

/// A manifest, and those of its shards that came with it.
#[derive(Debug)]
pub(super) struct Unsaved {
    /// As it was signed.
    pub(super) manifest: String,
    /// All that it names.
    pub(super) named: HashSet<BlobHash>,
    /// The bytes of some.
    pub(super) shards: HashMap<BlobHash, Bytes>,
    /// Its number.
    pub(super) seq: SnapshotSeq,
    /// By which it was believed.
    pub(super) roots: TrustRoots,
}

impl Unsaved {
    /// `manifest`, which was believed by `roots` and describes `view`, and the `fresh` shards.
    pub(super) fn new(manifest: &str, roots: TrustRoots, view: &KeySet, fresh: Vec<(ShardRef, Bytes)>) -> Self {
        let shards = fresh.into_iter().map(|(reference, bytes)| (reference.sha256, bytes)).collect();
        let named = view.references().map(|reference| reference.sha256).collect();
        Self { manifest: manifest.to_owned(), named, shards, seq: view.seq(), roots }
    }

    /// With the shards of an `older` one that never got to disk and are named still.
    pub(super) fn after(mut self, older: Self) -> Self {
        let needed = older.shards.into_iter().filter(|(hash, _)| self.named.contains(hash));
        self.shards.extend(needed);
        self
    }
}

/// A manifest on disk.
pub(super) struct Saved {
    /// As it was signed.
    pub(super) text: String,
    pub(super) manifest: Manifest,
}

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
        let folder = StateDir::open(&state.path("snapshot"))?;
        Ok(Self { state: state.clone(), folder, held: HashSet::new() })
    }

    /// What was saved last, if anything was and is believed.
    pub(super) fn manifest(&self, trust: &TrustRoots) -> Result<Option<Saved>, LoadFault> {
        let Some(text) = self.folder.read(MANIFEST, MAX_MANIFEST as u64)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&text).into_owned();
        let manifest = Manifest::held(&text, trust)?;
        Ok(Some(Saved { text, manifest }))
    }

    /// What `manifest`, which was saved, describes. Whether it still decides is asked at every login.
    pub(super) fn load(&mut self, manifest: Manifest) -> Result<KeySet, LoadFault> {
        // What hashes needs a core; more threads would only take memory.
        let cores = thread::available_parallelism().map_or(1, NonZero::get).min(DISK_THREADS);
        let shards = in_parallel(cores, &manifest.shards, |reference| self.shard(*reference))?;
        let view = KeySet::default().next(manifest, shards)?;
        self.held = view.references().map(|reference| reference.sha256).collect();
        self.sweep();
        Ok(view)
    }

    /// Shards first, so that a manifest on disk always finds its own; what it does not name goes last. A newer one that another process
    /// on this folder saved stays, and so does what it names.
    pub(super) fn save(&mut self, unsaved: &Unsaved) -> Result<(), StateFault> {
        let fresh: Vec<_> = unsaved.shards.iter().filter(|(hash, _)| !self.held.contains(hash)).collect();
        in_parallel(DISK_THREADS, &fresh, |(hash, bytes)| self.folder.write(&hash.to_string(), bytes))?;
        self.held.extend(fresh.into_iter().map(|(hash, _)| *hash));
        self.folder.sync()?;
        if self.has_newer(unsaved) {
            return Ok(());
        }
        self.folder.write(MANIFEST, unsaved.manifest.as_bytes())?;
        self.folder.sync()?;
        self.prune(&unsaved.named);
        Ok(())
    }

    fn has_newer(&self, unsaved: &Unsaved) -> bool {
        let saved = self.manifest(&unsaved.roots).ok().flatten();
        saved.is_some_and(|saved| saved.manifest.seq > unsaved.seq)
    }

    /// Best effort: what stays only takes space, until the next start. While another process saves here too it may name what
    /// we do not, and count on what it wrote once: then nothing is removed.
    fn prune(&mut self, named: &HashSet<BlobHash>) {
        if slot::shared(&self.state) {
            return;
        }
        for gone in self.held.extract_if(|hash| !named.contains(hash)) {
            let _ = fs::remove_file(self.folder.path(&gone.to_string()));
        }
    }

    /// Removes what an earlier process left behind, unless it is still there.
    fn sweep(&self) {
        if slot::shared(&self.state) {
            return;
        }
        let Ok(files) = fs::read_dir(self.folder.path("")) else { return };
        for file in files.flatten() {
            let name = file.file_name();
            let named = name.to_str().is_some_and(|name| name == MANIFEST || self.holds(name));
            if !named {
                let _ = fs::remove_file(file.path());
            }
        }
    }

    fn holds(&self, name: &str) -> bool {
        BlobHash::from_hex(name).is_some_and(|hash| self.held.contains(&hash))
    }

    fn shard(&self, reference: ShardRef) -> Result<Shard, LoadFault> {
        let name = reference.sha256.to_string();
        let bytes = self.folder.read(&name, MAX_SHARD as u64)?.ok_or(LoadFault::Missing(name))?;
        Ok(Shard::open(reference, bytes.into())?)
    }
}

/// What `work` makes of all `items`, on a few threads.
fn in_parallel<T: Sync, R: Send, E: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let portion = items.len().div_ceil(threads).max(1);
    let done = thread::scope(|scope| {
        let threads: Vec<_> = items.chunks(portion).map(|some| scope.spawn(|| some.iter().map(&work).collect())).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<Vec<R>, E>>| {
            thread.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
        };
        threads.into_iter().map(join).collect::<Result<Vec<_>, E>>()
    });
    Ok(done?.into_iter().flatten().collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::keyset::tests::{NOW, fingerprint};
    use drawbridge_shared::{
        native::identity::Identity,
        snapshot::{Family, key_shard},
    };
    use std::path::PathBuf;

    pub(in crate::snapshot) struct Disk {
        root: tempfile::TempDir,
        pub(in crate::snapshot) edge: Identity,
    }

    impl Disk {
        pub(in crate::snapshot) fn new() -> Self {
            Self { root: tempfile::tempdir().unwrap(), edge: Identity::from_seed(&[1; 32]) }
        }

        pub(in crate::snapshot) fn store(&self) -> Store {
            Store::open(&StateDir::open(&self.root.path().join("state")).unwrap()).unwrap()
        }

        pub(in crate::snapshot) fn folder(&self) -> PathBuf {
            self.root.path().join("state/snapshot")
        }

        pub(in crate::snapshot) fn load(&self) -> Result<KeySet, LoadFault> {
            let mut store = self.store();
            let saved = store.manifest(&roots(&self.edge))?;
            saved.map_or(Ok(KeySet::default()), |saved| store.load(saved.manifest))
        }

        fn file(&self, byte: u8) -> PathBuf {
            self.folder().join(shard(byte).0.sha256.to_string())
        }
    }

    fn roots(edge: &Identity) -> TrustRoots {
        edge.public().to_line().parse().unwrap()
    }

    fn shard(byte: u8) -> (ShardRef, Bytes) {
        let row = key_shard::row(&fingerprint(byte), &"alice".parse().unwrap(), None);
        let bytes = Bytes::from(key_shard::build(vec![row]));
        (ShardRef::of(Family::Keys, byte, &bytes), bytes)
    }

    /// Manifest `seq` over the shards `all`, with the bytes of `fresh`.
    pub(in crate::snapshot) fn unsaved(edge: &Identity, seq: u64, all: &[u8], fresh: &[u8]) -> Unsaved {
        let references: Vec<_> = all.iter().map(|byte| shard(*byte).0).collect();
        let manifest = Manifest::new(SnapshotSeq(seq), NOW, references.clone()).sign(&[edge.ssh()]).unwrap();
        let shards = fresh.iter().map(|byte| shard(*byte)).map(|(reference, bytes)| (reference.sha256, bytes)).collect();
        let named = references.iter().map(|reference| reference.sha256).collect();
        Unsaved { manifest, named, shards, seq: SnapshotSeq(seq), roots: roots(edge) }
    }

    #[test]
    fn what_was_saved_is_served_again() {
        let disk = Disk::new();
        assert_eq!(disk.load().unwrap().seq(), SnapshotSeq(0));
        disk.store().save(&unsaved(&disk.edge, 7, &[1, 2, 3], &[1, 2, 3])).unwrap();
        let view = disk.load().unwrap();
        assert_eq!(view.seq(), SnapshotSeq(7));
        assert!([1, 2, 3].iter().all(|byte| view.users(&fingerprint(*byte), NOW).count() == 1));
    }

    #[test]
    fn what_was_changed_on_disk_is_not() {
        let disk = Disk::new();
        disk.store().save(&unsaved(&disk.edge, 7, &[1, 2], &[1, 2])).unwrap();
        fs::write(disk.file(1), b"swapped").unwrap();
        assert!(matches!(disk.load(), Err(LoadFault::Snapshot(SnapshotFault::WrongShard(_)))));
        fs::remove_file(disk.file(1)).unwrap();
        assert!(matches!(disk.load(), Err(LoadFault::Missing(_))));
        fs::write(disk.folder().join(MANIFEST), b"hello").unwrap();
        assert!(matches!(disk.load(), Err(LoadFault::Snapshot(SnapshotFault::Signature(_)))));
    }

    #[test]
    fn nothing_is_removed_while_two_processes_save() {
        let disk = Disk::new();
        let mut old = disk.store();
        let slots = [slot::Slot::take(&old.state).unwrap(), slot::Slot::take(&old.state).unwrap()];
        old.save(&unsaved(&disk.edge, 7, &[1, 2], &[1, 2])).unwrap();
        let mut new = disk.store();
        let saved = new.manifest(&roots(&disk.edge)).unwrap().unwrap();
        new.load(saved.manifest).unwrap();
        new.save(&unsaved(&disk.edge, 8, &[2], &[])).unwrap();
        // The old one never saw 8, and counts on the first shard.
        old.save(&unsaved(&disk.edge, 9, &[1, 2, 3], &[3])).unwrap();
        assert_eq!(disk.load().unwrap().seq(), SnapshotSeq(9));
        drop(slots);
        new.save(&unsaved(&disk.edge, 10, &[2, 3], &[3])).unwrap();
        assert_eq!(disk.load().unwrap().references().count(), 2);
        assert_eq!([1, 2, 3].map(|byte| disk.file(byte).exists()), [false, true, true]);
    }

    #[test]
    fn what_another_process_saved_is_not_put_back() {
        let disk = Disk::new();
        let (mut old, mut new) = (disk.store(), disk.store());
        let _slots = [slot::Slot::take(&old.state).unwrap(), slot::Slot::take(&old.state).unwrap()];
        new.save(&unsaved(&disk.edge, 10, &[1, 2], &[1, 2])).unwrap();
        old.save(&unsaved(&disk.edge, 9, &[1, 3], &[1, 3])).unwrap();
        let view = disk.load().unwrap();
        assert_eq!((view.seq(), view.references().count()), (SnapshotSeq(10), 2));
        // The third shard came with 9, and does not come again.
        old.save(&unsaved(&disk.edge, 11, &[2, 3], &[2])).unwrap();
        assert_eq!(disk.load().unwrap().seq(), SnapshotSeq(11));
    }

    #[test]
    fn shards_that_nothing_names_are_removed() {
        let disk = Disk::new();
        let mut store = disk.store();
        store.save(&unsaved(&disk.edge, 7, &[1, 2], &[1, 2])).unwrap();
        store.save(&unsaved(&disk.edge, 8, &[2, 3], &[3])).unwrap();
        assert_eq!([1, 2, 3].map(|byte| disk.file(byte).exists()), [false, true, true]);
        fs::write(disk.folder().join("old"), b"old").unwrap();
        disk.load().unwrap();
        assert!(!disk.folder().join("old").exists());
        assert_eq!(disk.load().unwrap().references().count(), 2);
    }
}
