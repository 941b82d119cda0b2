//! Which tunnels lead to which workspace: sync methods only, and leaving happens by dropping a guard.

use crate::limits::MAX_TUNNELS_PER_WORKSPACE;
use drawbridge_shared::id::WorkspaceId;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Tunnels by workspace; `T` is cheap to clone and knows nothing of SSH.
#[derive(Debug)]
pub struct Registry<T>(Arc<Mutex<Table<T>>>);

#[derive(Debug)]
struct Table<T> {
    workspaces: HashMap<WorkspaceId, VecDeque<Entry<T>>>,
    generation: u64,
    tunnels: usize,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u64,
    tunnel: T,
}

/// A tunnel's place in the registry. Dropping it leaves: it can never remove a successor.
#[derive(Debug)]
pub struct Registration<T> {
    registry: Registry<T>,
    workspace: WorkspaceId,
    generation: u64,
}

/// What a registration did.
#[derive(Debug)]
pub struct Registered<T> {
    /// The place taken.
    pub registration: Registration<T>,
    /// Older tunnels that had to go, oldest first.
    pub evicted: Vec<T>,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Table { workspaces: HashMap::new(), generation: 0, tunnels: 0 })))
    }
}

impl<T: Clone> Registry<T> {
    /// Makes `tunnel` the active one of `workspace`; older ones stand by.
    pub fn register(&self, workspace: &WorkspaceId, tunnel: T) -> Registered<T> {
        let mut table = self.lock();
        table.generation += 1;
        table.tunnels += 1;
        let generation = table.generation;
        let entries = table.workspaces.entry(workspace.clone()).or_default();
        entries.push_back(Entry { generation, tunnel });
        let surplus = entries.len().saturating_sub(MAX_TUNNELS_PER_WORKSPACE);
        let evicted: Vec<T> = entries.drain(..surplus).map(|entry| entry.tunnel).collect();
        table.tunnels -= evicted.len();
        drop(table);
        let registration = Registration { registry: self.clone(), workspace: workspace.clone(), generation };
        Registered { registration, evicted }
    }

    /// The newest tunnel of `workspace`.
    pub fn active(&self, workspace: &WorkspaceId) -> Option<T> {
        self.lock().workspaces.get(workspace)?.back().map(|entry| entry.tunnel.clone())
    }

    /// All tunnels of `workspace`.
    pub fn of(&self, workspace: &WorkspaceId) -> Vec<T> {
        let table = self.lock();
        table
            .workspaces
            .get(workspace)
            .map_or_else(Vec::new, |entries| entries.iter().map(|entry| entry.tunnel.clone()).collect())
    }

    /// All tunnels with their workspaces.
    pub fn all(&self) -> Vec<(WorkspaceId, T)> {
        let table = self.lock();
        let each = |(id, entries): (&WorkspaceId, &VecDeque<Entry<T>>)| {
            entries.iter().map(|entry| (id.clone(), entry.tunnel.clone())).collect::<Vec<_>>()
        };
        table.workspaces.iter().flat_map(each).collect()
    }

    /// How many tunnels there are.
    pub fn tunnels(&self) -> usize {
        self.lock().tunnels
    }
}

impl<T> Registry<T> {
    fn lock(&self) -> MutexGuard<'_, Table<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Registry<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Table<T> {
    fn leave(&mut self, workspace: &WorkspaceId, generation: u64) {
        let Some(entries) = self.workspaces.get_mut(workspace) else { return };
        let before = entries.len();
        entries.retain(|entry| entry.generation != generation);
        self.tunnels -= before - entries.len();
        if entries.is_empty() {
            self.workspaces.remove(workspace);
        }
    }
}

impl<T> Registration<T> {
    /// Counts registrations of this daemon.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl<T> Drop for Registration<T> {
    fn drop(&mut self) {
        self.registry.lock().leave(&self.workspace, self.generation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> WorkspaceId {
        "796636".parse().unwrap()
    }

    #[test]
    fn the_newest_is_active_and_the_older_stands_by() {
        let registry = Registry::default();
        let first = registry.register(&workspace(), "first").registration;
        let second = registry.register(&workspace(), "second").registration;
        assert_eq!(registry.active(&workspace()), Some("second"));
        assert_eq!(registry.of(&workspace()), ["first", "second"]);
        drop(second);
        assert_eq!(registry.active(&workspace()), Some("first"));
        drop(first);
        assert_eq!(registry.active(&workspace()), None);
        assert_eq!(registry.tunnels(), 0);
    }

    #[test]
    fn a_stale_guard_never_removes_its_successor() {
        let registry = Registry::default();
        let first = registry.register(&workspace(), "first").registration;
        let _second = registry.register(&workspace(), "second").registration;
        drop(first);
        assert_eq!(registry.active(&workspace()), Some("second"));
    }

    #[test]
    fn a_workspace_has_a_bounded_number_of_tunnels() {
        let registry = Registry::default();
        let places: Vec<_> = (0..MAX_TUNNELS_PER_WORKSPACE).map(|n| registry.register(&workspace(), n)).collect();
        assert!(places.iter().all(|place| place.evicted.is_empty()));
        let last = registry.register(&workspace(), 99);
        assert_eq!(last.evicted, [0]);
        assert_eq!(registry.tunnels(), MAX_TUNNELS_PER_WORKSPACE);
        drop(places);
        assert_eq!(registry.active(&workspace()), Some(99));
        assert_eq!(registry.tunnels(), 1);
    }
}
