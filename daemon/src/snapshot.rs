//! Keeps the newest verified snapshot in front of every login: fetched, pushed, on disk, replaced without a pause.

mod feed;
mod fetch;
mod saver;
mod store;

pub use fetch::FetchFault;
pub use store::Store;

use crate::{keyset::KeySet, limits::FEED_POLL, metrics::Disbelieved};
use drawbridge_shared::{
    backoff::spread,
    native::{clock, edge_client::EdgeClient, refresh::Refresh, trust::Trust},
    snapshot::{Manifest, SnapshotFault},
};
use feed::Pushed;
use fetch::When;
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
    disbelieved: Disbelieved,
}

/// How a keeper goes about it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two questions to the edge where nothing is pushed.
    pub poll: Duration,
    /// Past a snapshot's end.
    pub grace: Duration,
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
    disbelieved: Disbelieved,
    pace: Pace,
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

    /// What was offered and not believed.
    pub fn disbelieved(&self) -> &Disbelieved {
        &self.disbelieved
    }

    /// Told of every new view.
    pub fn watch(&self) -> watch::Receiver<Arc<KeySet>> {
        self.view.clone()
    }
}

impl Keeper {
    /// Starts from the last good state on disk.
    pub fn open(edge: EdgeClient, mut trust: Trust, mut store: Store, pace: Pace) -> (Self, Snapshots) {
        let held = store.load(&trust.roots()).unwrap_or_else(|fault| {
            warn!(%fault, "the state on disk is not used");
            KeySet::default()
        });
        let (view, watcher) = watch::channel(Arc::new(held));
        let refresh = Arc::new(Refresh::default());
        let disbelieved = Disbelieved::default();
        let snapshots = Snapshots { view: watcher, refresh: refresh.clone(), disbelieved: disbelieved.clone() };
        let (etag, tray) = (etag_of(&view.borrow()), Tray::default());
        let keeper = Self { edge, trust, store: Some(store), tray, view, refresh, disbelieved, pace, etag, trouble: None };
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
                Err(FetchFault::Snapshot(fault @ SnapshotFault::Rollback { .. })) => {
                    self.disbelieved.note(fault.disbelief());
                    debug!(%fault, "pushed late");
                }
                taken => self.note(taken),
            }
        }
    }

    /// A feed that works makes asking a mere precaution.
    fn pause(&self, live: bool) -> Duration {
        if live && self.trouble.is_none() { self.pace.poll.max(FEED_POLL) } else { self.pace.poll }
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
        let at = When { now: clock::now(), grace: self.pace.grace };
        let Some(next) = fetch::view(&self.edge, &self.trust.roots(), &held, text, at).await? else { return Ok(()) };
        let unsaved = Unsaved::new(text, &next.view, next.fresh);
        info!(seq = next.view.seq().0, "snapshot taken");
        self.trust.follow(next.view.signers());
        self.etag = etag_of(&next.view);
        self.view.send_replace(Arc::new(next.view));
        self.tray.put(unsaved);
        Ok(())
    }

    /// Counts what is not believed. Logs trouble when it starts, changes its kind and ends, not at every try.
    fn note(&mut self, outcome: Result<(), FetchFault>) {
        let fault = outcome.err();
        if let Some(FetchFault::Snapshot(fault)) = &fault {
            self.disbelieved.note(fault.disbelief());
        }
        let trouble = fault.as_ref().map(FetchFault::kind);
        if trouble != self.trouble {
            match &fault {
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
        outage::Disbelief,
        snapshot::{MAX_MANIFEST, ShardRef},
        time::Timestamp,
        token::{Scope, Token},
    };
    use std::fs;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A daemon as it starts, with the key of seed 1 pinned.
    fn start(root: &tempfile::TempDir) -> (Keeper, Snapshots) {
        let state = StateDir::open(&root.path().join("state")).unwrap();
        fs::write(root.path().join("trust"), key(1).public().to_line()).unwrap();
        let trust = Trust::open(Pinned::read(root.path().join("trust")).unwrap(), &state);
        let client = EdgeClient::new("http://127.0.0.1:1".parse().unwrap(), Token::mint(Scope::Daemon, &[1; 32])).unwrap();
        let pace = Pace { poll: Duration::from_secs(1), grace: Duration::from_secs(60) };
        Keeper::open(client, trust, Store::open(&state).unwrap(), pace)
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

    /// Manifest `seq` that was issued `ahead` seconds from now and names `shards`.
    fn issued(seq: u64, ahead: i64, shards: Vec<ShardRef>) -> Manifest {
        let at = clock::now().as_unix().saturating_add_signed(ahead);
        Manifest::new(SnapshotSeq(seq), Timestamp::from_unix(at), shards)
    }

    fn signed(manifest: &Manifest) -> String {
        manifest.sign(&[key(1).ssh()]).unwrap()
    }

    #[tokio::test]
    async fn whatever_is_not_to_be_believed_changes_nothing_and_is_counted() {
        const DAY: i64 = 24 * 60 * 60;
        let root = tempfile::tempdir().unwrap();
        let (mut keeper, snapshots) = start(&root);
        keeper.take(&signed(&issued(5, 0, vec![]))).await.unwrap();
        let good = signed(&issued(6, 0, vec![]));
        let twice = ShardRef::of(drawbridge_shared::snapshot::Family::Keys, 1, b"shard");
        let offers = [
            (signed(&issued(4, 0, vec![])), Disbelief::Rollback),
            (manifest(6, &[9], &[9]), Disbelief::WrongKey),
            (good.replacen("\"seq\":6", "\"seq\":7", 1), Disbelief::Forged),
            (good[..good.len() / 2].to_owned(), Disbelief::Unsigned),
            (signed(&issued(6, DAY, vec![])), Disbelief::Future),
            (signed(&issued(6, -2 * DAY - 100, vec![])), Disbelief::Expired),
            (signed(&issued(6, 0, vec![twice, twice])), Disbelief::Malformed),
            (signed(&Manifest { version: 2, ..issued(6, 0, vec![]) }), Disbelief::Version),
            ("x".repeat(MAX_MANIFEST + 1), Disbelief::TooLong),
        ];
        for (text, why) in offers {
            for _ in 0..2 {
                let taken = keeper.take(&text).await;
                assert!(matches!(&taken, Err(FetchFault::Snapshot(fault)) if fault.disbelief() == why), "{why:?}: {taken:?}");
                keeper.note(taken);
            }
            assert_eq!((snapshots.current().seq(), snapshots.disbelieved().count(why)), (SnapshotSeq(5), 2), "{why:?}");
            assert_eq!(keeper.trouble.as_deref(), Some(why.label()), "the same trouble is logged once");
        }
    }

    #[tokio::test]
    async fn a_swapped_shard_is_refused_and_the_old_view_stays() {
        let root = tempfile::tempdir().unwrap();
        let (mut keeper, snapshots) = start(&root);
        keeper.take(&signed(&issued(5, 0, vec![]))).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        keeper.edge = EdgeClient::new(url, Token::mint(Scope::Daemon, &[1; 32])).unwrap();
        let named = ShardRef::of(drawbridge_shared::snapshot::Family::Keys, 1, b"named");
        let swapping = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother").await.unwrap();
        };
        let text = signed(&issued(6, 0, vec![named]));
        let (taken, ()) = tokio::join!(keeper.take(&text), swapping);
        assert!(matches!(taken, Err(FetchFault::Snapshot(SnapshotFault::WrongShard(_)))), "{taken:?}");
        assert_eq!(snapshots.current().seq(), SnapshotSeq(5));
    }

    #[tokio::test]
    async fn state_on_disk_guards_its_number_whatever_the_clock_says() {
        let root = tempfile::tempdir().unwrap();
        let (keeper, _) = start(&root);
        keeper.tray.put(Unsaved::new(&signed(&issued(5, 90_000, vec![])), &KeySet::default(), vec![]));
        stop(keeper).await;
        let (mut keeper, snapshots) = start(&root);
        assert_eq!(snapshots.current().seq(), SnapshotSeq(5), "the clock fell back by 25 hours");
        assert!(snapshots.current().serves(clock::now(), Duration::ZERO), "and users still get in");
        assert!(matches!(
            keeper.take(&signed(&issued(4, 0, vec![]))).await,
            Err(FetchFault::Snapshot(SnapshotFault::Rollback { .. }))
        ));
    }
}
