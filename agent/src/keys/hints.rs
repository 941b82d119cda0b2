//! One daemon's word that keys changed: heeded at once, and later and later while it brings nothing, or something all the time.

use super::Keys;
use crate::limits::{HINT_GAP, HINTS_FORGOTTEN, HINTS_FREE, NEWS_GAP};
use drawbridge_shared::{id::SnapshotSeq, native::refresh::GAP};
use std::{future::pending, time::Duration};
use tokio::time::{Instant, sleep_until};

/// Of one tunnel: no daemon's word delays another's.
#[derive(Debug)]
pub struct Hints {
    keys: Keys,
    /// The newest that was heard of, and not asked for.
    wanted: Option<SnapshotSeq>,
    asked: Option<Asked>,
}

/// The last time that the edge was asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    before: Row,
    /// Of the keeper's: the one that brings what there is.
    round: u64,
    held: Option<SnapshotSeq>,
}

/// What those before it had brought, without a silence in between.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    /// Nothing, since the last that brought something.
    vain: u32,
    /// Something.
    news: u32,
}

impl Row {
    /// One more, and how long after it the next one waits.
    fn more(self, brought: bool) -> (Self, Duration) {
        let (row, often, longest) = if brought {
            let news = self.news.saturating_add(1);
            (Self { vain: 0, news }, news, NEWS_GAP)
        } else {
            let vain = self.vain.saturating_add(1);
            (Self { vain, ..self }, vain, HINT_GAP)
        };
        let doubled = often.saturating_sub(HINTS_FREE).min(u32::BITS - 1);
        (row, GAP.saturating_mul(1 << doubled).min(longest))
    }
}

impl Hints {
    /// Nothing was heard yet.
    pub(super) const fn new(keys: Keys) -> Self {
        Self { keys, wanted: None, asked: None }
    }

    /// A snapshot of that number touches this workspace. Documents are numbered as snapshots are, each as the one it was made at:
    /// what is in it is in a document that is held with that number or a higher one.
    pub fn heard(&mut self, seq: SnapshotSeq) {
        self.wanted = self.wanted.max(Some(seq));
    }

    /// Has the edge asked for what was heard, once that may be; never where there is nothing. What it has not come to when the tunnel
    /// ends is asked for then.
    pub async fn heed(&mut self) {
        let Some(wanted) = self.wanted else { return pending().await };
        let before = match self.asked {
            Some(asked) => self.rest(asked).await,
            None => Row::default(),
        };
        self.wanted = None;
        let held = self.keys.seq();
        if held < Some(wanted) {
            self.asked = Some(Asked { at: Instant::now(), before, round: self.keys.refresh.hint(), held });
        }
    }

    /// Waits until what was asked for has come, and a while longer where it was not the first in a row. Returns the row.
    async fn rest(&self, asked: Asked) -> Row {
        self.keys.refresh.ended(asked.round).await;
        if asked.at.elapsed() > HINTS_FORGOTTEN {
            return Row::default();
        }
        let (row, pause) = asked.before.more(self.keys.seq() > asked.held);
        sleep_until(asked.at + pause).await;
        row
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        if self.wanted > self.keys.seq() {
            self.keys.refresh.hint();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Held;
    use drawbridge_shared::{
        authorized_keys::AuthorizedKeys,
        native::{clock, refresh::Refresh},
    };
    use std::{cell::Cell, sync::Arc};
    use tokio::{
        sync::watch,
        time::{self, sleep},
    };

    /// An edge that has documents up to `newest`, and a keeper that asks it.
    struct Scene {
        keys: Keys,
        held: watch::Sender<Held>,
        newest: Cell<u64>,
        calls: Cell<u32>,
    }

    fn document(seq: u64) -> Held {
        let issued_at = clock::now();
        Some(Arc::new(AuthorizedKeys {
            version: AuthorizedKeys::VERSION,
            workspace: "796636".parse().unwrap(),
            seq: SnapshotSeq(seq),
            issued_at,
            not_after: issued_at,
            keys: vec![],
            daemons: vec![],
            signers: vec![],
        }))
    }

    async fn heeding(hints: &mut Hints) {
        loop {
            hints.heed().await;
        }
    }

    impl Scene {
        fn new() -> Self {
            let (held, watcher) = watch::channel(document(4));
            let keys = Keys { held: watcher, refresh: Arc::new(Refresh::default()), grace: Duration::ZERO };
            Self { keys, held, newest: Cell::new(4), calls: Cell::new(0) }
        }

        /// What every call costs is 100 ms.
        async fn keep(&self) {
            loop {
                self.keys.refresh.wanted(Instant::now()).await;
                let round = self.keys.refresh.begin();
                self.calls.set(self.calls.get() + 1);
                sleep(Duration::from_millis(100)).await;
                if self.keys.seq() < Some(SnapshotSeq(self.newest.get())) {
                    self.held.send_replace(document(self.newest.get()));
                }
                self.keys.refresh.end(round);
            }
        }

        /// Says `seq` every so often, for so long.
        async fn insists(&self, seq: u64, every: Duration, lasts: Duration) {
            let (mut hints, begun) = (self.keys.hints(), Instant::now());
            while begun.elapsed() < lasts {
                hints.heard(SnapshotSeq(seq));
                let _ = time::timeout(every, heeding(&mut hints)).await;
            }
        }

        /// How long a daemon's word of the next change takes to be held.
        async fn change(&self, hints: &mut Hints) -> Duration {
            let begun = Instant::now();
            self.newest.set(self.newest.get() + 1);
            hints.heard(SnapshotSeq(self.newest.get()));
            let mut watch = self.keys.watch();
            let held = watch.wait_for(|held| held.as_ref().is_some_and(|held| held.seq.0 == self.newest.get()));
            tokio::select! {
                taken = held => drop(taken.unwrap()),
                () = heeding(hints) => {}
            }
            begun.elapsed()
        }

        async fn during(&self, story: impl Future<Output = ()>) -> u32 {
            tokio::select! {
                () = story => {}
                () = self.keep() => {}
            }
            self.calls.get()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_only_insists_is_heeded_less_and_less() {
        let scene = Scene::new();
        let minute = Duration::from_secs(60);
        let calls = scene.during(scene.insists(u64::MAX, Duration::from_millis(50), minute)).await;
        let bound = 6 + HINTS_FREE + minute.div_duration_f32(HINT_GAP) as u32;
        assert!((10..=bound).contains(&calls), "{calls} calls, more than {bound}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_not_asked_for() {
        let scene = Scene::new();
        assert_eq!(scene.during(scene.insists(4, Duration::from_millis(50), Duration::from_secs(60))).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn every_change_comes_at_once_whatever_another_daemon_says() {
        let scene = Scene::new();
        let soon = GAP + Duration::from_millis(250);
        let honest = async {
            let mut hints = scene.keys.hints();
            for _ in 0..100 {
                let took = scene.change(&mut hints).await;
                assert!(took < soon, "{took:?}");
                sleep(NEWS_GAP).await;
            }
        };
        let hostile = scene.insists(u64::MAX, Duration::from_millis(50), Duration::from_secs(3600));
        let both = async {
            tokio::select! {
                () = honest => {}
                () = hostile => {}
            }
        };
        scene.during(both).await;
    }

    #[tokio::test(start_paused = true)]
    async fn changes_without_end_come_together() {
        let (scene, begun) = (Scene::new(), Instant::now());
        let minute = Duration::from_secs(60);
        let churn = async {
            let mut hints = scene.keys.hints();
            while begun.elapsed() < minute {
                scene.newest.set(scene.newest.get() + 1);
                hints.heard(SnapshotSeq(scene.newest.get()));
                let _ = time::timeout(Duration::from_millis(50), heeding(&mut hints)).await;
            }
            let last = scene.change(&mut hints).await;
            assert!(last < NEWS_GAP + GAP, "{last:?}");
        };
        let calls = scene.during(churn).await;
        let bound = 6 + HINTS_FREE + minute.div_duration_f32(NEWS_GAP) as u32;
        assert!((30..=bound).contains(&calls), "{calls} calls, more than {bound}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_in_vain_is_forgotten_after_a_silence_and_with_what_is_new() {
        let scene = Scene::new();
        let story = async {
            let mut hints = scene.keys.hints();
            for quiet in [HINTS_FORGOTTEN + GAP, GAP * 2] {
                for _ in 0..HINTS_FREE + 6 {
                    hints.heard(SnapshotSeq(u64::MAX));
                    hints.heed().await;
                }
                sleep(quiet).await;
                let first = scene.change(&mut hints).await;
                assert_eq!(first < GAP * 2, quiet > HINTS_FORGOTTEN, "{first:?}");
                let next = scene.change(&mut hints).await;
                assert!(next < GAP * 2, "{next:?}");
            }
        };
        scene.during(story).await;
    }
}
