//! The verified authorized-keys document: fetched, on disk, asked at every login, with no edge in between.

mod hints;
#[cfg(test)]
mod tests;

pub use hints::Hints;

use crate::{newest, ssh::Authorize, status::Board};
use drawbridge_shared::{
    authorized_keys::{AuthorizedKeys, DocumentFault, MAX_DOCUMENT, NAMESPACE},
    backoff::spread,
    fingerprint::Fingerprint,
    id::{SnapshotSeq, UserId, WorkspaceId},
    native::{
        clock,
        edge_client::{EdgeClient, EdgeFault, Fetched},
        floor::Floor,
        refresh::Refresh,
        state_dir::{StateDir, StateFault},
        stay::until_revoked,
        trust::Trust,
    },
    outage::Disbelief,
    revocation::Revocation,
    signed::TrustRoots,
    time::Timestamp,
    trouble::{Trouble, Turn},
};
use rand::RngExt;
use reqwest::header::HeaderValue;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// File of the state folder that holds the last good document.
const DOCUMENT: &str = "authorized-keys";

/// A document, once there is one.
pub type Held = Option<Arc<AuthorizedKeys>>;

/// What logins ask; cheap to clone.
#[derive(Clone, Debug)]
pub struct Keys {
    held: watch::Receiver<Held>,
    refresh: Arc<Refresh>,
    grace: Duration,
}

/// Owns the loop that keeps it current.
#[derive(Debug)]
pub struct Keeper {
    edge: EdgeClient,
    trust: Trust,
    workspace: WorkspaceId,
    state: StateDir,
    held: watch::Sender<Held>,
    floor: Floor,
    refresh: Arc<Refresh>,
    pace: Pace,
    etag: Option<HeaderValue>,
    /// The newest that was taken.
    taken: watch::Sender<Option<Taken>>,
    trouble: Trouble,
}

/// A document that is served, and is on disk or is to be.
#[derive(Clone, Debug)]
struct Taken {
    document: Arc<AuthorizedKeys>,
    text: Arc<str>,
    /// By which what is on disk is believed.
    roots: TrustRoots,
}

/// Why there is no new document.
#[derive(Debug, thiserror::Error)]
pub enum KeysFault {
    /// The edge does not deliver.
    #[error(transparent)]
    Edge(#[from] EdgeFault),
    /// What it delivers is not believed.
    #[error("the list of keys is refused: {0}")]
    Document(#[from] DocumentFault),
    /// What was kept cannot be read.
    #[error(transparent)]
    State(#[from] StateFault),
}

/// What a keeper needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two questions to the edge.
    pub poll: Duration,
    /// Past a document's end.
    pub grace: Duration,
}

impl Keys {
    /// Told of every new document.
    pub fn watch(&self) -> watch::Receiver<Held> {
        self.held.clone()
    }

    /// For the words of one daemon.
    pub fn hints(&self) -> Hints {
        Hints::new(self.clone())
    }

    fn seq(&self) -> Option<SnapshotSeq> {
        self.held.borrow().as_ref().map(|document| document.seq)
    }

    fn user_of(&self, key: &Fingerprint, now: Timestamp) -> Option<UserId> {
        let held = self.held.borrow();
        let document = held.as_ref().filter(|document| document.term().decides(now, self.grace))?;
        document.user_of(key, now).cloned()
    }
}

impl Authorize for Keys {
    fn knows(&self, key: &Fingerprint) -> Option<UserId> {
        self.user_of(key, clock::now())
    }

    async fn refresh(&self) {
        self.refresh.wait().await;
    }

    /// However old the news: whoever is in stays while there is no document.
    async fn revoked(&self, key: &Fingerprint, user: &UserId) -> Revocation {
        let stays = |document: &Arc<AuthorizedKeys>| document.stays(key, user, clock::now());
        until_revoked(self.held.clone(), |held| held.as_ref().map_or(Ok(None), stays)).await
    }
}

impl Keeper {
    /// Starts from the last good document on disk.
    pub fn open(edge: EdgeClient, mut trust: Trust, workspace: WorkspaceId, state: StateDir, pace: Pace) -> (Self, Keys) {
        let loaded = load(&state, trust.roots(), &workspace).unwrap_or_else(|fault| {
            warn!(%fault, "the list of keys on disk is not used");
            None
        });
        let (held, watcher) = watch::channel(loaded.as_ref().map(|loaded| loaded.document.clone()));
        let floor = loaded.map(Taken::floor).unwrap_or_default();
        let refresh = Arc::new(Refresh::default());
        let keys = Keys { held: watcher, refresh: refresh.clone(), grace: pace.grace };
        let (trouble, taken) = (Trouble::default(), watch::Sender::new(None));
        let keeper = Self { edge, trust, workspace, state, held, floor, refresh, pace, etag: None, taken, trouble };
        (keeper, keys)
    }

    /// Keeps it current until `stop`; `board` shows what was not believed.
    pub async fn run(mut self, board: Board, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let round = self.refresh.begin();
            let Some(answer) = stop.run_until_cancelled(self.fetch()).await else { return };
            if let Some(why) = self.note(answer) {
                board.post(|status| *status.disbelieved.entry(why.label().into()).or_default() += 1);
            }
            self.refresh.end(round);
            let last = time::Instant::now();
            tokio::select! {
                () = stop.cancelled() => {}
                () = time::sleep(spread(self.pace.poll, rand::rng().random())) => {}
                () = self.refresh.wanted(last) => {}
            }
        }
    }

    async fn fetch(&mut self) -> Result<(), KeysFault> {
        let answer = self.edge.get("v1/agent/authorized-keys", self.etag.as_ref(), MAX_DOCUMENT).await?;
        let Fetched::New { etag, body } = answer else { return Ok(()) };
        let text = String::from_utf8(body.into()).map_err(|_| EdgeFault::Unreadable)?;
        self.take(&text)?;
        self.etag = etag;
        Ok(())
    }

    fn take(&mut self, text: &str) -> Result<(), KeysFault> {
        let (roots, grace) = (self.trust.roots(), self.pace.grace);
        let lowest = self.floor.seq(&roots, NAMESPACE);
        let document = AuthorizedKeys::verify(text, &roots, &self.workspace, clock::now(), lowest, grace)?;
        info!(seq = document.seq.0, keys = document.keys.len(), daemons = document.daemons.len(), "list of keys taken");
        let document = Arc::new(document);
        self.held.send_replace(Some(document.clone()));
        self.trust.follow(&document.signers);
        let taken = Taken { document, text: text.into(), roots: self.trust.roots() };
        self.floor = taken.clone().floor();
        self.taken.send_replace(Some(taken));
        Ok(())
    }

    /// Saves what is taken, until `stop`, behind everybody's back: what is in force does not wait for a disk, nor does what comes next.
    pub fn saving(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        let (taken, state, place) = (self.taken.subscribe(), self.state.clone(), self.state.path(DOCUMENT));
        let save = move |taken: &Option<Taken>| taken.as_ref().map_or(Ok(()), |taken| taken.save(&state));
        async move { newest::keep(taken, &place, stop, save, tell).await }
    }

    /// Logs trouble when it starts, changes its kind and ends, not at every try. Returns why a document was not believed.
    fn note(&mut self, outcome: Result<(), KeysFault>) -> Option<Disbelief> {
        let fault = outcome.err();
        match self.trouble.turn(fault.as_ref(), |fault| fault.kind()) {
            Some(Turn::Fails(fault)) => warn!(%fault, "{}", without_news(&self.held.borrow())),
            Some(Turn::Works) => info!("the edge answers again"),
            None => {}
        }
        fault?.disbelief()
    }
}

impl Taken {
    /// Below it nothing is believed.
    fn floor(self) -> Floor {
        Floor::at(self.document.seq, self.text, self.roots)
    }

    /// What another process on this folder saved is not put back.
    fn save(&self, state: &StateDir) -> Result<(), StateFault> {
        let saved = load(state, self.roots.clone(), &self.document.workspace).ok().flatten();
        if saved.is_some_and(|saved| saved.document.seq > self.document.seq) {
            return Ok(());
        }
        state.write(DOCUMENT, self.text.as_bytes()).and_then(|()| state.sync())
    }
}

fn tell(turn: Turn<StateFault>) {
    match turn {
        Turn::Fails(fault) => {
            warn!(%fault, "the list of keys is in force and not saved: a start without the edge goes by an older one")
        }
        Turn::Works => info!("the list of keys is saved again"),
    }
}

impl KeysFault {
    fn disbelief(&self) -> Option<Disbelief> {
        match self {
            Self::Document(fault) => Some(fault.disbelief()),
            Self::Edge(_) | Self::State(_) => None,
        }
    }

    /// What is the same as long as nothing new is the matter.
    fn kind(&self) -> String {
        match self {
            Self::Document(fault) => fault.disbelief().label().into(),
            Self::Edge(fault) => fault.kind(),
            Self::State(fault) => fault.to_string(),
        }
    }
}

/// What it means that there is nothing newer than what is held.
const fn without_news(held: &Held) -> &'static str {
    match held {
        Some(_) => "no new list of keys; serving on with the last good one",
        None => "no list of keys yet: nobody is let in until there is one",
    }
}

/// Whether it still decides is asked at every login.
fn load(state: &StateDir, roots: TrustRoots, workspace: &WorkspaceId) -> Result<Option<Taken>, KeysFault> {
    let Some(text) = state.read(DOCUMENT, MAX_DOCUMENT as u64)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&text);
    let document = Arc::new(AuthorizedKeys::held(&text, &roots, workspace)?);
    Ok(Some(Taken { document, text: text.into(), roots }))
}
