//! What a user sees beside the keys themselves: ends, last uses, workspaces, and the files for `ssh`.

use crate::world::{World, key, line};
use drawbridge_shared::{
    api::{KeyItem, Page, UserWorkspace},
    authorized_keys::AuthorizedKeys,
    fingerprint::Fingerprint,
    id::SnapshotSeq,
    snapshot::{
        Family,
        key_shard::{KeyShard, shard_of},
    },
};
use serde_json::json;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

async fn add_until(world: &World, token: &str, seed: u8, end: &str) -> u16 {
    let body = json!({ "publicKey": line(seed), "title": "loan", "expiresAt": end });
    world.call("POST", "/api/ssh/keys", token, Some(body)).await.status.as_u16()
}

async fn keys(world: &World, token: &str) -> Vec<KeyItem> {
    world.get("/api/ssh/keys", token).await.json()
}

#[tokio::test]
async fn a_key_ends_by_itself_for_both_verifiers_and_makes_room_for_itself() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    world.workspace("1", "eu", &["alice"]).await;
    let agent = world.token("agent", "1").await;
    assert_eq!(add_until(&world, &token, 1, "2027-01-15T09:00:00Z").await, 201);
    assert_eq!(add_until(&world, &token, 2, "2027-01-15T08:00:00Z").await, 400, "now is too late");
    assert_eq!(add_until(&world, &token, 1, "2028-01-01T00:00:00Z").await, 409);
    assert_eq!(keys(&world, &token).await[0].expires_at.unwrap().to_string(), "2027-01-15T09:00:00Z");

    let (manifest, fingerprint) = (world.manifest().await, Fingerprint::of(key(1).public_key()));
    let shard = world.shard(&manifest, Family::Keys, shard_of(&fingerprint)).await.unwrap();
    let shard = KeyShard::open(shard_of(&fingerprint), shard).unwrap();
    let text = world.get("/v1/agent/authorized-keys", &agent).await.text();
    let (id, later) = ("1".parse().unwrap(), world.now().after(HOUR + Duration::from_secs(1)));
    let document = AuthorizedKeys::verify(&text, &world.trust(), &id, world.now(), SnapshotSeq(0), HOUR).unwrap();
    for (now, lets_in) in [(world.now(), true), (later, false)] {
        assert_eq!(shard.users(&fingerprint, now).count() == 1, lets_in);
        assert_eq!(document.user_of(&fingerprint, now).is_some(), lets_in);
    }

    world.pass_time(HOUR + Duration::from_secs(1));
    assert_eq!(add_until(&world, &token, 1, "2028-01-01T00:00:00Z").await, 201, "an ended key is no obstacle to itself");
    assert_eq!(keys(&world, &token).await.len(), 1);
}

#[tokio::test]
async fn daemons_report_when_keys_were_used() {
    let world = World::new();
    let (token, daemon) = (world.token("user", "alice").await, world.token("daemon", "eu-1").await);
    world.add_key(&token, 1).await;
    let used = |user: &str, seed: u8, at: &str| {
        let fingerprint = Fingerprint::of(key(seed).public_key());
        json!({ "used": [{ "user": user, "publicKeyFingerprint": fingerprint, "usedAt": at }] })
    };
    let report = async |body| world.call("POST", "/v1/daemon/used", &daemon, Some(body)).await.status.as_u16();
    world.pass_time(HOUR);
    assert_eq!(report(used("alice", 1, "2027-01-15T07:59:00Z")).await, 204);
    assert_eq!(keys(&world, &token).await[0].last_used_at, None, "that minute was over before the key was registered");
    let seq = world.manifest().await.seq;
    assert_eq!(report(used("alice", 1, "2027-01-15T08:59:00Z")).await, 204);
    assert_eq!(report(used("bob", 1, "2027-01-15T08:59:00Z")).await, 204, "what is unknown is passed over");
    assert_eq!(report(used("alice", 2, "2027-01-15T08:59:00Z")).await, 204);
    let last = async || keys(&world, &token).await[0].last_used_at.unwrap().to_string();
    assert_eq!(last().await, "2027-01-15T08:59:00Z");
    report(used("alice", 1, "2027-01-15T08:50:00Z")).await;
    assert_eq!(last().await, "2027-01-15T08:59:00Z", "an older use is no news");
    report(used("alice", 1, "2031-01-01T00:00:00Z")).await;
    assert_eq!(last().await, "2027-01-15T09:00:00Z", "no use lies in the future");
    assert_eq!(world.manifest().await.seq, seq, "uses publish nothing");
    let many = json!({ "used": vec![used("alice", 1, "2027-01-15T07:59:00Z")["used"][0].clone(); 81] });
    assert_eq!(report(many).await, 400);
    assert_eq!(world.call("POST", "/v1/daemon/used", &token, Some(json!({ "used": [] }))).await.status, 403);
}

#[tokio::test]
async fn a_key_that_comes_back_was_never_used() {
    let world = World::new();
    let (token, daemon) = (world.token("user", "alice").await, world.token("daemon", "eu-1").await);
    world.add_key(&token, 1).await;
    let fingerprint = Fingerprint::of(key(1).public_key());
    let body = json!({ "used": [{ "user": "alice", "publicKeyFingerprint": fingerprint, "usedAt": "2027-01-15T08:00:00Z" }] });
    world.call("POST", "/v1/daemon/used", &daemon, Some(body)).await;
    world.call("DELETE", &format!("/api/ssh/keys?publicKeyFingerprint={fingerprint}"), &token, None).await;
    world.add_key(&token, 1).await;
    assert_eq!(keys(&world, &token).await[0].last_used_at, None);
}

#[tokio::test]
async fn workspaces_are_ones_own_with_what_to_type() {
    let world = World::new();
    let (alice, bob) = (world.token("user", "a/b").await, world.token("user", "bob").await);
    for id in ["1", "2", "3"] {
        world.workspace(id, "eu", &["a/b".replace('/', "%2F").as_str()]).await;
    }
    let body = json!({ "hosts": ["eu.example.com"], "port": 2222 });
    assert_eq!(world.operate("PUT", "/regions/eu", Some(body)).await.status, 201);
    let page: Page<UserWorkspace> = world.get("/api/ssh/workspaces?limit=2", &alice).await.json();
    assert_eq!(page.items[0].connection, "ssh -J eu.example.com:2222 user@1");
    let next = format!("/api/ssh/workspaces?cursor={}", page.cursor.unwrap());
    let rest: Page<UserWorkspace> = world.get(&next, &alice).await.json();
    assert_eq!((rest.items.len(), rest.items[0].id.as_str(), rest.cursor), (1, "3", None));
    let none: Page<UserWorkspace> = world.get("/api/ssh/workspaces", &bob).await.json();
    assert!(none.items.is_empty());
    world.operate("DELETE", "/workspaces/1/members/a%2Fb", None).await;
    world.operate("DELETE", "/workspaces/2", None).await;
    let left: Page<UserWorkspace> = world.get("/api/ssh/workspaces", &alice).await.json();
    assert_eq!(left.items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["3"]);
}

#[tokio::test]
async fn files_for_ssh_are_plain_text() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    world.workspace("796636", "eu.example.com", &["alice"]).await;
    let config = world.get("/api/ssh/config", &token).await;
    assert_eq!(config.header("content-type"), "text/plain; charset=utf-8");
    assert!(config.text().contains("Host 796636 ws-796636 ws-*\n  User user\n  ProxyJump eu.example.com\n"));
    let known = world.get("/api/ssh/known_hosts", &token).await;
    assert!(
        known.text().starts_with("@cert-authority *.eu.example.com,0.*,eu.example.com,ws-* ssh-ed25519 "),
        "{}",
        known.text()
    );
    assert_eq!(world.get("/api/ssh/known_hosts", &world.operator).await.status, 403);
    let without = World::without_host_ca();
    let token = without.token("user", "alice").await;
    assert_eq!(without.get("/api/ssh/known_hosts", &token).await.status, 404);
}

#[tokio::test]
async fn no_key_was_used_before_it_was_registered() {
    let world = World::new();
    let (token, daemon) = (world.token("user", "alice").await, world.token("daemon", "eu-1").await);
    world.pass_time(Duration::from_secs(20));
    world.add_key(&token, 1).await;
    let fingerprint = Fingerprint::of(key(1).public_key());
    let body = json!({ "used": [{ "user": "alice", "publicKeyFingerprint": fingerprint, "usedAt": "2027-01-15T08:00:00Z" }] });
    assert_eq!(world.call("POST", "/v1/daemon/used", &daemon, Some(body)).await.status, 204);
    let item = keys(&world, &token).await.remove(0);
    assert_eq!(item.last_used_at, Some(item.created_at), "daemons tell the minute of a use");
}
