//! The verified authorized-keys document: fetched, on disk, asked at every login, with no edge in between.

use crate::ssh::Authorize;
use drawbridge_shared::{
    authorized_keys::{AuthorizedKeys, DocumentFault, MAX_DOCUMENT},
    fingerprint::Fingerprint,
    id::{SnapshotSeq, UserId, WorkspaceId},
    native::{
        clock,
        edge_client::{EdgeClient, EdgeFault, Fetched},
        refresh::Refresh,
        state_dir::{StateDir, StateFault},
    },
    signed::TrustRoots,
    time::Timestamp,
};
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
    trust: TrustRoots,
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
    pub fn open(edge: EdgeClient, trust: TrustRoots, workspace: WorkspaceId, state: StateDir, pace: Pace) -> (Self, Keys) {
        let document = load(&state, &trust, &workspace).unwrap_or_else(|fault| {
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
                () = time::sleep(self.interval) => {}
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

    fn take(&self, text: &str) -> Result<(), KeysFault> {
        let lowest = self.held.borrow().as_ref().map_or(SnapshotSeq(0), |document| document.seq);
        let document = AuthorizedKeys::verify(text, &self.trust, &self.workspace, clock::now(), lowest, Duration::ZERO)?;
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
        native::identity::Identity,
        token::{Scope, Token},
    };

    struct Edge {
        _root: tempfile::TempDir,
        key: Identity,
        keeper: Keeper,
        keys: Keys,
    }

    fn edge() -> Edge {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(&root.path().join("state")).unwrap();
        let key = Identity::from_seed(&[1; 32]);
        let trust = key.public().to_line().parse().unwrap();
        let client = EdgeClient::new("http://127.0.0.1:1".parse().unwrap(), Token::mint(Scope::Agent, &[1; 32])).unwrap();
        let pace = Pace { poll: Duration::from_secs(1), grace: Duration::from_secs(60) };
        let (keeper, keys) = Keeper::open(client, trust, "796636".parse().unwrap(), state, pace);
        Edge { _root: root, key, keeper, keys }
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
        let edge = edge();
        let now = clock::now();
        assert_eq!(edge.keys.user_of(&Fingerprint([1; 32]), now), None);
        edge.keeper.take(&document(4, now).sign(&[edge.key.ssh()]).unwrap()).unwrap();
        let user = |after| edge.keys.user_of(&Fingerprint([1; 32]), now.after(Duration::from_secs(after)));
        assert!(user(0).is_some() && user(120).is_some());
        assert!(user(121).is_none());
        assert!(edge.keys.user_of(&Fingerprint([2; 32]), now).is_none());
        let again = load(&edge.keeper.state, &edge.keeper.trust, &edge.keeper.workspace).unwrap();
        assert_eq!(again.unwrap().seq, SnapshotSeq(4));
    }

    #[test]
    fn an_older_or_forged_document_changes_nothing() {
        let edge = edge();
        let now = clock::now();
        edge.keeper.take(&document(4, now).sign(&[edge.key.ssh()]).unwrap()).unwrap();
        let older = document(3, now).sign(&[edge.key.ssh()]).unwrap();
        let forged = document(9, now).sign(&[Identity::from_seed(&[2; 32]).ssh()]).unwrap();
        for text in [older, forged, "hello".into()] {
            assert!(matches!(edge.keeper.take(&text), Err(KeysFault::Document(_))));
        }
        assert_eq!(edge.keys.watch().borrow().as_ref().unwrap().seq, SnapshotSeq(4));
    }
}
