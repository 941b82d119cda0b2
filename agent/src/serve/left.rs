//! Tunnels that were left and are kept for what runs there, by daemon: of each the newest few, whatever it keeps open.

use crate::limits::MAX_PARTING_PER_DAEMON;
use drawbridge_shared::native::identity::PublicIdentity;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Those of all daemons; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Left(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// Whichever was left first is in front, with its number.
    tunnels: HashMap<PublicIdentity, VecDeque<(u64, CancellationToken)>>,
    count: u64,
}

/// The place of one. Dropping it leaves.
#[derive(Debug)]
pub(super) struct Kept {
    left: Left,
    daemon: PublicIdentity,
    number: u64,
    /// Fires when it has to end for one that was left later.
    pub(super) displaced: CancellationToken,
}

impl Left {
    /// One more of `daemon`.
    pub(super) fn enter(&self, daemon: PublicIdentity) -> Kept {
        let displaced = CancellationToken::new();
        let mut table = self.lock();
        table.count += 1;
        let number = table.count;
        let all = table.tunnels.entry(daemon).or_default();
        all.push_back((number, displaced.clone()));
        if all.len() > MAX_PARTING_PER_DAEMON {
            all.pop_front().iter().for_each(|(_, oldest)| oldest.cancel());
        }
        drop(table);
        Kept { left: self.clone(), daemon, number, displaced }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut table = self.left.lock();
        let Some(all) = table.tunnels.get_mut(&self.daemon) else { return };
        all.retain(|(number, _)| *number != self.number);
        if all.is_empty() {
            table.tunnels.remove(&self.daemon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_of_a_daemon_ends_its_oldest_and_nobody_elses() {
        let (left, [one, other]) = (Left::default(), [1, 2].map(|n| PublicIdentity([n; 32])));
        let theirs = left.enter(other);
        let mut kept: Vec<_> = (0..MAX_PARTING_PER_DAEMON).map(|_| left.enter(one)).collect();
        assert!(kept.iter().chain([&theirs]).all(|kept| !kept.displaced.is_cancelled()));
        kept.push(left.enter(one));
        let ended: Vec<_> = kept.iter().map(|kept| kept.displaced.is_cancelled()).collect();
        assert!(ended[0] && !ended[1..].contains(&true) && !theirs.displaced.is_cancelled(), "{ended:?}");
        kept.truncate(2);
        kept.push(left.enter(one));
        assert!(!kept[1].displaced.is_cancelled(), "those that ended by themselves make room");
        drop((kept, theirs));
        assert!(left.lock().tunnels.is_empty());
    }
}
