//! How many files the daemon may hold open: as many as it may have, or it says what is missing.

use crate::limits::{MAX_CONNECTIONS, MAX_TUNNELS};
use drawbridge_shared::native::descriptors;
use tracing::warn;

/// Users' connections, agents' over WebSocket (those over QUIC share one), a spare socket of each of these that is in use, and
/// what else there is.
const WANTED: u64 = 2 * MAX_CONNECTIONS as u64 + MAX_TUNNELS as u64 + 1024;

/// Raises the soft limit to the hard one, and says where that is less than the daemon's own bounds ask for.
pub fn raise() {
    if let Some(may) = descriptors::raise().filter(|may| *may < WANTED) {
        warn!(
            may,
            wanted = WANTED,
            "few files may be open: raise LimitNOFILE= of the unit, or `ulimit -Hn`, or users and agents are kept waiting"
        );
    }
}
