//! Bytes that many strands hold together, counted.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A bound that strands share; cheap to clone. While it is full each may hold little: what one stalled connection keeps
/// slows others down, and never stops them.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Arc<AtomicUsize>,
    most: usize,
}

impl Budget {
    /// Full at `most` bytes.
    pub fn new(most: usize) -> Self {
        Self { used: Arc::default(), most }
    }

    /// Bytes that all of them hold.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn is_full(&self) -> bool {
        self.used() >= self.most
    }

    /// Counts `held` in place of `charged`.
    pub(super) fn recharge(&self, charged: &mut usize, held: usize) {
        if held > *charged {
            self.used.fetch_add(held - *charged, Ordering::Relaxed);
        } else {
            self.used.fetch_sub(*charged - held, Ordering::Relaxed);
        }
        *charged = held;
    }
}
