//! Makes the workspace key known at the edge, once; afterwards the agent starts without the edge too.

use crate::limits::{ENROL_RETRY, MAX_ENROLLED};
use drawbridge_shared::{
    api::{ENROL_NAMESPACE, Enrol, Enrolled},
    backoff::Backoff,
    native::{
        edge_client::{EdgeClient, EdgeFault},
        identity::Identity,
        state_dir::{StateDir, StateFault},
    },
    signed,
    token::Token,
};
use rand::RngExt;
use std::time::Duration;
use tokio::time;
use tracing::{info, warn};

/// File of the state folder that says which workspace this is.
const ENROLLED: &str = "enrolled.json";

/// The agent cannot enrol, and trying again will not help.
#[derive(Debug, thiserror::Error)]
pub enum EnrolFault {
    /// The edge says no.
    #[error("the edge does not enrol this agent: {0}")]
    Refused(EdgeFault),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateFault),
    /// The key cannot sign.
    #[error(transparent)]
    Key(#[from] signed::CannotSign),
}

/// Which workspace this is: by the edge, or as it said last where it does not answer.
pub async fn enrol(edge: &EdgeClient, state: &StateDir, key: &Identity, token: &Token) -> Result<Enrolled, EnrolFault> {
    let request = request(key, token)?;
    let mut backoff = Backoff::new(ENROL_RETRY.0, ENROL_RETRY.1);
    loop {
        let fault = match ask(edge, &request).await {
            Ok(enrolled) => return remember(state, enrolled),
            Err(fault) if is_final(&fault) => return Err(EnrolFault::Refused(fault)),
            Err(fault) => fault,
        };
        if let Some(enrolled) = remembered(state)? {
            warn!(%fault, workspace = %enrolled.workspace, "the edge does not answer; going on as enrolled before");
            return Ok(enrolled);
        }
        let wait = backoff.after(Duration::ZERO, rand::rng().random());
        warn!(%fault, retry_ms = wait.as_millis() as u64, "cannot enrol yet");
        time::sleep(wait).await;
    }
}

/// The proof is over the token's hash: it shows that whoever enrols holds both key and token, before the agent knows
/// its workspace.
fn request(key: &Identity, token: &Token) -> Result<Enrol, signed::CannotSign> {
    let proof = signed::detached(&key.ssh(), ENROL_NAMESPACE, token.hash().to_hex().as_bytes())?;
    Ok(Enrol { public_key: key.public().to_line(), proof })
}

async fn ask(edge: &EdgeClient, request: &Enrol) -> Result<Enrolled, EdgeFault> {
    let answer = edge.post("v1/agent/enrol", request).await?;
    serde_json::from_slice(&answer).map_err(|_| EdgeFault::Unreadable)
}

/// A refusal by what we are, not by the edge's state.
fn is_final(fault: &EdgeFault) -> bool {
    matches!(fault, EdgeFault::Refused { status: 400..=499, .. } if !matches!(fault, EdgeFault::Refused { status: 408 | 425 | 429, .. }))
}

fn remember(state: &StateDir, enrolled: Enrolled) -> Result<Enrolled, EnrolFault> {
    let text = serde_json::to_vec(&enrolled).unwrap_or_default();
    state.write(ENROLLED, &text)?;
    info!(workspace = %enrolled.workspace, region = %enrolled.region, "enrolled");
    Ok(enrolled)
}

fn remembered(state: &StateDir) -> Result<Option<Enrolled>, StateFault> {
    let text = state.read(ENROLLED, MAX_ENROLLED)?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> EdgeFault {
        EdgeFault::Refused { status, title: String::new(), detail: String::new() }
    }

    #[test]
    fn only_what_waiting_cannot_mend_is_final() {
        assert!([400, 401, 403, 404, 409].into_iter().all(|status| is_final(&refused(status))));
        assert!(![408, 429, 500, 503].into_iter().any(|status| is_final(&refused(status))));
        assert!(!is_final(&EdgeFault::Unreadable));
    }

    #[test]
    fn an_enrolment_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("state")).unwrap();
        assert_eq!(remembered(&state).unwrap(), None);
        let enrolled = Enrolled { workspace: "796636".parse().unwrap(), region: "eu".into(), host_certificate: None };
        remember(&state, enrolled.clone()).unwrap();
        assert_eq!(remembered(&state).unwrap(), Some(enrolled));
    }
}
