//! What all sockets of one tunnel share: its end, whose words are kept, and the tasks that end with it.

use std::{
    future::Future,
    io,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// One tunnel's life; its last holder ends it.
#[derive(Debug)]
pub(super) struct Life {
    over: CancellationToken,
    words: OnceLock<Box<str>>,
    received: AtomicU64,
    tasks: TaskTracker,
    runtime: Handle,
}

impl Life {
    /// `tasks` owns what the tunnel starts.
    pub(super) fn new(tasks: TaskTracker) -> Self {
        let runtime = Handle::current();
        Self { over: CancellationToken::new(), words: OnceLock::new(), received: AtomicU64::new(0), tasks, runtime }
    }

    /// Fires at the end.
    pub(super) const fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Ends it; the first words are kept.
    pub(super) fn end(&self, words: &str) {
        self.words.get_or_init(|| words.into());
        self.over.cancel();
    }

    /// Why it ended.
    pub(super) fn fault(&self) -> io::Error {
        let words = self.words.get().map_or("the tunnel was closed", |words| words);
        io::Error::new(io::ErrorKind::ConnectionAborted, words)
    }

    /// Counts bytes that arrived: over a slow link one message takes longer than a sign of life may.
    pub(super) fn heard(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that arrived.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Runs `task` until the tunnel's end at most.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let over = self.over.clone();
        let task = async move {
            over.run_until_cancelled(task).await;
        };
        // Halves are dropped outside the runtime too.
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// Runs `task`, which the tunnel's end does not stop, for `most`.
    pub(super) fn outlive(&self, most: Duration, task: impl Future<Output = ()> + Send + 'static) {
        let task = async move {
            let _ = time::timeout(most, task).await;
        };
        self.tasks.spawn_on(task, &self.runtime);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.over.cancel();
    }
}
