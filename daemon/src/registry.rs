//! Which tunnels lead to which workspace: sync methods only, and leaving happens by dropping a guard.

mod absences;
mod awaited;
#[cfg(test)]
mod model;

use crate::limits::MAX_TUNNELS_PER_WORKSPACE;
use absences::Absences;
pub use awaited::Awaited;
use awaited::Waiting;
use drawbridge_shared::{id::WorkspaceId, time::Timestamp, tunnel::instance::Instance};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Tunnels by workspace; `T` is cheap to clone and knows nothing of SSH.
#[derive(Debug)]
pub struct Registry<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    table: Mutex<Table<T>>,
    newest: watch::Sender<u64>,
    waiting: Waiting,
}

/// Whose a tunnel is, as its agent proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The agent's process.
    pub instance: Instance,
    /// Whether new streams may go there.
    pub accepts: bool,
    /// Whether all other processes of that agent have ended.
    pub alone: bool,
}

#[derive(Debug)]
struct Table<T> {
    workspaces: HashMap<WorkspaceId, VecDeque<Entry<T>>>,
    absences: Absences,
    generation: u64,
    tunnels: usize,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u64,
    instance: Instance,
    accepts: bool,
    alone: bool,
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
        let table = Mutex::new(Table { workspaces: HashMap::new(), absences: Absences::default(), generation: 0, tunnels: 0 });
        Self(Arc::new(Shared { table, newest: watch::Sender::new(0), waiting: Waiting::default() }))
    }
}

impl<T: Clone> Registry<T> {
    /// Makes `tunnel` the newest of its workspace; older ones stand by.
    pub fn register(&self, seat: Seat, tunnel: T) -> Registered<T> {
        let Seat { workspace, instance, accepts, alone } = seat;
        let mut table = self.lock();
        table.generation += 1;
        table.tunnels += 1;
        table.absences.back(&workspace);
        let generation = table.generation;
        let entries = table.workspaces.entry(workspace.clone()).or_default();
        entries.push_back(Entry { generation, instance, accepts, alone, tunnel });
        let surplus = entries.len().saturating_sub(MAX_TUNNELS_PER_WORKSPACE);
        let evicted: Vec<T> = entries.drain(..surplus).map(|entry| entry.tunnel).collect();
        table.tunnels -= evicted.len();
        drop(table);
        self.0.newest.send_replace(generation);
        let registration = Registration { registry: self.clone(), workspace, generation };
        Registered { registration, evicted }
    }

    /// The newest tunnel of `workspace` that takes new streams.
    pub fn active(&self, workspace: &WorkspaceId) -> Option<T> {
        let table = self.lock();
        let entry = table.workspaces.get(workspace)?.iter().rev().find(|entry| entry.accepts)?;
        Some(entry.tunnel.clone())
    }

    /// The tunnels to one agent process of `workspace`, the newest first: where its streams go on.
    pub fn of_process(&self, workspace: &WorkspaceId, instance: Instance) -> Vec<T> {
        let table = self.lock();
        let entries = table.workspaces.get(workspace).into_iter().flatten().rev();
        entries.filter(|entry| entry.instance == instance).map(|entry| entry.tunnel.clone()).collect()
    }

    /// Whether the agent process `instance` of `workspace`, which was there at generation `seen`, has ended: another that came
    /// since is the only one.
    pub fn outlived(&self, workspace: &WorkspaceId, instance: Instance, seen: u64) -> bool {
        let table = self.lock();
        let mut later = table.workspaces.get(workspace).into_iter().flatten().filter(|entry| entry.generation > seen);
        later.any(|entry| entry.alone && entry.instance != instance)
    }

    /// A tunnel of `workspace` has left just now; the last one's departure is remembered.
    pub fn left(&self, workspace: &WorkspaceId, now: Timestamp) {
        let mut table = self.lock();
        if !table.workspaces.contains_key(workspace) {
            table.absences.left(workspace, now);
        }
    }

    /// When the last tunnel of `workspace` left, if it has none and that is remembered.
    pub fn absent_since(&self, workspace: &WorkspaceId) -> Option<Timestamp> {
        self.lock().absences.since(workspace)
    }

    /// Changes with every registration, to its generation.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.newest.subscribe()
    }

    /// Somebody waits for a tunnel of `workspace`, as long as they hold what is returned.
    pub fn awaiting(&self, workspace: &WorkspaceId) -> Awaited {
        self.0.waiting.wait(workspace)
    }

    /// Whether anybody waits for a tunnel of `workspace`.
    pub fn is_awaited(&self, workspace: &WorkspaceId) -> bool {
        self.0.waiting.holds(workspace)
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
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Nothing new is to go there any more; what runs goes on.
    pub fn retire(&self) {
        let mut table = self.registry.lock();
        let entries = table.workspaces.get_mut(&self.workspace).into_iter().flatten();
        entries.filter(|entry| entry.generation == self.generation).for_each(|entry| entry.accepts = false);
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

    fn seat() -> Seat {
        Seat { workspace: workspace(), instance: Instance([1; 16]), accepts: true, alone: false }
    }

    #[test]
    fn an_old_process_goes_on_and_takes_nothing_new() {
        let registry = Registry::default();
        let mut watch = registry.watch();
        let _new = registry.register(Seat { instance: Instance([2; 16]), ..seat() }, "new").registration;
        let _old = registry.register(Seat { accepts: false, ..seat() }, "old").registration;
        assert_eq!(registry.active(&workspace()), Some("new"));
        assert_eq!(registry.of_process(&workspace(), Instance([1; 16])), ["old"]);
        assert!(registry.of_process(&workspace(), Instance([3; 16])).is_empty());
        assert_eq!(*watch.borrow_and_update(), 2);
    }

    #[test]
    fn a_process_has_ended_where_a_later_one_is_the_only_one() {
        let (registry, old, new) = (Registry::default(), Instance([1; 16]), Instance([2; 16]));
        let seat = |instance, alone| Seat { instance, alone, ..seat() };
        let _old = registry.register(seat(old, true), "old").registration;
        let _beside = registry.register(seat(new, false), "beside").registration;
        assert!(!registry.outlived(&workspace(), old, 1), "both run");
        let later = registry.register(seat(new, true), "alone").registration;
        assert!(registry.outlived(&workspace(), old, 2) && !registry.outlived(&workspace(), new, 2));
        assert!(!registry.outlived(&workspace(), old, 3), "it was there since");
        drop(later);
        assert!(!registry.outlived(&workspace(), old, 2));
    }

    #[test]
    fn the_newest_is_active_and_the_older_stands_by() {
        let registry = Registry::default();
        let first = registry.register(seat(), "first").registration;
        let second = registry.register(seat(), "second").registration;
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
        let first = registry.register(seat(), "first").registration;
        let _second = registry.register(seat(), "second").registration;
        drop(first);
        assert_eq!(registry.active(&workspace()), Some("second"));
    }

    #[test]
    fn a_workspace_has_a_bounded_number_of_tunnels() {
        let registry = Registry::default();
        let places: Vec<_> = (0..MAX_TUNNELS_PER_WORKSPACE).map(|n| registry.register(seat(), n)).collect();
        assert!(places.iter().all(|place| place.evicted.is_empty()));
        let last = registry.register(seat(), 99);
        assert_eq!(last.evicted, [0]);
        assert_eq!(registry.tunnels(), MAX_TUNNELS_PER_WORKSPACE);
        drop(places);
        assert_eq!(registry.active(&workspace()), Some(99));
        assert_eq!(registry.tunnels(), 1);
    }
}
