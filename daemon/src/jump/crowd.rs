//! How many connections each user has: one who has a good part of all of them leaves the others theirs.

use crate::limits::MAX_CONNECTIONS_OF_USER;
use drawbridge_shared::snapshot::key_shard::UserHash;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Connections by user, no more entries than connections; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd(Arc<Mutex<HashMap<UserHash, usize>>>);

/// A connection's place. Dropping it leaves.
#[derive(Debug)]
pub(super) struct Seated {
    crowd: Crowd,
    users: Vec<UserHash>,
}

impl Crowd {
    /// One more of `users`, who share a key; `None` where one of them has too many.
    pub(super) fn seat(&self, users: Vec<UserHash>) -> Option<Seated> {
        let mut crowd = self.lock();
        let is_full = |user: &UserHash| crowd.get(user).is_some_and(|have| *have >= MAX_CONNECTIONS_OF_USER);
        if users.iter().any(is_full) {
            return None;
        }
        users.iter().for_each(|user| *crowd.entry(*user).or_default() += 1);
        drop(crowd);
        Some(Seated { crowd: self.clone(), users })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserHash, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let mut crowd = self.crowd.lock();
        for user in &self.users {
            if let Some(have) = crowd.get_mut(user) {
                *have -= 1;
                if *have == 0 {
                    crowd.remove(user);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_leaves_room_for_the_others() {
        let (crowd, user) = (Crowd::default(), |id: &str| vec![UserHash::of(&id.parse().unwrap())]);
        let mut all: Vec<_> = (0..MAX_CONNECTIONS_OF_USER).map(|_| crowd.seat(user("alice")).unwrap()).collect();
        assert!(crowd.seat(user("alice")).is_none());
        assert!(crowd.seat([user("bob"), user("alice")].concat()).is_none(), "a shared key is each one's");
        let bob = crowd.seat(user("bob")).unwrap();
        all.pop();
        assert!(crowd.seat([user("bob"), user("alice")].concat()).is_some());
        drop((all, bob));
        assert!(crowd.lock().is_empty());
    }
}
