//! Keeps the newest verified snapshot in front of every login: fetched, pushed, on disk, replaced without a pause.

mod feed;
mod fetch;
mod saver;
mod store;
#[cfg(test)]
mod tests;

pub use fetch::FetchFault;
pub use store::Store;

use crate::{keyset::KeySet, limits::FEED_POLL, metrics::Disbelieved};
use drawbridge_shared::{
    backoff::spread,
    native::{clock, edge_client::EdgeClient, floor::Floor, refresh::Refresh, trust::Trust},
    signed::TrustRoots,
    snapshot::{Manifest, NAMESPACE, SnapshotFault},
    trouble::{Trouble, Turn},
};
use feed::Pushed;
use fetch::{Belief, Fresh};
use rand::RngExt;
use reqwest::header::HeaderValue;
use saver::Tray;
use std::{sync::Arc, time::Duration};
use store::{LoadFault, Saved, Unsaved};
use tokio::{sync::watch, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

/// What logins ask; cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshots {
    view: watch::Receiver<Arc<KeySet>>,
    refresh: Arc<Refresh>,
    disbelieved: Disbelieved,
    turned_down: watch::Receiver<Option<Arc<str>>>,
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
    floor: Floor,
    refresh: Arc<Refresh>,
    disbelieved: Disbelieved,
    turned_down: watch::Sender<Option<Arc<str>>>,
    /// Of the token, since a call was accepted.
    refusals: u64,
    pace: Pace,
    /// Of the view that is held: what stands beside an answer is signed by nobody.
    etag: Option<HeaderValue>,
    /// Of a view that is not whole yet; as many as it has at most.
    arrived: Vec<Fresh>,
    trouble: Trouble,
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

    /// The edge's words, where it refuses the token: twice in a row, and no call was accepted since.
    pub fn turned_down(&self) -> Option<Arc<str>> {
        self.turned_down.borrow().clone()
    }

    /// Told of every new view.
    pub fn watch(&self) -> watch::Receiver<Arc<KeySet>> {
        self.view.clone()
    }
}

impl Keeper {
    /// Starts from the last good state on disk.
    pub fn open(edge: EdgeClient, mut trust: Trust, mut store: Store, pace: Pace) -> (Self, Snapshots) {
        let roots = trust.roots();
        let (held, floor) = load(&mut store, roots);
        let (view, watcher) = watch::channel(Arc::new(held));
        let refresh = Arc::new(Refresh::default());
        let disbelieved = Disbelieved::default();
        let (turned_down, words) = watch::channel(None);
        let snapshots =
            Snapshots { view: watcher, refresh: refresh.clone(), disbelieved: disbelieved.clone(), turned_down: words };
        let (etag, tray, trouble) = (etag_of(&view.borrow()), Tray::default(), Trouble::default());
        let store = Some(store);
        let (refusals, arrived) = (0, Vec::new());
        let keeper = Self {
            edge,
            trust,
            store,
            tray,
            view,
            floor,
            refresh,
            disbelieved,
            turned_down,
            refusals,
            pace,
            etag,
            arrived,
            trouble,
        };
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
        if live && self.trouble.kind().is_none() { self.pace.poll.max(FEED_POLL) } else { self.pace.poll }
    }

    async fn ask(&mut self) {
        let round = self.refresh.begin();
        let answer = self.fetch().await;
        self.judge(&answer);
        self.note(answer);
        self.refresh.end(round);
    }

    /// One refusal may be a stumble of the edge; the second in a row is told until a call is accepted.
    fn judge(&mut self, answer: &Result<(), FetchFault>) {
        match answer.as_ref().map_err(FetchFault::turns_down) {
            Ok(()) => {
                self.refusals = 0;
                self.turned_down.send_replace(None);
            }
            Err(Some(words)) => {
                self.refusals += 1;
                self.turned_down.send_replace((self.refusals > 1).then_some(words));
            }
            Err(None) => {}
        }
    }

    async fn fetch(&mut self) -> Result<(), FetchFault> {
        match fetch::manifest(&self.edge, self.etag.as_ref()).await? {
            Some(manifest) => self.take(&manifest).await,
            None => Ok(()),
        }
    }

    /// Verifies `text` and whatever it names that is not held; all or nothing. Served at once, saved behind it.
    async fn take(&mut self, text: &str) -> Result<(), FetchFault> {
        let held = self.view.borrow().clone();
        let roots = self.trust.roots();
        let lowest = self.floor.seq(&roots, NAMESPACE);
        let belief = Belief { roots: &roots, lowest, now: clock::now(), grace: self.pace.grace };
        let Some(next) = fetch::view(&self.edge, belief, (&held, &mut self.arrived), text).await? else {
            return Ok(());
        };
        let unsaved = Unsaved::new(text, roots, &next.view, next.fresh);
        info!(seq = next.view.seq().0, "snapshot taken");
        self.trust.follow(next.view.signers());
        self.floor = Floor::at(next.view.seq(), text.into(), self.trust.roots());
        self.etag = etag_of(&next.view);
        self.view.send_replace(Arc::new(next.view));
        self.tray.put(unsaved);
        Ok(())
    }

    /// What a daemon without news does.
    fn outlook(&self) -> &'static str {
        let view = self.view.borrow();
        match view.term() {
            None => "no snapshot; nobody can log in until there is one",
            Some(term) if term.decides(clock::now(), self.pace.grace) => "no new snapshot; serving on with the last good one",
            Some(_) => "no new snapshot, and by this machine's clock the last good one decides nothing; nobody can log in",
        }
    }

    /// Counts what is not believed. Logs trouble when it starts, changes its kind and ends, not at every try.
    fn note(&mut self, outcome: Result<(), FetchFault>) {
        let fault = outcome.err();
        if let Some(FetchFault::Snapshot(fault)) = &fault {
            self.disbelieved.note(fault.disbelief());
        }
        match self.trouble.turn(fault, FetchFault::kind) {
            Some(Turn::Fails(fault)) => warn!(%fault, "{}", self.outlook()),
            Some(Turn::Works) => info!("the edge answers again"),
            None => {}
        }
    }
}

/// What was saved last, and below which number nothing is believed: a manifest guards that even where a shard of it cannot be read.
fn load(store: &mut Store, roots: TrustRoots) -> (KeySet, Floor) {
    let unused = |fault: LoadFault| warn!(%fault, "the state on disk is not used");
    let saved = store.manifest(&roots).unwrap_or_else(|fault| {
        unused(fault);
        None
    });
    let Some(Saved { text, manifest }) = saved else { return Default::default() };
    let floor = Floor::at(manifest.seq, text.into(), roots);
    let held = store.load(manifest).unwrap_or_else(|fault| {
        unused(fault);
        KeySet::default()
    });
    (held, floor)
}

/// What is held, in the edge's words.
fn etag_of(view: &KeySet) -> Option<HeaderValue> {
    HeaderValue::try_from(Manifest::etag(view.seq())).ok().filter(|_| view.issued_at().is_some())
}
