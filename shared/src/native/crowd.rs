//! How many connections each has: whoever has a good part of all of them leaves the others theirs.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Connections by owner, no more entries than connections; cheap to clone.
#[derive(Clone, Debug)]
pub struct Crowd<K: Clone + Eq + Hash>(Arc<Book<K>>);

#[derive(Debug)]
struct Book<K> {
    most: usize,
    seated: Mutex<HashMap<K, usize>>,
}

/// A connection's place. Dropping it leaves.
#[derive(Debug)]
pub struct Seated<K: Clone + Eq + Hash> {
    crowd: Crowd<K>,
    owners: Vec<K>,
}

impl<K: Clone + Eq + Hash> Crowd<K> {
    /// `most` for each.
    pub fn of(most: usize) -> Self {
        Self(Arc::new(Book { most, seated: Mutex::default() }))
    }

    /// One more of `owners`, who share it; `None` where all of them have too many: whoever says that somebody else's key is theirs
    /// too, takes no place from them.
    pub fn seat(&self, owners: Vec<K>) -> Option<Seated<K>> {
        let mut seated = self.lock();
        let is_full = |owner: &K| seated.get(owner).is_some_and(|have| *have >= self.0.most);
        if !owners.is_empty() && owners.iter().all(is_full) {
            return None;
        }
        owners.iter().for_each(|owner| *seated.entry(owner.clone()).or_default() += 1);
        drop(seated);
        Some(Seated { crowd: self.clone(), owners })
    }

    /// Whether `owner` has any.
    pub fn holds(&self, owner: &K) -> bool {
        self.lock().contains_key(owner)
    }

    /// Whether nobody has any.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.seated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Drop for Seated<K> {
    fn drop(&mut self) {
        let mut seated = self.crowd.lock();
        for owner in &self.owners {
            if let Some(have) = seated.get_mut(owner) {
                *have -= 1;
                if *have == 0 {
                    seated.remove(owner);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leaves_room_for_the_others() {
        let crowd = Crowd::of(100);
        let mut all: Vec<_> = (0..100).map(|_| crowd.seat(vec!["alice"]).unwrap()).collect();
        assert!(crowd.seat(vec!["alice"]).is_none());
        assert!(crowd.holds(&"alice") && !crowd.holds(&"bob"));
        assert!(crowd.seat(Vec::new()).is_some());
        let shared = crowd.seat(vec!["bob", "alice"]).expect("bob has room");
        all.extend((1..100).map(|_| crowd.seat(vec!["bob"]).unwrap()));
        assert!(crowd.seat(vec!["bob", "alice"]).is_none(), "what is shared counts for each");
        drop(shared);
        assert!(crowd.seat(vec!["bob"]).is_some() && crowd.seat(vec!["alice"]).is_none());
        drop(all);
        assert!(crowd.is_empty());
    }
}
