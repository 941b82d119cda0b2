//! One channel's bytes under way, and how many may be: pure.
//!
//! russh tells what is left of the client's window, not how large that is, so the latter is concluded. How many bytes the
//! way holds by itself is their rate times the shortest time that one took from here until the client had it, as in BBR.

use std::time::{Duration, Instant};

/// The window of nearly every client: OpenSSH's, libssh2's, Go's, paramiko's, ssh2's.
const USUAL_WINDOW: u64 = 2 << 20;
/// As much may be under way anywhere: OpenSSH's client makes room in steps of three packets and a bit.
const LEAST: u64 = 192 * 1024;
/// What the way is given beyond its own, because processes wait for a processor. Beside a download on one machine an echo took
/// 3 ms with 2 ms of it, and 1.8 with half a one, but then the download took a tenth longer.
const SLACK: Duration = Duration::from_micros(1500);
/// And in proportion: a way that could hold more shows it round trip by round trip.
const GAIN: f64 = 1.5;
/// After that long the way is emptied once, to see what it is like by itself.
const RENEW: Duration = Duration::from_secs(10);

/// In bytes from the channel's opening on.
#[derive(Debug)]
pub(super) struct Flight {
    sent: u64,
    /// What the client has made room for again.
    confirmed: u64,
    /// The client's whole window, once something is known of it.
    window: Option<u64>,
    /// `sent` when the client was last heard on this channel.
    heard_at: u64,
    /// As much as the steps in which the client makes room ask for.
    floor: u64,
    probe: Option<Probe>,
    way: Option<Way>,
}

/// Bytes of which it is seen how long they take.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// Confirmed once this many are.
    position: u64,
    confirmed: u64,
    since: Instant,
    /// Whether the way had been emptied for it.
    alone: bool,
}

/// What the way is like.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// Of a probe with little ahead of it.
    shortest: Duration,
    measured: Instant,
    holds: u64,
}

impl Default for Flight {
    fn default() -> Self {
        Self { sent: 0, confirmed: 0, window: None, heard_at: 0, floor: LEAST, probe: None, way: None }
    }
}

impl Flight {
    /// The client was heard on this channel: what was sent on it since it last was.
    pub(super) fn heard(&mut self) -> u64 {
        let answered = self.sent - self.heard_at;
        self.heard_at = self.sent;
        answered
    }

    /// The client made room: `left` bytes of its window are.
    pub(super) fn granted(&mut self, left: u32, now: Instant) {
        let left = u64::from(left);
        let window = self.window.unwrap_or_else(|| self.conclude(left)).max(left);
        self.window = Some(window);
        let before = self.confirmed;
        self.confirmed = before.max((self.sent + left).saturating_sub(window)).min(self.sent);
        self.floor = self.floor.max(2 * (self.confirmed - before));
        if let Some(probe) = self.probe.take_if(|probe| probe.position <= self.confirmed) {
            self.arrived(probe, now);
        }
    }

    /// Nothing was confirmed for a long time with as much under way as may be: it tells that in larger steps.
    pub(super) fn gave_no_room(&mut self) {
        self.floor = self.floor.saturating_mul(2);
    }

    /// Whether `length` bytes may be sent now, which are counted then.
    pub(super) fn pass(&mut self, length: usize, typing: bool, now: Instant) -> bool {
        if !typing {
            (self.probe, self.way) = (None, None);
        } else if self.window.is_some() && self.under_way() > 0 && self.under_way() + length as u64 > self.most(now) {
            return false;
        }
        self.sent += length as u64;
        if typing && self.probe.is_none() {
            let alone = self.way(now).is_none();
            self.probe = Some(Probe { position: self.sent, confirmed: self.confirmed, since: now, alone });
        }
        true
    }

    fn under_way(&self) -> u64 {
        self.sent - self.confirmed
    }

    fn most(&self, now: Instant) -> u64 {
        self.way(now).map_or(self.floor, |way| way.holds.max(self.floor))
    }

    fn way(&self, now: Instant) -> Option<Way> {
        self.way.filter(|way| now.saturating_duration_since(way.measured) < RENEW)
    }

    /// From the first that is left of it, and all that was sent by then.
    fn conclude(&self, left: u64) -> u64 {
        if (left..=left + self.sent).contains(&USUAL_WINDOW) { USUAL_WINDOW } else { left }
    }

    fn arrived(&mut self, probe: Probe, now: Instant) {
        let took = now.saturating_duration_since(probe.since).max(Duration::from_micros(1));
        let delivered = self.confirmed - probe.confirmed;
        let (shortest, measured) = match self.way(now) {
            Some(way) => (way.shortest.min(took), way.measured),
            None if probe.alone => (took, now),
            None => return,
        };
        let holds = delivered as f64 * (GAIN * shortest.as_secs_f64() + SLACK.as_secs_f64()) / took.as_secs_f64();
        self.way = Some(Way { shortest, measured, holds: holds as u64 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;
    const MS: Duration = Duration::from_millis(1);
    const PIECE: u64 = 32 * KIB;

    /// A client with a window of that size that makes room in those steps, at the end of a way that takes `way` and does one
    /// piece each `each`.
    struct Client {
        window: u64,
        step: u64,
        way: Duration,
        each: Duration,
    }

    /// What happens there, in its order.
    struct Scene {
        client: Client,
        flight: Flight,
        now: Instant,
        /// When each piece under way will have come to the client and word of it back.
        arrivals: Vec<Instant>,
        consumed: u64,
        granted: u64,
        written: u64,
    }

    impl Client {
        const OPENSSH: Self = Self { window: 2048 * KIB, step: 96 * KIB, way: MS, each: Duration::from_micros(125) };

        fn scene(self) -> Scene {
            let granted = self.window;
            let (flight, now) = (Flight::default(), Instant::now());
            Scene { client: self, flight, now, arrivals: Vec::new(), consumed: 0, granted, written: 0 }
        }
    }

    impl Scene {
        /// Sends all that may be for `time`, and returns the most that was under way in its last tenth, with how much came.
        fn pour(&mut self, typing: bool, time: Duration) -> (u64, u64) {
            let (end, last, before) = (self.now + time, self.now + time * 9 / 10, self.consumed);
            let mut most = 0;
            while self.now < end {
                while self.granted - self.written >= PIECE && self.flight.pass(PIECE as usize, typing, self.now) {
                    self.written += PIECE;
                    let free = self.arrivals.last().map_or(self.now, |last| *last - self.client.way);
                    self.arrivals.push(free.max(self.now) + self.client.each + self.client.way);
                }
                let next = self.arrivals.first().copied().unwrap_or(end);
                if self.now >= last {
                    most = most.max(self.arrivals.len() as u64 * PIECE);
                }
                self.now = next;
                if !self.arrivals.is_empty() {
                    self.arrivals.remove(0);
                    self.consumed += PIECE;
                }
                let owed = self.consumed + self.client.window - self.granted;
                if owed > self.client.step {
                    self.granted += owed;
                    self.flight.granted((self.granted - self.written) as u32, self.now);
                }
            }
            (most, self.consumed - before)
        }
    }

    #[test]
    fn nothing_is_held_back_while_nobody_types() {
        let mut scene = Client::OPENSSH.scene();
        let (most, _) = scene.pour(false, MS * 200);
        assert!(most > 1900 * KIB, "{most}");
    }

    #[test]
    fn little_is_under_way_while_somebody_types_and_nothing_is_lost() {
        let mut scene = Client::OPENSSH.scene();
        let (_, freely) = scene.pour(false, MS * 200);
        scene.pour(true, MS * 20);
        let (most, held) = scene.pour(true, MS * 200);
        assert!(most <= 1300 * KIB, "{most}");
        assert!(held * 100 >= freely * 97, "{held} of {freely}");
        let (again, _) = scene.pour(false, MS * 200);
        assert!(again > 1900 * KIB, "{again}");
    }

    #[test]
    fn over_distance_the_way_is_filled() {
        let mut scene = Client { way: MS * 100, each: MS * 3, ..Client::OPENSSH }.scene();
        let (_, freely) = scene.pour(false, MS * 5000);
        scene.pour(true, MS * 2000);
        let (most, held) = scene.pour(true, MS * 5000);
        assert!(held * 100 >= freely * 95, "{held} of {freely}");
        assert!(most > 1000 * KIB, "{most}");
    }

    #[test]
    fn over_a_slow_way_little_waits() {
        let mut scene = Client { way: MS * 20, each: MS * 32, ..Client::OPENSSH }.scene();
        let (before, freely) = scene.pour(false, MS * 10_000);
        scene.pour(true, MS * 3000);
        let (most, held) = scene.pour(true, MS * 10_000);
        assert!(before > 1900 * KIB && most <= 416 * KIB, "{before} {most}");
        assert!(held * 100 >= freely * 97, "{held} of {freely}");
    }

    #[test]
    fn a_window_is_concluded_or_what_is_left_of_it() {
        let concluded = |sent, left| {
            let mut flight = Flight { sent, ..Flight::default() };
            flight.granted(left, Instant::now());
            flight.window.unwrap()
        };
        assert_eq!(concluded(1500 * KIB, 700 * 1024), 2048 * KIB);
        assert_eq!(concluded(100 * KIB, 500 * 1024), 500 * KIB, "no more than 600 KiB");
        assert_eq!(concluded(100 * KIB, 1 << 31), 1 << 31);
    }

    #[test]
    fn a_client_that_makes_room_in_large_steps_is_not_starved() {
        let mut scene = Client { step: 1024 * KIB, ..Client::OPENSSH }.scene();
        let (_, freely) = scene.pour(false, MS * 200);
        let (_, held) = scene.pour(true, MS * 200);
        assert!(held * 100 >= freely * 90, "{held} of {freely}");
    }

    #[test]
    fn who_makes_no_room_gets_more() {
        let mut flight = Flight::default();
        let now = Instant::now();
        flight.pass(100, false, now);
        flight.granted((2 << 20) - 100, now);
        while flight.pass(PIECE as usize, true, now) {}
        assert_eq!(flight.under_way() / PIECE, LEAST / PIECE - 1, "with the first hundred");
        flight.gave_no_room();
        assert!(flight.pass(PIECE as usize, true, now));
    }

    #[test]
    fn what_was_answered_is_told_once() {
        let mut flight = Flight::default();
        flight.pass(100, false, Instant::now());
        assert_eq!((flight.heard(), flight.heard()), (100, 0));
    }
}
