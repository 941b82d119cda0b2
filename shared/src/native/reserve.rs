//! Bytes that all connections of a process hold together. Each counts its own, and tells of them here in steps: thousands that hold
//! little have nothing to tell, and a packet seldom has.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What a connection need not tell of. Ten thousand hold 160 MB so at most.
const STEP: usize = 16 << 10;

/// Whoever holds less is not slowed down for what others hold.
pub(super) const LITTLE: usize = 1 << 20;

/// The sum, and its bound; cheap to clone. While it is full each connection may hold little: it slows them down, and stops nobody.
#[derive(Clone, Debug)]
pub struct Reserve(Arc<Sum>);

#[derive(Debug)]
struct Sum {
    used: AtomicUsize,
    most: usize,
}

/// One connection's count, which tells a reserve where it has one; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Count(Arc<Own>);

/// With the last of its clones the reserve has back what it was told of, whatever became of the bytes.
#[derive(Debug, Default)]
struct Own {
    held: AtomicUsize,
    reserve: Option<Reserve>,
}

impl Reserve {
    /// Full at `most` bytes.
    pub fn of(most: usize) -> Self {
        Self(Arc::new(Sum { used: AtomicUsize::new(0), most }))
    }

    /// Bytes that it was told of.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Whether that is all there may be.
    pub fn is_full(&self) -> bool {
        // For a moment more may have been given back than was told of, on another thread.
        (self.0.most..=isize::MAX as usize).contains(&self.used())
    }

    /// Somebody held `before`, and holds `after` now.
    fn moved(&self, before: usize, after: usize) {
        let (before, after) = (before / STEP, after / STEP);
        if after > before {
            self.0.used.fetch_add((after - before) * STEP, Ordering::Relaxed);
        } else if after < before {
            self.0.used.fetch_sub((before - after) * STEP, Ordering::Relaxed);
        }
    }
}

impl Count {
    /// Tells `reserve`.
    pub(super) fn within(reserve: &Reserve) -> Self {
        Self(Arc::new(Own { held: AtomicUsize::new(0), reserve: Some(reserve.clone()) }))
    }

    pub(super) fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Whether all connections together hold all that they may, and this one has a part in it.
    pub(super) fn is_pressed(&self) -> bool {
        self.0.reserve.as_ref().is_some_and(Reserve::is_full) && self.held() >= LITTLE
    }

    pub(super) fn add(&self, n: usize) {
        let before = self.0.held.fetch_add(n, Ordering::Relaxed);
        self.0.tell(before, before + n);
    }

    pub(super) fn sub(&self, n: usize) {
        let before = self.0.held.fetch_sub(n, Ordering::Relaxed);
        self.0.tell(before, before - n);
    }
}

impl Own {
    /// Each change of the count follows another, so that what is told of them adds up.
    fn tell(&self, before: usize, after: usize) {
        if let Some(reserve) = &self.reserve {
            reserve.moved(before, after);
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let held = *self.held.get_mut();
        self.tell(held, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn little_is_not_told_and_much_is_full() {
        let reserve = Reserve::of(2 * LITTLE);
        let counts: Vec<_> = (0..2).map(|_| Count::within(&reserve)).collect();
        counts.iter().for_each(|count| count.add(STEP - 1));
        assert_eq!(reserve.used(), 0);
        counts.iter().for_each(|count| count.add(LITTLE - STEP + 1));
        assert!(reserve.is_full() && counts.iter().all(Count::is_pressed), "{reserve:?}");
        let other = Count::within(&reserve);
        other.add(LITTLE - 1);
        assert!(!other.is_pressed(), "its part in it is little");
        drop(other);
        counts[0].sub(1);
        assert!(!reserve.is_full() && !Count::default().is_pressed());
        drop(counts);
        assert_eq!(reserve.used(), 0, "whoever is gone holds nothing");
    }

    #[test]
    fn what_is_told_from_many_threads_adds_up() {
        let reserve = Reserve::of(usize::MAX);
        let count = Count::within(&reserve);
        thread::scope(|scope| {
            for n in 1..5 {
                let count = count.clone();
                scope.spawn(move || (0..10_000).for_each(|_| [count.add(n * 4099), count.sub(n * 4099)].into_iter().collect()));
            }
        });
        assert_eq!((count.held(), reserve.used()), (0, 0));
    }
}
