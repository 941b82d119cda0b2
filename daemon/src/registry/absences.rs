//! Since when workspaces have no tunnel any more: what a member is told instead of a bare "offline".

use crate::limits::MAX_ABSENCES;
use drawbridge_shared::{id::WorkspaceId, time::Timestamp};
use std::collections::{HashMap, VecDeque};

/// The last departures, each until the workspace is back or too many others have left after it.
#[derive(Debug, Default)]
pub(super) struct Absences {
    since: HashMap<WorkspaceId, Timestamp>,
    /// Every departure that was noted, oldest first; those of workspaces that came back stay until their turn.
    order: VecDeque<(WorkspaceId, Timestamp)>,
}

impl Absences {
    /// The last tunnel of `workspace` left.
    pub(super) fn left(&mut self, workspace: &WorkspaceId, now: Timestamp) {
        self.since.insert(workspace.clone(), now);
        self.order.push_back((workspace.clone(), now));
        while self.order.len() > MAX_ABSENCES {
            self.forget_oldest();
        }
    }

    /// `workspace` has a tunnel.
    pub(super) fn back(&mut self, workspace: &WorkspaceId) {
        self.since.remove(workspace);
    }

    /// When its last tunnel left, if that is remembered.
    pub(super) fn since(&self, workspace: &WorkspaceId) -> Option<Timestamp> {
        self.since.get(workspace).copied()
    }

    fn forget_oldest(&mut self) {
        let Some((workspace, then)) = self.order.pop_front() else { return };
        // It may have been back and have left again since.
        if self.since.get(&workspace) == Some(&then) {
            self.since.remove(&workspace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    #[test]
    fn a_departure_is_remembered_until_the_return() {
        let (mut absences, workspace) = (Absences::default(), "796636".parse().unwrap());
        assert_eq!(absences.since(&workspace), None);
        absences.left(&workspace, at(1));
        assert_eq!(absences.since(&workspace), Some(at(1)));
        absences.back(&workspace);
        assert_eq!(absences.since(&workspace), None);
    }

    #[test]
    fn the_oldest_are_forgotten_and_the_table_is_bounded() {
        let (mut absences, again) = (Absences::default(), "again".parse().unwrap());
        absences.left(&again, at(1));
        absences.left(&"once".parse().unwrap(), at(1));
        absences.left(&again, at(2));
        for n in 0..MAX_ABSENCES - 1 {
            absences.left(&n.to_string().parse().unwrap(), at(3));
        }
        assert_eq!(absences.since(&"once".parse().unwrap()), None);
        assert_eq!(absences.since(&again), Some(at(2)), "its older departure was forgotten, not the newer");
        assert_eq!((absences.order.len(), absences.since.len()), (MAX_ABSENCES, MAX_ABSENCES));
        for n in 0..2 * MAX_ABSENCES {
            absences.left(&again, at(n as u64));
        }
        assert_eq!((absences.order.len(), absences.since.len()), (MAX_ABSENCES, 1));
    }
}
