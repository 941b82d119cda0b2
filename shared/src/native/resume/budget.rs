//! Bytes that many strands hold together, counted.

use crate::native::reserve::{Count, Reserve};

/// A bound that strands share; cheap to clone. While it is full each may hold little: what one stalled connection keeps
/// slows others down, and never stops them.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Count,
    most: usize,
    heeds_writers: bool,
}

impl Budget {
    /// Full at `most` bytes.
    pub fn new(most: usize) -> Self {
        Self { used: Count::default(), most, heeds_writers: false }
    }

    /// The same for applications that read and write in one task, as SSH's servers do: a full budget never keeps one that waits to
    /// write from what it waits for, so that such strands may hold a window more.
    pub fn of_servers(most: usize) -> Self {
        Self { heeds_writers: true, ..Self::new(most) }
    }

    /// The same, and full while `reserve` is: these bytes count there too.
    pub fn within(reserve: &Reserve, most: usize) -> Self {
        Self { used: Count::within(reserve), most, heeds_writers: false }
    }

    /// Bytes that all of them hold.
    pub fn used(&self) -> usize {
        self.used.held()
    }

    pub(super) fn is_full(&self) -> bool {
        self.used() >= self.most || self.used.is_pressed()
    }

    pub(super) const fn heeds_writers(&self) -> bool {
        self.heeds_writers
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
