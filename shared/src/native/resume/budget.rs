//! Bytes that many strands hold together, counted.

use crate::native::reserve::{Count, Reserve};

/// A bound that strands share; cheap to clone. While it is full each may hold little: what one stalled connection keeps
/// slows others down, and never stops them.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Count,
    most: usize,
}

impl Budget {
    /// Full at `most` bytes.
    pub fn new(most: usize) -> Self {
        Self { used: Count::default(), most }
    }

    /// The same, and full while `reserve` is: these bytes count there too.
    pub fn within(reserve: &Reserve, most: usize) -> Self {
        Self { used: Count::within(reserve), most }
    }

    /// Bytes that all of them hold.
    pub fn used(&self) -> usize {
        self.used.held()
    }

    pub(super) fn is_full(&self) -> bool {
        self.used() >= self.most || self.used.is_pressed()
    }

    /// Counts `held` in place of `charged`.
    pub(super) fn recharge(&self, charged: &mut usize, held: usize) {
        if held > *charged {
            self.used.add(held - *charged);
        } else if held < *charged {
            self.used.sub(*charged - held);
        }
        *charged = held;
    }
}
