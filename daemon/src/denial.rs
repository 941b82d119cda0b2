//! Why a user is turned away: one list for the log, the metric and the words on the user's screen.

use drawbridge_shared::{id::WorkspaceId, revocation::Revocation, target::TargetFault, time::Timestamp};
use std::fmt;

/// A refusal at the jump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The target names no workspace.
    Target(TargetFault),
    /// Unknown workspace, or somebody else's: told apart in no way.
    NoAccess(WorkspaceId),
    /// The user is a member, the agent is not connected; since when, if that is remembered.
    Offline(WorkspaceId, Option<Timestamp>),
    /// The user is a member, the platform has put the workspace to sleep and its agent is not connected.
    Asleep(WorkspaceId),
    /// The user is a member, the agent is still connected and takes nothing new.
    Draining(WorkspaceId),
    /// The user is a member, the workspace runs in that region by now.
    Moved(WorkspaceId, String),
    /// The agent is connected and gives no stream.
    Unresponsive(WorkspaceId),
    /// The signed state has ended by our clock, or has not begun, or never came.
    Stale,
    /// Too many connections of one user.
    Connections,
    /// Too many channels on one connection.
    Channels,
    /// Too many channels of one user, over all connections.
    Share,
    /// Too many channels of all users.
    Full,
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
            Self::Offline(..) => "offline",
            Self::Asleep(_) => "asleep",
            Self::Draining(_) => "draining",
            Self::Moved(..) => "moved",
            Self::Unresponsive(_) => "unresponsive",
            Self::Stale => "stale",
            Self::Connections => "connections",
            Self::Channels => "channels",
            Self::Share => "share",
            Self::Full => "full",
            Self::NotServed(_) => "not-served",
            Self::UnknownKey => "unknown-key",
            Self::Revoked(revocation) => revocation.label(),
            Self::Stopping => "stopping",
        }
    }

    /// The workspace that it is about.
    pub const fn workspace(&self) -> Option<&WorkspaceId> {
        match self {
            Self::NoAccess(id)
            | Self::Offline(id, _)
            | Self::Asleep(id)
            | Self::Draining(id)
            | Self::Moved(id, _)
            | Self::Unresponsive(id) => Some(id),
            _ => None,
        }
    }

    /// The reason code of RFC 4254 section 5.1.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Offline(..)
            | Self::Asleep(_)
            | Self::Draining(_)
            | Self::Moved(..)
            | Self::Unresponsive(_)
            | Self::Stopping => 2,
            Self::Channels | Self::Share | Self::Full => 4,
            _ => 1,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(fault) => write!(f, "{fault}"),
            Self::NoAccess(id) => write!(f, "no workspace {id} for this key: it does not exist, or you are not a member of it"),
            Self::Offline(id, None) => {
                write!(f, "workspace {id} is offline: its agent is not connected; start the workspace and try again")
            }
            Self::Offline(id, Some(since)) => {
                write!(
                    f,
                    "workspace {id} is offline since {since}: its agent is not connected; start the workspace and try again"
                )
            }
            Self::Asleep(id) => write!(f, "workspace {id} is asleep: wake it on your platform and try again"),
            Self::Draining(id) => {
                write!(f, "workspace {id} is draining: its agent is about to stop and takes nothing new; try again in a moment")
            }
            Self::Moved(id, region) => {
                write!(f, "workspace {id} has moved to {region}: use the jump host of that region")
            }
            Self::Unresponsive(id) => write!(f, "workspace {id} does not answer: its agent is connected but busy; try again"),
            Self::Stale => {
                f.write_str("this jump host holds no list of keys that is good now, and lets nobody in; its operator has to look")
            }
            Self::Connections => f.write_str("you have too many connections to this jump host: end some, then try again"),
            Self::Channels => f.write_str("too many connections over this one; open another `ssh -J`"),
            Self::Share => f.write_str("you have too many connections through this jump host: end some, then try again"),
            Self::Full => f.write_str("this jump host carries as many connections as it can; try again in a moment"),
            Self::NotServed(what) => {
                write!(f, "this is a jump host and has no {what}: use `ssh -J <this host> user@<workspaceId>`")
            }
            Self::UnknownKey => f.write_str("this key is registered to nobody"),
            Self::Revoked(revocation) => write!(f, "{revocation}"),
            Self::Stopping => f.write_str("this jump host is about to stop; try again"),
        }
    }
}
