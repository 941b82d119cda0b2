//! The signing key is rolled: whoever trusts the old key, and whoever trusts the new one, believes what is signed meanwhile.

use crate::world::World;
use drawbridge_shared::{
    authorized_keys::AuthorizedKeys,
    id::SnapshotSeq,
    signed::TrustRoots,
    snapshot::{Manifest, SnapshotFault},
};
use std::time::Duration;

fn trust(seed: u8) -> TrustRoots {
    crate::world::key(seed).public_key().to_openssh().unwrap().parse().unwrap()
}

fn believes(world: &World, text: &str, trust: &TrustRoots) -> Result<Manifest, SnapshotFault> {
    Manifest::verify(text, trust, world.now(), SnapshotSeq(0), Duration::ZERO)
}

#[tokio::test]
async fn a_verifier_that_follows_is_never_left_behind() {
    let world = World::new();
    let text = async |world: &World| world.get("/v1/snapshot", &world.operator).await.text();
    world.roll(&[1]);
    let before = believes(&world, &text(&world).await, &trust(1)).unwrap();
    assert_eq!(before.signers.len(), 1);

    world.roll(&[1, 2]);
    let during = text(&world).await;
    for seed in [1, 2] {
        assert!(believes(&world, &during, &trust(seed)).unwrap().seq > before.seq, "a reader sees at once that keys are rolled");
    }
    let followed = trust(1).with(&believes(&world, &during, &trust(1)).unwrap().signers);

    world.roll(&[2]);
    let after = text(&world).await;
    assert!(believes(&world, &after, &trust(1)).is_err());
    assert_eq!(believes(&world, &after, &followed).unwrap().signers, [crate::world::key(2).public_key().to_openssh().unwrap()]);
}

#[tokio::test]
async fn an_agents_document_is_renewed_when_keys_are_rolled() {
    let world = World::new();
    world.roll(&[1]);
    world.workspace("1", "eu", &[]).await;
    let token = world.token("agent", "1").await;
    let held = world.get("/v1/agent/authorized-keys", &token).await;
    assert_eq!(world.get_if_none_match("/v1/agent/authorized-keys", &token, held.header("etag")).await.status, 304);
    world.roll(&[1, 2]);
    let renewed = world.get_if_none_match("/v1/agent/authorized-keys", &token, held.header("etag")).await;
    let (id, now) = ("1".parse().unwrap(), world.now());
    let verify = |seed| AuthorizedKeys::verify(&renewed.text(), &trust(seed), &id, now, SnapshotSeq(0), Duration::ZERO);
    assert_eq!((verify(1).unwrap().signers.len(), verify(2).unwrap().signers.len()), (2, 2));
}
