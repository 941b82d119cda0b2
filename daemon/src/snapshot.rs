//! Keeps the newest verified snapshot in front of every login: fetched, pushed, on disk, replaced without a pause.

mod feed;
mod fetch;
mod store;

pub use fetch::FetchFault;
pub use store::Store;

use crate::keyset::KeySet;
use drawbridge_shared::{
    native::{clock, edge_client::EdgeClient, refresh::Refresh},
    signed::TrustRoots,
};
use reqwest::header::HeaderValue;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

/// What logins ask; cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshots {
    view: watch::Receiver<Arc<KeySet>>,
    refresh: Arc<Refresh>,
}

/// Owns the loop that keeps it current.
#[derive(Debug)]
pub struct Keeper {
    edge: EdgeClient,
    trust: TrustRoots,
    store: Store,
    view: watch::Sender<Arc<KeySet>>,
    refresh: Arc<Refresh>,
    interval: Duration,
    etag: Option<HeaderValue>,
    trouble: Option<String>,
}

impl Snapshots {
    /// The newest view.
    pub fn current(&self) -> Arc<KeySet> {
        self.view.borrow().clone()
    }

    /// Waits, for a bounded time, until the edge was asked once more. However many ask, few calls are made.
    pub async fn refresh(&self) {
        self.refresh.wait().await;
    }

    /// Told of every new view.
    pub fn watch(&self) -> watch::Receiver<Arc<KeySet>> {
        self.view.clone()
    }
}

impl Keeper {
    /// Starts from the last good state on disk, asks the edge every `interval` where nothing is pushed.
    pub fn open(edge: EdgeClient, trust: TrustRoots, store: Store, interval: Duration) -> (Self, Snapshots) {
        let held = store.load(&trust, clock::now()).unwrap_or_else(|fault| {
            warn!(%fault, "the state on disk is not used");
            KeySet::default()
        });
        let (view, watcher) = watch::channel(Arc::new(held));
        let refresh = Arc::new(Refresh::default());
        let snapshots = Snapshots { view: watcher, refresh: refresh.clone() };
        (Self { edge, trust, store, view, refresh, interval, etag: None, trouble: None }, snapshots)
    }

    /// Keeps it current until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let (push, mut pushed) = watch::channel(String::new());
        tasks.spawn(feed::follow(self.edge.clone(), push, stop.clone()));
        while !stop.is_cancelled() {
            self.ask().await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.rest(&mut pushed) => {}
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Until the next call is due; what is pushed meanwhile is taken.
    async fn rest(&mut self, pushed: &mut watch::Receiver<String>) {
        let last = time::Instant::now();
        loop {
            let manifest = tokio::select! {
                () = time::sleep_until(last + self.interval) => return,
                () = self.refresh.wanted(last) => return,
                manifest = next(pushed) => manifest,
            };
            let taken = self.take(&manifest).await;
            self.note(taken);
        }
    }

    async fn ask(&mut self) {
        let round = self.refresh.begin();
        let answer = self.fetch().await;
        self.note(answer);
        self.refresh.end(round);
    }

    async fn fetch(&mut self) -> Result<(), FetchFault> {
        let Some((etag, manifest)) = fetch::manifest(&self.edge, self.etag.as_ref()).await? else { return Ok(()) };
        self.take(&manifest).await?;
        self.etag = etag;
        Ok(())
    }

    /// Verifies `text` and whatever it names that is not held; all or nothing.
    async fn take(&mut self, text: &str) -> Result<(), FetchFault> {
        let held = self.view.borrow().clone();
        let Some(next) = fetch::view(&self.edge, &self.trust, &held, text, clock::now()).await? else { return Ok(()) };
        self.store.save(text, &next.fresh)?;
        info!(seq = next.view.seq().0, "snapshot taken");
        self.view.send_replace(Arc::new(next.view));
        self.store.prune(&self.view.borrow());
        Ok(())
    }

    /// Logs trouble when it starts, changes and ends, not at every try.
    fn note(&mut self, outcome: Result<(), FetchFault>) {
        let trouble = outcome.err().map(|fault| fault.to_string());
        if trouble != self.trouble {
            match &trouble {
                Some(fault) => warn!(%fault, "no new snapshot; serving on with the last good one"),
                None => info!("the edge answers again"),
            }
            self.trouble = trouble;
        }
    }
}

async fn next(pushed: &mut watch::Receiver<String>) -> String {
    match pushed.changed().await {
        Ok(()) => pushed.borrow_and_update().clone(),
        Err(_) => std::future::pending().await,
    }
}
