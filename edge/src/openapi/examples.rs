//! Values as they really look.

use crate::limits::MAX_CURSOR;
use drawbridge_shared::api::MAX_REGION;
use serde_json::{Value, json};

pub(super) const FINGERPRINT: &str = "SHA256:kyACqo6dCQiHxwkTuio8sXvt+GX5xd8eHYNywN0h7Oo";
pub(super) const KNOWN_HOSTS: &str = "@cert-authority *.eu.example.com,0.*,eu.example.com,ws-* ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJuUKs/bV1ZouClZX5d1hGLfovnl1NeE5L0q/IzcVZtC\n";
pub(super) const CONFIG: &str = "Host 796636 ws-796636 ws-*\n  User user\n  ProxyJump eu.example.com\n";
pub(super) const SIGNED: &str =
    "{\"version\":1,\"seq\":7}\n-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ...\n-----END SSH SIGNATURE-----\n";
pub(super) const IMPORT: &str = concat!(
    "{\"type\":\"workspace\",\"workspace\":\"796636\",\"region\":\"eu\"}\n",
    "{\"type\":\"member\",\"workspace\":\"796636\",\"user\":\"alice\"}\n",
    "{\"type\":\"key\",\"user\":\"alice\",\"publicKey\":\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJuUKs/bV1ZouClZX5d1hGLfovnl1NeE5L0q/IzcVZtC laptop\"}\n",
);

/// DNS labels.
const REGION: &str = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJuUKs/bV1ZouClZX5d1hGLfovnl1NeE5L0q/IzcVZtC";
const THEN: &str = "2026-11-23T09:30:00Z";
const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// Schema and example of a parameter.
pub(super) fn parameter(name: &str) -> (Value, Value) {
    let text = |pattern: &str, example: &str| (json!({ "type": "string", "pattern": pattern }), json!(example));
    match name {
        "limit" => (json!({ "type": "integer", "minimum": 1, "default": 100, "description": "At most 500." }), json!(100)),
        "cursor" => {
            (json!({ "type": "string", "maxLength": MAX_CURSOR, "description": "From the page before." }), json!("796636"))
        }
        "fingerprint" | "publicKeyFingerprint" => text("^(SHA256:)?[A-Za-z0-9+/]{43}=?$", FINGERPRINT),
        "hash" => text("^[0-9a-f]{64}$", HASH),
        "user" => {
            let schema = json!({ "type": "string", "pattern": "^[!-~]{1,64}$", "not": { "enum": [".", ".."] } });
            (schema, json!("alice"))
        }
        "region" => (json!({ "type": "string", "pattern": REGION, "maxLength": MAX_REGION }), json!("eu")),
        _ => text("^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$", "796636"),
    }
}

pub(super) fn add_key() -> Value {
    json!({ "publicKey": format!("{KEY} laptop") })
}

pub(super) fn key() -> Value {
    json!({ "publicKey": format!("{KEY} laptop"), "publicKeyFingerprint": FINGERPRINT, "title": "laptop", "createdAt": THEN })
}

pub(super) fn user_workspace() -> Value {
    json!({ "id": "796636", "region": "eu", "asleep": false, "connection": "ssh -J eu.example.com user@796636" })
}

pub(super) fn mint_token() -> Value {
    json!({ "scope": "user", "subject": "alice" })
}

pub(super) fn token() -> Value {
    json!({ "id": HASH, "scope": "user", "subject": "alice", "createdAt": THEN })
}

pub(super) fn minted() -> Value {
    let token = "dbu_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8AAAAA";
    json!({ "token": token, "id": HASH, "scope": "user", "subject": "alice", "createdAt": THEN })
}

pub(super) fn minted_agent() -> Value {
    let token = "dba_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8AAAAA";
    json!({ "token": token, "id": HASH, "scope": "agent", "subject": "796636", "createdAt": THEN })
}

pub(super) fn workspace() -> Value {
    json!({ "id": "796636", "region": "eu", "agentKey": KEY, "members": ["alice"], "asleep": false, "createdAt": THEN })
}

pub(super) fn put_daemon() -> Value {
    json!({ "identity": KEY, "region": "eu", "addresses": ["eu-1.example.com:443"] })
}

pub(super) fn daemon() -> Value {
    json!({ "id": "eu-1", "identity": KEY, "region": "eu", "addresses": ["eu-1.example.com:443"], "createdAt": THEN })
}

pub(super) fn put_region() -> Value {
    json!({ "hosts": ["eu.example.com"], "port": 22 })
}

pub(super) fn region() -> Value {
    json!({ "region": "eu", "hosts": ["eu.example.com"], "port": 22, "createdAt": THEN })
}

pub(super) fn import_report() -> Value {
    json!({ "imported": 2, "unchanged": 0, "failed": [{ "line": 3, "status": 400, "title": "Unsupported key type" }] })
}

pub(super) fn enrol() -> Value {
    json!({ "publicKey": KEY, "proof": "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ...\n-----END SSH SIGNATURE-----\n" })
}

pub(super) fn enrolled() -> Value {
    json!({ "workspace": "796636", "region": "eu", "hostCertificate": certificate() })
}

pub(super) fn certificate() -> Value {
    json!({ "certificate": "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQt...", "validBefore": THEN })
}

pub(super) fn used() -> Value {
    json!({ "used": [{ "user": "alice", "publicKeyFingerprint": FINGERPRINT, "usedAt": THEN }] })
}
