//! What the agent says of itself: a file that `drawbridge-agent status` reads.

use drawbridge_shared::{
    id::{SnapshotSeq, WorkspaceId},
    native::state_dir::{StateDir, StateFault},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tracing::warn;

/// The file in the state folder.
const STATUS: &str = "status.json";
const MAX_STATUS: u64 = 64 * 1024;

/// The agent's state at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The process that wrote it.
    pub pid: u32,
    /// Whose agent it is.
    pub workspace: WorkspaceId,
    /// The publish that its keys are of.
    pub keys_seq: Option<SnapshotSeq>,
    /// Lists of keys that were offered and not believed, by why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub disbelieved: BTreeMap<String, u64>,
    /// Those that are kept, by daemon and first address: `eu-1/eu-1.example.com:443`.
    pub tunnels: BTreeMap<String, TunnelStatus>,
}

/// One tunnel's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum TunnelStatus {
    /// Up.
    #[serde(rename_all = "camelCase")]
    Connected {
        /// What carries it.
        transport: String,
        /// Where the daemon is.
        address: String,
        /// The proxy in between, without its credentials.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proxy: Option<String>,
        /// Since when.
        since: Timestamp,
        /// Why it is this transport.
        why: String,
        /// When QUIC is tried again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quic_again: Option<Timestamp>,
    },
    /// Down, and tried again.
    #[serde(rename_all = "camelCase")]
    Disconnected {
        /// Why.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
}

/// Where the agent's parts report; cheap to clone.
#[derive(Clone, Debug)]
pub struct Board(Arc<Mutex<Posted>>);

#[derive(Debug)]
struct Posted {
    status: Status,
    state: StateDir,
}

impl Board {
    /// Nothing is up yet.
    pub fn new(workspace: WorkspaceId, state: StateDir) -> Self {
        let status =
            Status { pid: std::process::id(), workspace, keys_seq: None, disbelieved: BTreeMap::new(), tunnels: BTreeMap::new() };
        let board = Self(Arc::new(Mutex::new(Posted { status, state })));
        board.post(|_| {});
        board
    }

    /// Changes what is posted.
    pub fn post(&self, change: impl FnOnce(&mut Status)) {
        let mut posted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut posted.status);
        let text = serde_json::to_vec_pretty(&posted.status).unwrap_or_default();
        if let Err(fault) = posted.state.write(STATUS, &text) {
            warn!(%fault, "the status cannot be written");
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "workspace {}, process {}", self.workspace, self.pid)?;
        match self.keys_seq {
            Some(seq) => write!(f, ", keys of snapshot {seq}")?,
            None => f.write_str(", no keys yet")?,
        }
        self.disbelieved.iter().try_for_each(|(why, times)| write!(f, ", {times} lists not believed: {why}"))?;
        self.tunnels.iter().try_for_each(|(line, tunnel)| write!(f, "\n  {line}: {tunnel}"))
    }
}

impl fmt::Display for TunnelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { transport, address, proxy, since, why, quic_again } => {
                write!(f, "connected to {address} over {transport}")?;
                proxy.iter().try_for_each(|proxy| write!(f, " through proxy {proxy}"))?;
                write!(f, " since {since}: {why}")?;
                quic_again.iter().try_for_each(|at| write!(f, "; QUIC is tried again at {at}"))
            }
            Self::Disconnected { reason, since } => write!(f, "disconnected since {since}: {reason}"),
        }
    }
}

/// What the agent with the state folder at `path` posted last; `None` where none ever ran or the last one has ended.
pub fn read(path: &Path) -> Result<Option<Status>, StateFault> {
    if !path.exists() {
        return Ok(None);
    }
    let Some(text) = StateDir::of_another(path).read(STATUS, MAX_STATUS)? else { return Ok(None) };
    let status: Option<Status> = serde_json::from_slice(&text).ok();
    Ok(status.filter(|status| Path::new("/proc").join(status.pid.to_string()).exists()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_posted_is_read_while_the_process_lives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let state = StateDir::open(&path).unwrap();
        assert_eq!(read(&path).unwrap(), None);
        let board = Board::new("796636".parse().unwrap(), state);
        let tunnel = TunnelStatus::Disconnected { reason: "no answer".into(), since: Timestamp::from_unix(0) };
        board.post(|status| {
            status.tunnels.insert("eu-1/eu:443".into(), tunnel);
        });
        let text = read(&path).unwrap().unwrap().to_string();
        assert!(text.ends_with("eu-1/eu:443: disconnected since 1970-01-01T00:00:00Z: no answer"), "{text}");
        board.post(|status| status.pid = u32::MAX);
        assert_eq!(read(&path).unwrap(), None);
    }

    #[test]
    fn a_tunnel_says_what_carries_it_and_why() {
        let direct = TunnelStatus::Connected {
            transport: "quic".into(),
            address: "192.0.2.1:443".into(),
            proxy: None,
            since: Timestamp::from_unix(0),
            why: "it got through".into(),
            quic_again: None,
        };
        assert_eq!(direct.to_string(), "connected to 192.0.2.1:443 over quic since 1970-01-01T00:00:00Z: it got through");
        let proxied = TunnelStatus::Connected {
            transport: "websocket".into(),
            address: "eu.example.com:443".into(),
            proxy: Some("proxy:3128".into()),
            since: Timestamp::from_unix(0),
            why: "no answer over quic for 300 ms".into(),
            quic_again: Some(Timestamp::from_unix(41)),
        };
        assert_eq!(
            proxied.to_string(),
            "connected to eu.example.com:443 over websocket through proxy proxy:3128 since 1970-01-01T00:00:00Z: \
             no answer over quic for 300 ms; QUIC is tried again at 1970-01-01T00:00:41Z"
        );
        let json = serde_json::to_value(&proxied).unwrap();
        assert_eq!((&json["quicAgain"], &json["state"]), (&"1970-01-01T00:00:41Z".into(), &"connected".into()));
        assert!(serde_json::to_value(&direct).unwrap().get("proxy").is_none());
    }
}
