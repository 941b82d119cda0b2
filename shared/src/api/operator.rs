//! What an operator sends and gets.

use crate::{
    id::{DaemonId, UserId, WorkspaceId},
    time::Timestamp,
    token::Scope,
};
use serde::{Deserialize, Serialize};

/// `POST /api/operator/tokens`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MintToken {
    /// What its bearer may do.
    pub scope: Scope,
    /// A user id, workspace id or daemon id, by scope; for an operator, a name to tell tokens apart. An integer is its digits.
    #[serde(deserialize_with = "super::integer::text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "super::integer::text_schema"))]
    pub subject: String,
    /// Until when; absent: until revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// One token in `GET /api/operator/tokens`: all but the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TokenItem {
    /// SHA-256 of the token in hex: names it in `DELETE`.
    pub id: String,
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

/// Answer to `POST /api/operator/tokens`: the only place where a token is shown.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MintedToken {
    /// The token in the clear.
    pub token: String,
    /// All else about it.
    #[serde(flatten)]
    pub item: TokenItem,
}

impl std::fmt::Debug for MintedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MintedToken").field("token", &"..").field("item", &self.item).finish()
    }
}

/// `PUT /api/operator/workspaces/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutWorkspace {
    /// Where it runs: only daemons of this region carry its sessions.
    pub region: String,
}

/// One workspace in the operator API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceItem {
    /// Its name.
    pub id: WorkspaceId,
    /// Where it runs.
    pub region: String,
    /// `ssh-ed25519 AAAA...` of its agent, once enrolled: its SSH host key.
    pub agent_key: Option<String>,
    /// Who may enter, sorted.
    pub members: Vec<UserId>,
    /// Whether it was put to sleep.
    pub asleep: bool,
    /// When it was created.
    pub created_at: Timestamp,
}

/// `PUT /api/operator/daemons/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutDaemon {
    /// `ssh-ed25519 AAAA...`, as `drawbridge-daemon identity` prints it.
    pub identity: String,
    /// Where it runs.
    pub region: String,
    /// `host:port` where agents reach it, best first.
    pub addresses: Vec<String>,
}

/// One daemon in the operator API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DaemonItem {
    /// Its name.
    pub id: DaemonId,
    /// Its SSH host key and TLS identity.
    pub identity: String,
    /// Where it runs.
    pub region: String,
    /// Where agents reach it.
    pub addresses: Vec<String>,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// `PUT /api/operator/regions/{region}`: how users reach a region's daemons by SSH.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutRegion {
    /// Names or addresses of its jump host, the one to show first; also the domains that may stand behind a workspace's name.
    pub hosts: Vec<String>,
    /// Its SSH port.
    #[serde(default = "ssh_port")]
    pub port: u16,
}

const fn ssh_port() -> u16 {
    22
}

/// One region in the operator API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RegionItem {
    /// Its name.
    pub region: String,
    /// See [`PutRegion::hosts`].
    pub hosts: Vec<String>,
    /// See [`PutRegion::port`].
    pub port: u16,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// `POST /api/operator/workspaces/{id}/agent-token`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateToken {
    /// How long the workspace's older agent tokens stay good; absent: they end at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u32>,
}
