//! What the router has to say about the feed; the socket itself is the runtime's.

use crate::world::World;
use axum::{
    body::Body,
    http::{Request, header},
};

async fn upgrade(world: &World, token: &str) -> crate::world::Answer {
    let request = Request::get("/v1/feed").header(header::AUTHORIZATION, format!("Bearer {token}"));
    world.send(request.header(header::UPGRADE, "WebSocket").body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn only_those_who_may_follow_are_let_in() {
    let world = World::new();
    let (user, daemon) = (world.token("user", "alice").await, world.token("daemon", "eu-1").await);
    assert_eq!(upgrade(&world, &daemon).await.status, 101);
    assert_eq!(upgrade(&world, &user).await.status, 403);
    assert_eq!(upgrade(&world, "").await.status, 401);
    assert_eq!(world.get("/v1/feed", &daemon).await.status, 426);
    for method in ["HEAD", "POST", "DELETE"] {
        let request = Request::builder().method(method).uri("/v1/feed").header(header::UPGRADE, "websocket");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {daemon}"));
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET"), "{method}");
    }
    world.cut_off_the_ledger();
    assert_eq!(upgrade(&world, &daemon).await.status, 503);
}

#[tokio::test]
async fn every_publish_is_pushed_in_order() {
    let world = World::new();
    let token = world.token("user", "alice").await;
    for seed in 1..5 {
        world.add_key(&token, seed).await;
    }
    let pushed: Vec<_> = world.published().iter().map(|text| world.verify(text).seq.0).collect();
    assert_eq!(pushed, [1, 2, 3, 4]);
}
