//! The snapshot: what daemons verify, and that it says what was acknowledged.

use crate::world::{World, key, line};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::{SnapshotSeq, UserId, WorkspaceId},
    snapshot::{
        Family, Manifest, directory,
        key_shard::{KeyShard, UserHash, shard_of},
        workspace_shard,
    },
};
use serde_json::json;
use std::time::Duration;

async fn users(world: &World, manifest: &Manifest, seed: u8) -> Vec<UserHash> {
    let fingerprint = Fingerprint::of(key(seed).public_key());
    let id = shard_of(&fingerprint);
    match world.shard(manifest, Family::Keys, id).await {
        Some(bytes) => KeyShard::open(id, bytes).unwrap().users(&fingerprint, world.now()).collect(),
        None => Vec::new(),
    }
}

fn hash(user: &str) -> UserHash {
    UserHash::of(&user.parse::<UserId>().unwrap())
}

#[tokio::test]
async fn an_empty_system_serves_a_valid_empty_manifest() {
    let world = World::new();
    let daemon = world.token("daemon", "eu-1").await;
    let answer = world.get("/v1/snapshot", &daemon).await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("etag"), "\"1\"");
    let manifest = world.verify(&answer.text());
    assert_eq!((manifest.seq, manifest.shards.len()), (SnapshotSeq(1), 0));
    let again = world.get_if_none_match("/v1/snapshot", &daemon, "\"1\"").await;
    assert_eq!((again.status.as_u16(), again.body.len(), again.header("etag")), (304, 0, "\"1\""));
}

#[tokio::test]
async fn keys_come_and_go_with_their_acknowledgement() {
    let world = World::new();
    let (alice, bob) = (world.token("user", "alice").await, world.token("user", "bob").await);
    world.add_key(&alice, 1).await;
    world.add_key(&bob, 1).await;
    world.add_key(&bob, 2).await;
    let before = world.manifest().await;
    let mut both = [hash("alice"), hash("bob")];
    both.sort();
    assert_eq!(users(&world, &before, 1).await, both);
    assert_eq!(users(&world, &before, 2).await, [hash("bob")]);
    let path = format!("/api/ssh/keys?publicKeyFingerprint={}", Fingerprint::of(key(1).public_key()));
    assert_eq!(world.call("DELETE", &path, &alice, None).await.status, 204);
    let after = world.manifest().await;
    assert!(after.seq > before.seq);
    assert_eq!(users(&world, &after, 1).await, [hash("bob")]);
    world.call("DELETE", &path, &bob, None).await;
    assert_eq!(users(&world, &world.manifest().await, 1).await, []);
}

#[tokio::test]
async fn one_change_is_one_shard() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    for seed in 0..40 {
        world.add_key(&token, seed).await;
    }
    let before = world.manifest().await;
    world.add_key(&token, 40).await;
    let after = world.manifest().await;
    assert_eq!(after.seq, SnapshotSeq(before.seq.0 + 1));
    let changed = after.shards.iter().filter(|shard| !before.shards.contains(shard)).count();
    assert_eq!(changed, 1);
}

#[tokio::test]
async fn workspaces_and_daemons_are_in_it() {
    let world = World::new();
    world.workspace("796636", "eu", &["bob", "alice"]).await;
    let body = json!({ "identity": line(9), "region": "eu", "addresses": ["127.0.0.1:443", "[::1]:443"] });
    world.operate("PUT", "/daemons/eu-1", Some(body)).await;
    let manifest = world.manifest().await;
    let id: WorkspaceId = "796636".parse().unwrap();
    let shard = workspace_shard::shard_of(&id);
    let bytes = world.shard(&manifest, Family::Workspaces, shard).await.unwrap();
    let workspaces = workspace_shard::open(shard, &bytes).unwrap();
    assert_eq!((workspaces.len(), &workspaces[0].id, workspaces[0].region.as_str()), (1, &id, "eu"));
    assert_eq!(workspaces[0].members, ["alice".parse().unwrap(), "bob".parse().unwrap()]);
    let daemons = directory::open(&world.shard(&manifest, Family::Daemons, 0).await.unwrap()).unwrap();
    assert_eq!((daemons.len(), daemons[0].addresses.len()), (1, 2));
    world.operate("DELETE", "/workspaces/796636", None).await;
    world.operate("DELETE", "/daemons/eu-1", None).await;
    assert!(world.manifest().await.shards.is_empty());
}

#[tokio::test]
async fn what_changes_nothing_publishes_nothing() {
    let world = World::new();
    world.workspace("796636", "eu", &["alice"]).await;
    let seq = world.manifest().await.seq;
    world.operate("PUT", "/workspaces/796636", Some(json!({ "region": "eu" }))).await;
    world.operate("PUT", "/workspaces/796636/members/alice", None).await;
    world.token("user", "alice").await;
    world.get("/api/ssh/keys", &world.operator).await;
    assert_eq!(world.manifest().await.seq, seq);
}

#[tokio::test]
async fn the_heartbeat_signs_anew_and_a_reader_does_when_it_missed() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    world.add_key(&token, 1).await;
    let first = world.manifest().await;
    world.pass_time(Duration::from_secs(299));
    assert_eq!(world.tick().published, None);
    world.pass_time(Duration::from_secs(1));
    let second = world.verify(&world.tick().published.unwrap());
    assert_eq!((second.seq.0, &second.shards), (first.seq.0 + 1, &first.shards));
    assert_eq!(second.issued_at, world.now());
    world.pass_time(Duration::from_secs(359));
    assert_eq!(world.manifest().await, second);
    world.pass_time(Duration::from_secs(30 * 24 * 3600));
    let third = world.manifest().await;
    assert_eq!((third.seq.0, third.issued_at), (second.seq.0 + 1, world.now()));
}

#[tokio::test]
async fn a_replaced_shard_stays_for_a_while() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    world.add_key(&token, 1).await;
    let old = world.manifest().await.shards[0].sha256;
    let path = format!("/api/ssh/keys?publicKeyFingerprint={}", Fingerprint::of(key(1).public_key()));
    world.call("DELETE", &path, &token, None).await;
    world.apply();
    let blob = format!("/v1/snapshot/blob/{old}");
    world.pass_time(Duration::from_secs(14 * 60));
    world.tick();
    assert_eq!(world.get(&blob, &world.operator).await.status, 200);
    world.pass_time(Duration::from_secs(60));
    world.tick();
    world.apply();
    assert_eq!(world.get(&blob, &world.operator).await.status, 404);
    assert!(!world.kv().contains_key(&format!("b/{old}")));
}

#[tokio::test]
async fn a_shard_that_came_back_is_not_swept() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    world.add_key(&token, 1).await;
    let hash = world.manifest().await.shards[0].sha256;
    let path = format!("/api/ssh/keys?publicKeyFingerprint={}", Fingerprint::of(key(1).public_key()));
    world.call("DELETE", &path, &token, None).await;
    world.add_key(&token, 1).await;
    assert_eq!(world.manifest().await.shards[0].sha256, hash);
    world.pass_time(Duration::from_secs(3600));
    world.tick();
    world.apply();
    assert_eq!(world.get(&format!("/v1/snapshot/blob/{hash}"), &world.operator).await.status, 200);
    assert!(world.kv().contains_key(&format!("b/{hash}")));
}

#[tokio::test]
async fn a_shard_that_came_back_and_went_again_has_its_whole_time() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    let remove = format!("/api/ssh/keys?publicKeyFingerprint={}", Fingerprint::of(key(1).public_key()));
    world.add_key(&token, 1).await;
    let blob = format!("/v1/snapshot/blob/{}", world.manifest().await.shards[0].sha256);
    world.call("DELETE", &remove, &token, None).await;
    world.pass_time(Duration::from_secs(10 * 60));
    world.add_key(&token, 1).await;
    world.call("DELETE", &remove, &token, None).await;
    world.pass_time(Duration::from_secs(10 * 60));
    world.tick();
    assert_eq!(world.get(&blob, &world.operator).await.status, 200, "a manifest named it ten minutes ago");
    world.pass_time(Duration::from_secs(5 * 60));
    world.tick();
    assert_eq!(world.get(&blob, &world.operator).await.status, 404);
}

#[tokio::test]
async fn kv_gets_no_shard_that_its_manifest_will_not_name() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    world.add_key(&token, 1).await;
    let remove = format!("/api/ssh/keys?publicKeyFingerprint={}", Fingerprint::of(key(1).public_key()));
    let named = |manifest: &Manifest| manifest.shards[0].sha256;
    let first = named(&world.manifest().await);
    world.call("DELETE", &remove, &token, None).await;
    world.apply();
    assert!(!world.kv().contains_key(&format!("b/{first}")), "it came and went before KV followed");
    world.add_key(&token, 1).await;
    assert_eq!(named(&world.manifest().await), first);
    world.apply();
    assert!(world.kv().contains_key(&format!("b/{first}")), "it came back");
}

#[tokio::test]
async fn blobs_are_immutable_and_come_from_kv_when_it_has_them() {
    let world = World::new();
    let (token, daemon) = (world.token("user", "alice").await, world.token("daemon", "eu-1").await);
    world.add_key(&token, 1).await;
    let shard = world.manifest().await.shards[0];
    let path = format!("/v1/snapshot/blob/{}", shard.sha256);
    for _ in 0..2 {
        let answer = world.get(&path, &daemon).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("cache-control"), "private, max-age=31536000, immutable");
        shard.check(&answer.body).unwrap();
        world.apply();
    }
    world.cut_off_the_ledger();
    assert_eq!(world.get(&path, &daemon).await.status, 200);
    assert_eq!(world.get(&path, &token).await.status, 503);
    for bad in ["x", &"A".repeat(64), &"0".repeat(63)] {
        assert_eq!(world.get(&format!("/v1/snapshot/blob/{bad}"), &daemon).await.status, 400, "{bad}");
    }
}
