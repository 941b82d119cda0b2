//! An agent's document has room for all that was granted: what would not fit is refused where it is asked for, in words.

use crate::world::{World, line};
use axum::{
    body::Body,
    http::{Request, header},
};
use drawbridge_shared::{api::ImportReport, authorized_keys::AuthorizedKeys, id::SnapshotSeq};
use serde_json::{Value, json};
use std::time::Duration;

/// Members with a hundred keys each, as many as a user may have: a document's worth.
const MEMBERS: usize = 100;

fn name(number: usize) -> String {
    format!("u{number:03}")
}

async fn import(world: &World, lines: &[Value]) -> ImportReport {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let request = Request::post("/api/operator/import").header(header::AUTHORIZATION, format!("Bearer {}", world.operator));
    let request = request.header(header::CONTENT_TYPE, "application/x-ndjson");
    world.send(request.body(Body::from(body)).unwrap()).await.json()
}

/// A workspace whose members have all the keys that they may have together, and one member more who has none.
async fn full(world: &World) {
    world.workspace("796636", "eu", &[]).await;
    let members: Vec<_> =
        (0..=MEMBERS).map(|user| json!({ "type": "member", "workspace": "796636", "user": name(user) })).collect();
    assert_eq!(import(world, &members).await.imported, MEMBERS + 1);
    let users: Vec<_> = (0..MEMBERS).map(name).collect();
    for ten in users.chunks(10) {
        let keys =
            ten.iter().flat_map(|user| (0..100).map(move |seed| json!({ "type": "key", "user": user, "publicKey": line(seed) })));
        assert_eq!(import(world, &keys.collect::<Vec<_>>()).await.imported, 1000);
    }
}

async fn document(world: &World, agent: &str) -> usize {
    let answer = world.get("/v1/agent/authorized-keys", agent).await;
    assert_eq!(answer.status, 200);
    let id = "796636".parse().unwrap();
    AuthorizedKeys::verify(&answer.text(), &world.trust(), &id, world.now(), SnapshotSeq(0), Duration::ZERO).unwrap().keys.len()
}

#[tokio::test]
async fn no_change_brings_more_keys_than_fit() {
    let world = World::new();
    full(&world).await;
    let (agent, last) = (world.token("agent", "796636").await, world.token("user", &name(MEMBERS)).await);
    assert_eq!(document(&world, &agent).await, MEMBERS * 100);

    let refused = world.add_key(&last, 1).await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem().title.as_str()),
        (409, "The members of a workspace would have too many keys")
    );
    let detail = refused.problem().detail.unwrap();
    assert!(detail.contains("'796636'") && detail.contains("10000 keys"), "{detail}");
    let key = json!({ "type": "key", "user": name(MEMBERS), "publicKey": line(1) });
    assert_eq!(import(&world, &[key]).await.failed[0].status, 409);

    let member = format!("/workspaces/796636/members/{}", name(0));
    assert_eq!(world.operate("DELETE", &member, None).await.status, 204);
    assert_eq!(world.add_key(&last, 1).await.status, 201);
    assert_eq!(world.operate("PUT", &member, None).await.status, 409);
    let again = json!({ "type": "member", "workspace": "796636", "user": name(0) });
    assert_eq!(import(&world, &[again]).await.failed[0].status, 409);
    assert_eq!(document(&world, &agent).await, (MEMBERS - 1) * 100 + 1);
    let outsider = world.token("user", &name(0)).await;
    let gone = json!({ "publicKeyFingerprint": drawbridge_shared::key::UserKey::parse(&line(0)).unwrap().fingerprint() });
    assert_eq!(world.call("DELETE", "/api/ssh/keys", &outsider, Some(gone)).await.status, 204);
    assert_eq!(world.operate("PUT", &member, None).await.status, 204);
    assert_eq!(document(&world, &agent).await, MEMBERS * 100);
}

/// A hundred lines are committed together: each has to know of those before it.
#[tokio::test]
async fn lines_of_one_import_share_what_room_is_left() {
    let world = World::new();
    full(&world).await;
    let member = format!("/workspaces/796636/members/{}", name(0));
    assert_eq!(world.operate("DELETE", &member, None).await.status, 204);
    let last = name(MEMBERS);
    let mut lines: Vec<_> = (0..60).map(|seed| json!({ "type": "key", "user": last, "publicKey": line(seed) })).collect();
    lines.push(json!({ "type": "member", "workspace": "796636", "user": "newcomer" }));
    assert_eq!(import(&world, &lines).await.imported, 61);
    let more: Vec<_> = (60..120).map(|seed| json!({ "type": "key", "user": "newcomer", "publicKey": line(seed) })).collect();
    let report = import(&world, &more).await;
    assert_eq!((report.imported, report.failed.len()), (40, 20));
    assert!(report.failed.iter().all(|failure| failure.status == 409));
}
