//! The end of a daemon: what runs goes on for a time, agents look elsewhere meanwhile, and then everybody is told.

use crate::{limits::FAREWELL, link::Link, listener::Ports, registry::Registry};
use drawbridge_shared::{
    native::{signals::Tokens, slot::Slot},
    tunnel::frame::Reason,
};
use std::time::Duration;
use tokio::{
    task::JoinHandle,
    time::{self, Instant},
};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// How long sessions go on after the first signal.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    /// While another process serves in our place.
    pub handover: Duration,
    /// Where none does, and none comes: from then on.
    pub drain: Duration,
}

impl Spans {
    /// Waits until sessions have had their time. A successor that falls may be started again.
    async fn over(self, slot: &Slot) {
        let end = Instant::now() + self.handover;
        loop {
            let alone = time::timeout_at(end, slot.until_no_successor()).await.is_ok();
            if !alone || time::timeout(self.drain, slot.until_successor()).await.is_err() {
                return;
            }
        }
    }
}

/// Tells every agent to go elsewhere, and waits for the sessions to end: by themselves, when their time is over, or when they
/// are ended. `door` is who still lets those in who had called before.
pub(crate) async fn drain(
    (door, sessions): (JoinHandle<()>, &TaskTracker),
    registry: &Registry<Link>,
    slot: &Slot,
    (tokens, spans): (&Tokens, Spans),
) {
    info!(tunnels = registry.tunnels(), sessions = sessions.len(), successor = slot.successor(), "draining");
    if let Err(fault) = slot.leave() {
        warn!(%fault, "a successor that is started again will end this process");
    }
    registry.all().iter().for_each(|(_, link)| link.drain());
    let done = async {
        // It fails only by panicking, and has let in whom it could.
        let _ = door.await;
        sessions.close();
        sessions.wait().await;
    };
    tokio::pin!(done);
    tokio::select! {
        () = &mut done => return,
        () = tokens.end.cancelled() => {}
        () = spans.over(slot) => tokens.end.cancel(),
    }
    info!(sessions = sessions.len(), "ending what runs");
    done.await;
}

/// Sends every agent away, and waits a bounded time until they know.
pub(crate) async fn farewell(registry: &Registry<Link>, ports: &Ports) {
    for (_, link) in registry.all() {
        link.dismiss(Reason::Stopping, "the daemon stops");
    }
    // Agents close when they have heard; those that do not are gone already.
    let _ = time::timeout(FAREWELL, ports.wait_idle()).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::native::state_dir::StateDir;

    const SPANS: Spans = Spans { handover: Duration::from_secs(1000), drain: Duration::from_secs(60) };

    fn state() -> (tempfile::TempDir, StateDir) {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(&root.path().join("state")).unwrap();
        (root, state)
    }

    async fn lasts(slot: &Slot) -> u64 {
        let begun = Instant::now();
        SPANS.over(slot).await;
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_have_a_short_time_alone_and_a_long_one_beside_a_successor() {
        let (_root, state) = state();
        let slot = Slot::take(&state).unwrap();
        assert_eq!(lasts(&slot).await, 60);
        std::fs::write(state.path("slot.0"), "7").unwrap();
        let _successor = Slot::take(&state).unwrap();
        assert_eq!(lasts(&slot).await, 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_successor_that_ends_leaves_the_short_time_unless_it_comes_again() {
        let (_root, state) = state();
        let slot = Slot::take(&state).unwrap();
        let successor = Slot::take(&state).unwrap();
        let falls_twice = async {
            time::sleep(Duration::from_millis(100_500)).await;
            drop(successor);
            time::sleep(Duration::from_secs(30)).await;
            let again = Slot::take(&state).unwrap();
            time::sleep(Duration::from_secs(70)).await;
            drop(again);
        };
        assert_eq!(tokio::join!(lasts(&slot), falls_twice).0, 261);
    }
}
