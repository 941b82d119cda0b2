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
/// Most keys in one report of use: they fit [`MAX_BODY`].
pub const MAX_USED: usize = 80;
/// Most names of a region's jump host.
pub const MAX_HOSTS: usize = 8;
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
    /// Until when it may log in; absent: until removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
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
    /// Until when it may log in, if not until removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it last logged in, minutes-fresh; absent: never since it was registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
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
    /// See [`HostCertificate`]; absent where the edge has no host CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_certificate: Option<HostCertificate>,
}

/// Answer to `GET /v1/agent/host-certificate` and `GET /v1/daemon/host-certificate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostCertificate {
    /// `ssh-ed25519-cert-v01@openssh.com AAAA...`, of the workspace key or the daemon's identity (OpenSSH PROTOCOL.certkeys).
    pub certificate: String,
    /// Until when it is good; a new one is to be fetched well before.
    pub valid_before: Timestamp,
}

/// `POST /v1/daemon/used`: logins that were granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsedKeys {
    /// At most [`MAX_USED`]; the newest use of each key.
    pub used: Vec<UsedKey>,
}

/// One key that logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsedKey {
    /// Whose it is.
    pub user: UserId,
    /// Which it is.
    pub public_key_fingerprint: Fingerprint,
    /// When.
    pub used_at: Timestamp,
}

/// `PUT /api/operator/regions/{region}`: how users reach a region's daemons by SSH.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// One workspace in `GET /api/ssh/workspaces`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserWorkspace {
    /// Its name.
    pub id: WorkspaceId,
    /// Where it runs.
    pub region: String,
    /// What to type: `ssh -J <jump host> user@<id>`.
    pub connection: String,
}

/// `POST /api/operator/workspaces/{id}/agent-token`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateToken {
    /// How long the workspace's older agent tokens stay good; absent: they end at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u32>,
}

/// One line of `POST /api/operator/import`; which fields it takes depends on its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportLine {
    /// What is imported.
    pub r#type: ImportType,
    /// Of a key and of a member: whose it is, or who may enter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// Of a key: one line as in a `.pub` file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Of a key, if it is to replace the line's comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Of a key, if it is to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Of a workspace and of a member: which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceId>,
    /// Of a workspace: where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// What a line of an import is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImportType {
    /// A user's key: `user`, `publicKey`, optional `title` and `expiresAt`.
    Key,
    /// A workspace: `workspace`, `region`.
    Workspace,
    /// A member of a workspace that is there or in the same body: `workspace`, `user`.
    Member,
}

/// Answer to `POST /api/operator/import`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Lines that are in effect now.
    pub imported: usize,
    /// Lines that were in effect before.
    pub unchanged: usize,
    /// Lines that are not, each with its reason; the others stand.
    pub failed: Vec<ImportFailure>,
}

/// A line that was not imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportFailure {
    /// Its number, counted from 1.
    pub line: usize,
    /// The HTTP status that it would have got alone.
    pub status: u16,
    /// What happened.
    pub title: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
