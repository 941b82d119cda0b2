//! How many streams of a tunnel are open: one that has any is watched closely.

use std::sync::Arc;
use tokio::sync::watch;

/// The count; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Load(Arc<watch::Sender<usize>>);

/// One stream's part in it. Dropping it leaves.
#[derive(Debug)]
pub(super) struct Place(Load);

impl Default for Load {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Load {
    /// One stream more, while the place is held.
    pub(super) fn enter(&self) -> Place {
        self.0.send_modify(|open| *open += 1);
        Place(self.clone())
    }

    /// The count now.
    pub(super) fn open(&self) -> usize {
        *self.0.borrow()
    }

    /// The count as it changes.
    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.send_modify(|open| *open = open.saturating_sub(1));
    }
}
