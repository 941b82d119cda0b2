//! What `ssh <jump host>` alone shows: whose key it is, and what to type for each workspace.

use crate::{denial::Denial, limits::GREETED_WORKSPACES};
use drawbridge_shared::id::{UserId, WorkspaceId};
use std::fmt::Write;

/// The text, lines ended by LF. `host` is what stands behind `-J`; `trouble` says why a workspace cannot be entered now, and
/// is asked only of those that are shown.
pub(super) fn text(
    host: &str,
    memberships: &[(UserId, WorkspaceId)],
    trouble: impl Fn(&WorkspaceId) -> Option<Denial>,
) -> String {
    let mut users: Vec<_> = memberships.iter().map(|(user, _)| user.as_str()).collect();
    users.dedup();
    let mut text = match users.as_slice() {
        [] => {
            "Hello. You are a member of no workspace yet; once you are, it is entered with\n".to_owned()
                + &format!("  ssh -J {host} user@<workspaceId>\n")
        }
        users => format!("Hello {}. Your workspaces:\n", users.join(" and ")),
    };
    let width = memberships.iter().map(|(_, workspace)| workspace.as_str().len()).max().unwrap_or_default();
    for (_, workspace) in memberships.iter().take(GREETED_WORKSPACES) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  ssh -J {host} user@{:width$}  {}", workspace.as_str(), state(trouble(workspace)));
    }
    if let Some(more @ 1..) = memberships.len().checked_sub(GREETED_WORKSPACES) {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}

/// As a terminal wants it.
pub(super) fn for_terminal(text: &str) -> String {
    text.replace('\n', "\r\n")
}

fn state(trouble: Option<Denial>) -> String {
    match trouble {
        None => "online".into(),
        Some(Denial::Offline(_, Some(since))) => format!("offline since {since}"),
        Some(Denial::Asleep(_)) => "asleep: wake it on your platform".into(),
        Some(Denial::Draining(_)) => "draining".into(),
        Some(Denial::Moved(_, region)) => format!("in {region}: use the jump host of that region"),
        Some(_) => "offline".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::time::Timestamp;

    fn membership(user: &str, workspace: &str) -> (UserId, WorkspaceId) {
        (user.parse().unwrap(), workspace.parse().unwrap())
    }

    #[test]
    fn it_reads_like_this() {
        let memberships =
            [membership("alice", "1"), membership("alice", "1729"), membership("alice", "796636"), membership("bob", "harbour")];
        let trouble = |id: &WorkspaceId| match id.as_str() {
            "796636" => Some(Denial::Offline(id.clone(), Some(Timestamp::from_unix(1_800_000_000)))),
            "1729" => Some(Denial::Asleep(id.clone())),
            "harbour" => Some(Denial::Moved(id.clone(), "us".into())),
            _ => None,
        };
        assert_eq!(
            text("eu.example.com", &memberships, trouble),
            "Hello alice and bob. Your workspaces:\n  \
               ssh -J eu.example.com user@1        online\n  \
               ssh -J eu.example.com user@1729     asleep: wake it on your platform\n  \
               ssh -J eu.example.com user@796636   offline since 2027-01-15T08:00:00Z\n  \
               ssh -J eu.example.com user@harbour  in us: use the jump host of that region\n"
        );
    }

    #[test]
    fn a_user_without_workspaces_learns_how_one_is_entered() {
        assert!(text("eu.example.com", &[], |_| None).ends_with("  ssh -J eu.example.com user@<workspaceId>\n"));
        assert_eq!(for_terminal("a\nb\n"), "a\r\nb\r\n");
    }

    #[test]
    fn a_long_list_is_cut() {
        let memberships: Vec<_> = (0..GREETED_WORKSPACES + 7).map(|n| membership("alice", &n.to_string())).collect();
        let text = text("eu.example.com", &memberships, |_| None);
        assert_eq!(text.lines().count(), 1 + GREETED_WORKSPACES + 1);
        assert!(text.ends_with("  and 7 more\n"));
    }
}
