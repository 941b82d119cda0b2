//! Why the Ledger refuses: one list, from which come status, title and advice of the answer.

use crate::{
    limits::{DAEMONS, DOCUMENT_KEYS, KEYS_PER_USER, MEMBERS_PER_WORKSPACE, REGIONS, TOKENS_PER_SUBJECT},
    rows::RowsFault,
};
use axum::http::StatusCode;
use drawbridge_shared::{
    id::{DaemonId, WorkspaceId},
    signed::CannotSign,
    token::Scope,
};
use std::fmt;

/// Why nothing was done. The text is the title of the problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Never minted, or revoked.
    #[error("The token is not valid")]
    UnknownToken,
    /// Past its end.
    #[error("The token has expired")]
    ExpiredToken,
    /// Good for something else.
    #[error("This token's scope does not allow it")]
    Scope {
        /// What it is.
        has: Scope,
        /// What it takes.
        needs: Scope,
    },
    /// Not there.
    #[error("There is no such {0}")]
    NotFound(Thing),
    /// The user has this key.
    #[error("This key is already registered")]
    KeyExists,
    /// See [`KEYS_PER_USER`].
    #[error("No more keys can be registered")]
    TooManyKeys,
    /// See [`MEMBERS_PER_WORKSPACE`].
    #[error("No more members can be added")]
    TooManyMembers,
    /// See [`DOCUMENT_KEYS`].
    #[error("The members of a workspace would have too many keys")]
    DocumentFull(WorkspaceId),
    /// See [`TOKENS_PER_SUBJECT`].
    #[error("No more tokens can be minted for this subject")]
    TooManyTokens,
    /// See [`DAEMONS`].
    #[error("No more daemons can be registered")]
    TooManyDaemons,
    /// Another daemon's.
    #[error("Another daemon has this identity")]
    IdentityTaken(DaemonId),
    /// Another agent was first.
    #[error("Another agent key is enrolled for this workspace")]
    AgentKeyTaken,
    /// The signature does not fit.
    #[error("The proof does not fit the public key")]
    WrongProof,
    /// An end in the past.
    #[error("It would have expired already")]
    PastExpiry,
    /// See [`REGIONS`].
    #[error("No more regions can be registered")]
    TooManyRegions,
    /// A shard or a document is larger than what holds it.
    #[error("The edge is full")]
    Full,
    /// Secrets are missing or unusable.
    #[error("The edge is not configured")]
    Misconfigured(Vec<String>),
    /// The rows fail.
    #[error("The edge's storage failed")]
    Storage(String),
}

/// What is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A user's key.
    Key,
    /// A token.
    Token,
    /// A workspace.
    Workspace,
    /// A member of a workspace.
    Member,
    /// A workspace's agent key.
    AgentKey,
    /// A daemon.
    Daemon,
    /// A region.
    Region,
    /// A certificate of a host key.
    HostCertificate,
    /// A shard.
    Shard,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Token => "token",
            Self::Workspace => "workspace",
            Self::Member => "member of this workspace",
            Self::AgentKey => "workspace with an enrolled agent",
            Self::Daemon => "daemon",
            Self::Region => "registered region",
            Self::HostCertificate => "host certificate",
            Self::Shard => "shard",
        })
    }
}

impl Refusal {
    /// The HTTP status it becomes.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::UnknownToken | Self::ExpiredToken => StatusCode::UNAUTHORIZED,
            Self::Scope { .. } => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::KeyExists
            | Self::TooManyKeys
            | Self::TooManyMembers
            | Self::DocumentFull(_)
            | Self::TooManyTokens
            | Self::TooManyDaemons
            | Self::TooManyRegions
            | Self::IdentityTaken(_)
            | Self::AgentKeyTaken => StatusCode::CONFLICT,
            Self::WrongProof | Self::PastExpiry => StatusCode::BAD_REQUEST,
            Self::Full => StatusCode::INSUFFICIENT_STORAGE,
            Self::Misconfigured(_) | Self::Storage(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What to do about it.
    pub fn detail(&self) -> Option<String> {
        Some(match self {
            Self::UnknownToken => "Ask whoever gave you the token for a new one; it may have been revoked.".into(),
            Self::ExpiredToken => "Ask whoever gave you the token for a new one.".into(),
            Self::Scope { has, needs } => format!("This call takes a token of scope '{needs}'; this one is of scope '{has}'."),
            Self::NotFound(Thing::HostCertificate) => {
                "Either this edge has no host CA (secret HOST_CA_KEY), or the agent is not enrolled, or the daemon or its region not registered.".into()
            }
            Self::NotFound(_) => return None,
            Self::KeyExists => "There is nothing to do: it may log in.".into(),
            Self::TooManyKeys => format!("A user may have {KEYS_PER_USER} keys. Remove one that is no longer used."),
            Self::TooManyMembers => format!("A workspace may have {MEMBERS_PER_WORKSPACE} members."),
            Self::DocumentFull(id) => format!(
                "The members of workspace '{id}' may have {DOCUMENT_KEYS} keys together. Remove keys or members that are no longer needed."
            ),
            Self::TooManyTokens => {
                format!("A subject may hold {TOKENS_PER_SUBJECT} tokens. Revoke those that are no longer used.")
            }
            Self::TooManyRegions => format!("There may be {REGIONS} regions. Remove those that are gone."),
            Self::TooManyDaemons => format!("There may be {DAEMONS} daemons. Remove those that are gone."),
            Self::IdentityTaken(id) => {
                format!("It belongs to '{id}'. Each daemon has a state folder, and so an identity, of its own.")
            }
            Self::AgentKeyTaken => {
                "If the workspace was rebuilt, an operator resets its key: DELETE /api/operator/workspaces/{id}/agent-key.".into()
            }
            Self::WrongProof => {
                "The proof is an SSH signature by that key over the token's id (hex SHA-256), namespace 'enrol@drawbridge'."
                    .into()
            }
            Self::PastExpiry => "Choose an 'expiresAt' in the future, or leave it out.".into(),
            Self::Full => "A part of the key snapshot has reached the size that the edge can store. Tell its operator.".into(),
            Self::Misconfigured(names) => {
                format!("Missing or unusable secrets: {}. Set them with `wrangler secret put`.", names.join(", "))
            }
            Self::Storage(_) => "Nothing was changed. Try again in a moment.".into(),
        })
    }
}

impl From<RowsFault> for Refusal {
    fn from(fault: RowsFault) -> Self {
        Self::Storage(fault.0)
    }
}

impl From<CannotSign> for Refusal {
    fn from(_: CannotSign) -> Self {
        Self::Misconfigured(vec![crate::secrets::SIGNING_KEY.into()])
    }
}
