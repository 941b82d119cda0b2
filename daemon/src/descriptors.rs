//! How many files the daemon may hold open: as many as it may have, or it says what is missing.

use crate::limits::{MAX_CARRIED, MAX_CONNECTIONS, MAX_PASSAGES, MAX_TUNNELS};
use drawbridge_shared::native::descriptors;
use tracing::warn;

/// Users' connections, agents' over WebSocket (those over QUIC share one), a socket for each channel and a spare one where its tunnel has
/// no other channel, what a predecessor is given, and what else there is.
const WANTED: u64 = (MAX_CONNECTIONS + MAX_TUNNELS + 2 * MAX_CARRIED + 2 * MAX_PASSAGES) as u64 + 1024;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_give_what_the_bounds_ask_for() {
        let units =
            [include_str!("../../deploy/drawbridge-daemon.service"), include_str!("../../deploy/drawbridge-daemon@.service")];
        for unit in units {
            let files = unit.lines().find_map(|line| line.strip_prefix("LimitNOFILE=")).unwrap();
            assert!(files.parse::<u64>().unwrap() >= WANTED, "{files}");
        }
    }
}
