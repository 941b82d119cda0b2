//! What a row says: the records behind the names, as JSON.

use drawbridge_shared::{
    api::{DaemonItem, KeyItem, RegionItem, TokenItem},
    fingerprint::Fingerprint,
    id::DaemonId,
    snapshot::directory::DaemonEntry,
    time::Timestamp,
    token::{Scope, TokenHash},
};
use serde::{Deserialize, Serialize};

/// `t/<hash>`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenFact {
    /// What its bearer may do.
    pub scope: Scope,
    /// Who bears it.
    pub subject: String,
    /// When it was minted.
    pub created_at: Timestamp,
    /// Until when, if not until revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `k/<user>/<fingerprint>`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyFact {
    /// `<type> <base64>`
    pub line: String,
    /// The comment, or the title that replaced it.
    pub title: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Until when it may log in, if not until removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `w/<workspace>`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceFact {
    /// Where it runs.
    pub region: String,
    /// `ssh-ed25519 AAAA...` of its agent, once enrolled.
    pub agent_key: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether it was put to sleep.
    #[serde(default)]
    pub asleep: bool,
}

/// `m/<workspace>/<user>`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberFact {
    /// Since when.
    pub created_at: Timestamp,
}

/// `d/<daemon>`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DaemonFact {
    /// `ssh-ed25519 AAAA...`
    pub identity: String,
    /// Where it runs.
    pub region: String,
    /// `host:port` where agents reach it, best first.
    pub addresses: Vec<String>,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// `r/<region>`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionFact {
    /// Names of its jump host, the one to show first.
    pub hosts: Vec<String>,
    /// Its SSH port.
    pub port: u16,
    /// When it was registered.
    pub created_at: Timestamp,
}

impl TokenFact {
    /// Whether it is past its end at `now`.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// As the operator sees it.
    pub fn item(self, hash: TokenHash) -> TokenItem {
        let Self { scope, subject, created_at, expires_at } = self;
        TokenItem { id: hash.to_hex(), scope, subject, created_at, expires_at }
    }
}

impl KeyFact {
    /// Whether it is past its end at `now`.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// As its user sees it.
    pub fn item(self, fingerprint: Fingerprint, last_used_at: Option<Timestamp>) -> KeyItem {
        let Self { line, title, created_at, expires_at } = self;
        let public_key = if title.is_empty() { line } else { [&line, " ", &title].concat() };
        KeyItem { public_key, public_key_fingerprint: fingerprint, title, created_at, expires_at, last_used_at }
    }
}

impl RegionFact {
    /// As the operator sees it.
    pub fn item(self, region: String) -> RegionItem {
        let Self { hosts, port, created_at } = self;
        RegionItem { region, hosts, port, created_at }
    }
}

impl DaemonFact {
    /// As the operator sees it.
    pub fn item(self, id: DaemonId) -> DaemonItem {
        let Self { identity, region, addresses, created_at } = self;
        DaemonItem { id, identity, region, addresses, created_at }
    }

    /// As the directory has it.
    pub fn entry(self, id: DaemonId) -> DaemonEntry {
        let Self { identity, region, addresses, .. } = self;
        DaemonEntry { id, region, identity, addresses }
    }
}

/// By age, then by fingerprint: the order in which a user sees keys.
pub fn sort_keys(items: &mut [KeyItem]) {
    items.sort_unstable_by_key(|item| (item.created_at, item.public_key_fingerprint));
}
