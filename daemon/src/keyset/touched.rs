//! What differs between two views, and whose agents have something new to know.

use super::{Content, KeySet, SLOTS};
use drawbridge_shared::{id::WorkspaceId, snapshot::key_shard::UserHash};
use std::collections::HashSet;

/// What a new view changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Touched {
    users: Vec<UserHash>,
    workspaces: Vec<WorkspaceId>,
}

/// Whose agents are to be told.
#[derive(Debug, PartialEq, Eq)]
pub enum Concerned {
    /// All of them, for all that is known.
    All,
    /// Those of these workspaces.
    These(HashSet<WorkspaceId>),
}

impl KeySet {
    /// What differs between this view and the `next` one: only shards that were replaced are compared.
    pub fn touched(&self, next: &Self) -> Touched {
        let mut touched = Touched::default();
        for at in 0..SLOTS {
            let shard = |view: &'_ Self| view.shards.get(at).cloned().flatten();
            match (shard(self), shard(next)) {
                (None, None) => {}
                (Some(old), Some(new)) if old.reference == new.reference => {}
                (old, new) => touched.note(old.as_ref().map(|shard| &shard.content), new.as_ref().map(|shard| &shard.content)),
            }
        }
        touched
    }

    /// The workspaces of this view whose agents what was touched concerns.
    pub fn concerned(&self, touched: Touched) -> Concerned {
        let mut these: HashSet<_> = touched.workspaces.into_iter().collect();
        for shard in self.shards.iter().flatten() {
            if let Content::Workspaces(workspaces) = &shard.content {
                these.extend(workspaces.of_users(&touched.users));
            }
        }
        Concerned::These(these)
    }
}

impl Touched {
    fn note(&mut self, old: Option<&Content>, new: Option<&Content>) {
        match (old, new) {
            (Some(Content::Keys(old)), Some(Content::Keys(new))) => self.users.extend(old.changed_users(new)),
            (Some(Content::Keys(shard)), None) | (None, Some(Content::Keys(shard))) => self.users.extend(shard.all_users()),
            (Some(Content::Workspaces(old)), Some(Content::Workspaces(new))) => self.workspaces.extend(old.changed(new)),
            (Some(Content::Workspaces(all)), None) | (None, Some(Content::Workspaces(all))) => self.workspaces.extend(all.ids()),
            // The directory is in all agents' documents, and told of it all would ask the edge in the same instant: they do so by
            // themselves, twice a minute, which is soon enough for a daemon that comes or goes.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyset::tests::{keyset, keyset_with_daemon, with_workspaces};
    use drawbridge_shared::{native::identity::PublicIdentity, snapshot::workspace_shard::Workspace};

    #[test]
    fn a_change_concerns_its_workspaces_only() {
        let workspaces: &[(&str, &[&str])] = &[("1", &["alice"]), ("2", &["bob"])];
        let old = keyset(&[(1, "alice"), (2, "bob")], workspaces);
        let concerned = |new: &KeySet| match new.concerned(old.touched(new)) {
            Concerned::All => panic!("all are told"),
            Concerned::These(these) => ["1", "2"].map(|id| these.contains(&id.parse().unwrap())),
        };
        assert_eq!(concerned(&keyset(&[(1, "alice"), (2, "bob")], workspaces)), [false, false]);
        assert_eq!(concerned(&keyset(&[(1, "alice")], workspaces)), [false, true]);
        assert_eq!(concerned(&keyset(&[(1, "alice"), (2, "bob"), (3, "alice")], workspaces)), [true, false]);
        assert_eq!(concerned(&keyset(&[(1, "alice"), (2, "bob")], &[("1", &["alice", "bob"]), ("2", &["bob"])])), [true, false]);
        assert_eq!(concerned(&keyset(&[(1, "alice"), (2, "bob")], &[("1", &["alice"])])), [false, true]);
    }

    #[test]
    fn a_change_of_the_directory_is_told_to_nobody_else() {
        let workspaces: &[(&str, &[&str])] = &[("1", &["alice"]), ("2", &["bob"])];
        let directory = |daemons: &[_]| keyset_with_daemon(workspaces, daemons);
        let daemon = |id, seed| (id, "eu", PublicIdentity([seed; 32]));
        let old = directory(&[daemon("eu-1", 1)]);
        let new = directory(&[daemon("eu-1", 1), daemon("eu-2", 2)]);
        assert_eq!(new.concerned(old.touched(&new)), Concerned::These(HashSet::new()));
        let one: WorkspaceId = "1".parse().unwrap();
        let members = vec!["alice".parse().unwrap(), "carol".parse().unwrap()];
        let joined = Workspace { id: one.clone(), region: "eu".into(), agent_key: None, members, asleep: false };
        let new = with_workspaces(&new, vec![joined]);
        assert_eq!(new.concerned(old.touched(&new)), Concerned::These(HashSet::from([one])));
    }
}
