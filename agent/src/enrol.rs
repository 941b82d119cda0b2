//! Makes the workspace key known at the edge; an agent that was enrolled before starts without waiting for the edge.

#[cfg(test)]
mod tests;

use crate::limits::{ENROL_AGAIN, ENROL_PATIENCE, ENROL_RETRY, MAX_ENROLLED};
use drawbridge_shared::{
    api::{ENROL_NAMESPACE, Enrol, Enrolled},
    authorized_keys::{AuthorizedKeys, DocumentFault, MAX_DOCUMENT},
    backoff::Backoff,
    id::WorkspaceId,
    native::{
        edge_client::{CALL_TIMEOUT, EdgeClient, EdgeFault, Fetched},
        identity::Identity,
        state_dir::{StateDir, StateFault},
    },
    signed::{self, TrustRoots},
    token::Token,
};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::{future, path::PathBuf, time::Duration};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// File of the state folder that says which workspace this is.
const ENROLLED: &str = "enrolled.json";

/// The agent cannot enrol, and trying again will not help.
#[derive(Debug, thiserror::Error)]
pub enum EnrolFault {
    /// The edge says no.
    #[error("the edge does not enrol this agent: {0}")]
    Refused(EdgeFault),
    /// The state folder is another workspace's.
    #[error(
        "{path} is the state folder of workspace {ours}, and the token is workspace {theirs}'s: give each agent a folder of its own, or this one a token of {ours}",
        path = .path.display()
    )]
    Elsewhere {
        /// The state folder.
        path: PathBuf,
        /// Whose folder it is.
        ours: WorkspaceId,
        /// Whose token it is.
        theirs: WorkspaceId,
    },
    /// The key cannot sign.
    #[error(transparent)]
    Key(#[from] signed::CannotSign),
}

/// What the state folder says of the last enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    enrolled: Enrolled,
    /// Whom the edge gave that answer; nobody is named by agents from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    applicant: Option<Applicant>,
}

/// Who enrols.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Applicant {
    /// The token's public id, hex SHA-256.
    token: String,
    /// The workspace key.
    public_key: String,
}

/// An enrolment under way.
#[derive(Debug)]
pub struct Enrolment {
    edge: EdgeClient,
    state: StateDir,
    roots: TrustRoots,
    key: Identity,
    before: Option<Record>,
    settled: bool,
}

impl Enrolment {
    /// Of whoever holds `key` and the token that `edge` shows; `roots` sign what the edge says.
    pub fn new(edge: EdgeClient, state: StateDir, roots: TrustRoots, key: &Identity) -> Self {
        let before = remembered(&state).unwrap_or_else(|fault| {
            warn!(%fault, "what is known of the last enrolment is not used");
            None
        });
        Self { edge, state, roots, key: key.clone(), before, settled: false }
    }

    /// Which workspace this is: by the edge, or as it said last where it does not answer.
    pub async fn begin(&mut self) -> Result<Enrolled, EnrolFault> {
        let mut backoff = Backoff::new(ENROL_RETRY.0, ENROL_RETRY.1);
        loop {
            let fault = match self.ask(self.patience()).await? {
                Ok(enrolled) => return Ok(enrolled),
                Err(fault) => fault,
            };
            if let Some(Record { enrolled, .. }) = &self.before {
                warn!(%fault, workspace = %enrolled.workspace, "the edge does not answer; going on as enrolled before, and asking again");
                return Ok(enrolled.clone());
            }
            let wait = backoff.after(Duration::ZERO, rand::rng().random());
            warn!(%fault, retry_ms = wait.as_millis() as u64, "cannot enrol yet");
            time::sleep(wait).await;
        }
    }

    /// Enrols after all where [`Self::begin`] went on without the edge, until `stop`. Returns only where the edge says no.
    pub async fn refused(mut self, stop: &CancellationToken) -> EnrolFault {
        match stop.run_until_cancelled(self.settle()).await {
            Some(Err(fault)) => fault,
            Some(Ok(())) | None => future::pending().await,
        }
    }

    async fn settle(&mut self) -> Result<(), EnrolFault> {
        let mut backoff = Backoff::new(ENROL_AGAIN.0, ENROL_AGAIN.1);
        let mut refused = false;
        while !self.settled {
            let wait = backoff.after(Duration::ZERO, rand::rng().random());
            time::sleep(wait).await;
            match self.ask(CALL_TIMEOUT).await {
                // Sessions are served meanwhile, and it may be somebody in front of an edge that comes back who says so: once more.
                Err(EnrolFault::Refused(_)) if !refused => refused = true,
                Err(fault) => return Err(fault),
                // What keeps the edge from answering was told.
                Ok(_) => refused = false,
            }
        }
        Ok(())
    }

    /// Who was enrolled as exactly this goes on without the edge: nobody waits long for one that hangs.
    fn patience(&self) -> Duration {
        if self.is_known() { ENROL_PATIENCE } else { CALL_TIMEOUT }
    }

    fn is_known(&self) -> bool {
        self.before.as_ref().is_some_and(|before| before.applicant.as_ref() == Some(&self.applicant(&self.edge.token())))
    }

    /// Asks once. The inner fault is the edge's state, and may pass.
    async fn ask(&mut self, patience: Duration) -> Result<Result<Enrolled, EdgeFault>, EnrolFault> {
        let answer = match self.first_look().await? {
            Ok(()) => self.post(patience).await?,
            Err(fault) => Err(fault),
        };
        match answer {
            Ok((enrolled, token)) => self.take(enrolled, &token).map(Ok),
            Err(fault) if is_final(&fault) => Err(EnrolFault::Refused(fault)),
            Err(fault) => Ok(Err(fault)),
        }
    }

    /// Also the token that it was done with, for which the proof is: its file may have been read again.
    async fn post(&self, patience: Duration) -> Result<Result<(Enrolled, Token), EdgeFault>, EnrolFault> {
        let token = self.edge.token();
        let first = self.edge.post_within("v1/agent/enrol", &request(&self.key, &token)?, patience).await;
        let shown = self.edge.token();
        let (answer, token) = if shown.hash() == token.hash() {
            (first, token)
        } else {
            (self.edge.post_within("v1/agent/enrol", &request(&self.key, &shown)?, patience).await, shown)
        };
        let enrolled = answer.and_then(|answer| serde_json::from_slice(&answer).map_err(|_| EdgeFault::Unreadable));
        Ok(enrolled.map(|enrolled| (enrolled, token)))
    }

    fn applicant(&self, token: &Token) -> Applicant {
        Applicant { token: token.hash().to_hex(), public_key: self.key.public().to_line() }
    }

    /// A token that is new to this folder may be another workspace's, which is to be known before the key is enrolled there.
    async fn first_look(&self) -> Result<Result<(), EdgeFault>, EnrolFault> {
        let Some(before) = self.before.as_ref().filter(|_| !self.is_known()) else { return Ok(Ok(())) };
        let body = match self.edge.get("v1/agent/authorized-keys", None, MAX_DOCUMENT).await {
            Ok(Fetched::New { body, .. }) => body,
            Err(fault) if !is_final(&fault) => return Ok(Err(fault)),
            // The enrolment says why.
            Ok(Fetched::Unchanged) | Err(_) => return Ok(Ok(())),
        };
        match AuthorizedKeys::held(&String::from_utf8_lossy(&body), &self.roots, &before.enrolled.workspace) {
            Err(DocumentFault::Foreign(theirs)) => Err(self.elsewhere(&before.enrolled.workspace, theirs)),
            _ => Ok(Ok(())),
        }
    }

    fn take(&mut self, enrolled: Enrolled, token: &Token) -> Result<Enrolled, EnrolFault> {
        if let Some(before) = self.before.as_ref().filter(|before| before.enrolled.workspace != enrolled.workspace) {
            return Err(self.elsewhere(&before.enrolled.workspace, enrolled.workspace));
        }
        info!(workspace = %enrolled.workspace, region = %enrolled.region, "enrolled");
        self.remember(Record { enrolled: enrolled.clone(), applicant: Some(self.applicant(token)) });
        self.settled = true;
        Ok(enrolled)
    }

    /// A full disk keeps nobody out who is enrolled.
    fn remember(&mut self, record: Record) {
        if self.before.as_ref() == Some(&record) {
            return;
        }
        let text = serde_json::to_vec(&record).unwrap_or_default();
        if let Err(fault) = self.state.write(ENROLLED, &text) {
            warn!(%fault, "the enrolment is good and not saved: a start without the edge goes by the one before, or waits");
        }
        self.before = Some(record);
    }

    fn elsewhere(&self, ours: &WorkspaceId, theirs: WorkspaceId) -> EnrolFault {
        EnrolFault::Elsewhere { path: self.state.path(""), ours: ours.clone(), theirs }
    }
}

/// The proof is over the token's hash: it shows that whoever enrols holds both key and token, before the agent knows
/// its workspace.
fn request(key: &Identity, token: &Token) -> Result<Enrol, signed::CannotSign> {
    let proof = signed::detached(&key.ssh(), ENROL_NAMESPACE, token.hash().to_hex().as_bytes())?;
    Ok(Enrol { public_key: key.public().to_line(), proof })
}

/// A refusal by what we are, not by the edge's state.
fn is_final(fault: &EdgeFault) -> bool {
    matches!(fault, EdgeFault::Refused { status: 400..=499, .. } if !matches!(fault, EdgeFault::Refused { status: 408 | 425 | 429, .. }))
}

fn remembered(state: &StateDir) -> Result<Option<Record>, StateFault> {
    let text = state.read(ENROLLED, MAX_ENROLLED)?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}
