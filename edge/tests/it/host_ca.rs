//! The host CA, as OpenSSH's own tools see its certificates.

use crate::world::{World, key, line};
use drawbridge_shared::{
    api::{ENROL_NAMESPACE, Enrolled, HostCertificate},
    signed,
};
use serde_json::json;
use ssh_key::{Certificate, HashAlg};

async fn enrol(world: &World, token: &drawbridge_shared::api::MintedToken, seed: u8) -> Enrolled {
    let proof = signed::detached(&key(seed), ENROL_NAMESPACE, token.item.id.as_bytes()).unwrap();
    let body = json!({ "publicKey": line(seed), "proof": proof });
    world.call("POST", "/v1/agent/enrol", &token.token, Some(body)).await.json()
}

fn open(world: &World, certificate: &HostCertificate) -> Certificate {
    let parsed: Certificate = certificate.certificate.parse().unwrap();
    let ca = world.host_ca.public_key().fingerprint(HashAlg::Sha256);
    parsed.validate_at(world.now().as_unix(), [&ca]).unwrap();
    assert!(parsed.cert_type().is_host());
    assert_eq!(parsed.valid_before(), certificate.valid_before.as_unix());
    parsed
}

async fn certificate(world: &World, daemon: &str) -> Certificate {
    open(world, &world.get("/v1/daemon/host-certificate", daemon).await.json())
}

fn names(certificate: &Certificate) -> Vec<&str> {
    certificate.valid_principals().iter().map(String::as_str).collect()
}

#[tokio::test]
async fn a_workspace_is_certified_under_all_its_names() {
    let world = World::new();
    world.workspace("796636", "eu", &[]).await;
    world.operate("PUT", "/regions/eu", Some(json!({ "hosts": ["eu.example.com", "192.0.2.1"] }))).await;
    let token = world.mint("agent", "796636").await;
    assert_eq!(world.get("/v1/agent/host-certificate", &token.token).await.status, 404, "before it is enrolled");
    let enrolled = enrol(&world, &token, 7).await.host_certificate.unwrap();
    let renewed: HostCertificate = world.get("/v1/agent/host-certificate", &token.token).await.json();
    for certificate in [&enrolled, &renewed] {
        let certificate = open(&world, certificate);
        assert_eq!(certificate.public_key(), key(7).public_key().key_data());
        let expected = ["796636", "ws-796636", "796636.eu.example.com", "ws-796636.eu.example.com", "0.12.39.220"];
        assert_eq!(names(&certificate), expected);
        assert_eq!(certificate.key_id(), "ws-796636");
    }
    assert_ne!(enrolled.certificate, renewed.certificate, "nonces differ");
}

#[tokio::test]
async fn a_named_workspace_has_no_quad_and_an_unregistered_region_is_a_domain() {
    let world = World::new();
    world.workspace("lighthouse", "eu.example.com", &[]).await;
    let token = world.mint("agent", "lighthouse").await;
    let certificate = enrol(&world, &token, 7).await.host_certificate.unwrap();
    let expected = ["lighthouse", "ws-lighthouse", "lighthouse.eu.example.com", "ws-lighthouse.eu.example.com"];
    assert_eq!(names(&open(&world, &certificate)), expected);
}

#[tokio::test]
async fn no_workspace_is_certified_as_a_jump_host() {
    let world = World::new();
    world.workspace("eu", "world", &[]).await;
    world.operate("PUT", "/regions/world", Some(json!({ "hosts": ["example.com"] }))).await;
    let put = world.operate("PUT", "/regions/eu", Some(json!({ "hosts": ["eu.example.com", "ws-eu"] }))).await;
    assert_eq!(put.status, 201, "{}", put.text());
    let token = world.mint("agent", "eu").await;
    let certificate = enrol(&world, &token, 7).await.host_certificate.unwrap();
    assert_eq!(names(&open(&world, &certificate)), ["eu", "ws-eu.example.com"]);
    world.workspace("us", "us", &[]).await;
    let token = world.mint("agent", "us").await;
    let certificate = enrol(&world, &token, 8).await.host_certificate.unwrap();
    assert_eq!(names(&open(&world, &certificate)), ["ws-us", "us.us", "ws-us.us"], "a region without a name is its own");
}

#[tokio::test]
async fn a_daemon_is_certified_as_its_regions_jump_host() {
    let world = World::new();
    let token = world.token("daemon", "eu-1").await;
    assert_eq!(world.get("/v1/daemon/host-certificate", &token).await.status, 404, "before it is registered");
    let body = json!({ "identity": line(9), "region": "eu", "addresses": ["eu-1.example.com:443", "[2001:db8::1]:443"] });
    world.operate("PUT", "/daemons/eu-1", Some(body)).await;
    world.operate("PUT", "/regions/eu", Some(json!({ "hosts": ["eu.example.com"], "port": 2222 }))).await;
    let certificate: HostCertificate = world.get("/v1/daemon/host-certificate", &token).await.json();
    let certificate = open(&world, &certificate);
    assert_eq!(names(&certificate), ["eu.example.com", "eu-1.example.com", "2001:db8::1"]);
    assert_eq!(certificate.public_key(), key(9).public_key().key_data());
    let other = world.token("daemon", "eu-2").await;
    assert_eq!(world.get("/v1/daemon/host-certificate", &other).await.status, 404, "another daemon's identity is not certified");
    assert_eq!(world.get("/v1/daemon/host-certificate", &world.operator).await.status, 403);
}

/// Whoever steals the daemon would end the SSH of that workspace under a certificate that users trust.
#[tokio::test]
async fn no_daemon_is_certified_as_a_workspace_nor_the_reverse() {
    let world = World::new();
    let daemon = world.token("daemon", "eu-1").await;
    let addresses =
        ["D1.eu.example.com:443", "ws-1.us.example.com:443", "lighthouse:443", "192.0.2.7:443", "jump.example.net:443"];
    let body = json!({ "identity": line(9), "region": "eu", "addresses": addresses });
    world.operate("PUT", "/daemons/eu-1", Some(body)).await;
    let unregistered = ["d1.eu.example.com", "ws-1.us.example.com", "jump.example.net"];
    assert_eq!(names(&certificate(&world, &daemon).await), unregistered, "'eu' may be a workspace too");
    for region in ["eu", "us"] {
        let body = json!({ "hosts": [format!("{region}.example.com")] });
        world.operate("PUT", &format!("/regions/{region}"), Some(body)).await;
    }
    assert_eq!(names(&certificate(&world, &daemon).await), ["eu.example.com", "jump.example.net"]);
    for (id, expected) in [
        ("d1", &["d1", "ws-d1", "ws-d1.eu.example.com"][..]),
        ("lighthouse", &["ws-lighthouse", "lighthouse.eu.example.com", "ws-lighthouse.eu.example.com"]),
        ("3221225991", &["3221225991", "ws-3221225991", "3221225991.eu.example.com", "ws-3221225991.eu.example.com"]),
    ] {
        world.workspace(id, "eu", &[]).await;
        let token = world.mint("agent", id).await;
        assert_eq!(names(&open(&world, &enrol(&world, &token, 7).await.host_certificate.unwrap())), expected);
    }
}

#[tokio::test]
async fn a_daemon_without_a_name_of_its_own_is_not_certified() {
    let world = World::new();
    let token = world.token("daemon", "eu-1").await;
    let body = json!({ "identity": line(9), "region": "eu", "addresses": ["192.0.2.7:443"] });
    world.operate("PUT", "/daemons/eu-1", Some(body)).await;
    let refused = world.get("/v1/daemon/host-certificate", &token).await;
    assert!(refused.status == 404 && refused.problem().detail.unwrap().contains("its region"));
}

#[tokio::test]
async fn an_edge_without_a_ca_enrols_all_the_same() {
    let world = World::without_host_ca();
    world.workspace("1", "eu", &[]).await;
    let token = world.mint("agent", "1").await;
    assert_eq!(enrol(&world, &token, 7).await.host_certificate, None);
    assert_eq!(world.get("/v1/agent/host-certificate", &token.token).await.status, 404);
}
