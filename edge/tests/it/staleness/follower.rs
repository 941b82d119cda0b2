//! A daemon that follows any location's manifests in any order, with the checks of the real one.

use super::{location::Location, model::Facts, step};
use crate::world::{key, line};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::{SnapshotSeq, UserId, WorkspaceId},
    signed::TrustRoots,
    snapshot::{
        BlobHash, Family, Manifest, ShardRef, SnapshotFault,
        key_shard::{KeyShard, UserHash},
        workspace_shard,
    },
    time::Timestamp,
};
use std::{collections::BTreeMap, time::Duration};

/// What it holds.
pub(super) struct Follower {
    token: String,
    trust: TrustRoots,
    seq: SnapshotSeq,
    shards: BTreeMap<BlobHash, Vec<u8>>,
}

impl Follower {
    pub(super) fn new(token: String, trust: TrustRoots) -> Self {
        Self { token, trust, seq: SnapshotSeq(0), shards: BTreeMap::new() }
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn seq(&self) -> u64 {
        self.seq.0
    }

    /// Takes a manifest, unless it is older than what is held or a shard cannot be had; says what the new one contains.
    pub(super) async fn take(&mut self, text: &str, from: &Location, now: Timestamp) -> Option<(u64, Facts)> {
        let manifest = match Manifest::verify(text, &self.trust, now, self.seq, Duration::ZERO) {
            Ok(manifest) => manifest,
            Err(SnapshotFault::Rollback { offered, held }) if offered < held => return None,
            Err(fault) => panic!("what the edge published is refused: {fault}"),
        };
        let mut shards = BTreeMap::new();
        for shard in &manifest.shards {
            shards.insert(shard.sha256, self.shard(shard, from).await?);
        }
        assert!(manifest.seq >= self.seq);
        let facts = contents(&manifest, &shards, now);
        (self.seq, self.shards) = (manifest.seq, shards);
        Some((self.seq.0, facts))
    }

    async fn shard(&self, shard: &ShardRef, from: &Location) -> Option<Vec<u8>> {
        if let Some(held) = self.shards.get(&shard.sha256) {
            return Some(held.clone());
        }
        let answer = from.call("GET", &format!("/v1/snapshot/blob/{}", shard.sha256), &self.token, None).await;
        match answer.status.as_u16() {
            200 => {
                shard.check(&answer.body).unwrap();
                Some(answer.body)
            }
            // Swept long ago, or nobody to ask.
            404 | 503 => None,
            other => panic!("a shard is answered with {other}"),
        }
    }
}

fn contents(manifest: &Manifest, shards: &BTreeMap<BlobHash, Vec<u8>>, now: Timestamp) -> Facts {
    let mut facts = Facts::default();
    for shard in &manifest.shards {
        let bytes = &shards[&shard.sha256];
        match shard.family {
            Family::Keys => keys(&KeyShard::open(shard.id, bytes).unwrap(), now, &mut facts),
            Family::Workspaces => workspaces(shard.id, bytes, &mut facts),
            Family::Daemons => panic!("there are none"),
        }
    }
    facts
}

fn keys(shard: &KeyShard<&Vec<u8>>, now: Timestamp, facts: &mut Facts) {
    let before = facts.keys.len();
    for key in 0..step::KEYS {
        for hash in shard.users(&fingerprint(key), now) {
            let user = (0..step::USERS).find(|number| UserHash::of(&user_id(*number)) == hash);
            facts.keys.insert((key, user.expect("a row of a user who is none")));
        }
    }
    assert_eq!(facts.keys.len() - before, shard.len(), "the shard has rows of keys that are none");
}

fn workspaces(id: u8, bytes: &[u8], facts: &mut Facts) {
    for workspace in workspace_shard::open(id, bytes).unwrap() {
        let number = (0..step::WORKSPACES).find(|number| workspace_id(*number) == workspace.id).unwrap();
        let members = workspace.members.iter().map(|member| (0..step::USERS).find(|user| user_id(*user) == *member).unwrap());
        facts.workspaces.insert(number, members.collect());
    }
}

/// Users whose names have to be escaped somewhere.
pub(super) fn user_id(number: u8) -> UserId {
    format!("user/{number}").parse().unwrap()
}

pub(super) fn workspace_id(number: u8) -> WorkspaceId {
    format!("w{number}").parse().unwrap()
}

pub(super) fn fingerprint(number: u8) -> Fingerprint {
    Fingerprint::of(key(number + 10).public_key())
}

pub(super) fn public_line(number: u8) -> String {
    line(number + 10)
}
