//! The directory of daemons: who may call itself one, and where it is reached.

use crate::id::DaemonId;
use serde::{Deserialize, Serialize};

/// One daemon as the edge vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DaemonEntry {
    /// Its name.
    pub id: DaemonId,
    /// Where it runs.
    pub region: String,
    /// `ssh-ed25519 AAAA...`: its SSH host key and TLS identity.
    pub identity: String,
    /// `host:port` where agents reach it, best first.
    pub addresses: Vec<String>,
}

/// The shard that `daemons` make, in any order.
pub fn build(mut daemons: Vec<DaemonEntry>) -> Vec<u8> {
    daemons.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    serde_json::to_vec(&daemons).unwrap_or_default()
}

/// Reads a directory whose hash was checked.
pub fn open(bytes: &[u8]) -> Option<Vec<DaemonEntry>> {
    let daemons: Vec<DaemonEntry> = serde_json::from_slice(bytes).ok()?;
    daemons.is_sorted_by(|a, b| a.id < b.id).then_some(daemons)
}
