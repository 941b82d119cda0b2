//! Why a user is turned away: one list for the log, the metric and the words on the user's screen.

use drawbridge_shared::{id::WorkspaceId, revocation::Revocation, target::TargetFault};
use std::fmt;

/// A refusal at the jump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The target names no workspace.
    Target(TargetFault),
    /// Unknown workspace, or somebody else's: told apart in no way.
    NoAccess(WorkspaceId),
    /// The user is a member, the agent is not connected.
    Offline(WorkspaceId),
    /// The agent is connected and gives no stream.
    Unresponsive(WorkspaceId),
    /// The signed state ended too long ago.
    Stale,
    /// Too many channels on one connection.
    Channels,
    /// Something that a jump host does not do.
    NotServed(&'static str),
    /// The key that was proven is nobody's here.
    UnknownKey,
    /// What lived was let in by a grant that is no more.
    Revoked(Revocation),
    /// The daemon is about to stop.
    Stopping,
}

impl Denial {
    /// A closed set of labels.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Target(_) => "target",
            Self::NoAccess(_) => "no-access",
            Self::Offline(_) => "offline",
            Self::Unresponsive(_) => "unresponsive",
            Self::Stale => "stale",
            Self::Channels => "channels",
            Self::NotServed(_) => "not-served",
            Self::UnknownKey => "unknown-key",
            Self::Revoked(revocation) => revocation.label(),
            Self::Stopping => "stopping",
        }
    }

    /// The workspace that it is about.
    pub const fn workspace(&self) -> Option<&WorkspaceId> {
        match self {
            Self::NoAccess(id) | Self::Offline(id) | Self::Unresponsive(id) => Some(id),
            _ => None,
        }
    }

    /// The reason code of RFC 4254 section 5.1.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Offline(_) | Self::Unresponsive(_) | Self::Stopping => 2,
            Self::Channels => 4,
            _ => 1,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(fault) => write!(f, "{fault}"),
            Self::NoAccess(id) => write!(f, "no workspace {id} for this key: it does not exist, or you are not a member of it"),
            Self::Offline(id) => {
                write!(f, "workspace {id} is offline: its agent is not connected; start the workspace and try again")
            }
            Self::Unresponsive(id) => write!(f, "workspace {id} does not answer: its agent is connected but busy; try again"),
            Self::Stale => f.write_str(
                "this jump host has had no news of its keys for too long and lets nobody in; its operator has to look",
            ),
            Self::Channels => f.write_str("too many connections over this one; open another `ssh -J`"),
            Self::NotServed(what) => {
                write!(f, "this is a jump host and has no {what}: use `ssh -J <this host> user@<workspaceId>`")
            }
            Self::UnknownKey => f.write_str("this key is registered to nobody"),
            Self::Revoked(revocation) => write!(f, "{revocation}"),
            Self::Stopping => f.write_str("this jump host is about to stop; try again"),
        }
    }
}
