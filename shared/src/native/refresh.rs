//! Coalesces wishes for fresh state: a wish is granted by a call to the edge that began after it.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time,
};

/// Between two calls, however many wish for one.
pub const GAP: Duration = Duration::from_millis(250);
/// Nobody waits for a wish longer than this.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// Where a call takes so long or longer, the edge hangs or the way there does, and what is held decides: nobody waits longer than
/// this, in which an edge that is well again answers.
const SLOW_PATIENCE: Duration = Duration::from_millis(300);

/// Between those who wish and the one who calls.
#[derive(Debug)]
pub struct Refresh {
    wish: Notify,
    begun: AtomicU64,
    ended: watch::Sender<u64>,
    pace: Mutex<Pace>,
}

/// How long calls take.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// Since when one is under way.
    since: Option<time::Instant>,
    /// The last one was slow.
    slow: bool,
}

impl Pace {
    fn is_slow(self) -> bool {
        self.slow || self.since.is_some_and(|since| since.elapsed() >= PATIENCE)
    }
}

impl Default for Refresh {
    fn default() -> Self {
        Self { wish: Notify::new(), begun: AtomicU64::new(0), ended: watch::channel(0).0, pace: Mutex::default() }
    }
}

impl Refresh {
    /// Wishes, and waits a bounded time for the next round to end.
    pub async fn wait(&self) {
        let round = self.hint();
        // Too late is an answer too: the caller decides by what is held.
        let patience = if self.pace().is_slow() { SLOW_PATIENCE } else { PATIENCE };
        let _ = time::timeout(patience, self.ended(round)).await;
    }

    /// Wishes, and does not wait. Returns the round that grants it.
    pub fn hint(&self) -> u64 {
        let round = self.begun.load(Ordering::Acquire) + 1;
        self.wish.notify_one();
        round
    }

    /// Comes to an end when that round or a later one has.
    pub async fn ended(&self, round: u64) {
        // The sender is ours: it outlives the wait.
        let _ = self.ended.subscribe().wait_for(|last| *last >= round).await;
    }

    /// Somebody wishes, and the last call lies [`GAP`] behind.
    pub async fn wanted(&self, last: time::Instant) {
        time::sleep_until(last + GAP).await;
        self.wish.notified().await;
    }

    /// A round begins.
    pub fn begin(&self) -> u64 {
        self.pace().since = Some(time::Instant::now());
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// That round ended.
    pub fn end(&self, round: u64) {
        let mut pace = self.pace();
        *pace = Pace { since: None, slow: pace.since.is_some_and(|since| since.elapsed() >= PATIENCE) };
        drop(pace);
        self.ended.send_replace(round);
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
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
        refresh.wanted(time::Instant::now()).await;
        let next = refresh.begin();
        refresh.end(next);
        assert!(futures_util::poll!(&mut wish).is_ready());
    }

    /// Ten seconds of a thousand wishes a second, and a call that takes no time.
    #[tokio::test(start_paused = true)]
    async fn a_flood_of_wishes_is_few_calls_and_every_wish_is_granted() {
        let refresh = Refresh::default();
        let flood = async {
            for _ in 0..10 {
                let wishes = (0..1000).map(|n| {
                    let refresh = &refresh;
                    async move {
                        time::sleep(Duration::from_millis(n)).await;
                        let begun = time::Instant::now();
                        refresh.wait().await;
                        begun.elapsed()
                    }
                });
                let waits = futures_util::future::join_all(wishes).await;
                assert!(waits.iter().all(|wait| *wait <= GAP * 2), "nobody waits longer than for the call after the next");
            }
        };
        let calls = async {
            loop {
                let round = refresh.begin();
                let last = time::Instant::now();
                refresh.end(round);
                refresh.wanted(last).await;
            }
        };
        tokio::select! {
            () = flood => {}
            () = calls => {}
        }
        let (calls, bound) = (refresh.begin(), 13_000 / GAP.as_millis() as u64);
        assert!(calls <= bound, "{calls} calls, more than {bound}");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let begun = time::Instant::now();
        Refresh::default().wait().await;
        assert_eq!(begun.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_is_waited_for_once() {
        let refresh = Refresh::default();
        let waited = async || {
            let begun = time::Instant::now();
            refresh.wait().await;
            begun.elapsed()
        };
        let hangs = refresh.begin();
        assert_eq!(waited().await, PATIENCE);
        assert_eq!(waited().await, SLOW_PATIENCE);
        refresh.end(hangs);
        assert_eq!(waited().await, SLOW_PATIENCE, "the next one is no quicker until it is");
        let quick = refresh.begin();
        refresh.end(quick);
        assert_eq!(waited().await, PATIENCE);
    }
}
