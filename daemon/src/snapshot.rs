//! Keeps the newest verified snapshot in front of every login: fetched, pushed, on disk, replaced without a pause.

mod feed;
mod fetch;
mod saver;
mod store;

pub use fetch::FetchFault;
pub use store::Store;

use crate::{keyset::KeySet, limits::FEED_POLL};
use drawbridge_shared::{
    backoff::spread,
    native::{clock, edge_client::EdgeClient, refresh::Refresh, trust::Trust},
    snapshot::{Manifest, SnapshotFault},
};
use feed::Pushed;
use rand::RngExt;
use reqwest::header::HeaderValue;
use saver::Tray;
use std::{sync::Arc, time::Duration};
use store::Unsaved;
use tokio::{sync::watch, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

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
    trust: Trust,
    /// The saver's, once it runs.
    store: Option<Store>,
    tray: Tray,
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
    pub fn open(edge: EdgeClient, mut trust: Trust, mut store: Store, interval: Duration) -> (Self, Snapshots) {
        let held = store.load(&trust.roots(), clock::now()).unwrap_or_else(|fault| {
            warn!(%fault, "the state on disk is not used");
            KeySet::default()
        });
        let (view, watcher) = watch::channel(Arc::new(held));
        let refresh = Arc::new(Refresh::default());
        let snapshots = Snapshots { view: watcher, refresh: refresh.clone() };
        let etag = etag_of(&view.borrow());
        let keeper =
            Self { edge, trust, store: Some(store), tray: Tray::default(), view, refresh, interval, etag, trouble: None };
        (keeper, snapshots)
    }

    /// Keeps it current until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let (push, mut pushed) = feed::channel();
        tasks.spawn(feed::follow(self.edge.clone(), push, stop.clone()));
        if let Some(store) = self.store.take() {
            tasks.spawn(saver::run(self.tray.clone(), store, stop.clone()));
        }
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.round(&mut pushed) => {}
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Asks once, then takes what is pushed until the next call is due.
    async fn round(&mut self, pushed: &mut Pushed) {
        self.ask().await;
        let (last, chance) = (time::Instant::now(), rand::rng().random());
        loop {
            let due = last + spread(self.pause(*pushed.live.borrow_and_update()), chance);
            let manifest = tokio::select! {
                () = time::sleep_until(due) => return,
                () = self.refresh.wanted(last) => return,
                Ok(()) = pushed.live.changed() => continue,
                Ok(()) = pushed.manifest.changed() => pushed.manifest.borrow_and_update().clone(),
            };
            match self.take(&manifest).await {
                // An answer that was asked for has overtaken it.
                Err(FetchFault::Snapshot(SnapshotFault::Rollback { offered, held })) => debug!(%offered, %held, "pushed late"),
                taken => self.note(taken),
            }
        }
    }

    /// A feed that works makes asking a mere precaution.
    fn pause(&self, live: bool) -> Duration {
        if live && self.trouble.is_none() { self.interval.max(FEED_POLL) } else { self.interval }
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

    /// Verifies `text` and whatever it names that is not held; all or nothing. Served at once, saved behind it.
    async fn take(&mut self, text: &str) -> Result<(), FetchFault> {
        let held = self.view.borrow().clone();
        let Some(next) = fetch::view(&self.edge, &self.trust.roots(), &held, text, clock::now()).await? else { return Ok(()) };
        let unsaved = Unsaved::new(text, &next.view, next.fresh);
        info!(seq = next.view.seq().0, "snapshot taken");
        self.trust.follow(next.view.signers());
        self.etag = etag_of(&next.view);
        self.view.send_replace(Arc::new(next.view));
        self.tray.put(unsaved);
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

/// What is held, in the edge's words.
fn etag_of(view: &KeySet) -> Option<HeaderValue> {
    HeaderValue::try_from(Manifest::etag(view.seq())).ok().filter(|_| view.issued_at().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::{
        id::SnapshotSeq,
        native::{identity::Identity, state_dir::StateDir, trust::Pinned},
        token::{Scope, Token},
    };
    use std::fs;

    /// A daemon as it starts, with the key of seed 1 pinned.
    fn start(root: &tempfile::TempDir) -> (Keeper, Snapshots) {
        let state = StateDir::open(&root.path().join("state")).unwrap();
        fs::write(root.path().join("trust"), key(1).public().to_line()).unwrap();
        let trust = Trust::open(Pinned::read(root.path().join("trust")).unwrap(), &state);
        let client = EdgeClient::new("http://127.0.0.1:1".parse().unwrap(), Token::mint(Scope::Daemon, &[1; 32])).unwrap();
        Keeper::open(client, trust, Store::open(&state).unwrap(), Duration::from_secs(1))
    }

    async fn stop(mut keeper: Keeper) {
        let stop = CancellationToken::new();
        stop.cancel();
        saver::run(keeper.tray.clone(), keeper.store.take().unwrap(), stop).await;
    }

    fn key(seed: u8) -> Identity {
        Identity::from_seed(&[seed; 32])
    }

    /// Manifest `seq`, by the keys of these seeds and announcing those of others.
    fn manifest(seq: u64, by: &[u8], announced: &[u8]) -> String {
        let keys: Vec<_> = by.iter().map(|seed| key(*seed).ssh()).collect();
        let lines = announced.iter().map(|seed| key(*seed).public().to_line()).collect();
        Manifest::new(SnapshotSeq(seq), clock::now(), vec![]).announcing(lines).sign(&keys).unwrap()
    }

    #[tokio::test]
    async fn the_edges_key_is_rolled_while_the_daemon_restarts() {
        let root = tempfile::tempdir().unwrap();
        let phases: [&[u8]; 5] = [&[1], &[1, 2], &[2], &[2, 3], &[3]];
        for (seq, signers) in (1..).zip(phases) {
            let (mut keeper, snapshots) = start(&root);
            assert_eq!(snapshots.current().seq(), SnapshotSeq(seq - 1), "what was saved is believed again");
            keeper.take(&manifest(seq, signers, signers)).await.unwrap();
            stop(keeper).await;
        }
        let (mut keeper, snapshots) = start(&root);
        assert!(keeper.take(&manifest(9, &[2], &[2])).await.is_err(), "announced no longer, and not pinned");
        assert_eq!(snapshots.current().seq(), SnapshotSeq(5));
    }

    #[tokio::test]
    async fn a_forged_manifest_announces_nothing() {
        let root = tempfile::tempdir().unwrap();
        let (mut keeper, snapshots) = start(&root);
        for _ in 0..2 {
            assert!(keeper.take(&manifest(9, &[9], &[9])).await.is_err());
        }
        assert_eq!(snapshots.current().seq(), SnapshotSeq(0));
    }
}
