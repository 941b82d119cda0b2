//! What `ssh <jump host>` alone shows: whose key it is, and what to type for each workspace.

use crate::{denial::Denial, limits::GREETED_WORKSPACES};
use drawbridge_shared::id::{UserId, WorkspaceId};
use std::fmt::Write;

/// One workspace of the list.
pub(super) struct Line {
    /// Who may enter.
    pub(super) user: UserId,
    /// Which.
    pub(super) workspace: WorkspaceId,
    /// Why not now.
    pub(super) trouble: Option<Denial>,
}

/// The text, lines ended by LF. `host` is what stands behind `-J`.
pub(super) fn text(host: &str, lines: &[Line]) -> String {
    let mut users: Vec<_> = lines.iter().map(|line| line.user.as_str()).collect();
    users.dedup();
    let mut text = match users.as_slice() {
        [] => {
            "Hello. You are a member of no workspace yet; once you are, it is entered with\n".to_owned()
                + &format!("  ssh -J {host} user@<workspaceId>\n")
        }
        users => format!("Hello {}. Your workspaces:\n", users.join(" and ")),
    };
    let width = lines.iter().map(|line| line.workspace.as_str().len()).max().unwrap_or_default();
    for line in lines.iter().take(GREETED_WORKSPACES) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  ssh -J {host} user@{:width$}  {}", line.workspace.as_str(), state(line.trouble.as_ref()));
    }
    if let Some(more @ 1..) = lines.len().checked_sub(GREETED_WORKSPACES) {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}

/// As a terminal wants it.
pub(super) fn for_terminal(text: &str) -> String {
    text.replace('\n', "\r\n")
}

fn state(trouble: Option<&Denial>) -> String {
    match trouble {
        None => "online".into(),
        Some(Denial::Offline(_, Some(since))) => format!("offline since {since}"),
        Some(Denial::Draining(_)) => "draining".into(),
        Some(Denial::Moved(_, region)) => format!("in {region}: use the jump host of that region"),
        Some(_) => "offline".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::time::Timestamp;

    fn line(user: &str, workspace: &str, trouble: Option<fn(WorkspaceId) -> Denial>) -> Line {
        let workspace: WorkspaceId = workspace.parse().unwrap();
        Line { user: user.parse().unwrap(), trouble: trouble.map(|trouble| trouble(workspace.clone())), workspace }
    }

    #[test]
    fn it_reads_like_this() {
        let lines = [
            line("alice", "1", None),
            line("alice", "796636", Some(|id| Denial::Offline(id, Some(Timestamp::from_unix(1_800_000_000))))),
            line("bob", "harbour", Some(|id| Denial::Moved(id, "us".into()))),
        ];
        assert_eq!(
            text("eu.example.com", &lines),
            "Hello alice and bob. Your workspaces:\n  \
               ssh -J eu.example.com user@1        online\n  \
               ssh -J eu.example.com user@796636   offline since 2027-01-15T08:00:00Z\n  \
               ssh -J eu.example.com user@harbour  in us: use the jump host of that region\n"
        );
    }

    #[test]
    fn a_user_without_workspaces_learns_how_one_is_entered() {
        assert!(text("eu.example.com", &[]).ends_with("  ssh -J eu.example.com user@<workspaceId>\n"));
        assert_eq!(for_terminal("a\nb\n"), "a\r\nb\r\n");
    }

    #[test]
    fn a_long_list_is_cut() {
        let lines: Vec<_> = (0..GREETED_WORKSPACES + 7).map(|n| line("alice", &n.to_string(), None)).collect();
        let text = text("eu.example.com", &lines);
        assert_eq!(text.lines().count(), 1 + GREETED_WORKSPACES + 1);
        assert!(text.ends_with("  and 7 more\n"));
    }
}
