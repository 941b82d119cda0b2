//! What a user sends and gets.

use crate::{fingerprint::Fingerprint, id::WorkspaceId, time::Timestamp};
use serde::{Deserialize, Serialize};

/// `POST /api/ssh/keys`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RemoveKey {
    /// `SHA256:...` or the bare base64.
    pub public_key_fingerprint: String,
}

/// One key in `GET /api/ssh/keys`, and the answer to a POST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// One workspace in `GET /api/ssh/workspaces`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UserWorkspace {
    /// Its name.
    pub id: WorkspaceId,
    /// Where it runs.
    pub region: String,
    /// Whether it was put to sleep: wake it before entering.
    pub asleep: bool,
    /// What to type: `ssh -J <jump host> user@<id>`.
    pub connection: String,
}
