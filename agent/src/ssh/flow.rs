//! How much of a channel's output is under way: all that the client's window allows, but little while somebody types beside it.
//!
//! Whatever is under way on a connection or its tunnel is ahead of the next echo, and OpenSSH's windows let 2 MiB be: 8 ms beside a
//! download on one machine, two seconds at 10 Mbit/s.

mod flight;

use flight::Flight;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::Notify, time::timeout};

/// Longest message of a client that is taken for somebody at a keyboard; what is pasted is longer.
const KEYSTROKES: usize = 1024;
/// Most output between two of them on such a channel: a screen of a terminal, and less than a block of a file.
const ANSWER: u64 = 16 * 1024;
/// How long after a keystroke another one is expected.
const TYPING: Duration = Duration::from_secs(2);
/// Longest wait for a client to make room, which is then believed to tell it in larger steps. OpenSSH's tells each
/// 96 KiB: that much takes as long over half a megabit a second.
const PATIENCE: Duration = Duration::from_secs(2);

/// When somebody last typed in this workspace, on any channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Keyboard(Arc<Mutex<Option<Instant>>>);

/// One channel's output; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    keyboard: Keyboard,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    flight: Mutex<Flight>,
    /// The client made room.
    granted: Notify,
}

impl Keyboard {
    /// A channel beside which it is used.
    pub(super) fn beside(&self) -> Flow {
        Flow { keyboard: self.clone(), shared: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another keystroke is expected.
    pub(super) fn is_in_use(&self, now: Instant) -> bool {
        self.lock().is_some_and(|last| now.saturating_duration_since(last) < TYPING)
    }
}

impl Flow {
    /// The client sent `length` bytes on this channel.
    pub(super) fn heard(&self, length: usize, now: Instant) {
        let answered = self.flight().heard();
        if length <= KEYSTROKES && answered <= ANSWER {
            *self.keyboard.lock() = Some(now);
        }
    }

    /// The client made room: it may be sent `window` bytes more than it has been.
    pub(super) fn granted(&self, window: u32, now: Instant) {
        self.flight().granted(window, now);
        self.shared.granted.notify_waiters();
    }

    /// Waits until `length` bytes more may be under way, and counts them.
    pub(super) async fn pass(&self, length: usize) {
        loop {
            let granted = self.shared.granted.notified();
            if self.tries(length, Instant::now()) {
                return;
            }
            if timeout(PATIENCE, granted).await.is_err() {
                self.flight().gave_no_room();
            }
        }
    }

    fn tries(&self, length: usize, now: Instant) -> bool {
        let typing = self.keyboard.is_in_use(now);
        self.flight().pass(length, typing, now)
    }

    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.shared.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{task::yield_now, time::advance};

    const PIECE: usize = 32 * 1024;

    /// A download of which half a window is under way, and a terminal in the same workspace.
    async fn beside() -> (Flow, Flow) {
        let keyboard = Keyboard::default();
        let (bulk, terminal) = (keyboard.beside(), keyboard.beside());
        for _ in 0..32 {
            bulk.pass(PIECE).await;
        }
        bulk.granted(1 << 20, Instant::now());
        (bulk, terminal)
    }

    /// Whether it passes at once.
    async fn passes(flow: &Flow) -> bool {
        timeout(Duration::from_millis(1), flow.pass(PIECE)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_keystroke_holds_a_download_back_until_the_client_makes_room() {
        let (bulk, terminal) = beside().await;
        assert!(passes(&bulk).await);
        terminal.heard(1, Instant::now());
        assert!(!passes(&bulk).await);
        assert!(passes(&terminal).await);
        let (waits, ()) = tokio::join!(timeout(PATIENCE / 2, bulk.pass(PIECE)), async {
            yield_now().await;
            bulk.granted(2 << 20, Instant::now());
        });
        waits.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_long() {
        let (bulk, terminal) = beside().await;
        terminal.heard(1, Instant::now());
        let (took, ()) = tokio::join!(
            async {
                let begun = tokio::time::Instant::now();
                bulk.pass(PIECE).await;
                begun.elapsed()
            },
            async {
                for _ in 0..10 {
                    advance(PATIENCE).await;
                    yield_now().await;
                }
            }
        );
        assert!(took >= PATIENCE, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_typing_holds_nothing_back() {
        let (bulk, other) = beside().await;
        other.heard(KEYSTROKES + 1, Instant::now());
        assert!(passes(&bulk).await, "somebody uploads");
        for _ in 0..2 {
            other.pass(PIECE).await;
            other.heard(30, Instant::now());
        }
        assert!(passes(&bulk).await, "somebody reads a file block by block");
        bulk.heard(1, Instant::now());
        assert!(passes(&bulk).await, "it is the download's own");
    }

    #[test]
    fn typing_ends() {
        let (keyboard, now) = (Keyboard::default(), Instant::now());
        assert!(!keyboard.is_in_use(now));
        keyboard.beside().heard(1, now);
        assert!(keyboard.is_in_use(now + TYPING / 2) && !keyboard.is_in_use(now + TYPING));
    }
}
