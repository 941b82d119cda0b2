//! What the agent says of itself: a file that `drawbridge-agent status` reads.

use crate::newest;
use drawbridge_shared::{
    id::{SnapshotSeq, WorkspaceId},
    native::{
        slot::{SLOTS, Slot},
        state_dir::{StateDir, StateFault},
    },
    time::Timestamp,
    trouble::Turn,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, fs, path::Path, sync::Arc};
use tokio::{sync::watch, task};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Longest file in the state folder.
const MAX_STATUS: u64 = 64 * 1024;

/// The agent's state at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The process that wrote it.
    pub pid: u32,
    /// Whose agent it is.
    pub workspace: WorkspaceId,
    /// Since when another process takes what is new, and this one serves its sessions to their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_over: Option<Timestamp>,
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
    /// Asked for, and not tried to the end yet.
    #[serde(rename_all = "camelCase")]
    Dialled {
        /// Since when.
        since: Timestamp,
    },
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

/// What the processes on one state folder posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The one that takes what is new.
    #[serde(flatten)]
    pub serves: Status,
    /// The one before it, which still has sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<Status>,
}

/// Where the agent's parts report; cheap to clone.
#[derive(Clone, Debug)]
pub struct Board(Arc<Posted>);

#[derive(Debug)]
struct Posted {
    status: watch::Sender<Status>,
    place: Place,
}

/// Where a process's status stands.
#[derive(Clone, Debug)]
struct Place {
    state: StateDir,
    file: String,
}

impl Board {
    /// Nothing is up yet. Its file is the slot's.
    pub fn new(workspace: WorkspaceId, state: StateDir, slot: &Slot) -> Self {
        if slot.is_alone() {
            // What one that was killed left there would be taken for the word of whoever has its pid now.
            Place { state: state.clone(), file: file(1 - slot.number()) }.clear();
        }
        let status = Status {
            pid: std::process::id(),
            workspace,
            handed_over: None,
            keys_seq: None,
            disbelieved: BTreeMap::new(),
            tunnels: BTreeMap::new(),
        };
        let place = Place { state, file: file(slot.number()) };
        Self(Arc::new(Posted { status: watch::Sender::new(status), place }))
    }

    /// Changes what is posted.
    pub fn post(&self, change: impl FnOnce(&mut Status)) {
        self.0.status.send_modify(change);
    }

    /// Waits until every line has been tried and one of them is up.
    pub(crate) async fn until_serving(&self) {
        let mut status = self.0.status.subscribe();
        // The sender is ours: it cannot be gone.
        let _ = status.wait_for(Status::serves).await;
    }

    /// Keeps the file as what is posted until `stop`, then takes it away.
    pub(crate) async fn keep_written(self, stop: CancellationToken) {
        let Posted { status, place } = &*self.0;
        let (writing, clearing) = (place.clone(), place.clone());
        let write = move |status: &Status| writing.write(status);
        newest::keep(status.subscribe(), &place.state.path(&place.file), stop, write, tell).await;
        let _ = task::spawn_blocking(move || clearing.clear()).await;
    }
}

impl Place {
    /// Where it cannot be written, nothing stands there rather than what was so once.
    fn write(&self, status: &Status) -> Result<(), StateFault> {
        let text = serde_json::to_vec_pretty(status).unwrap_or_default();
        self.state.write(&self.file, &text).inspect_err(|_| self.clear())
    }

    /// Best effort: a file that stays says what a process was like that has ended.
    fn clear(&self) {
        let _ = fs::remove_file(self.state.path(&self.file));
    }
}

fn tell(turn: Turn<StateFault>) {
    match turn {
        Turn::Fails(fault) => {
            warn!(%fault, "the status cannot be written: `drawbridge-agent status` cannot say how this agent is")
        }
        Turn::Works => info!("the status is written again"),
    }
}

impl Status {
    fn serves(&self) -> bool {
        let tried = !self.tunnels.values().any(|tunnel| matches!(tunnel, TunnelStatus::Dialled { .. }));
        tried && self.is_up()
    }

    fn is_up(&self) -> bool {
        self.tunnels.values().any(|tunnel| matches!(tunnel, TunnelStatus::Connected { .. }))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.serves)?;
        self.predecessor.iter().try_for_each(|predecessor| write!(f, "\n{predecessor}"))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "workspace {}, process {}", self.workspace, self.pid)?;
        self.handed_over.iter().try_for_each(|at| write!(f, ", handed over at {at} and serving its sessions to their end"))?;
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
            Self::Dialled { since } => write!(f, "called since {since}"),
            Self::Disconnected { reason, since } => write!(f, "disconnected since {since}: {reason}"),
        }
    }
}

/// What the agent with the state folder at `path` posted last; `None` where none ever ran or the last one has ended.
pub fn read(path: &Path) -> Result<Option<Report>, StateFault> {
    if !path.exists() {
        return Ok(None);
    }
    let state = StateDir::of_another(path);
    let mut live = Vec::new();
    for slot in 0..SLOTS {
        let status = posted(&state, slot)?;
        live.extend(status.filter(|status| Path::new("/proc").join(status.pid.to_string()).exists()));
    }
    live.sort_by_key(|status| (status.handed_over.is_some(), !status.is_up()));
    let mut live = live.into_iter();
    Ok(live.next().map(|serves| Report { serves, predecessor: live.next() }))
}

fn posted(state: &StateDir, slot: u8) -> Result<Option<Status>, StateFault> {
    let text = state.read(&file(slot), MAX_STATUS)?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}

fn file(slot: u8) -> String {
    format!("status.{slot}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    impl Board {
        fn write(&self) -> Result<(), StateFault> {
            self.0.place.write(&self.0.status.borrow())
        }

        /// As whoever keeps it written does.
        fn posts(&self, change: impl FnOnce(&mut Status)) {
            self.post(change);
            self.write().unwrap();
        }
    }

    #[test]
    fn what_is_posted_is_read_while_the_process_lives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let state = StateDir::open(&path).unwrap();
        assert_eq!(read(&path).unwrap(), None);
        let slot = Slot::take(&state).unwrap();
        let board = Board::new("796636".parse().unwrap(), state.clone(), &slot);
        let tunnel = TunnelStatus::Disconnected { reason: "no answer".into(), since: Timestamp::from_unix(0) };
        board.posts(|status| drop(status.tunnels.insert("eu-1/eu:443".into(), tunnel)));
        let text = read(&path).unwrap().unwrap().to_string();
        assert!(text.ends_with("eu-1/eu:443: disconnected since 1970-01-01T00:00:00Z: no answer"), "{text}");
        board.posts(|status| status.pid = u32::MAX);
        assert_eq!(read(&path).unwrap(), None);
        drop(slot);
        let next = Board::new("796636".parse().unwrap(), state.clone(), &Slot::take(&state).unwrap());
        assert_eq!(read(&path).unwrap(), None);
        next.write().unwrap();
        assert!(read(&path).unwrap().is_some_and(|report| report.serves.tunnels.is_empty()));
        next.0.place.clear();
        assert_eq!(read(&path).unwrap(), None);
    }

    /// A folder in the draft's place fails every write, and root's too.
    #[test]
    fn what_cannot_be_written_any_more_is_not_left_to_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let state = StateDir::open(&path).unwrap();
        let board = Board::new("796636".parse().unwrap(), state.clone(), &Slot::take(&state).unwrap());
        board.write().unwrap();
        let draft = state.path(&format!("{}.{}.new", file(0), std::process::id()));
        fs::create_dir(&draft).unwrap();
        assert!(read(&path).unwrap().is_some());
        board.post(|status| status.keys_seq = Some(SnapshotSeq(2)));
        assert!(board.write().is_err());
        assert_eq!(read(&path).unwrap(), None);
        fs::remove_dir(&draft).unwrap();
        board.write().unwrap();
        assert!(read(&path).unwrap().is_some_and(|report| report.serves.keys_seq == Some(SnapshotSeq(2))));
    }

    #[test]
    fn two_processes_post_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let state = StateDir::open(&path).unwrap();
        let (first, second) = (Slot::take(&state).unwrap(), Slot::take(&state).unwrap());
        let [old, new] = [&first, &second].map(|slot| Board::new("796636".parse().unwrap(), state.clone(), slot));
        new.posts(|status| status.keys_seq = Some(SnapshotSeq(2)));
        old.posts(|status| status.handed_over = Some(Timestamp::from_unix(0)));
        let report = read(&path).unwrap().unwrap();
        assert_eq!(report.serves.keys_seq, Some(SnapshotSeq(2)));
        let words = "handed over at 1970-01-01T00:00:00Z and serving its sessions to their end, no keys yet";
        assert!(report.to_string().ends_with(words), "{report}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["keysSeq"], &json["predecessor"]["handedOver"]), (&2.into(), &"1970-01-01T00:00:00Z".into()));
    }

    #[tokio::test]
    async fn the_file_stands_while_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let state = StateDir::open(&path).unwrap();
        let board = Board::new("796636".parse().unwrap(), state.clone(), &Slot::take(&state).unwrap());
        let stop = CancellationToken::new();
        let story = async {
            board.post(|status| status.keys_seq = Some(SnapshotSeq(2)));
            while read(&path).unwrap().is_none_or(|report| report.serves.keys_seq.is_none()) {
                task::yield_now().await;
            }
            stop.cancel();
        };
        tokio::join!(board.clone().keep_written(stop.clone()), story);
        assert_eq!(read(&path).unwrap(), None);
    }

    #[test]
    fn it_serves_once_all_were_tried_and_one_is_up() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("state")).unwrap();
        let board = Board::new("796636".parse().unwrap(), state.clone(), &Slot::take(&state).unwrap());
        let since = Timestamp::from_unix(0);
        let (up, down) = (
            TunnelStatus::Connected {
                transport: "quic".into(),
                address: "192.0.2.1:443".into(),
                proxy: None,
                since,
                why: "it got through".into(),
                quic_again: None,
            },
            TunnelStatus::Disconnected { reason: "no answer".into(), since },
        );
        let serves = |tunnels: &[&TunnelStatus]| {
            board.post(|status| {
                status.tunnels = tunnels.iter().enumerate().map(|(n, tunnel)| (n.to_string(), (*tunnel).clone())).collect();
            });
            board.until_serving().now_or_never().is_some()
        };
        let dialled = TunnelStatus::Dialled { since };
        assert!(!serves(&[]) && !serves(&[&dialled]) && !serves(&[&up, &dialled]) && !serves(&[&down]));
        assert!(serves(&[&up]) && serves(&[&down, &up]));
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
