//! The verified authorized-keys document: fetched, on disk, asked at every login, with no edge in between.

use crate::ssh::Authorize;
use drawbridge_shared::{
    authorized_keys::{AuthorizedKeys, DocumentFault, MAX_DOCUMENT},
    backoff::spread,
    fingerprint::Fingerprint,
    id::{SnapshotSeq, UserId, WorkspaceId},
    native::{
        clock,
        edge_client::{EdgeClient, EdgeFault, Fetched},
        refresh::Refresh,
        state_dir::{StateDir, StateFault},
        trust::Trust,
    },
    signed::TrustRoots,
    time::Timestamp,
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
    refresh: Arc<Refresh>,
    interval: Duration,
    etag: Option<HeaderValue>,
    trouble: Option<String>,
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
    /// It cannot be kept.
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

    /// Has the edge asked soon.
    pub fn hint(&self) {
        self.refresh.hint();
    }

    fn user_of(&self, key: &Fingerprint, now: Timestamp) -> Option<UserId> {
        let held = self.held.borrow();
        let document = held.as_ref().filter(|document| now <= document.not_after.after(self.grace))?;
        document.user_of(key, now).cloned()
    }
}

impl Authorize for Keys {
    /// A key that is news to this agent is looked up once more before it is refused.
    async fn authorize(&self, key: &Fingerprint) -> Option<UserId> {
        if let Some(user) = self.user_of(key, clock::now()) {
            return Some(user);
        }
        self.refresh.wait().await;
        self.user_of(key, clock::now())
    }
}

impl Keeper {
    /// Starts from the last good document on disk.
    pub fn open(edge: EdgeClient, mut trust: Trust, workspace: WorkspaceId, state: StateDir, pace: Pace) -> (Self, Keys) {
        let document = load(&state, &trust.roots(), &workspace).unwrap_or_else(|fault| {
            warn!(%fault, "the list of keys on disk is not used");
            None
        });
        let (held, watcher) = watch::channel(document);
        let refresh = Arc::new(Refresh::default());
        let keys = Keys { held: watcher, refresh: refresh.clone(), grace: pace.grace };
        let keeper = Self { edge, trust, workspace, state, held, refresh, interval: pace.poll, etag: None, trouble: None };
        (keeper, keys)
    }

    /// Keeps it current until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let round = self.refresh.begin();
            let answer = self.fetch().await;
            self.note(answer);
            self.refresh.end(round);
            let last = time::Instant::now();
            tokio::select! {
                () = stop.cancelled() => {}
                () = time::sleep(spread(self.interval, rand::rng().random())) => {}
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
        let lowest = self.held.borrow().as_ref().map_or(SnapshotSeq(0), |document| document.seq);
        let document = AuthorizedKeys::verify(text, &self.trust.roots(), &self.workspace, clock::now(), lowest, Duration::ZERO)?;
        self.trust.follow(&document.signers);
        self.state.write(DOCUMENT, text.as_bytes())?;
        info!(seq = document.seq.0, keys = document.keys.len(), daemons = document.daemons.len(), "list of keys taken");
        self.held.send_replace(Some(Arc::new(document)));
        Ok(())
    }

    /// Logs trouble when it starts, changes and ends, not at every try.
    fn note(&mut self, outcome: Result<(), KeysFault>) {
        let trouble = outcome.err().map(|fault| fault.to_string());
        if trouble != self.trouble {
            match &trouble {
                Some(fault) => warn!(%fault, "no new list of keys; serving on with the last good one"),
                None => info!("the edge answers again"),
            }
            self.trouble = trouble;
        }
    }
}

/// One past its end is loaded too: its number guards against rollback, and whether it still decides is asked at login.
fn load(state: &StateDir, trust: &TrustRoots, workspace: &WorkspaceId) -> Result<Held, KeysFault> {
    let Some(text) = state.read(DOCUMENT, MAX_DOCUMENT as u64)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&text);
    let document = AuthorizedKeys::verify(&text, trust, workspace, clock::now(), SnapshotSeq(0), Duration::MAX)?;
    Ok(Some(Arc::new(document)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::{
        authorized_keys::AuthorizedKey,
        native::{identity::Identity, trust::Pinned},
        token::{Scope, Token},
    };

    struct Agent {
        root: tempfile::TempDir,
        keeper: Keeper,
        keys: Keys,
    }

    /// With the key of seed 1 pinned.
    fn agent() -> Agent {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("trust"), key(1).public().to_line()).unwrap();
        let (keeper, keys) = open(&root);
        Agent { root, keeper, keys }
    }

    impl Agent {
        fn restart(&mut self) {
            (self.keeper, self.keys) = open(&self.root);
        }

        fn seq(&self) -> Option<u64> {
            self.keys.watch().borrow().as_ref().map(|document| document.seq.0)
        }
    }

    fn open(root: &tempfile::TempDir) -> (Keeper, Keys) {
        let state = StateDir::open(&root.path().join("state")).unwrap();
        let trust = Trust::open(Pinned::read(root.path().join("trust")).unwrap(), &state);
        let client = EdgeClient::new("http://127.0.0.1:1".parse().unwrap(), Token::mint(Scope::Agent, &[1; 32])).unwrap();
        let pace = Pace { poll: Duration::from_secs(1), grace: Duration::from_secs(60) };
        Keeper::open(client, trust, "796636".parse().unwrap(), state, pace)
    }

    fn key(seed: u8) -> Identity {
        Identity::from_seed(&[seed; 32])
    }

    fn document(seq: u64, issued_at: Timestamp) -> AuthorizedKeys {
        AuthorizedKeys {
            version: AuthorizedKeys::VERSION,
            workspace: "796636".parse().unwrap(),
            seq: SnapshotSeq(seq),
            issued_at,
            not_after: issued_at.after(Duration::from_secs(60)),
            keys: vec![AuthorizedKey { fingerprint: Fingerprint([1; 32]), user: "alice".parse().unwrap(), not_after: None }],
            daemons: vec![],
            signers: vec![],
        }
    }

    #[test]
    fn a_good_document_decides_until_its_grace_is_over_and_outlives_a_restart() {
        let mut agent = agent();
        let now = clock::now();
        assert_eq!(agent.keys.user_of(&Fingerprint([1; 32]), now), None);
        agent.keeper.take(&document(4, now).sign(&[key(1).ssh()]).unwrap()).unwrap();
        let user = |after| agent.keys.user_of(&Fingerprint([1; 32]), now.after(Duration::from_secs(after)));
        assert!(user(0).is_some() && user(120).is_some());
        assert!(user(121).is_none());
        assert!(agent.keys.user_of(&Fingerprint([2; 32]), now).is_none());
        agent.restart();
        assert_eq!(agent.seq(), Some(4));
    }

    #[test]
    fn a_key_ends_by_itself_while_its_document_goes_on() {
        let mut agent = agent();
        let now = clock::now();
        let mut ending = document(4, now);
        ending.keys[0].not_after = Some(now.after(Duration::from_secs(30)));
        agent.keeper.take(&ending.sign(&[key(1).ssh()]).unwrap()).unwrap();
        let user = |after| agent.keys.user_of(&Fingerprint([1; 32]), now.after(Duration::from_secs(after)));
        assert!(user(30).is_some());
        assert!(user(31).is_none());
    }

    #[test]
    fn an_older_or_forged_document_changes_nothing() {
        let mut agent = agent();
        let now = clock::now();
        agent.keeper.take(&document(4, now).sign(&[key(1).ssh()]).unwrap()).unwrap();
        let older = document(3, now).sign(&[key(1).ssh()]).unwrap();
        let mut announcing = document(9, now);
        announcing.signers = vec![key(2).public().to_line()];
        let forged = announcing.sign(&[key(2).ssh()]).unwrap();
        for text in [older, forged.clone(), "hello".into(), forged] {
            assert!(matches!(agent.keeper.take(&text), Err(KeysFault::Document(_))));
        }
        assert_eq!(agent.seq(), Some(4));
    }

    #[test]
    fn the_edges_key_is_rolled_while_the_agent_restarts() {
        let mut agent = agent();
        let now = clock::now();
        let phases: [&[u8]; 5] = [&[1], &[1, 2], &[2], &[2, 3], &[3]];
        for (seq, signers) in (1..).zip(phases) {
            let mut document = document(seq, now);
            document.signers = signers.iter().map(|seed| key(*seed).public().to_line()).collect();
            let keys: Vec<_> = signers.iter().map(|seed| key(*seed).ssh()).collect();
            agent.keeper.take(&document.sign(&keys).unwrap()).unwrap();
            agent.restart();
            assert_eq!(agent.seq(), Some(seq), "{signers:?}");
        }
        let gone = document(9, now).sign(&[key(2).ssh()]).unwrap();
        assert!(matches!(agent.keeper.take(&gone), Err(KeysFault::Document(_))), "announced no longer");
    }
}
