//! Which tunnels lead to which workspace: sync methods only, and leaving happens by dropping a guard.

mod absences;
mod awaited;
#[cfg(test)]
mod model;
mod parting;

use crate::limits::MAX_TUNNELS_PER_WORKSPACE;
use absences::Absences;
pub use awaited::Awaited;
use awaited::Waiting;
use drawbridge_shared::{id::WorkspaceId, time::Timestamp, tunnel::instance::Instance};
use parting::Parting;
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
    parting: Parting<T>,
    absences: Absences,
    generation: u64,
    /// Registrations that are held, of tunnels that part too.
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

/// A tunnel's place in the registry, for as long as anything of it is there. Dropping it leaves: it can never remove a successor.
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
    /// Older tunnels that part from now on, oldest first: what runs there goes on.
    pub evicted: Vec<T>,
    /// Tunnels that parted before these and have to end.
    pub displaced: Vec<T>,
    /// One of another process, where both say that they are the only one.
    pub rival: Option<T>,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        let (workspaces, parting, absences) = (HashMap::new(), Parting::default(), Absences::default());
        let table = Mutex::new(Table { workspaces, parting, absences, generation: 0, tunnels: 0 });
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
        let rival = entries.iter().rev().find(|entry| alone && entry.alone && entry.instance != instance);
        let rival = rival.map(|entry| entry.tunnel.clone());
        entries.push_back(Entry { generation, instance, accepts, alone, tunnel });
        let surplus = entries.len().saturating_sub(MAX_TUNNELS_PER_WORKSPACE);
        let surplus: Vec<_> = entries.drain(..surplus).collect();
        let evicted = surplus.iter().map(|entry| entry.tunnel.clone()).collect();
        let displaced = surplus.into_iter().filter_map(|entry| table.part(&workspace, entry)).collect();
        drop(table);
        self.0.newest.send_replace(generation);
        let registration = Registration { registry: self.clone(), workspace, generation };
        Registered { registration, evicted, displaced, rival }
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

    /// Those of `workspace` that only serve what runs. Asked for after [`Registry::of`], no tunnel is missed.
    pub fn parting_of(&self, workspace: &WorkspaceId) -> Vec<T> {
        self.lock().parting.of(workspace).cloned().collect()
    }

    /// The same of all workspaces, after [`Registry::all`].
    pub fn parting(&self) -> Vec<(WorkspaceId, T)> {
        self.lock().parting.all().map(|(id, tunnel)| (id.clone(), tunnel.clone())).collect()
    }

    /// How many tunnels there are, with those that part.
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
        self.tunnels -= 1;
        self.parting.leave(workspace, generation);
        self.take(workspace, generation);
    }

    fn take(&mut self, workspace: &WorkspaceId, generation: u64) -> Option<Entry<T>> {
        let entries = self.workspaces.get_mut(workspace)?;
        let at = entries.iter().position(|entry| entry.generation == generation);
        let taken = at.and_then(|at| entries.remove(at));
        if entries.is_empty() {
            self.workspaces.remove(workspace);
        }
        taken
    }

    /// Returns the one that has to end for it.
    fn part(&mut self, workspace: &WorkspaceId, entry: Entry<T>) -> Option<T> {
        self.parting.enter(workspace, entry.generation, entry.tunnel)
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

    /// Nothing goes there any more, and it only serves what runs. Returns a tunnel that parted before and has to end.
    pub fn part(&self) -> Option<T> {
        let mut table = self.registry.lock();
        let entry = table.take(&self.workspace, self.generation)?;
        table.part(&self.workspace, entry)
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
    use crate::limits::MAX_PARTING_PER_WORKSPACE;

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
    fn of_two_agents_one_cannot_be_the_only_one() {
        let registry = Registry::default();
        let comes =
            |process, alone| registry.register(Seat { instance: Instance([process; 16]), alone, ..seat() }, (process, alone));
        let first = comes(1, true);
        let again = comes(1, true);
        let successor = comes(2, false);
        assert!([&first, &again, &successor].iter().all(|place| place.rival.is_none()), "an agent, and another in its place");
        assert_eq!(comes(3, true).rival, Some((1, true)));
        drop((first, again));
        assert!(comes(2, true).rival.is_none(), "the one before has ended");
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
        assert_eq!(registry.of(&workspace()).len(), MAX_TUNNELS_PER_WORKSPACE);
        assert_eq!(registry.tunnels(), MAX_TUNNELS_PER_WORKSPACE + 1, "it counts until it has ended");
        drop(places);
        assert_eq!(registry.active(&workspace()), Some(99));
        assert_eq!(registry.tunnels(), 1);
    }

    #[test]
    fn those_that_part_count_are_found_and_make_room_for_each_other() {
        let registry = Registry::default();
        let places: Vec<_> = (0..MAX_PARTING_PER_WORKSPACE).map(|n| registry.register(seat(), n).registration).collect();
        assert!(places.iter().all(|place| place.part().is_none()));
        assert_eq!((registry.active(&workspace()), registry.of(&workspace())), (None, vec![]));
        assert_eq!(registry.tunnels(), MAX_PARTING_PER_WORKSPACE);
        let all: Vec<_> = (0..MAX_PARTING_PER_WORKSPACE).collect();
        assert_eq!(registry.parting_of(&workspace()), all);
        assert_eq!(registry.parting(), all.iter().map(|n| (workspace(), *n)).collect::<Vec<_>>());
        let next = registry.register(seat(), 99).registration;
        assert_eq!((next.part(), next.part()), (Some(0), None));
        drop((places, next));
        assert!(registry.parting().is_empty() && registry.tunnels() == 0);
    }
}
