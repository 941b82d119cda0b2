//! A delay that keeps the order.

use super::Faults;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

/// Pieces on their way at a time.
const ROOM: usize = 4096;

/// The end where pieces are put in.
pub(super) struct Line {
    pieces: mpsc::Sender<(Instant, Vec<u8>)>,
    faults: watch::Receiver<Faults>,
}

/// The end where they come out.
pub(super) struct LineEnd(mpsc::Receiver<(Instant, Vec<u8>)>);

/// A way that takes as long as `faults` say when a piece is put in.
pub(super) fn line(faults: watch::Receiver<Faults>) -> (Line, LineEnd) {
    let (pieces, end) = mpsc::channel(ROOM);
    (Line { pieces, faults }, LineEnd(end))
}

impl Line {
    /// Puts `piece` in, or drops it where the way is full, as a router does.
    pub(super) fn offer(&self, piece: Vec<u8>) {
        let _ = self.pieces.try_send((self.due(), piece));
    }

    /// Puts `piece` in, once there is room. Says whether anybody still takes pieces out.
    pub(super) async fn put(&self, piece: Vec<u8>) -> bool {
        self.pieces.send((self.due(), piece)).await.is_ok()
    }

    fn due(&self) -> Instant {
        Instant::now() + self.faults.borrow().delay
    }
}

impl LineEnd {
    /// The next piece, in its time; `None` once the other end is dropped and all is out.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        let (due, piece) = self.0.recv().await?;
        sleep_until(due).await;
        Some(piece)
    }
}
