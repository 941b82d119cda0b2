//! Workspaces of which two agents say that each is the only one: told once a workspace and a while, and not of more than a bounded number.

use crate::limits::{MAX_RIVALS_TOLD, RIVALS_TOLD};
use drawbridge_shared::id::WorkspaceId;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// Of which it was told, and when, the latest behind; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Rivals(Arc<Mutex<VecDeque<(WorkspaceId, Instant)>>>);

impl Rivals {
    /// Whether it is to be told of `workspace` now.
    pub(super) fn are_news(&self, workspace: &WorkspaceId, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while told.front().is_some_and(|(_, then)| now.saturating_duration_since(*then) >= RIVALS_TOLD) {
            told.pop_front();
        }
        let is_news = told.len() < MAX_RIVALS_TOLD && told.iter().all(|(each, _)| each != workspace);
        if is_news {
            told.push_back((workspace.clone(), now));
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_workspace_is_told_of_once_a_while_and_not_too_many_are() {
        let (rivals, now) = (Rivals::default(), Instant::now());
        let workspace = |n: usize| n.to_string().parse().unwrap();
        assert!(rivals.are_news(&workspace(0), now) && !rivals.are_news(&workspace(0), now));
        let told = (1..2 * MAX_RIVALS_TOLD).filter(|n| rivals.are_news(&workspace(*n), now)).count();
        assert_eq!(told, MAX_RIVALS_TOLD - 1);
        assert!(rivals.are_news(&workspace(0), now + RIVALS_TOLD));
    }
}
