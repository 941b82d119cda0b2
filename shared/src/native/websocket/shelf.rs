//! A bounded queue that several may take from.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Semaphore;

/// Things that wait to be taken, first come, first served.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    things: Mutex<VecDeque<T>>,
    count: Semaphore,
    room: usize,
}

impl<T> Shelf<T> {
    /// Holds `room` things at most.
    pub(super) const fn new(room: usize) -> Self {
        Self { things: Mutex::new(VecDeque::new()), count: Semaphore::const_new(0), room }
    }

    /// Puts a thing there; gives it back where there is no room.
    pub(super) fn put(&self, thing: T) -> Result<(), T> {
        let mut things = self.lock();
        if things.len() >= self.room {
            return Err(thing);
        }
        things.push_back(thing);
        drop(things);
        self.count.add_permits(1);
        Ok(())
    }

    /// Waits for the next. A wait that is given up takes nothing.
    pub(super) async fn take(&self) -> Option<T> {
        // The semaphore is never closed.
        self.count.acquire().await.ok()?.forget();
        self.lock().pop_front()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_bounded_and_loses_nothing() {
        let shelf = Shelf::new(2);
        assert!(futures_util::poll!(std::pin::pin!(shelf.take())).is_pending());
        assert_eq!([shelf.put(1), shelf.put(2), shelf.put(3)], [Ok(()), Ok(()), Err(3)]);
        assert_eq!((shelf.take().await, shelf.len()), (Some(1), 1));
        shelf.put(4).unwrap();
        assert_eq!((shelf.take().await, shelf.take().await, shelf.len()), (Some(2), Some(4), 0));
    }
}
