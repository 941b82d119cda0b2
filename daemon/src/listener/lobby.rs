//! Those who called over TCP and have said nothing yet. When there are too many, whoever has been silent for longest goes: an agent
//! speaks at once, so that silence keeps nobody out.

use crate::limits::MAX_SILENT;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// The place where they wait; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Lobby(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    came: u64,
    /// By the order in which they came.
    silent: BTreeMap<u64, CancellationToken>,
}

/// One who waits there until this is dropped.
#[derive(Debug)]
pub(super) struct Silent {
    lobby: Lobby,
    number: u64,
    /// Fires when another needs the place.
    pub(super) displaced: CancellationToken,
}

impl Lobby {
    /// One more.
    pub(super) fn enter(&self) -> Silent {
        let displaced = CancellationToken::new();
        let mut waiting = self.lock();
        waiting.came += 1;
        let number = waiting.came;
        waiting.silent.insert(number, displaced.clone());
        if waiting.silent.len() > MAX_SILENT
            && let Some((_, longest)) = waiting.silent.pop_first()
        {
            longest.cancel();
        }
        drop(waiting);
        Silent { lobby: self.clone(), number, displaced }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.lobby.lock().silent.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_silent_for_longest_makes_room() {
        let lobby = Lobby::default();
        let mut all: Vec<_> = (0..MAX_SILENT).map(|_| lobby.enter()).collect();
        assert!(all.iter().all(|silent| !silent.displaced.is_cancelled()));
        drop(all.remove(0));
        all.push(lobby.enter());
        assert!(!all[0].displaced.is_cancelled(), "one had gone");
        all.push(lobby.enter());
        assert!(all[0].displaced.is_cancelled() && !all[1].displaced.is_cancelled());
        drop(all);
        assert!(lobby.lock().silent.is_empty());
    }
}
