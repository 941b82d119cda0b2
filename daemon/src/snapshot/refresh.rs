//! Coalesces wishes for a fresh snapshot: a wish is granted by a call to the edge that began after it.

use crate::limits::REFRESH_WAIT;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::{
    sync::{Notify, watch},
    time,
};

/// Between those who wish and the one who calls.
#[derive(Debug)]
pub(super) struct Refresh {
    wish: Notify,
    begun: AtomicU64,
    ended: watch::Sender<u64>,
}

impl Default for Refresh {
    fn default() -> Self {
        Self { wish: Notify::new(), begun: AtomicU64::new(0), ended: watch::channel(0).0 }
    }
}

impl Refresh {
    /// Wishes, and waits a bounded time for the next round to end.
    pub(super) async fn wait(&self) {
        let wanted = self.begun.load(Ordering::Acquire) + 1;
        let mut ended = self.ended.subscribe();
        self.wish.notify_one();
        let granted = ended.wait_for(|round| *round >= wanted);
        // Too late is an answer too: the caller decides by what is held.
        let _ = time::timeout(REFRESH_WAIT, granted).await;
    }

    /// Somebody wishes.
    pub(super) async fn wanted(&self) {
        self.wish.notified().await;
    }

    /// A round begins.
    pub(super) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// That round ended.
    pub(super) fn end(&self, round: u64) {
        self.ended.send_replace(round);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn a_round_under_way_grants_no_new_wish() {
        let refresh = Arc::new(Refresh::default());
        let under_way = refresh.begin();
        let wish = refresh.wait();
        tokio::pin!(wish);
        assert!(futures_util::poll!(&mut wish).is_pending());
        refresh.end(under_way);
        assert!(futures_util::poll!(&mut wish).is_pending());
        refresh.wanted().await;
        let next = refresh.begin();
        refresh.end(next);
        assert!(futures_util::poll!(&mut wish).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let begun = time::Instant::now();
        Refresh::default().wait().await;
        assert_eq!(begun.elapsed(), REFRESH_WAIT);
    }
}
