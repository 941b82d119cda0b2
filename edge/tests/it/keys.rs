//! `/api/ssh/keys` as existing clients use it.

use crate::world::{World, key, line};
use axum::{
    body::Body,
    http::{Request, header},
};
use drawbridge_shared::{api::KeyItem, fingerprint::Fingerprint, key::UserKey};
use serde_json::{Value, json};
use std::time::Duration;

fn fingerprint(seed: u8) -> String {
    Fingerprint::of(key(seed).public_key()).to_string()
}

/// A key whose fingerprint is as asked for.
fn whose(asked: impl Fn(&str) -> bool) -> (u8, String) {
    (0..=255).map(|seed| (seed, fingerprint(seed))).find(|(_, text)| asked(text)).unwrap()
}

#[tokio::test]
async fn a_key_is_registered_listed_and_removed() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    assert_eq!(world.get("/api/ssh/keys", &token).await.json::<Vec<Value>>(), Vec::<Value>::new());
    let created = world.add_key(&token, 1).await;
    assert_eq!((created.status.as_u16(), created.header("content-type")), (201, "application/json"));
    let item: Value = created.json();
    assert_eq!(item["publicKey"], line(1));
    assert_eq!(item["publicKeyFingerprint"], fingerprint(1));
    assert_eq!(item["title"], "key-1");
    assert_eq!(item["createdAt"], "2027-01-15T08:00:00Z");
    assert_eq!(world.get("/api/ssh/keys", &token).await.json::<Vec<Value>>(), vec![item]);
    let body = json!({ "publicKeyFingerprint": fingerprint(1) });
    assert_eq!(world.call("DELETE", "/api/ssh/keys", &token, Some(body.clone())).await.status, 204);
    assert_eq!(world.call("DELETE", "/api/ssh/keys", &token, Some(body)).await.status, 404);
    assert_eq!(world.get("/api/ssh/keys", &token).await.text(), "[]");
}

#[tokio::test]
async fn one_key_may_belong_to_two_users_but_once_to_each() {
    let world = World::new();
    let (alice, bob) = (world.token("user", "alice").await, world.token("user", "bob").await);
    assert_eq!(world.add_key(&alice, 1).await.status, 201);
    let again = world.add_key(&alice, 1).await;
    assert_eq!(again.status, 409);
    assert_eq!(again.problem().title, "This key is already registered");
    assert_eq!(world.add_key(&bob, 1).await.status, 201);
    let body = json!({ "publicKeyFingerprint": fingerprint(1) });
    assert_eq!(world.call("DELETE", "/api/ssh/keys", &alice, Some(body)).await.status, 204);
    assert_eq!(world.get("/api/ssh/keys", &bob).await.json::<Vec<KeyItem>>().len(), 1);
}

#[tokio::test]
async fn lists_are_ordered_by_age_then_fingerprint() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    for seed in [5, 6, 7, 8] {
        world.add_key(&token, seed).await;
    }
    world.pass_time(Duration::from_secs(1));
    world.add_key(&token, 4).await;
    let items: Vec<KeyItem> = world.get("/api/ssh/keys", &token).await.json();
    let order: Vec<_> = items.iter().map(|item| (item.created_at, item.public_key_fingerprint)).collect();
    assert!(order.is_sorted());
    assert_eq!(items.last().unwrap().title, "key-4");
}

#[tokio::test]
async fn a_title_in_the_body_wins_and_unknown_fields_do_not_matter() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    let body = json!({ "publicKey": line(1), "title": "My laptop", "colour": "blue" });
    let item: KeyItem = world.call("POST", "/api/ssh/keys", &token, Some(body)).await.json();
    assert_eq!(item.title, "My laptop");
    assert!(item.public_key.ends_with(" My laptop"));
    assert_eq!(UserKey::parse(&item.public_key).unwrap().title(), "My laptop");
    for (seed, title) in [(3, ""), (4, " ")] {
        let body = json!({ "publicKey": line(seed), "title": title });
        let item: KeyItem = world.call("POST", "/api/ssh/keys", &token, Some(body)).await.json();
        assert_eq!(item.title, format!("key-{seed}"), "{title:?}");
    }
    let bare = key(2).public_key().to_openssh().unwrap();
    let item: KeyItem = world.call("POST", "/api/ssh/keys", &token, Some(json!({ "publicKey": bare }))).await.json();
    assert_eq!((item.title.as_str(), item.public_key), ("", bare));
}

#[tokio::test]
async fn a_fingerprint_may_stand_in_body_query_or_path() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    // With both characters that addresses mangle.
    let (seed, text) = whose(|text| text.contains('/') && text.contains('+'));
    let bare = text.trim_start_matches("SHA256:");
    let escaped = text.replace('/', "%2F").replace('+', "%2B").replace(':', "%3A");
    let paths = [
        format!("/api/ssh/keys?publicKeyFingerprint={escaped}"),
        format!("/api/ssh/keys?publicKeyFingerprint={text}"),
        format!("/api/ssh/keys?publicKeyFingerprint={bare}"),
        format!("/api/ssh/keys/{escaped}"),
        format!("/api/ssh/keys/{text}"),
        format!("/api/ssh/keys/{bare}"),
        format!("/api/ssh/keys/{bare}="),
    ];
    for path in paths {
        assert_eq!(world.add_key(&token, seed).await.status, 201);
        assert_eq!(world.call("DELETE", &path, &token, None).await.status, 204, "{path}");
    }
    world.add_key(&token, seed).await;
    let body = json!({ "publicKeyFingerprint": bare });
    assert_eq!(world.call("DELETE", "/api/ssh/keys", &token, Some(body)).await.status, 204);
    let (seed, text) = whose(|text| text.starts_with("SHA256:+"));
    world.add_key(&token, seed).await;
    let path = format!("/api/ssh/keys?publicKeyFingerprint={}", text.trim_start_matches("SHA256:"));
    assert_eq!(world.call("DELETE", &path, &token, None).await.status, 204);
}

#[tokio::test]
async fn a_delete_without_any_fingerprint_says_what_is_missing() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    for path in ["/api/ssh/keys", "/api/ssh/keys?publicKeyFingerprint="] {
        let unnamed = world.call("DELETE", path, &token, None).await;
        assert_eq!(
            (unnamed.status.as_u16(), unnamed.problem().title.as_str()),
            (400, "The key to remove is not named"),
            "{path}"
        );
    }
    assert_eq!(world.call("DELETE", "/api/ssh/keys", &token, Some(json!({}))).await.status, 400);
    for path in ["/api/ssh/keys/nonsense", "/api/ssh/keys?publicKeyFingerprint=SHA256:x"] {
        let answer = world.call("DELETE", path, &token, None).await;
        assert_eq!((answer.status.as_u16(), answer.problem().title.as_str()), (400, "This is not a fingerprint"), "{path}");
    }
    let absent = format!("/api/ssh/keys?publicKeyFingerprint={}", fingerprint(9));
    assert_eq!(world.call("DELETE", &absent, &token, None).await.status, 404);
}

#[tokio::test]
async fn bad_lines_are_refused_with_their_reason() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    for (bad, title) in [
        ("", "The public key is empty"),
        ("ssh-ed25519", "Not an OpenSSH public key"),
        ("ssh-dss AAAAB3NzaC1kc3M=", "DSA keys are not accepted"),
        ("no-pty ssh-ed25519 AAAA", "Options in front of a public key are not accepted"),
        (&format!("{}\n{}", line(1), line(2)), "A public key is a single line without control characters"),
    ] {
        let answer = world.call("POST", "/api/ssh/keys", &token, Some(json!({ "publicKey": bad }))).await;
        let problem = answer.problem();
        assert_eq!((answer.status.as_u16(), problem.title.as_str()), (400, title), "{bad}");
        assert!(problem.detail.is_some());
    }
}

#[tokio::test]
async fn a_private_key_is_neither_echoed_nor_logged() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    let pem = key(1).to_openssh(ssh_key::LineEnding::LF).unwrap().to_string();
    let secret = pem.lines().nth(1).unwrap();
    let well_formed = json!({ "publicKey": pem }).to_string();
    let raw_line_ends = format!("{{\"publicKey\": \"{pem}\"}}");
    let wrong_shape = json!(pem).to_string();
    for body in [well_formed, raw_line_ends, wrong_shape] {
        let request = Request::post("/api/ssh/keys").header(header::AUTHORIZATION, format!("bearer {token}"));
        let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body)).unwrap();
        let answer = world.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.problem().title.as_str()), (400, "This is a private key"));
        assert!(!answer.text().contains(secret));
    }
    assert!(!world.log().contains(secret));
}

#[tokio::test]
async fn the_hundred_and_first_key_is_refused_in_words() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    for seed in 0..100 {
        assert_eq!(world.add_key(&token, seed).await.status, 201);
    }
    let answer = world.add_key(&token, 100).await;
    assert_eq!(answer.status, 409);
    assert!(answer.problem().detail.unwrap().contains("100 keys"));
    assert_eq!(world.add_key(&token, 3).await.problem().title, "This key is already registered");
    assert_eq!(world.get("/api/ssh/keys", &token).await.json::<Vec<KeyItem>>().len(), 100);
}

#[tokio::test]
async fn a_query_that_is_empty_leaves_it_to_the_body() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    world.add_key(&token, 1).await;
    let body = json!({ "publicKeyFingerprint": fingerprint(1) });
    let path = "/api/ssh/keys?publicKeyFingerprint=";
    assert_eq!(world.call("DELETE", path, &token, Some(body)).await.status, 204);
}

#[tokio::test]
async fn only_what_is_kept_of_a_line_is_checked() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    for (seed, comment) in [(1, "x".repeat(256)), (2, "a\tb".into())] {
        let line = format!("{} {comment}", key(seed).public_key().to_openssh().unwrap());
        let refused = world.call("POST", "/api/ssh/keys", &token, Some(json!({ "publicKey": line }))).await;
        let title = "A key's comment has at most 255 bytes and no tabs";
        assert_eq!((refused.status.as_u16(), refused.problem().title.as_str()), (400, title));
        let taken = world.call("POST", "/api/ssh/keys", &token, Some(json!({ "publicKey": line, "title": "ok" }))).await;
        assert_eq!((taken.status.as_u16(), taken.json::<KeyItem>().title.as_str()), (201, "ok"));
    }
}

#[tokio::test]
async fn a_private_key_in_a_title_is_not_echoed() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    let title = "-----BEGIN OPENSSH PRIVATE KEY----- b3BlbnNzaA== -----END OPENSSH PRIVATE KEY-----";
    let answer = world.call("POST", "/api/ssh/keys", &token, Some(json!({ "publicKey": line(1), "title": title }))).await;
    assert_eq!((answer.status.as_u16(), answer.problem().title.as_str()), (400, "This is a private key"));
    assert!(!answer.text().contains("b3BlbnNzaA"));
    let harmless = json!({ "publicKey": line(1), "title": "my PRIVATE KEY pair" });
    assert_eq!(world.call("POST", "/api/ssh/keys", &token, Some(harmless)).await.status, 201);
}

#[tokio::test]
async fn keys_that_have_expired_make_room() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    for seed in 0..100 {
        let end = if seed < 2 { json!("2027-01-15T09:00:00Z") } else { json!(null) };
        let body = json!({ "publicKey": line(seed), "expiresAt": end });
        assert_eq!(world.call("POST", "/api/ssh/keys", &token, Some(body)).await.status, 201);
    }
    assert_eq!(world.add_key(&token, 100).await.status, 409);
    world.pass_time(Duration::from_secs(3600));
    assert_eq!(world.get("/api/ssh/keys", &token).await.json::<Vec<KeyItem>>().len(), 100, "they are shown until then");
    for seed in [100, 101] {
        assert_eq!(world.add_key(&token, seed).await.status, 201);
    }
    assert_eq!(world.add_key(&token, 102).await.status, 409);
    let left: Vec<KeyItem> = world.get("/api/ssh/keys", &token).await.json();
    assert!(left.len() == 100 && left.iter().all(|item| item.expires_at.is_none()));
    let rows: u32 = world.manifest().await.shards.iter().map(|shard| shard.length).sum();
    assert_eq!(rows, 100 * 56, "what left is not published either");
}
