//! What a daemon does beside its sessions: collected while it is put together, begun at once, ended after the last of them.

use std::{
    fmt::{self, Debug, Formatter},
    pin::Pin,
};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// None of them has begun.
#[derive(Default)]
pub(crate) struct Chores {
    list: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
    end: CancellationToken,
}

/// They run.
#[derive(Debug)]
pub(crate) struct Underway {
    tasks: TaskTracker,
    end: CancellationToken,
}

impl Chores {
    /// Fires when they are to end.
    pub(crate) fn end(&self) -> CancellationToken {
        self.end.clone()
    }

    /// One more, which heeds [`Chores::end`] or something that comes before.
    pub(crate) fn add(&mut self, chore: impl Future<Output = ()> + Send + 'static) {
        self.list.push(Box::pin(chore));
    }

    /// In the order in which they were added.
    pub(crate) fn begin(self) -> Underway {
        let tasks = TaskTracker::new();
        self.list.into_iter().for_each(|chore| drop(tasks.spawn(chore)));
        Underway { tasks, end: self.end }
    }
}

impl Underway {
    /// One more, whose end somebody else waits for too.
    pub(crate) fn spawn(&self, chore: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.tasks.spawn(chore)
    }

    /// Tells them to end, and waits until they have.
    pub(crate) async fn finish(self) {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Debug for Chores {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chores").field("list", &self.list.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    #[tokio::test]
    async fn all_begin_together_and_are_waited_for() {
        let (mut chores, ended) = (Chores::default(), Arc::<AtomicUsize>::default());
        for _ in 0..3 {
            let (end, ended) = (chores.end(), ended.clone());
            chores.add(async move {
                end.cancelled().await;
                tokio::task::yield_now().await;
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }
        let underway = chores.begin();
        tokio::task::yield_now().await;
        assert_eq!(ended.load(Ordering::Relaxed), 0);
        underway.finish().await;
        assert_eq!(ended.load(Ordering::Relaxed), 3);
    }
}
