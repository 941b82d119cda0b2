//! How large the windows of one connection have to be: larger once its peer is seen to wait for a refill.
//!
//! OpenSSH's client reads ahead as far as its window goes, into a buffer that it enlarges by what it just read, each time
//! copying all of it (sshbuf.c, `SSHBUF_SIZE_INC`): a window of 8 MiB costs it most of a second. So no window is larger than
//! distance asks for. Distance shows at a refill: what lies beyond the old window can only have been sent after the refill
//! came there, and a peer that waited for it sent all it might, then nothing.

use std::time::{Duration, Instant};

/// Shorter pauses are no distance: that long a process waits for a processor.
const PAUSE: Duration = Duration::from_millis(4);
/// A pause counts from this part of the time between a refill and the first use of it.
const PART: u32 = 4;

/// The windows of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    window: u32,
    most: u32,
}

/// A refill that is on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// Bytes that the peer may send without it.
    left: u32,
    sent: Instant,
    /// When the peer was last heard, or the refill was sent.
    heard: Instant,
}

impl Probe {
    /// A refill is sent, without which the peer may send `left` bytes.
    pub(super) fn new(left: u32, now: Instant) -> Self {
        Self { left, sent: now, heard: now }
    }

    /// Whether the peer had used up what it had, and then waited.
    fn waited(&self, now: Instant) -> bool {
        let (pause, all) = (now.saturating_duration_since(self.heard), now.saturating_duration_since(self.sent));
        self.left == 0 && pause >= PAUSE && pause * PART >= all
    }
}

impl Stretch {
    /// Windows of `first` bytes, of `most` over distance.
    pub(super) fn new(first: u32, most: u32) -> Self {
        Self { window: first, most }
    }

    /// Bytes of the next refill.
    pub(super) fn window(&self) -> u32 {
        self.window
    }

    /// `length` bytes arrived on the channel of `probe`, which ends with what only its refill let the peer send.
    pub(super) fn received(&mut self, probe: &mut Option<Probe>, length: u32, now: Instant) {
        let Some(sent) = probe else { return };
        if length <= sent.left {
            sent.left -= length;
            sent.heard = now;
            return;
        }
        if sent.waited(now) {
            self.window = self.window.saturating_mul(2).min(self.most);
        }
        *probe = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The window after one refill at which 100 bytes were left: they came evenly in `busy`, and what is beyond them `pause` later.
    fn after(busy: Duration, pause: Duration) -> u32 {
        let (start, mut stretch) = (Instant::now(), Stretch::new(200, 800));
        let mut probe = Some(Probe::new(100, start));
        for piece in 1..=10 {
            stretch.received(&mut probe, 10, start + busy * piece / 10);
        }
        stretch.received(&mut probe, 10, start + busy + pause);
        assert!(probe.is_none());
        stretch.window()
    }

    #[test]
    fn a_peer_that_waited_for_its_refill_gets_twice_as_much() {
        assert_eq!(after(MS * 8, MS * 12), 400);
        assert_eq!(after(Duration::ZERO, MS * 100), 400);
    }

    #[test]
    fn one_that_did_not_keeps_its_window() {
        assert_eq!(after(MS * 30, MS * 3), 200, "it went on before it knew");
        assert_eq!(after(MS, MS * 3), 200, "too short for a distance");
        assert_eq!(after(MS * 40, MS * 10), 200, "a part of what it took anyway");
    }

    #[test]
    fn a_pause_before_the_window_was_used_up_is_the_peers_own() {
        let (start, mut stretch) = (Instant::now(), Stretch::new(200, 800));
        let mut probe = Some(Probe::new(100, start));
        stretch.received(&mut probe, 99, start + MS);
        stretch.received(&mut probe, 2, start + MS * 100);
        assert_eq!(stretch.window(), 200);
    }

    #[test]
    fn no_window_is_larger_than_the_largest() {
        let (start, mut stretch) = (Instant::now(), Stretch::new(200, 500));
        for _ in 0..3 {
            let mut probe = Some(Probe::new(0, start));
            stretch.received(&mut probe, 1, start + MS * 50);
        }
        assert_eq!(stretch.window(), 500);
    }
}
