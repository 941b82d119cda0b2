//! One verified snapshot, ready to be asked: shards by number, replaced one by one as they change.

mod touched;
mod workspaces;

pub use touched::{Concerned, Touched};

use bytes::Bytes;
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::{SnapshotSeq, UserId, WorkspaceId},
    native::identity::PublicIdentity,
    outage::Term,
    snapshot::{
        Family, Manifest, ShardRef, SnapshotFault,
        directory::{self, DaemonEntry},
        key_shard::{self, KeyShard, UserHash},
        workspace_shard,
    },
    time::Timestamp,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use workspaces::Workspaces;

/// The content of one shard.
#[derive(Debug)]
enum Content {
    Keys(KeyShard<Bytes>),
    Workspaces(Workspaces),
    Daemons(Vec<DaemonEntry>),
}

/// A shard whose hash was checked and whose content was read.
#[derive(Debug)]
pub struct Shard {
    reference: ShardRef,
    content: Content,
}

/// All that a login is decided by.
#[derive(Debug, Default)]
pub struct KeySet {
    manifest: Option<Manifest>,
    /// By [`slot`]; shorter than it could be where nothing is.
    shards: Vec<Option<Arc<Shard>>>,
}

impl Shard {
    /// Reads `bytes` as the shard that `reference` names.
    pub fn open(reference: ShardRef, bytes: Bytes) -> Result<Self, SnapshotFault> {
        reference.check(&bytes)?;
        let content = match reference.family {
            Family::Keys => KeyShard::open(reference.id, bytes).map(Content::Keys),
            Family::Workspaces => Workspaces::open(reference.id, &bytes).map(Content::Workspaces),
            Family::Daemons => directory::open(&bytes).map(Content::Daemons),
        };
        let content = content.ok_or(SnapshotFault::BrokenShard(reference.sha256))?;
        Ok(Self { reference, content })
    }
}

impl KeySet {
    /// The view that `manifest` describes, of `fresh` shards and those of this view that it still names.
    pub fn next(&self, manifest: Manifest, fresh: Vec<Shard>) -> Result<Self, SnapshotFault> {
        let mut fresh: HashMap<_, _> = fresh.into_iter().map(|shard| (place(&shard.reference), Arc::new(shard))).collect();
        let mut shards = vec![None; SLOTS];
        for reference in &manifest.shards {
            let shard = fresh.remove(&place(reference)).or_else(|| self.held(reference));
            let shard = shard.filter(|shard| shard.reference == *reference).ok_or(SnapshotFault::WrongShard(reference.sha256))?;
            let slot = shards.get_mut(slot(reference.family, reference.id)).ok_or(SnapshotFault::Shards)?;
            *slot = Some(shard);
        }
        Ok(Self { manifest: Some(manifest), shards })
    }

    /// The shards that `manifest` names and this view does not hold.
    pub fn missing(&self, manifest: &Manifest) -> Vec<ShardRef> {
        manifest.shards.iter().filter(|reference| self.held(reference).is_none()).copied().collect()
    }

    /// Which publish this is; 0 before the first.
    pub fn seq(&self) -> SnapshotSeq {
        self.manifest.as_ref().map_or(SnapshotSeq(0), |manifest| manifest.seq)
    }

    /// The edge's signing keys, as it announces them.
    pub fn signers(&self) -> &[String] {
        self.manifest.as_ref().map_or(&[], |manifest| &manifest.signers)
    }

    /// When it was signed.
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.manifest.as_ref().map(|manifest| manifest.issued_at)
    }

    /// The names of all its shards.
    pub fn references(&self) -> impl Iterator<Item = &ShardRef> {
        self.shards.iter().flatten().map(|shard| &shard.reference)
    }

    /// Whether it decides logins at `now`; never before the first publish.
    pub fn serves(&self, now: Timestamp, grace: Duration) -> bool {
        self.term().is_some_and(|term| term.decides(now, grace))
    }

    /// From when until when it serves; `None` before the first publish.
    pub fn term(&self) -> Option<Term> {
        self.manifest.as_ref().map(Manifest::term)
    }

    /// The users whose key this is.
    pub fn users<'a>(&'a self, fingerprint: &Fingerprint, now: Timestamp) -> impl Iterator<Item = UserHash> + use<'a> {
        self.keys(fingerprint).map(|shard| shard.users(fingerprint, now)).into_iter().flatten()
    }

    /// All whose key this is or was until it ended, with its last second; `None`: for ever.
    pub fn owners<'a>(&'a self, fingerprint: &Fingerprint) -> impl Iterator<Item = (UserHash, Option<Timestamp>)> + use<'a> {
        self.keys(fingerprint).map(|shard| shard.owners(fingerprint)).into_iter().flatten()
    }

    /// Which of `users` is a member of that workspace.
    pub fn member(&self, id: &WorkspaceId, users: &[UserHash]) -> Option<UserId> {
        self.workspaces(id)?.member(id, users)
    }

    /// Where that workspace runs.
    pub fn region(&self, id: &WorkspaceId) -> Option<&str> {
        self.workspaces(id)?.region(id)
    }

    /// Whether its platform has put that workspace to sleep.
    pub fn asleep(&self, id: &WorkspaceId) -> bool {
        self.workspaces(id).is_some_and(|shard| shard.asleep(id))
    }

    /// What any of `users` is a member of, by user and workspace.
    pub fn memberships(&self, users: &[UserHash]) -> Vec<(UserId, WorkspaceId)> {
        let shards = self.shards.iter().flatten().filter_map(|shard| match &shard.content {
            Content::Workspaces(workspaces) => Some(workspaces),
            _ => None,
        });
        let mut all: Vec<_> = shards.flat_map(|workspaces| workspaces.memberships(users)).collect();
        all.sort_unstable();
        all
    }

    /// The region of the daemon that is `identity`.
    pub fn home(&self, identity: &PublicIdentity) -> Option<&str> {
        let line = identity.to_line();
        self.daemons().iter().find(|daemon| daemon.identity == line).map(|daemon| daemon.region.as_str())
    }

    /// Whether it names the daemon that is `identity`, or comes before the first publish and names none.
    pub fn may_name(&self, identity: &PublicIdentity) -> bool {
        self.manifest.is_none() || self.home(identity).is_some()
    }

    /// The key that proves a tunnel to be that workspace's.
    pub fn agent_key(&self, id: &WorkspaceId) -> Option<PublicIdentity> {
        self.workspaces(id)?.agent_key(id)
    }

    /// The directory of daemons.
    pub fn daemons(&self) -> &[DaemonEntry] {
        match self.content(Family::Daemons, 0) {
            Some(Content::Daemons(daemons)) => daemons,
            _ => &[],
        }
    }

    fn keys(&self, fingerprint: &Fingerprint) -> Option<&KeyShard<Bytes>> {
        match self.content(Family::Keys, key_shard::shard_of(fingerprint)) {
            Some(Content::Keys(shard)) => Some(shard),
            _ => None,
        }
    }

    fn workspaces(&self, id: &WorkspaceId) -> Option<&Workspaces> {
        match self.content(Family::Workspaces, workspace_shard::shard_of(id)) {
            Some(Content::Workspaces(workspaces)) => Some(workspaces),
            _ => None,
        }
    }

    fn held(&self, reference: &ShardRef) -> Option<Arc<Shard>> {
        self.shard(reference.family, reference.id).filter(|shard| shard.reference == *reference).cloned()
    }

    fn content(&self, family: Family, id: u8) -> Option<&Content> {
        self.shard(family, id).map(|shard| &shard.content)
    }

    fn shard(&self, family: Family, id: u8) -> Option<&Arc<Shard>> {
        self.shards.get(slot(family, id))?.as_ref()
    }
}

const fn place(reference: &ShardRef) -> (Family, u8) {
    (reference.family, reference.id)
}

/// Two families of 256 shards, and the directory.
const SLOTS: usize = 2 * 256 + 1;

/// Where a shard stands; a directory with another number than 0 stands nowhere.
const fn slot(family: Family, id: u8) -> usize {
    match family {
        Family::Keys => id as usize,
        Family::Workspaces => 256 + id as usize,
        Family::Daemons => 512 + id as usize,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use drawbridge_shared::snapshot::workspace_shard::Workspace;

    pub(crate) const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    pub(crate) fn fingerprint(byte: u8) -> Fingerprint {
        Fingerprint([byte; 32])
    }

    fn shard(family: Family, id: u8, bytes: Vec<u8>) -> Shard {
        Shard::open(ShardRef::of(family, id, &bytes), bytes.into()).unwrap()
    }

    /// Keys as (first byte, user), workspaces as (id, members).
    pub(crate) fn keyset(keys: &[(u8, &str)], workspaces: &[(&str, &[&str])]) -> KeySet {
        let mut shards: Vec<_> = keys
            .iter()
            .map(|(byte, user)| {
                let row = key_shard::row(&fingerprint(*byte), &user.parse().unwrap(), None);
                shard(Family::Keys, *byte, key_shard::build(vec![row]))
            })
            .collect();
        shards.extend(workspaces.iter().map(|(id, members)| {
            let members = members.iter().map(|user| user.parse().unwrap()).collect();
            let workspace = Workspace { id: id.parse().unwrap(), region: "eu".into(), agent_key: None, members, asleep: false };
            shard(Family::Workspaces, workspace_shard::shard_of(&workspace.id), workspace_shard::build(vec![workspace]))
        }));
        let manifest = Manifest::new(SnapshotSeq(1), NOW, shards.iter().map(|shard| shard.reference).collect());
        KeySet::default().next(manifest, shards).unwrap()
    }

    /// Workspaces as (id, members), and daemons as (id, region, identity).
    pub(crate) fn keyset_with_daemon(workspaces: &[(&str, &[&str])], daemons: &[(&str, &str, PublicIdentity)]) -> KeySet {
        let base = keyset(&[], workspaces);
        let entry = |(id, region, identity): &(&str, &str, PublicIdentity)| DaemonEntry {
            id: id.parse().unwrap(),
            region: (*region).into(),
            identity: identity.to_line(),
            addresses: vec![],
        };
        let directory = shard(Family::Daemons, 0, directory::build(daemons.iter().map(entry).collect()));
        let references = base.references().copied().chain([directory.reference]).collect();
        base.next(Manifest::new(SnapshotSeq(2), NOW, references), vec![directory]).unwrap()
    }

    /// The same with these workspaces as they are, all of one shard.
    pub(crate) fn with_workspaces(base: &KeySet, workspaces: Vec<Workspace>) -> KeySet {
        let id = workspaces.first().map(|workspace| workspace_shard::shard_of(&workspace.id)).unwrap();
        let new = shard(Family::Workspaces, id, workspace_shard::build(workspaces));
        let others = base.references().filter(|held| (held.family, held.id) != (Family::Workspaces, id));
        let references = others.copied().chain([new.reference]).collect();
        base.next(Manifest::new(SnapshotSeq(base.seq().0 + 1), NOW, references), vec![new]).unwrap()
    }

    /// One key that is `user`'s until `end`, in one workspace.
    pub(crate) fn expiring(byte: u8, user: &str, end: Timestamp, workspace: &str) -> KeySet {
        with_owners(&keyset(&[], &[(workspace, &[user])]), byte, &[(user, Some(end))])
    }

    /// The same with one key more, which all of `owners` have, each until an end of their own.
    pub(crate) fn with_owners(base: &KeySet, byte: u8, owners: &[(&str, Option<Timestamp>)]) -> KeySet {
        let row = |(user, end): &(&str, _)| key_shard::row(&fingerprint(byte), &user.parse().unwrap(), *end);
        let shard = shard(Family::Keys, byte, key_shard::build(owners.iter().map(row).collect()));
        let references = base.references().copied().chain([shard.reference]).collect();
        base.next(Manifest::new(SnapshotSeq(2), NOW, references), vec![shard]).unwrap()
    }

    #[test]
    fn a_change_replaces_one_shard_and_keeps_the_others() {
        let old = keyset(&[(1, "alice"), (2, "bob")], &[]);
        let row = key_shard::row(&fingerprint(2), &"carol".parse().unwrap(), None);
        let changed = shard(Family::Keys, 2, key_shard::build(vec![row]));
        let kept = *old.references().next().unwrap();
        let manifest = Manifest::new(SnapshotSeq(2), NOW, vec![kept, changed.reference]);
        assert_eq!(old.missing(&manifest), [changed.reference]);
        let new = old.next(manifest, vec![changed]).unwrap();
        assert_eq!(new.users(&fingerprint(1), NOW).count(), 1);
        assert_eq!(new.users(&fingerprint(2), NOW).collect::<Vec<_>>(), [UserHash::of(&"carol".parse().unwrap())]);
    }

    #[test]
    fn a_manifest_without_its_shards_is_no_view() {
        let old = keyset(&[(1, "alice")], &[]);
        let absent = ShardRef::of(Family::Keys, 9, b"absent");
        let manifest = Manifest::new(SnapshotSeq(2), NOW, vec![absent]);
        assert_eq!(old.next(manifest, vec![]).unwrap_err(), SnapshotFault::WrongShard(absent.sha256));
        let broken = ShardRef::of(Family::Keys, 9, b"short");
        assert_eq!(Shard::open(broken, b"short"[..].into()).unwrap_err(), SnapshotFault::BrokenShard(broken.sha256));
    }

    #[test]
    fn nothing_serves_before_the_first_snapshot_or_long_after_the_last() {
        assert!(!KeySet::default().serves(NOW, Duration::MAX));
        let view = keyset(&[], &[]);
        let day = drawbridge_shared::snapshot::LIFETIME;
        assert!(view.serves(NOW.after(day), Duration::ZERO));
        let late = NOW.after(day + Duration::from_secs(1));
        assert!(!view.serves(late, Duration::ZERO));
        assert!(view.serves(late, Duration::from_secs(1)));
    }
}
