//! From one process of the agent to its successor: who asks whom when, and how long the old one stays.

use crate::{limits::SUCCESSOR_GAP, serve::Service, status::Board};
use drawbridge_shared::native::{clock, signals::Tokens, slot::Slot};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Asks the process that was here first to hand over, once this one serves what is new.
pub(crate) async fn take_over(slot: Arc<Slot>, board: Board, stop: CancellationToken) {
    if stop.run_until_cancelled(board.until_serving()).await.is_none() {
        return;
    }
    match slot.ask_other() {
        Ok(true) => info!("the process before is asked to hand over"),
        Ok(false) => {}
        Err(fault) => warn!(%fault, "the process before cannot be asked to hand over: send it SIGTERM"),
    }
}

/// Waits until this process is to end; where it has a successor, that is after its last session, or after `most`.
pub(crate) async fn until_over(slot: &Slot, service: &Service, board: &Board, most: Duration, tokens: &Tokens) {
    tokens.stop.cancelled().await;
    let Some(successor) = slot.successor() else { return };
    info!(successor, "handing over: sessions go on to their end");
    if let Err(fault) = slot.leave() {
        warn!(%fault, "a successor that is started again will end this process");
    }
    service.leave();
    board.post(|status| status.handed_over = Some(clock::now()));
    let why = handed_over(service.idle(), slot, most, &tokens.end).await;
    info!(why, "handed over");
}

/// Returns why it is over.
async fn handed_over(idle: impl Future<Output = ()>, slot: &Slot, most: Duration, end: &CancellationToken) -> &'static str {
    tokio::select! {
        () = idle => "the last session has ended",
        () = time::sleep(most) => "sessions had their time",
        () = deserted(slot) => "there is no successor any more",
        () = end.cancelled() => "told to end now",
    }
}

/// Waits until there is no successor for a while: one that fell is started again.
async fn deserted(slot: &Slot) {
    loop {
        slot.until_no_successor().await;
        if time::timeout(SUCCESSOR_GAP, slot.until_successor()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::native::state_dir::StateDir;
    use std::future::pending;

    const DAY: Duration = Duration::from_secs(86_400);

    struct Folder {
        _root: tempfile::TempDir,
        state: StateDir,
        old: Slot,
    }

    fn folder() -> Folder {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(&root.path().join("state")).unwrap();
        let old = Slot::take(&state).unwrap();
        Folder { _root: root, state, old }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_with_the_last_session_with_its_time_or_with_a_second_word() {
        let Folder { _root, state, old } = folder();
        let _new = Slot::take(&state).unwrap();
        let end = CancellationToken::new();
        let hour = Duration::from_secs(3600);
        assert_eq!(handed_over(time::sleep(hour), &old, DAY, &end).await, "the last session has ended");
        assert_eq!(handed_over(pending(), &old, hour, &end).await, "sessions had their time");
        end.cancel();
        assert_eq!(handed_over(pending(), &old, DAY, &end).await, "told to end now");
    }

    #[tokio::test(start_paused = true)]
    async fn a_successor_that_falls_may_come_back() {
        let Folder { _root, state, old } = folder();
        let end = CancellationToken::new();
        let successors = async {
            for _ in 0..3 {
                let new = Slot::take(&state).unwrap();
                time::sleep(SUCCESSOR_GAP * 2).await;
                drop(new);
                time::sleep(SUCCESSOR_GAP / 2).await;
            }
        };
        let begun = time::Instant::now();
        let (why, ()) = tokio::join!(handed_over(pending(), &old, DAY, &end), successors);
        assert_eq!(why, "there is no successor any more");
        assert!(begun.elapsed() >= SUCCESSOR_GAP * 8, "given up after {:?}", begun.elapsed());
    }
}
