//! Places of channels to workspaces, over all connections: one user has half of them at most.

use crate::denial::Denial;
use drawbridge_shared::{
    native::crowd::{Crowd, Seated},
    snapshot::key_shard::UserHash,
};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Some number of them.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    crowd: Crowd<UserHash>,
}

/// A channel's place, until its agent has heard of its end. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Place {
    _own: Seated<UserHash>,
    _all: OwnedSemaphorePermit,
}

impl Places {
    /// So many in all.
    pub(super) fn new(most: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(most)), crowd: Crowd::of(most / 2) }
    }

    /// One for `users`, who share a key, or why there is none.
    pub(super) fn take(&self, users: Vec<UserHash>) -> Result<Place, Denial> {
        let own = self.crowd.seat(users).ok_or(Denial::Share)?;
        let all = self.all.clone().try_acquire_owned().map_err(|_| Denial::Full)?;
        Ok(Place { _own: own, _all: all })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Vec<UserHash> {
        vec![UserHash::of(&name.parse().unwrap())]
    }

    #[test]
    fn a_user_at_the_bound_is_refused_in_words_while_another_opens_a_channel() {
        let places = Places::new(6);
        let mut held: Vec<_> = (0..3).map(|_| places.take(user("alice")).unwrap()).collect();
        let refused = places.take(user("alice")).unwrap_err();
        assert_eq!((refused.label(), refused.code()), ("share", 4));
        assert!(refused.to_string().contains("end some"), "{refused}");
        held.extend((0..3).map(|_| places.take(user("bob")).unwrap()));
        let refused = places.take(user("carol")).unwrap_err();
        assert_eq!((refused.label(), refused.code()), ("full", 4));
        held.remove(0);
        drop(places.take(user("carol")).unwrap());
        held.push(places.take(user("alice")).unwrap());
        assert!(places.take(user("carol")).is_err(), "all are taken again");
    }
}
