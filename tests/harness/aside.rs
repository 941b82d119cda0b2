//! What runs beside a test, on a thread and a runtime of its own, until it is dropped.

use anyhow::Result;
use std::{
    future::Future,
    thread::{self, JoinHandle},
};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

/// Dropping it ends what runs, and waits for that.
#[derive(Debug)]
pub struct Aside {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Aside {
    /// Runs on `runtime`, under `name`, what `begin` makes of a token; that ends when the token fires.
    pub fn start<F>(name: &str, runtime: Runtime, begin: impl FnOnce(CancellationToken) -> F) -> Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let runs = begin(stop.clone());
        let thread = thread::Builder::new().name(name.into()).spawn(move || runtime.block_on(runs))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It panics only where a test would have failed already.
            let _ = thread.join();
        }
    }
}

/// A runtime for one such thing.
pub fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
