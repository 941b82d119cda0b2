//! A million keys as the Ledger would have them, made at once: rows, shards and a signed manifest, from a counter's hashes.

use anyhow::{Context, Result};
use drawbridge_edge::{
    facts::{KeyFact, MemberFact, WorkspaceFact},
    names,
    rows::{Changes, Memory, Rows},
};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::{SnapshotSeq, UserId, WorkspaceId},
    native::{clock, identity::Identity},
    signed::TrustRoots,
    snapshot::{
        BlobHash, Family, Manifest, ShardRef,
        key_shard::{self, ROW},
        workspace_shard::{self, Workspace},
    },
    time::Timestamp,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

/// Keys of one user.
const KEYS_OF_USER: usize = 4;
/// Keys for each workspace.
const KEYS_OF_WORKSPACE: usize = 10;
/// Members of one workspace.
const MEMBERS: usize = 3;

/// The state.
pub(crate) struct Million {
    pub(crate) keys: usize,
    pub(crate) now: Timestamp,
    pub(crate) edge: Identity,
    pub(crate) rows: Memory,
    pub(crate) manifest: String,
    pub(crate) blobs: HashMap<BlobHash, Vec<u8>>,
}

/// The key of that number.
pub(crate) fn fingerprint(n: usize) -> Fingerprint {
    Fingerprint(Sha256::digest(n.to_le_bytes()).into())
}

/// The user of the key of that number.
pub(crate) fn user_of(n: usize) -> Result<UserId> {
    Ok(format!("user-{:06}", n / KEYS_OF_USER).parse()?)
}

impl Million {
    /// `keys` keys of a quarter as many users, and a tenth as many workspaces of three members each.
    pub(crate) fn make(keys: usize) -> Result<Self> {
        let (now, edge) = (clock::now(), Identity::from_seed(&[1; 32]));
        let mut maker = Maker { now, changes: Changes::new(), keys: BTreeMap::new(), workspaces: BTreeMap::new() };
        (0..keys).try_for_each(|n| maker.key(n))?;
        (0..keys / KEYS_OF_WORKSPACE).try_for_each(|n| maker.workspace(n, keys / KEYS_OF_USER))?;
        let Maker { mut changes, keys: rows, workspaces, .. } = maker;
        let keys_shards = rows.into_iter().map(|(id, rows)| (Family::Keys, id, key_shard::build(rows)));
        let workspace_shards = workspaces.into_iter().map(|(id, all)| (Family::Workspaces, id, workspace_shard::build(all)));
        let shards: Vec<_> = keys_shards.chain(workspace_shards).collect();
        let references: Vec<_> = shards.iter().map(|(family, id, bytes)| ShardRef::of(*family, *id, bytes)).collect();
        let blobs: HashMap<_, _> = references.iter().zip(shards).map(|(at, (_, _, bytes))| (at.sha256, bytes)).collect();
        let manifest = Manifest::new(SnapshotSeq(1), now, references).sign(&[edge.ssh()])?;
        changes.extend(blobs.iter().map(|(hash, bytes)| (names::blob(*hash), Some(bytes.clone()))));
        changes.insert(names::MANIFEST.into(), Some(manifest.clone().into_bytes()));
        let rows = Memory::default();
        rows.commit(changes)?;
        Ok(Self { keys, now, edge, rows, manifest, blobs })
    }

    /// Whom a daemon believes.
    pub(crate) fn trust(&self) -> Result<TrustRoots> {
        self.edge.public().to_line().parse().context("the edge's key is none")
    }
}

struct Maker {
    now: Timestamp,
    changes: Changes,
    keys: BTreeMap<u8, Vec<[u8; ROW]>>,
    workspaces: BTreeMap<u8, Vec<Workspace>>,
}

impl Maker {
    fn key(&mut self, n: usize) -> Result<()> {
        let (fingerprint, user) = (fingerprint(n), user_of(n)?);
        let line = format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{:0>43}", n);
        let fact = KeyFact { line, title: "laptop".into(), created_at: self.now, expires_at: None };
        self.put(names::key(&user, &fingerprint), &fact)?;
        let row = key_shard::row(&fingerprint, &user, None);
        self.keys.entry(key_shard::shard_of(&fingerprint)).or_default().push(row);
        Ok(())
    }

    fn workspace(&mut self, n: usize, users: usize) -> Result<()> {
        let id: WorkspaceId = (700_000 + n).to_string().parse()?;
        let seed: [u8; 32] = Sha256::digest(n.to_le_bytes()).into();
        let agent_key = Some(Identity::from_seed(&seed).public().to_line());
        let fact = WorkspaceFact { region: "eu".into(), agent_key: agent_key.clone(), created_at: self.now, asleep: false };
        self.put(names::workspace(&id), &fact)?;
        let members: Vec<_> = (0..MEMBERS).map(|m| user_of((n * MEMBERS + m) % users * KEYS_OF_USER)).collect::<Result<_>>()?;
        for user in &members {
            self.put(names::member(&id, user), &MemberFact { created_at: self.now })?;
        }
        let shard = self.workspaces.entry(workspace_shard::shard_of(&id)).or_default();
        shard.push(Workspace { id, region: "eu".into(), agent_key, members, asleep: false });
        Ok(())
    }

    fn put(&mut self, name: String, fact: &impl serde::Serialize) -> Result<()> {
        self.changes.insert(name, Some(serde_json::to_vec(fact)?));
        Ok(())
    }
}
