//! Every error has the contract's shape, whoever raised it. `World::send` checks the shape; here are the ways to get one.

use crate::world::{World, line};
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::json;
use std::time::Duration;

async fn post(world: &World, token: &str, kind: Option<&str>, body: impl Into<Body>) -> u16 {
    let mut request = Request::post("/api/ssh/keys").header(header::AUTHORIZATION, format!("Bearer {token}"));
    if let Some(kind) = kind {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    world.send(request.body(body.into()).unwrap()).await.status.as_u16()
}

#[tokio::test]
async fn bodies() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    let json = Some("application/json");
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonp"), Some("")] {
        assert_eq!(post(&world, &token, kind, "{}").await, 415, "{kind:?}");
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"] {
        assert_eq!(post(&world, &token, Some(kind), "{}").await, 400, "{kind}");
    }
    for body in [
        "",
        "{",
        "nonsense",
        "{}",
        "[]",
        "null",
        r#"{"publicKey": 5}"#,
        r#"{"publicKey": null}"#,
        r#"{"publicKey": "a", "publicKey": "b"}"#,
    ] {
        assert_eq!(post(&world, &token, json, body).await, 400, "{body}");
    }
    assert_eq!(post(&world, &token, json, format!(r#"["{}", "a list of the fields"]"#, line(1))).await, 400);
    assert_eq!(post(&world, &token, json, vec![b'{', b'"', 0xff, b'"', b'}']).await, 400);
    assert_eq!(post(&world, &token, json, "[".repeat(10_000)).await, 400);
    assert_eq!(post(&world, &token, json, vec![b' '; 16 * 1024 + 1]).await, 413);
    assert_eq!(post(&world, &token, json, vec![b' '; 16 * 1024]).await, 400);
}

#[tokio::test]
async fn a_list_of_the_fields_is_no_object_anywhere() {
    let world = World::new();
    world.workspace("1", "eu", &[]).await;
    let daemon = world.token("daemon", "eu-1").await;
    for (method, path, token, body) in [
        ("POST", "/api/operator/tokens", &world.operator, json!(["user", "alice"])),
        ("PUT", "/api/operator/workspaces/2", &world.operator, json!(["eu"])),
        ("PUT", "/api/operator/regions/eu", &world.operator, json!([["eu.example.com"], 22])),
        ("POST", "/api/operator/workspaces/1/agent-token", &world.operator, json!([60])),
        ("POST", "/v1/daemon/used", &daemon, json!([[]])),
    ] {
        let answer = world.call(method, path, token, Some(body)).await;
        assert_eq!((answer.status.as_u16(), answer.problem().title.as_str()), (400, "The body is not a JSON object"), "{path}");
    }
}

#[tokio::test]
async fn addresses_and_methods() {
    let world = World::new();
    for path in ["/", "/api", "/api/ssh/key", "/api/ssh/keys/", "/api/operator", "/v1/snapshot/", "/%ff", "/api/operator/nothing"]
    {
        assert_eq!(world.get(path, &world.operator).await.status, 404, "{path}");
    }
    for (method, path, allow) in [
        ("PUT", "/api/ssh/keys", "GET,HEAD,POST,DELETE"),
        ("GET", "/api/ssh/keys/SHA256:x", "DELETE"),
        ("POST", "/healthz", "GET,HEAD"),
        ("BREW", "/v1/snapshot", "GET,HEAD"),
        ("PATCH", "/api/operator/workspaces/796636", "GET,HEAD,PUT,DELETE"),
        ("HEAD", "/v1/feed", "GET"),
        ("POST", "/v1/feed", "GET"),
    ] {
        let answer = world.call(method, path, &world.operator, None).await;
        assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, allow), "{method} {path}");
    }
    let answer = world.call("OPTIONS", "/api/ssh/keys", &world.operator, None).await;
    assert_eq!((answer.status.as_u16(), answer.header("allow"), answer.body.len()), (204, "GET,HEAD,POST,DELETE", 0));
    let answer = world.call("OPTIONS", "/v1/feed", &world.operator, None).await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (204, "GET"));
    assert_eq!(world.call("OPTIONS", "/nowhere", &world.operator, None).await.status, 404);
    let path = "/api/operator/workspaces/796636/members/%ff";
    assert_eq!(world.operate("PUT", path.trim_start_matches("/api/operator"), None).await.status, 400);
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let world = World::new();
    for (path, token, status) in [
        ("/healthz", "", 200),
        ("/v1/snapshot", world.operator.as_str(), 200),
        ("/v1/snapshot", "no token", 401),
        ("/x", "", 404),
    ] {
        let answer = world.call("HEAD", path, token, None).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0), "{path}");
    }
}

#[tokio::test]
async fn tokens() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    let get = async |header: Option<&str>| {
        let request = Request::get("/api/ssh/keys");
        let request = header.iter().fold(request, |request, value| request.header(header::AUTHORIZATION, *value));
        world.send(request.body(Body::empty()).unwrap()).await.status.as_u16()
    };
    for good in [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER   {token} ")] {
        assert_eq!(get(Some(&good)).await, 200, "{good}");
    }
    let unknown = "dbu_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQHTWXM2";
    for bad in
        [token.clone(), format!("Basic {token}"), "Bearer".into(), "Bearer ".into(), format!("Bearer {token}x"), unknown.into()]
    {
        assert_eq!(get(Some(&bad)).await, 401, "{bad}");
    }
    assert_eq!(get(None).await, 401);
}

#[tokio::test]
async fn every_address_wants_a_token_of_its_scope() {
    let world = World::new();
    world.workspace("796636", "eu", &[]).await;
    let tokens = [
        world.operator.clone(),
        world.token("operator", "second").await,
        world.token("user", "alice").await,
        world.token("agent", "796636").await,
        world.token("daemon", "eu-1").await,
    ];
    for (path, allowed) in [
        ("/api/ssh/keys", [403, 403, 200, 403, 403]),
        ("/api/operator/tokens", [200, 200, 403, 403, 403]),
        ("/api/operator/workspaces/796636", [200, 200, 403, 403, 403]),
        ("/v1/snapshot", [200, 200, 403, 403, 200]),
        ("/v1/agent/authorized-keys", [403, 403, 403, 200, 403]),
    ] {
        for (token, expected) in tokens.iter().zip(allowed) {
            let answer = world.get(path, token).await;
            assert_eq!(answer.status.as_u16(), expected, "{path} {}", &token[..4]);
        }
        assert_eq!(world.get(path, "").await.status, 401);
    }
}

#[tokio::test]
async fn expired_and_revoked_tokens_end_at_once() {
    let world = World::new();
    let body = json!({ "scope": "user", "subject": "alice", "expiresAt": "2027-01-15T09:00:00Z" });
    let minted: serde_json::Value = world.operate("POST", "/tokens", Some(body)).await.json();
    let token = minted["token"].as_str().unwrap();
    assert_eq!(world.get("/api/ssh/keys", token).await.status, 200);
    world.pass_time(Duration::from_secs(3600));
    let answer = world.get("/api/ssh/keys", token).await;
    assert_eq!((answer.status.as_u16(), answer.problem().title.as_str()), (401, "The token has expired"));
    let minted = world.mint("user", "alice").await;
    assert_eq!(world.operate("DELETE", &format!("/tokens/{}", minted.item.id), None).await.status, 204);
    assert_eq!(world.get("/api/ssh/keys", &minted.token).await.status, 401);
    assert_eq!(world.operate("DELETE", &format!("/tokens/{}", minted.item.id), None).await.status, 404);
}

#[tokio::test]
async fn missing_secrets_are_named() {
    let world = World::without_secrets();
    assert_eq!(world.get("/healthz", "").await.status, 200);
    let answer = world.get("/v1/snapshot", &world.operator).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "5"));
    let detail = answer.problem().detail.unwrap();
    assert!(detail.contains("SIGNING_KEY") && !detail.contains("OPERATOR_TOKEN"), "{detail}");
    assert!(!answer.text().contains("garbage"));
}
