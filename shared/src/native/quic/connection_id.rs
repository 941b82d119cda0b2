//! Connection ids that name the process they belong to, in the lowest bit of their first byte: `doors` steers by that.

use quinn::{ConnectionId, ConnectionIdGenerator};
use rand::RngExt;
use std::time::Duration;

/// Bytes of one.
pub(in crate::native) const CONNECTION_ID: usize = 8;

/// Makes those of one process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids {
    /// Which of two it is.
    pub(super) slot: u8,
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id: [u8; CONNECTION_ID] = rand::rng().random();
        if let Some(first) = id.first_mut() {
            *first = (*first & !1) | (self.slot & 1);
        }
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
