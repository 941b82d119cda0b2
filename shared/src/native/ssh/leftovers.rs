//! Channels that a server has closed and whose client has not done so yet: russh keeps some kilobytes of each till then, and a client
//! that never does could have it keep any number.

use russh::{ChannelId, ChannelWriteHalf, server::Msg};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Those of one connection, of so many that there may be; cheap to clone.
#[derive(Clone, Debug)]
pub struct Leftovers {
    channels: Arc<Mutex<HashSet<ChannelId>>>,
    most: usize,
}

impl Leftovers {
    /// None yet.
    pub fn new(most: usize) -> Self {
        Self { channels: Arc::default(), most }
    }

    /// We are closing `channel`.
    pub fn note(&self, channel: ChannelId) {
        self.lock().insert(channel);
    }

    /// Its client has closed it, first or after us.
    pub fn forget(&self, channel: ChannelId) {
        self.lock().remove(&channel);
    }

    /// Whether there may be more.
    pub fn have_room(&self) -> bool {
        self.lock().len() < self.most
    }

    /// Ends `channel`, unless its client has fired `closed` by doing so.
    pub async fn close(&self, channel: &ChannelWriteHalf<Msg>, closed: &CancellationToken) {
        // Before the look: a client that closes it in between is forgotten here or there.
        self.note(channel.id());
        if closed.is_cancelled() {
            return self.forget(channel.id());
        }
        // Fails only when the client is gone.
        let _ = channel.close().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<ChannelId>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
