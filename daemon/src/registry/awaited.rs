//! Which workspaces somebody waits for: a daemon that leaves still takes their tunnels.

use drawbridge_shared::id::WorkspaceId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts of those who wait, no more than there are channels. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<Mutex<HashMap<WorkspaceId, usize>>>);

/// Somebody waits. Dropping it is to wait no more.
#[derive(Debug)]
pub struct Awaited {
    all: Waiting,
    workspace: WorkspaceId,
}

impl Waiting {
    /// One more waits for `workspace`.
    pub(super) fn wait(&self, workspace: &WorkspaceId) -> Awaited {
        *self.lock().entry(workspace.clone()).or_default() += 1;
        Awaited { all: self.clone(), workspace: workspace.clone() }
    }

    /// Whether anybody waits for `workspace`.
    pub(super) fn holds(&self, workspace: &WorkspaceId) -> bool {
        self.lock().contains_key(workspace)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let mut waiting = self.all.lock();
        let left = waiting.get(&self.workspace).copied().unwrap_or_default();
        if left > 1 {
            waiting.insert(self.workspace.clone(), left - 1);
        } else {
            waiting.remove(&self.workspace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_awaited_until_the_last_has_given_up() {
        let (waiting, workspace) = (Waiting::default(), "796636".parse().unwrap());
        let (one, two) = (waiting.wait(&workspace), waiting.wait(&workspace));
        drop(one);
        assert!(waiting.holds(&workspace) && !waiting.holds(&"other".parse().unwrap()));
        drop(two);
        assert!(!waiting.holds(&workspace) && waiting.lock().is_empty());
    }
}
