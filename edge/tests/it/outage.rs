//! The Ledger is unreachable: reads go on from KV and say so, writes wait, nothing pretends.

use crate::world::{Answer, World};
use drawbridge_shared::api::KeyItem;
use serde_json::json;

fn stale(answer: &Answer) -> bool {
    answer.header("drawbridge-stale") == "true"
}

#[tokio::test]
async fn keys_are_read_from_kv_and_not_written() {
    let world = World::new();
    let token = world.token("user", "a/b%2F").await;
    for seed in [1, 2, 3] {
        world.add_key(&token, seed).await;
    }
    let fresh = world.get("/api/ssh/keys", &token).await;
    assert!(!stale(&fresh));
    world.apply();
    world.cut_off_the_ledger();
    let answer = world.get("/api/ssh/keys", &token).await;
    assert!(stale(&answer));
    assert_eq!(answer.json::<Vec<KeyItem>>(), fresh.json::<Vec<KeyItem>>());
    let refused = world.add_key(&token, 4).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "5"));
    assert!(world.log().contains("cut off by the test"));
    assert!(!refused.text().contains("cut off by the test"));
    assert_eq!(world.operate("PUT", "/workspaces/1", Some(json!({ "region": "eu" }))).await.status, 503);
}

#[tokio::test]
async fn a_token_that_kv_does_not_know_is_no_proof() {
    let world = World::new();
    let (user, daemon) = (world.token("user", "alice").await, world.token("daemon", "eu-1").await);
    world.manifest().await;
    world.apply();
    let late = world.token("user", "bob").await;
    world.cut_off_the_ledger();
    assert_eq!(world.get("/api/ssh/keys", &late).await.status, 503);
    assert_eq!(world.get("/api/ssh/keys", &daemon).await.status, 403);
    assert_eq!(world.get("/v1/snapshot", &user).await.status, 403);
    assert_eq!(world.get("/v1/snapshot", &world.operator).await.status, 503);
}

#[tokio::test]
async fn the_manifest_comes_from_kv() {
    let world = World::new();
    let (user, daemon) = (world.token("user", "alice").await, world.token("daemon", "eu-1").await);
    world.add_key(&user, 1).await;
    let manifest = world.manifest().await;
    world.apply();
    world.cut_off_the_ledger();
    let answer = world.get("/v1/snapshot", &daemon).await;
    assert!(stale(&answer));
    assert_eq!(world.verify(&answer.text()), manifest);
    let again = world.get_if_none_match("/v1/snapshot", &daemon, answer.header("etag")).await;
    assert_eq!((again.status.as_u16(), stale(&again)), (304, true));
}

#[tokio::test]
async fn kv_ends_as_the_ledger_is() {
    let world = World::new();
    world.workspace("796636", "eu", &["alice"]).await;
    let token = world.token("user", "alice").await;
    world.apply();
    world.add_key(&token, 1).await;
    world.operate("DELETE", "/workspaces/796636", None).await;
    world.apply();
    let kv = world.kv();
    let facts: Vec<_> = kv.keys().map(|name| &name[..2]).collect();
    assert!(!facts.contains(&"w/") && !facts.contains(&"m/"));
    assert!(facts.contains(&"k/") && facts.contains(&"t/"));
    assert_eq!(world.verify(std::str::from_utf8(&kv["manifest"]).unwrap()), world.manifest().await);
    assert!(kv.keys().all(|name| !name.starts_with("j/") && !name.starts_with("g/") && !name.starts_with("x/")));
}
