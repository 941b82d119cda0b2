//! Channels that we open: the connection's reader meets the task that asked for each.
//!
//! russh tells the asking task and then calls the handler, whose call comes before any data of the channel; the task may
//! run before or after that call.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// What was asked for and not yet fetched, of one connection: `K` tells channels apart, `T` is what the task gets.
#[derive(Debug)]
pub(super) struct Arrivals<K, T>(Arc<Mutex<State<K, T>>>);

/// One channel was asked for. Dropping it takes the wish back.
#[derive(Debug)]
pub(super) struct Wish<K, T>(Arrivals<K, T>);

/// The client confirmed a channel that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client confirmed a channel that was not asked for")]
pub(in crate::ssh) struct Unasked;

#[derive(Debug)]
struct State<K, T> {
    wishes: usize,
    places: HashMap<K, Place<T>>,
}

/// A channel that does not fit arrives as `None`.
#[derive(Debug)]
enum Place<T> {
    Arrived(Option<T>),
    Awaited(oneshot::Sender<Option<T>>),
}

impl<K, T> Default for Arrivals<K, T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { wishes: 0, places: HashMap::new() })))
    }
}

impl<K, T> Clone for Arrivals<K, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Eq + Hash, T> Arrivals<K, T> {
    /// A channel is about to be asked for.
    pub(super) fn wish(&self) -> Wish<K, T> {
        self.lock().wishes += 1;
        Wish(self.clone())
    }

    /// The client confirmed channel `id`.
    pub(super) fn confirmed(&self, id: K, arrived: Option<T>) -> Result<(), Unasked> {
        let mut state = self.lock();
        match state.places.remove(&id) {
            Some(Place::Awaited(task)) => {
                // Fails only for a task that its connection has ended.
                let _ = task.send(arrived);
                Ok(())
            }
            None if state.places.len() < state.wishes => {
                state.places.insert(id, Place::Arrived(arrived));
                Ok(())
            }
            _ => Err(Unasked),
        }
    }
}

impl<K, T> Arrivals<K, T> {
    fn lock(&self) -> MutexGuard<'_, State<K, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, T> Wish<K, T> {
    /// What came for channel `id`; `None` where it did not fit.
    pub(super) async fn fetch(self, id: K) -> Option<T> {
        let place = self.place(id);
        match place {
            Ok(arrived) => arrived,
            Err(arrival) => arrival.await.ok().flatten(),
        }
    }

    fn place(&self, id: K) -> Result<Option<T>, oneshot::Receiver<Option<T>>> {
        let mut state = self.0.lock();
        if let Some(Place::Arrived(arrived)) = state.places.remove(&id) {
            return Ok(arrived);
        }
        let (tell, told) = oneshot::channel();
        state.places.insert(id, Place::Awaited(tell));
        Err(told)
    }
}

impl<K, T> Drop for Wish<K, T> {
    fn drop(&mut self) {
        self.0.lock().wishes -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_task_gets_its_own_whoever_is_first() {
        let arrivals = Arrivals::<u8, &str>::default();
        let (early, late) = (arrivals.wish(), arrivals.wish());
        arrivals.confirmed(2, Some("two")).unwrap();
        let waits = early.fetch(1);
        let (one, told) = tokio::join!(waits, async { arrivals.confirmed(1, Some("one")) });
        assert_eq!((one, told, late.fetch(2).await), (Some("one"), Ok(()), Some("two")));
    }

    #[tokio::test]
    async fn what_does_not_fit_is_told() {
        let arrivals = Arrivals::<u8, &str>::default();
        let wish = arrivals.wish();
        arrivals.confirmed(1, None).unwrap();
        assert_eq!(wish.fetch(1).await, None);
    }

    #[tokio::test]
    async fn what_nobody_asked_for_is_a_fault() {
        let arrivals = Arrivals::<u8, &str>::default();
        assert_eq!(arrivals.confirmed(1, Some("unasked")), Err(Unasked));
        let wish = arrivals.wish();
        arrivals.confirmed(1, Some("asked")).unwrap();
        assert_eq!(arrivals.confirmed(2, Some("one too many")), Err(Unasked));
        assert_eq!(wish.fetch(1).await, Some("asked"));
        drop(arrivals.wish());
        assert_eq!(arrivals.confirmed(3, Some("taken back")), Err(Unasked));
    }

    #[test]
    fn twice_the_same_is_a_fault() {
        let arrivals = Arrivals::<u8, &str>::default();
        let _wishes = (arrivals.wish(), arrivals.wish());
        arrivals.confirmed(1, Some("first")).unwrap();
        assert_eq!(arrivals.confirmed(1, Some("second")), Err(Unasked));
    }
}
