//! The operator's API.

use crate::world::{World, line};
use drawbridge_shared::api::{DaemonItem, Page, TokenItem, UserWorkspace, WorkspaceItem};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn tokens_are_shown_once_and_listed_without_secrets() {
    let world = World::new();
    let minted = world.mint("user", "alice").await;
    assert!(minted.token.starts_with("dbu_"));
    let listed = world.operate("GET", "/tokens", None).await;
    assert!(!listed.text().contains(&minted.token));
    let page: Page<TokenItem> = listed.json();
    assert_eq!((page.items, page.cursor), (vec![minted.item], None));
    for (body, status) in [
        (json!({ "scope": "user", "subject": "a b" }), 400),
        (json!({ "scope": "agent", "subject": "lighthouse" }), 404),
        (json!({ "scope": "agent", "subject": "Not A Label" }), 400),
        (json!({ "scope": "root", "subject": "alice" }), 400),
        (json!({ "scope": "user", "subject": "alice", "expiresAt": "soon" }), 400),
        (json!({ "scope": "user", "subject": "alice", "expiresAt": "2020-01-01T00:00:00Z" }), 400),
        (json!({ "scope": "user", "subject": "alice", "extra": 1 }), 400),
    ] {
        assert_eq!(world.operate("POST", "/tokens", Some(body.clone())).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn a_second_operator_works_until_revoked() {
    let world = World::new();
    let second = world.mint("operator", "ci").await;
    assert_eq!(world.get("/api/operator/workspaces", &second.token).await.status, 200);
    let path = format!("/api/operator/tokens/{}", second.item.id);
    assert_eq!(world.call("DELETE", &path, &second.token, None).await.status, 204);
    assert_eq!(world.get("/api/operator/workspaces", &second.token).await.status, 401);
}

#[tokio::test]
async fn a_subject_holds_a_bounded_number_of_tokens_and_expired_ones_make_room() {
    let world = World::new();
    let body = json!({ "scope": "user", "subject": "alice", "expiresAt": "2027-01-15T09:00:00Z" });
    for _ in 0..100 {
        assert_eq!(world.operate("POST", "/tokens", Some(body.clone())).await.status, 201);
    }
    let unending = json!({ "scope": "user", "subject": "alice" });
    assert_eq!(world.operate("POST", "/tokens", Some(unending.clone())).await.status, 409);
    world.token("user", "bob").await;
    world.pass_time(Duration::from_secs(3600));
    assert_eq!(world.operate("POST", "/tokens", Some(unending)).await.status, 201);
    assert_eq!(world.operate("GET", "/tokens?limit=500", None).await.json::<Page<TokenItem>>().items.len(), 2);
}

#[tokio::test]
async fn workspaces_are_put_moved_and_deleted() {
    let world = World::new();
    let put = |region: &str| world.operate("PUT", "/workspaces/796636", Some(json!({ "region": region })));
    let created = put("eu").await;
    assert_eq!(created.status, 201);
    let item: Value = created.json();
    assert_eq!((&item["agentKey"], &item["members"], &item["region"]), (&Value::Null, &json!([]), &json!("eu")));
    world.pass_time(Duration::from_secs(60));
    let moved = put("us").await;
    assert_eq!(moved.status, 200);
    assert_eq!(moved.json::<Value>()["createdAt"], item["createdAt"]);
    for user in ["bob", "alice", "auth0%7C5f%2Fx"] {
        let path = format!("/workspaces/796636/members/{user}");
        assert_eq!(world.operate("PUT", &path, None).await.status, 204);
        assert_eq!(world.operate("PUT", &path, None).await.status, 204);
    }
    let item: WorkspaceItem = world.operate("GET", "/workspaces/796636", None).await.json();
    assert_eq!(item.members.iter().map(|user| user.as_str()).collect::<Vec<_>>(), ["alice", "auth0|5f/x", "bob"]);
    assert_eq!(world.operate("DELETE", "/workspaces/796636/members/bob", None).await.status, 204);
    assert_eq!(world.operate("DELETE", "/workspaces/796636/members/bob", None).await.status, 404);
    assert_eq!(world.operate("DELETE", "/workspaces/796636", None).await.status, 204);
    assert_eq!(world.operate("DELETE", "/workspaces/796636", None).await.status, 404);
    assert_eq!(world.operate("GET", "/workspaces/796636", None).await.status, 404);
    put("eu").await;
    let item: WorkspaceItem = world.operate("GET", "/workspaces/796636", None).await.json();
    assert!(item.members.is_empty());
}

#[tokio::test]
async fn a_workspace_is_put_to_sleep_and_woken() {
    let world = World::new();
    assert_eq!(world.operate("PUT", "/workspaces/796636/sleep", None).await.status, 404);
    world.workspace("796636", "eu", &["alice"]).await;
    let alice = world.token("user", "alice").await;
    for (method, asleep) in [("PUT", true), ("PUT", true), ("DELETE", false), ("DELETE", false)] {
        assert_eq!(world.operate(method, "/workspaces/796636/sleep", None).await.status, 204);
        let item: WorkspaceItem = world.operate("GET", "/workspaces/796636", None).await.json();
        let own: Page<UserWorkspace> = world.get("/api/ssh/workspaces", &alice).await.json();
        assert_eq!((item.asleep, own.items[0].asleep), (asleep, asleep));
    }
    world.operate("PUT", "/workspaces/796636/sleep", None).await;
    let moved: WorkspaceItem = world.operate("PUT", "/workspaces/796636", Some(json!({ "region": "us" }))).await.json();
    assert!(moved.asleep && moved.region == "us", "a move wakes nobody");
    world.operate("DELETE", "/workspaces/796636", None).await;
    world.workspace("796636", "eu", &[]).await;
    let anew: WorkspaceItem = world.operate("GET", "/workspaces/796636", None).await.json();
    assert!(!anew.asleep);
}

#[tokio::test]
async fn a_deleted_workspace_takes_its_agent_tokens_along() {
    let world = World::new();
    world.workspace("796636", "eu", &[]).await;
    world.workspace("796637", "eu", &[]).await;
    let (gone, kept) = (world.token("agent", "796636").await, world.token("agent", "796637").await);
    world.operate("DELETE", "/workspaces/796636", None).await;
    assert_eq!(world.get("/v1/agent/authorized-keys", &gone).await.status, 401);
    assert_eq!(world.get("/v1/agent/authorized-keys", &kept).await.status, 200);
}

#[tokio::test]
async fn ids_are_checked() {
    let world = World::new();
    for id in ["ws-1", "UPPER", "007", "a.b", "-a"] {
        let answer = world.operate("PUT", &format!("/workspaces/{id}"), Some(json!({ "region": "eu" }))).await;
        assert_eq!(answer.status, 400, "{id}");
    }
    for region in ["", "E U", "\n", "-x", ".", "..", "a..b"] {
        let answer = world.operate("PUT", "/workspaces/796636", Some(json!({ "region": region }))).await;
        assert_eq!(answer.status, 400, "{region:?}");
    }
    assert_eq!(world.operate("PUT", "/workspaces/796636/members/alice", None).await.status, 404);
    assert_eq!(world.operate("DELETE", "/tokens/xyz", None).await.status, 404);
}

#[tokio::test]
async fn daemons_are_put_listed_and_deleted() {
    let world = World::new();
    let body = |seed: u8| json!({ "identity": line(seed), "region": "eu", "addresses": ["127.0.0.1:443"] });
    let created = world.operate("PUT", "/daemons/eu-1", Some(body(1))).await;
    assert_eq!(created.status, 201);
    let item: DaemonItem = created.json();
    assert!(!item.identity.contains("key-1"), "the comment is dropped");
    assert_eq!(world.operate("PUT", "/daemons/eu-1", Some(body(2))).await.status, 200);
    let taken = world.operate("PUT", "/daemons/eu-2", Some(body(2))).await;
    assert_eq!((taken.status.as_u16(), taken.problem().title.as_str()), (409, "Another daemon has this identity"));
    let listed: Page<DaemonItem> = world.operate("GET", "/daemons", None).await.json();
    assert_eq!(listed.items.len(), 1);
    for bad in [
        json!({ "identity": "ssh-rsa AAAA", "region": "eu", "addresses": ["a:1"] }),
        json!({ "identity": line(3), "region": "eu", "addresses": [] }),
        json!({ "identity": line(3), "region": "eu", "addresses": ["nowhere"] }),
    ] {
        assert_eq!(world.operate("PUT", "/daemons/eu-3", Some(bad.clone())).await.status, 400, "{bad}");
    }
    assert_eq!(world.operate("DELETE", "/daemons/eu-1", None).await.status, 204);
    assert_eq!(world.operate("DELETE", "/daemons/eu-1", None).await.status, 404);
}

#[tokio::test]
async fn a_deleted_daemon_takes_its_tokens_along() {
    let world = World::new();
    for (id, seed) in [("eu-1", 1), ("eu-2", 2)] {
        let body = json!({ "identity": line(seed), "region": "eu", "addresses": ["127.0.0.1:443"] });
        assert_eq!(world.operate("PUT", &format!("/daemons/{id}"), Some(body)).await.status, 201);
    }
    let (gone, kept) = (world.token("daemon", "eu-1").await, world.token("daemon", "eu-2").await);
    assert_eq!(world.get("/v1/snapshot", &gone).await.status, 200);
    assert_eq!(world.operate("DELETE", "/daemons/eu-1", None).await.status, 204);
    assert_eq!(world.get("/v1/snapshot", &gone).await.status, 401);
    assert_eq!(world.get("/v1/snapshot", &kept).await.status, 200);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::new();
    for number in 0..7 {
        world.workspace(&format!("w{number}"), "eu", &[]).await;
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page: Page<WorkspaceItem> = world.operate("GET", &format!("/workspaces?limit=3{cursor}"), None).await.json();
        seen.extend(page.items.iter().map(|item| item.id.to_string()));
        pages += 1;
        match page.cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((pages, seen), (3, (0..7).map(|number| format!("w{number}")).collect()));
    for bad in ["?limit=x", "?limit=-1", "?cursor=a%20b", &format!("?cursor={}", "c".repeat(193))] {
        assert_eq!(world.operate("GET", &format!("/workspaces{bad}"), None).await.status, 400, "{bad}");
    }
    for (limit, most) in [("0", 1), ("4294967296", 7), ("99999999999999999999999", 7), ("", 7)] {
        let page: Page<WorkspaceItem> = world.operate("GET", &format!("/workspaces?limit={limit}"), None).await.json();
        assert_eq!(page.items.len(), most, "{limit}");
    }
    let last = world.operate("GET", "/workspaces", None).await;
    assert!(last.json::<Value>().get("cursor").is_none(), "{}", last.text());
}
