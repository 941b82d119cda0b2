//! The agent's API: enrolment and the document of who may enter.

use crate::world::{Answer, World, key, line};
use drawbridge_shared::{
    api::{ENROL_NAMESPACE, Enrolled},
    authorized_keys::AuthorizedKeys,
    fingerprint::Fingerprint,
    id::SnapshotSeq,
    signed,
    snapshot::{Family, workspace_shard},
    token::Token,
};
use serde_json::json;
use std::time::Duration;

/// What a proof is over: the token's id.
fn id_of(token: &str) -> String {
    token.parse::<Token>().unwrap().hash().to_hex()
}

async fn enrol(world: &World, token: &str, seed: u8) -> Answer {
    let proof = signed::detached(&key(seed), ENROL_NAMESPACE, id_of(token).as_bytes()).unwrap();
    let body = json!({ "publicKey": line(seed), "proof": proof });
    world.call("POST", "/v1/agent/enrol", token, Some(body)).await
}

fn open(world: &World, answer: &Answer) -> AuthorizedKeys {
    let workspace = "796636".parse().unwrap();
    AuthorizedKeys::verify(&answer.text(), &world.trust(), &workspace, world.now(), SnapshotSeq(0), Duration::ZERO).unwrap()
}

#[tokio::test]
async fn an_agent_enrols_once_and_again() {
    let world = World::new();
    world.workspace("796636", "eu", &[]).await;
    let token = world.token("agent", "796636").await;
    for _ in 0..2 {
        let enrolled: Enrolled = enrol(&world, &token, 1).await.json();
        assert_eq!((enrolled.workspace.as_str(), enrolled.region.as_str()), ("796636", "eu"));
    }
    let shard = workspace_shard::shard_of(&"796636".parse().unwrap());
    let bytes = world.shard(&world.manifest().await, Family::Workspaces, shard).await.unwrap();
    let held = workspace_shard::open(shard, &bytes).unwrap()[0].agent_key.clone().unwrap();
    assert!(line(1).starts_with(&held));
}

#[tokio::test]
async fn a_second_key_waits_for_a_reset() {
    let world = World::new();
    world.workspace("796636", "eu", &[]).await;
    let token = world.token("agent", "796636").await;
    enrol(&world, &token, 1).await;
    let refused = enrol(&world, &token, 2).await;
    assert_eq!(refused.status, 409);
    assert!(refused.problem().detail.unwrap().contains("agent-key"));
    assert_eq!(world.operate("DELETE", "/workspaces/796636/agent-key", None).await.status, 204);
    assert_eq!(world.operate("DELETE", "/workspaces/796636/agent-key", None).await.status, 404);
    assert_eq!(enrol(&world, &token, 2).await.status, 200);
}

#[tokio::test]
async fn a_proof_that_does_not_fit_enrols_nobody() {
    let world = World::new();
    world.workspace("796636", "eu", &[]).await;
    let token = world.token("agent", "796636").await;
    let other_token = world.token("agent", "796636").await;
    let sign = |seed, namespace, token: &str| signed::detached(&key(seed), namespace, id_of(token).as_bytes()).unwrap();
    let other_key = sign(2, ENROL_NAMESPACE, &token);
    let other_namespace = sign(1, "tunnel@drawbridge", &token);
    let other_token = sign(1, ENROL_NAMESPACE, &other_token);
    for proof in [other_key.as_str(), &other_namespace, &other_token, "", "nonsense"] {
        let body = json!({ "publicKey": line(1), "proof": proof });
        assert_eq!(world.call("POST", "/v1/agent/enrol", &token, Some(body)).await.status, 400);
    }
    let item: serde_json::Value = world.operate("GET", "/workspaces/796636", None).await.json();
    assert!(item["agentKey"].is_null());
}

#[tokio::test]
async fn the_document_names_members_keys_and_the_regions_daemons() {
    let world = World::new();
    world.workspace("796636", "eu", &["bob", "alice"]).await;
    for (id, region, seed) in [("eu-1", "eu", 21), ("us-1", "us", 22)] {
        let body = json!({ "identity": line(seed), "region": region, "addresses": ["127.0.0.1:443"] });
        world.operate("PUT", &format!("/daemons/{id}"), Some(body)).await;
    }
    for (user, seeds) in [("alice", [1, 2]), ("bob", [2, 3]), ("mallory", [3, 4])] {
        let token = world.token("user", user).await;
        for seed in seeds {
            world.add_key(&token, seed).await;
        }
    }
    let token = world.token("agent", "796636").await;
    let answer = world.get("/v1/agent/authorized-keys", &token).await;
    let document = open(&world, &answer);
    let mut users: Vec<_> = document.keys.iter().map(|key| (key.fingerprint, key.user.to_string())).collect();
    let of = |seed: u8, user: &str| (Fingerprint::of(key(seed).public_key()), user.to_string());
    let mut expected = vec![of(1, "alice"), of(2, "alice"), of(2, "bob"), of(3, "bob")];
    users.sort();
    expected.sort();
    assert_eq!(users, expected);
    assert_eq!(document.daemons.iter().map(|daemon| daemon.id.as_str()).collect::<Vec<_>>(), ["eu-1"]);
    assert_eq!(document.seq, world.manifest().await.seq);
    assert_eq!(document.not_after, world.now().after(Duration::from_secs(24 * 3600)));
}

#[tokio::test]
async fn a_change_reaches_the_document_at_once() {
    let world = World::new();
    world.workspace("796636", "eu", &["alice"]).await;
    let (agent, alice) = (world.token("agent", "796636").await, world.token("user", "alice").await);
    let path = "/v1/agent/authorized-keys";
    let empty = world.get(path, &agent).await;
    assert!(open(&world, &empty).keys.is_empty());
    world.add_key(&alice, 1).await;
    let one = world.get_if_none_match(path, &agent, empty.header("etag")).await;
    assert_eq!((one.status.as_u16(), open(&world, &one).keys.len()), (200, 1));
    assert_eq!(world.get_if_none_match(path, &agent, one.header("etag")).await.status, 304);
    world.operate("DELETE", "/workspaces/796636/members/alice", None).await;
    let none = world.get_if_none_match(path, &agent, one.header("etag")).await;
    assert_eq!((none.status.as_u16(), open(&world, &none).keys.len()), (200, 0));
}

#[tokio::test]
async fn an_agent_that_polls_never_holds_an_old_document() {
    let world = World::new();
    world.workspace("796636", "eu", &["alice"]).await;
    let agent = world.token("agent", "796636").await;
    let mut held = world.get("/v1/agent/authorized-keys", &agent).await;
    let mut issued = open(&world, &held).issued_at;
    for _ in 0..200 {
        world.pass_time(Duration::from_secs(31));
        let answer = world.get_if_none_match("/v1/agent/authorized-keys", &agent, held.header("etag")).await;
        if answer.status == 200 {
            issued = open(&world, &answer).issued_at;
            held = answer;
        }
        assert!(world.now().since(issued) <= Duration::from_secs(5 * 60 + 31));
    }
}
