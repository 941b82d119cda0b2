//! What is posted of lines: of those that are called alike, the newest has the entry on the board.

use crate::{
    lines::Line,
    status::{Board, Status, TunnelStatus},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Who has which; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Entries {
    board: Board,
    newest: Arc<Mutex<HashMap<String, Arc<()>>>>,
}

/// A line, and what is posted of it. Dropping it takes that down, unless it is a newer line's by now.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) line: Line,
    name: String,
    own: Arc<()>,
    entries: Entries,
}

impl Entries {
    /// On `board`.
    pub(crate) fn on(board: Board) -> Self {
        Self { board, newest: Arc::default() }
    }

    /// That of `line` from now on, whichever was called so before.
    pub(super) fn enter(&self, line: Line) -> Entry {
        let (name, own) = (line.to_string(), Arc::new(()));
        self.lock().insert(name.clone(), own.clone());
        Entry { line, name, own, entries: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<()>>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Posts how it is.
    pub(super) fn post(&self, tunnel: TunnelStatus) {
        self.change(|status| drop(status.tunnels.insert(self.name.clone(), tunnel)));
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        self.entries.board.post(|status| {
            if self.is_newest(&self.entries.lock()) {
                change(status);
            }
        });
    }

    /// Whether no other line has come to be called so.
    fn is_newest(&self, newest: &HashMap<String, Arc<()>>) -> bool {
        newest.get(&self.name).is_some_and(|newest| Arc::ptr_eq(newest, &self.own))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.change(|status| drop(status.tunnels.remove(&self.name)));
        let mut newest = self.entries.lock();
        if self.is_newest(&newest) {
            newest.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::{
        native::{slot::Slot, state_dir::StateDir},
        time::Timestamp,
    };

    #[test]
    fn a_line_that_ends_leaves_the_one_in_its_place_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("state")).unwrap();
        let board = Board::new("796636".parse().unwrap(), state.clone(), &Slot::take(&state).unwrap());
        let entries = Entries::on(board.clone());
        let line =
            |identity: &str| Line { daemon: "eu-1".parse().unwrap(), identity: identity.into(), names: vec!["a:1".into()] };
        let posted = || {
            let mut posted = Vec::new();
            board.post(|status| posted = status.tunnels.values().cloned().collect());
            posted
        };
        let dialled = |second| TunnelStatus::Dialled { since: Timestamp::from_unix(second) };
        let old = entries.enter(line("old"));
        old.post(dialled(1));
        let new = entries.enter(line("new"));
        new.post(dialled(2));
        old.post(dialled(3));
        assert_eq!(posted(), [dialled(2)]);
        drop(old);
        assert_eq!(posted(), [dialled(2)]);
        drop(new);
        assert!(posted().is_empty() && entries.lock().is_empty());
    }
}
