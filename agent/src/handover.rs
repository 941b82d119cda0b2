//! From one process of the agent to its successor: who asks whom when, and how long the old one stays.

use crate::{
    limits::{SUCCESSOR_GAP, SUCCESSOR_LOOK},
    serve::Service,
    status::{self, Board},
};
use drawbridge_shared::native::{clock, slot::Slot};
use std::{sync::Arc, time::Duration};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How a process is told to end.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Fires when it is to end: at once, or where another takes its place after its last session.
    pub stop: CancellationToken,
    /// Fires when it is not to wait for sessions any more.
    pub end: CancellationToken,
}

/// Asks the process that was here first to hand over, once this one serves what is new.
pub(crate) async fn take_over(slot: Arc<Slot>, board: Board, stop: CancellationToken) {
    if stop.run_until_cancelled(board.until_serving()).await.is_none() {
        return;
    }
    // One that hands over already, to a process that has ended, would take a second signal for its last.
    if status::hands_over(&board, &slot) {
        return info!("the process before hands over already");
    }
    match slot.ask_other() {
        Ok(true) => info!("the process before is asked to hand over"),
        Ok(false) => {}
        Err(fault) => warn!(%fault, "the process before cannot be asked to hand over"),
    }
}

/// Waits until this process is to end; where it has a successor, that is after its last session, or after `most`.
pub(crate) async fn until_over(slot: &Slot, service: &Service, board: &Board, most: Duration, tokens: &Tokens) {
    tokens.stop.cancelled().await;
    let Some(successor) = slot.successor() else { return };
    info!(successor, "handing over: sessions go on to their end");
    if let Err(fault) = slot.leaves() {
        warn!(%fault, "cannot say that this process leaves: a successor that starts twice ends its sessions");
    }
    service.leave();
    board.post(|status| status.handed_over = Some(clock::now()));
    let why = tokio::select! {
        () = service.idle() => "the last session has ended",
        () = time::sleep(most) => "sessions had their time",
        () = deserted(slot) => "there is no successor any more",
        () = tokens.end.cancelled() => "told to end now",
    };
    info!(why, "handed over");
}

/// Waits until there is no successor for a while: one that fell is started again.
async fn deserted(slot: &Slot) {
    loop {
        slot.until_no_successor().await;
        if time::timeout(SUCCESSOR_GAP, succeeded(slot)).await.is_err() {
            return;
        }
    }
}

async fn succeeded(slot: &Slot) {
    while slot.successor().is_none() {
        time::sleep(SUCCESSOR_LOOK).await;
    }
}
