//! A platform moves in: regions, imports, agent tokens that are rotated, lists in pages.

use crate::world::{Answer, World, line};
use axum::{
    body::Body,
    http::{Request, header},
};
use drawbridge_shared::api::{ImportReport, KeyItem, MintedToken, Page, RegionItem, WorkspaceItem};
use serde_json::{Value, json};
use std::time::Duration;

async fn import(world: &World, body: impl Into<String>) -> Answer {
    let request = Request::post("/api/operator/import").header(header::AUTHORIZATION, format!("Bearer {}", world.operator));
    let request = request.header(header::CONTENT_TYPE, "application/x-ndjson");
    world.send(request.body(Body::from(body.into())).unwrap()).await
}

fn lines(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn an_import_reports_line_by_line_and_may_be_sent_again() {
    let world = World::new();
    let good = [
        json!({ "type": "member", "workspace": "796636", "user": "alice" }),
        json!({ "type": "workspace", "workspace": "796636", "region": "eu" }),
        json!({ "type": "key", "user": "alice", "publicKey": line(1), "title": "laptop" }),
        json!({ "type": "key", "user": "bob", "publicKey": line(1), "expiresAt": "2030-01-01T00:00:00Z" }),
    ];
    let bad = [
        json!({ "type": "member", "workspace": "nowhere", "user": "alice" }),
        json!({ "type": "key", "user": "alice", "publicKey": "ssh-dss AAAA" }),
        json!({ "type": "key", "user": "alice", "publicKey": line(2), "region": "eu" }),
        json!({ "type": "key", "user": "alice", "publicKey": line(3), "expiresAt": "2020-01-01T00:00:00Z" }),
        json!("-----BEGIN OPENSSH PRIVATE KEY-----"),
        json!(["member", "alice", null, null, null, "796636", null]),
        json!({ "type": "member", "workspace": "796636", "user": ".." }),
    ];
    let body = format!("{}\r\n{}not JSON", lines(&good), lines(&bad));
    let report: ImportReport = import(&world, body).await.json();
    assert_eq!((report.imported, report.unchanged), (4, 0));
    let failed: Vec<_> = report.failed.iter().map(|failure| (failure.line, failure.status)).collect();
    assert_eq!(failed, [6, 7, 8, 9, 10, 11, 12, 13].map(|line| (line, if line == 6 { 404 } else { 400 })));
    assert!(report.failed.iter().all(|failure| !failure.title.is_empty() && !format!("{failure:?}").contains("BEGIN OPENSSH")));
    let again: ImportReport = import(&world, lines(&good)).await.json();
    assert_eq!((again.imported, again.unchanged, again.failed.len()), (0, 4, 0));
    let token = world.token("user", "alice").await;
    let keys: Vec<KeyItem> = world.get("/api/ssh/keys", &token).await.json();
    assert_eq!((keys.len(), keys[0].title.as_str()), (1, "laptop"));
}

#[tokio::test]
async fn unchanged_means_in_effect_as_the_line_says() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    let bring = async |fields: Value| {
        let mut line = json!({ "type": "key", "user": "alice", "publicKey": line(1) });
        line.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let report: ImportReport = import(&world, lines(&[line])).await.json();
        (report.imported, report.unchanged, report.failed.len())
    };
    let held = async || world.get("/api/ssh/keys", &token).await.json::<Vec<KeyItem>>().remove(0);
    let end = json!({ "title": "laptop", "expiresAt": "2030-01-01T00:00:00Z" });
    assert_eq!(bring(json!({ "title": "laptop" })).await, (1, 0, 0));
    let created = held().await.created_at;
    world.pass_time(Duration::from_secs(60));
    let seq = world.manifest().await.seq;
    assert_eq!(bring(json!({ "title": "laptop" })).await, (0, 1, 0));
    assert_eq!(world.manifest().await.seq, seq);
    assert_eq!(bring(end.clone()).await, (1, 0, 0));
    assert_eq!(bring(end).await, (0, 1, 0));
    let item = held().await;
    assert_eq!((item.expires_at.unwrap().to_string().as_str(), item.created_at), ("2030-01-01T00:00:00Z", created));
    assert!(world.manifest().await.seq > seq, "an end is published");
    assert_eq!(bring(json!({})).await, (1, 0, 0), "without a title the comment is one");
    assert_eq!((held().await.title.as_str(), held().await.expires_at), ("key-1", item.expires_at), "what has an end keeps it");
    assert_eq!(bring(json!({})).await, (0, 1, 0));
    assert_eq!(bring(json!({ "expiresAt": "2020-01-01T00:00:00Z" })).await, (0, 0, 1));
    assert_eq!(held().await.expires_at, item.expires_at);
}

#[tokio::test]
async fn a_workspace_may_be_named_by_its_integer() {
    let world = World::new();
    let body = lines(&[
        json!({ "type": "workspace", "workspace": 5, "region": "eu" }),
        json!({ "type": "member", "workspace": 5, "user": "alice" }),
    ]);
    let report: ImportReport = import(&world, body).await.json();
    assert_eq!((report.imported, report.failed.len()), (2, 0));
    let minted = world.operate("POST", "/tokens", Some(json!({ "scope": "agent", "subject": 5 }))).await;
    assert_eq!((minted.status.as_u16(), minted.json::<MintedToken>().item.subject.as_str()), (201, "5"));
    assert_eq!(world.operate("POST", "/tokens", Some(json!({ "scope": "agent", "subject": -5 }))).await.status, 400);
}

#[tokio::test]
async fn an_import_is_bounded() {
    let world = World::new();
    let one = lines(&[json!({ "type": "workspace", "workspace": "1", "region": "eu" })]);
    assert_eq!(import(&world, one.repeat(1000)).await.status, 200);
    let refused = import(&world, one.repeat(1001)).await;
    assert_eq!((refused.status.as_u16(), refused.problem().title.as_str()), (413, "The body has too many lines"));
    assert_eq!(import(&world, "x".repeat(1024 * 1024 + 1)).await.status, 413);
    assert_eq!(import(&world, "").await.json::<ImportReport>(), ImportReport { imported: 0, unchanged: 0, failed: vec![] });
    assert_eq!(world.operate("POST", "/import", Some(json!({}))).await.status, 415);
}

#[tokio::test]
async fn many_keys_of_one_import_are_all_published() {
    let world = World::new();
    let keys: Vec<_> =
        (0..=255).map(|seed| json!({ "type": "key", "user": format!("u{}", seed % 3), "publicKey": line(seed) })).collect();
    let report: ImportReport = import(&world, lines(&keys)).await.json();
    assert_eq!((report.imported, report.failed.len()), (256, 0));
    let rows: u32 = world.manifest().await.shards.iter().map(|shard| shard.length).sum();
    assert_eq!(rows, 256 * 56);
}

#[tokio::test]
async fn regions_come_and_go() {
    let world = World::new();
    let put = async |body| world.operate("PUT", "/regions/eu", Some(body)).await;
    let created: RegionItem = put(json!({ "hosts": ["eu.example.com"] })).await.json();
    assert_eq!((created.port, created.hosts.len()), (22, 1));
    assert_eq!(put(json!({ "hosts": ["eu.example.com", "2001:db8::1"], "port": 2222 })).await.status, 200);
    let listed: Page<RegionItem> = world.operate("GET", "/regions", None).await.json();
    assert_eq!((listed.items.len(), listed.items[0].port), (1, 2222));
    for bad in
        [json!({ "hosts": [] }), json!({ "hosts": ["a b"] }), json!({ "hosts": ["*"] }), json!({ "hosts": ["a"], "port": 0 })]
    {
        assert_eq!(put(bad).await.status, 400);
    }
    assert_eq!(world.operate("DELETE", "/regions/eu", None).await.status, 204);
    assert_eq!(world.operate("DELETE", "/regions/eu", None).await.status, 404);
}

#[tokio::test]
async fn an_agent_token_is_rotated_at_once_or_with_grace() {
    let world = World::new();
    world.workspace("1", "eu", &[]).await;
    let rotate = async |body| world.operate("POST", "/workspaces/1/agent-token", body).await.json::<MintedToken>().token;
    let works = async |token: &str| world.get("/v1/agent/authorized-keys", token).await.status == 200;
    let first = world.token("agent", "1").await;
    let second = rotate(Some(json!({ "graceSeconds": 60 }))).await;
    assert!(works(&first).await && works(&second).await);
    world.pass_time(Duration::from_secs(61));
    assert!(!works(&first).await && works(&second).await);
    let third = rotate(None).await;
    assert!(!works(&second).await && works(&third).await);
    assert_eq!(world.operate("POST", "/workspaces/2/agent-token", None).await.status, 404);
    assert_eq!(world.operate("POST", "/workspaces/1/agent-token", Some(json!({ "graceSeconds": 9_999_999 }))).await.status, 400);
}

#[tokio::test]
async fn members_are_listed_in_pages() {
    let world = World::new();
    world.workspace("1", "eu", &["a", "b%2Fc", "d"]).await;
    let first: Page<String> = world.operate("GET", "/workspaces/1/members?limit=2", None).await.json();
    assert_eq!(first.items, ["a", "b/c"]);
    let path = format!("/workspaces/1/members?cursor={}", first.cursor.unwrap().replace('%', "%25"));
    let rest: Page<String> = world.operate("GET", &path, None).await.json();
    assert_eq!((rest.items, rest.cursor), (vec!["d".to_owned()], None));
    assert_eq!(world.operate("GET", "/workspaces/2/members", None).await.status, 404);
    let workspace: WorkspaceItem = world.operate("GET", "/workspaces/1", None).await.json();
    assert_eq!(workspace.members.len(), 3);
}

#[tokio::test]
async fn members_are_paged_whatever_they_are_called() {
    let world = World::new();
    let (longest, escaped) = ("/".repeat(64), "%2F".repeat(64));
    world.workspace("1", "eu", &[&escaped, "z"]).await;
    let first: Page<String> = world.operate("GET", "/workspaces/1/members?limit=1", None).await.json();
    assert_eq!(first.items, [longest]);
    let path = format!("/workspaces/1/members?cursor={}", first.cursor.unwrap().replace('%', "%25"));
    let rest: Page<String> = world.operate("GET", &path, None).await.json();
    assert_eq!((rest.items, rest.cursor), (vec!["z".to_owned()], None));
}
