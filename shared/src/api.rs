//! Bodies of the REST API: what callers send, and what existing clients decode.

use crate::{
    fingerprint::Fingerprint,
    id::{DaemonId, UserId, WorkspaceId},
    time::Timestamp,
    token::Scope,
};
use serde::{Deserialize, Serialize};

/// Largest request body, in bytes.
pub const MAX_BODY: usize = 16 * 1024;
/// SSHSIG namespace of an enrolment's proof; the message is the agent token's id (hex SHA-256), so that it fits one token.
pub const ENROL_NAMESPACE: &str = "enrol@drawbridge";
/// Longest region name.
pub const MAX_REGION: usize = 63;
/// Most addresses a daemon may announce.
pub const MAX_ADDRESSES: usize = 8;
/// Longest `host:port`.
pub const MAX_ADDRESS: usize = 255;

/// Body of every 4xx and 5xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What happened.
    pub title: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to quote when asking for help.
    pub trace_id: String,
}

/// One page of a list in the operator API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// In the order of their names.
    pub items: Vec<T>,
    /// What to send as `?cursor=` for the next page; absent on the last one.
    pub cursor: Option<String>,
}

/// `POST /api/ssh/keys`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddKey {
    /// One line as in a `.pub` file.
    pub public_key: String,
    /// Replaces the line's comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// `DELETE /api/ssh/keys`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoveKey {
    /// `SHA256:...` or the bare base64.
    pub public_key_fingerprint: String,
}

/// One key in `GET /api/ssh/keys`, and the answer to a POST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyItem {
    /// The whole line, comment included.
    pub public_key: String,
    /// As `ssh-keygen -lf` prints it.
    pub public_key_fingerprint: Fingerprint,
    /// The comment, or the title that replaced it.
    pub title: String,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// `POST /api/operator/tokens`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MintToken {
    /// What its bearer may do.
    pub scope: Scope,
    /// A user id, workspace id or daemon id, by scope; for an operator, a name to tell tokens apart.
    pub subject: String,
    /// Until when; absent: until revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// One token in `GET /api/operator/tokens`: all but the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutWorkspace {
    /// Where it runs: only daemons of this region carry its sessions.
    pub region: String,
}

/// One workspace in the operator API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// When it was created.
    pub created_at: Timestamp,
}

/// `PUT /api/operator/daemons/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// `POST /v1/agent/enrol`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Enrol {
    /// The workspace key, `ssh-ed25519 AAAA...`.
    pub public_key: String,
    /// Armored SSHSIG by that key over the agent token's id (hex SHA-256), namespace [`ENROL_NAMESPACE`].
    pub proof: String,
}

/// Answer to an enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Enrolled {
    /// The token's workspace.
    pub workspace: WorkspaceId,
    /// Where it runs.
    pub region: String,
}
