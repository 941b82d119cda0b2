//! How many files this process may hold open: raised as far as it goes.

use crate::limits::{MAX_CONNECTIONS, MAX_TUNNELS};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Users' connections, agents' over WebSocket (those over QUIC share one), a spare socket of each of these that is in use, and
/// what else there is.
const WANTED: u64 = 2 * MAX_CONNECTIONS as u64 + MAX_TUNNELS as u64 + 1024;

/// Raises the soft limit to the hard one, and says where that is less than the daemon's own bounds ask for.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no limit.
    if current.is_some() && current != maximum {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        if let Err(fault) = raised {
            warn!(%fault, "cannot raise the limit of open files");
        }
    }
    if let Some(may) = getrlimit(Resource::Nofile).current.filter(|may| *may < WANTED) {
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
    fn the_soft_limit_becomes_the_hard_one() {
        raise();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }
}
