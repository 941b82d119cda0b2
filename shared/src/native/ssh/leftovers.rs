//! Channels that a server has to close before the client does: russh 0.65 keeps some kilobytes of each until the connection
//! ends, and nothing of those that the client closes first. So that is left to the client, and what is left is counted.

use russh::{ChannelWriteHalf, server::Msg};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A client that has heard the end of both directions closes its channel itself, as OpenSSH's does, within this time.
const CLOSING: Duration = Duration::from_secs(1);

/// How many there are of one connection, of so many that there may be; cheap to clone.
#[derive(Clone, Debug)]
pub struct Leftovers {
    count: Arc<AtomicUsize>,
    most: usize,
}

impl Leftovers {
    /// None yet.
    pub fn new(most: usize) -> Self {
        Self { count: Arc::default(), most }
    }

    /// One more.
    pub fn note(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there may be more.
    pub fn have_room(&self) -> bool {
        self.count.load(Ordering::Relaxed) < self.most
    }

    /// Ends `channel`, whose client fires `closed` when it has done so itself; one that `knows` of both ends is given the
    /// time for it.
    pub async fn close(&self, channel: &ChannelWriteHalf<Msg>, closed: &CancellationToken, knows: bool) {
        if knows {
            // Else it is closed for it.
            let _ = timeout(CLOSING, closed.cancelled()).await;
        }
        if !closed.is_cancelled() {
            self.note();
            // Fails only when the client is gone.
            let _ = channel.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_connection_are_counted_together() {
        let leftovers = Leftovers::new(2);
        leftovers.clone().note();
        assert!(leftovers.have_room());
        leftovers.note();
        assert!(!leftovers.clone().have_room());
    }
}
