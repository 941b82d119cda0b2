//! What a platform that moves in sends and gets.

use crate::{
    id::{UserId, WorkspaceId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// One line of `POST /api/operator/import`; which fields it takes depends on its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportLine {
    /// What is imported.
    pub r#type: ImportType,
    /// Of a key and of a member: whose it is, or who may enter, by name or as an integer.
    #[serde(default, deserialize_with = "super::integer::id", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "super::integer::id_schema::<UserId>"))]
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
    /// Of a workspace and of a member: which one, by its name or as an integer.
    #[serde(default, deserialize_with = "super::integer::id", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "super::integer::id_schema::<WorkspaceId>"))]
    pub workspace: Option<WorkspaceId>,
    /// Of a workspace: where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// What a line of an import is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
