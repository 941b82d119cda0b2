//! Places in one stage of coming in, of which one source has at most half: whoever floods it from there leaves the others theirs. Who
//! waits for a place waits for one of its own source's first, and so behind nobody else.

use crate::admission::Source;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One stage; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Room>);

#[derive(Debug)]
struct Room {
    most: usize,
    all: Arc<Semaphore>,
    /// Of sources that hold a place or wait for one.
    shares: Mutex<HashMap<Source, Share>>,
}

#[derive(Debug)]
struct Share {
    places: Arc<Semaphore>,
    guests: usize,
}

/// One place. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Place {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
    _guest: Guest,
}

/// One who holds a place or waits for one.
#[derive(Debug)]
struct Guest {
    room: Arc<Room>,
    source: Source,
    share: Arc<Semaphore>,
}

impl Places {
    /// So many in all.
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Room { most, all: Arc::new(Semaphore::new(most)), shares: Mutex::default() }))
    }

    /// One for whoever calls from `address`, if there is one now.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let guest = self.enter(address);
        let own = guest.share.clone().try_acquire_owned().ok()?;
        let all = self.0.all.clone().try_acquire_owned().ok()?;
        Some(Place { _own: own, _all: all, _guest: guest })
    }

    /// The same as soon as there is one, for which there is no bound here.
    pub(super) async fn wait(&self, address: IpAddr) -> Option<Place> {
        let guest = self.enter(address);
        let own = guest.share.clone().acquire_owned().await.ok()?;
        let all = self.0.all.clone().acquire_owned().await.ok()?;
        Some(Place { _own: own, _all: all, _guest: guest })
    }

    /// Whether more than half are taken, of all or of those for callers from `address`.
    pub(super) fn are_scarce(&self, address: IpAddr) -> bool {
        let most = self.0.most;
        let share = self.0.lock().get(&address.into()).map(|share| share.places.available_permits());
        self.0.all.available_permits() < most / 2 || share.is_some_and(|free| free < Room::share(most) / 2)
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.0.most - self.0.all.available_permits()
    }

    fn enter(&self, address: IpAddr) -> Guest {
        let (room, source) = (self.0.clone(), Source::from(address));
        let mut shares = room.lock();
        let new = || Share { places: Arc::new(Semaphore::new(Room::share(room.most))), guests: 0 };
        let share = shares.entry(source).or_insert_with(new);
        share.guests += 1;
        let share = share.places.clone();
        drop(shares);
        Guest { room, source, share }
    }
}

impl Room {
    const fn share(most: usize) -> usize {
        most / 2
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Source, Share>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
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

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_source_leaves_half_to_the_others() {
        let places = Places::new(8);
        let mut held: Vec<_> = (0..4).map(|n| places.take(at(&format!("2001:db8::{n}"))).unwrap()).collect();
        assert!(places.take(at("2001:db8::ffff")).is_none(), "a host has all addresses of its /64");
        held.extend((0..4).map(|_| places.take(at("192.0.2.1")).unwrap()));
        assert!(places.take(at("192.0.2.2")).is_none());
        assert_eq!(places.taken(), 8);
        drop(held);
        assert!(places.taken() == 0 && places.0.lock().is_empty(), "{places:?}");
    }

    #[test]
    fn who_waits_for_its_own_source_holds_up_nobody_else() {
        let (places, flood, other) = (Places::new(4), at("192.0.2.1"), at("192.0.2.2"));
        let mut held: Vec<_> = (0..2).map(|_| places.take(flood).unwrap()).collect();
        let waiting = places.wait(flood);
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        let others: Vec<_> = (0..2).map(|_| places.wait(other).now_or_never().flatten().unwrap()).collect();
        assert!(places.wait(at("192.0.2.3")).now_or_never().is_none(), "all are taken");
        drop(others);
        assert!(waiting.as_mut().now_or_never().is_none());
        held.pop();
        assert!(waiting.now_or_never().flatten().is_some());
    }

    #[test]
    fn places_are_scarce_to_a_source_that_has_half_of_its_own() {
        let (places, flood, other) = (Places::new(8), at("192.0.2.1"), at("192.0.2.2"));
        let mut held: Vec<_> = (0..3).map(|_| places.take(flood).unwrap()).collect();
        assert!(places.are_scarce(flood) && !places.are_scarce(other));
        held.extend((0..2).map(|_| places.take(other).unwrap()));
        assert!(places.are_scarce(at("192.0.2.3")));
    }
}
