//! Tunnels that were left, by their agent or for newer ones, and still serve what runs: nothing new goes there.

use crate::limits::MAX_PARTING_PER_WORKSPACE;
use drawbridge_shared::id::WorkspaceId;
use std::collections::{HashMap, VecDeque};

/// By workspace; whichever was left first is in front, with its generation.
#[derive(Debug)]
pub(super) struct Parting<T>(HashMap<WorkspaceId, VecDeque<(u64, T)>>);

impl<T> Default for Parting<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Parting<T> {
    /// One more; returns the one that has to end for it.
    pub(super) fn enter(&mut self, workspace: &WorkspaceId, generation: u64, tunnel: T) -> Option<T> {
        let all = self.0.entry(workspace.clone()).or_default();
        all.push_back((generation, tunnel));
        let surplus = all.len() > MAX_PARTING_PER_WORKSPACE;
        surplus.then(|| all.pop_front()).flatten().map(|(_, tunnel)| tunnel)
    }

    /// The one of `generation` has ended, if it is one of these.
    pub(super) fn leave(&mut self, workspace: &WorkspaceId, generation: u64) {
        let Some(all) = self.0.get_mut(workspace) else { return };
        all.retain(|(each, _)| *each != generation);
        if all.is_empty() {
            self.0.remove(workspace);
        }
    }

    /// Those of `workspace`.
    pub(super) fn of(&self, workspace: &WorkspaceId) -> impl Iterator<Item = &T> {
        self.0.get(workspace).into_iter().flatten().map(|(_, tunnel)| tunnel)
    }

    /// All with their workspaces.
    pub(super) fn all(&self) -> impl Iterator<Item = (&WorkspaceId, &T)> {
        self.0.iter().flat_map(|(id, all)| all.iter().map(move |(_, tunnel)| (id, tunnel)))
    }
}
