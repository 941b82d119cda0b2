//! Places of which one source has at most half: whoever floods them from there leaves the others theirs. Who waits for a place waits for
//! one of its own source's first, and so behind nobody else.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Some number of them; cheap to clone.
#[derive(Clone, Debug)]
pub struct Places<K: Clone + Eq + Hash>(Arc<Room<K>>);

#[derive(Debug)]
struct Room<K> {
    most: usize,
    all: Arc<Semaphore>,
    /// Of sources that hold a place or wait for one.
    shares: Mutex<HashMap<K, Share>>,
}

#[derive(Debug)]
struct Share {
    places: Arc<Semaphore>,
    guests: usize,
}

/// One place. Dropping it gives it up.
#[derive(Debug)]
pub struct Place<K: Clone + Eq + Hash> {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
    _guest: Guest<K>,
}

/// One who holds a place or waits for one.
#[derive(Debug)]
struct Guest<K: Clone + Eq + Hash> {
    room: Arc<Room<K>>,
    source: K,
    share: Arc<Semaphore>,
}

impl<K: Clone + Eq + Hash> Places<K> {
    /// So many in all.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Room { most, all: Arc::new(Semaphore::new(most)), shares: Mutex::default() }))
    }

    /// One for `source`, if there is one now.
    pub fn take(&self, source: K) -> Option<Place<K>> {
        let guest = self.enter(source);
        let own = guest.share.clone().try_acquire_owned().ok()?;
        let all = self.0.all.clone().try_acquire_owned().ok()?;
        Some(Place { _own: own, _all: all, _guest: guest })
    }

    /// The same as soon as there is one, for which there is no bound here.
    pub async fn wait(&self, source: K) -> Option<Place<K>> {
        let guest = self.enter(source);
        let own = guest.share.clone().acquire_owned().await.ok()?;
        let all = self.0.all.clone().acquire_owned().await.ok()?;
        Some(Place { _own: own, _all: all, _guest: guest })
    }

    /// Whether more than half are taken, of all or of those for `source`.
    pub fn are_scarce(&self, source: &K) -> bool {
        let most = self.0.most;
        let share = self.0.lock().get(source).map(|share| share.places.available_permits());
        self.0.all.available_permits() < most / 2 || share.is_some_and(|free| free < share_of(most) / 2)
    }

    /// Whether `source` has its share: it gets one more only where it gives one up.
    pub fn is_used_up_by(&self, source: &K) -> bool {
        self.0.lock().get(source).is_some_and(|share| share.places.available_permits() == 0)
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.0.most - self.0.all.available_permits()
    }

    fn enter(&self, source: K) -> Guest<K> {
        let room = self.0.clone();
        let mut shares = room.lock();
        let new = || Share { places: Arc::new(Semaphore::new(share_of(room.most))), guests: 0 };
        let share = shares.entry(source.clone()).or_insert_with(new);
        share.guests += 1;
        let share = share.places.clone();
        drop(shares);
        Guest { room, source, share }
    }
}

/// One source's.
const fn share_of(most: usize) -> usize {
    most / 2
}

impl<K> Room<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Share>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Drop for Guest<K> {
    fn drop(&mut self) {
        let mut shares = self.room.lock();
        if let Some(share) = shares.get_mut(&self.source) {
            share.guests -= 1;
            if share.guests == 0 {
                shares.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn one_source_leaves_half_to_the_others() {
        let places = Places::new(8);
        let mut held: Vec<_> = (0..4).map(|_| places.take("flood").unwrap()).collect();
        assert!(places.take("flood").is_none());
        assert!(places.is_used_up_by(&"flood") && !places.is_used_up_by(&"other"));
        held.extend((0..4).map(|_| places.take("other").unwrap()));
        assert!(places.take("third").is_none());
        assert_eq!(places.taken(), 8);
        drop(held);
        assert!(places.taken() == 0 && places.0.lock().is_empty(), "{places:?}");
    }

    #[test]
    fn who_waits_for_its_own_source_holds_up_nobody_else() {
        let places = Places::new(4);
        let mut held: Vec<_> = (0..2).map(|_| places.take("flood").unwrap()).collect();
        let waiting = places.wait("flood");
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        let others: Vec<_> = (0..2).map(|_| places.wait("other").now_or_never().flatten().unwrap()).collect();
        assert!(places.wait("third").now_or_never().is_none(), "all are taken");
        drop(others);
        assert!(waiting.as_mut().now_or_never().is_none());
        held.pop();
        assert!(waiting.now_or_never().flatten().is_some());
    }

    #[test]
    fn places_are_scarce_to_a_source_that_has_half_of_its_own() {
        let places = Places::new(8);
        let mut held: Vec<_> = (0..3).map(|_| places.take("flood").unwrap()).collect();
        assert!(places.are_scarce(&"flood") && !places.are_scarce(&"other"));
        held.extend((0..2).map(|_| places.take("other").unwrap()));
        assert!(places.are_scarce(&"third"));
    }
}
