//! Cubic that does not take every lost packet for congestion. Radio loses some while nothing queues anywhere, and Cubic alone
//! makes kilobytes a second of a fast link then: one lost packet in a hundred at 100 ms leaves it a dozen packets in flight.
//!
//! A loss counts where something queues, which shows in the round trip, or where more is lost in two of them than links lose by
//! themselves. On a way without losses of its own this is Cubic (RFC 9438), packet by packet.

use quinn_proto::{
    RttEstimator,
    congestion::{Controller, ControllerFactory, Cubic, CubicConfig},
};
use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

/// Of so many bytes a link may lose one by itself. A bottleneck that queues hardly anything is filled until it drops as many,
/// then left some room again.
const BORNE: u64 = 20;
/// So many packets say nothing: a connection's first hundred lose some of a link that loses one in a hundred.
const FEW: u64 = 8;
/// Packets that a connection begins with, as the kernel's TCP does (RFC 6928). With two of them in flight, as quinn would begin
/// with large ones, a close has to wait for an answer that nobody waits for any more.
const FIRST: u64 = 10;
/// Round trips longer than an empty way's by such a part of it say that something queues ...
const QUEUES: u32 = 4;
/// ... beyond what a busy machine adds.
const BUSY: Duration = Duration::from_millis(2);

/// Makes them.
#[derive(Debug)]
pub(super) struct Makes {
    cubic: Arc<CubicConfig>,
}

impl Makes {
    /// For packets of up to so many bytes.
    pub(super) fn new(packets: u16) -> Self {
        let mut cubic = CubicConfig::default();
        cubic.initial_window(FIRST * u64::from(packets));
        Self { cubic: Arc::new(cubic) }
    }
}

#[derive(Clone)]
struct Bearing {
    cubic: Cubic,
    losses: Losses,
}

/// Bytes of one round trip, what the quickest packet took, and whether there was never more to send than the window lets through.
#[derive(Clone, Copy, Debug)]
struct Round {
    acknowledged: u64,
    lost: u64,
    quickest: Duration,
    unhurried: bool,
}

impl Default for Round {
    fn default() -> Self {
        Self { acknowledged: 0, lost: 0, quickest: Duration::MAX, unhurried: true }
    }
}

/// What was lost in this round trip and the one before it, of what was sent.
#[derive(Clone, Copy, Debug)]
struct Losses {
    /// Bytes that say nothing.
    few: u64,
    since: Instant,
    now: Round,
    before: Round,
    /// What was sent before is of a congestion that was answered.
    answered: Instant,
    /// What a packet takes where nothing of ours queues: the quickest since the last round trip that was not hurried.
    least: Duration,
    queues: bool,
}

impl Losses {
    fn new(now: Instant, packets: u16) -> Self {
        let (few, round) = (few(packets), Round::default());
        Self { few, since: now, now: round, before: round, answered: now, least: Duration::MAX, queues: false }
    }

    /// `rtt` is the smoothed one.
    fn acknowledge(&mut self, now: Instant, sent: Instant, bytes: u64, (rtt, unhurried): (Duration, bool)) {
        let took = now.saturating_duration_since(sent);
        if sent >= self.since {
            self.turn(now);
        }
        self.least = self.least.min(took);
        self.queues = rtt > self.least + self.least / QUEUES + BUSY;
        self.now.unhurried &= unhurried;
        self.now.acknowledged += bytes;
        self.now.quickest = self.now.quickest.min(took);
    }

    /// Begins a round trip. A way that became longer, as another route makes it, is known by the next that is not hurried.
    fn turn(&mut self, now: Instant) {
        self.since = now;
        self.before = std::mem::take(&mut self.now);
        if self.before.unhurried && self.before.quickest != Duration::MAX {
            self.least = self.before.quickest;
        }
    }

    /// Whether that these `bytes` were lost, of which the last were `sent` then, is a sign of congestion.
    fn lose(&mut self, now: Instant, sent: Instant, bytes: u64) -> bool {
        if sent < self.answered {
            return false;
        }
        self.now.lost += bytes;
        let lost = self.now.lost + self.before.lost;
        let all = lost + self.now.acknowledged + self.before.acknowledged;
        let congested = self.queues || lost > self.few.max(all / BORNE);
        if congested {
            self.answered = now;
            (self.now, self.before) = Default::default();
        }
        congested
    }
}

/// What says nothing where the way takes packets of so many bytes: the first link may take larger ones.
fn few(packets: u16) -> u64 {
    FEW * u64::from(packets)
}

impl ControllerFactory for Makes {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Bearing { cubic: Cubic::new(self.cubic.clone(), now, current_mtu), losses: Losses::new(now, current_mtu) })
    }
}

impl Controller for Bearing {
    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.losses.acknowledge(now, sent, bytes, (rtt.get(), app_limited));
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        // None lost: a router said so.
        let told = lost_bytes == 0 || is_persistent_congestion;
        if self.losses.lose(now, sent, lost_bytes) || told {
            self.cubic.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
        self.losses.few = few(new_mtu);
    }

    fn window(&self) -> u64 {
        self.cubic.window()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: u64 = 1452;
    const LEAST: Duration = Duration::from_millis(100);

    /// A sender at a steady pace, and what it makes of its losses.
    struct Sender {
        losses: Losses,
        begun: Instant,
        sent: u32,
        signs: usize,
    }

    impl Sender {
        fn new() -> Self {
            let begun = Instant::now();
            Self { losses: Losses { least: LEAST, ..Losses::new(begun, 1452) }, begun, sent: 0, signs: 0 }
        }

        /// Sends `packets`, `window` of them in each round trip, of which each `every`th is lost.
        fn send(&mut self, packets: u32, window: u32, every: u32, rtt: Duration) -> usize {
            let before = self.signs;
            for n in 1..=packets {
                self.sent += 1;
                let sent = self.begun + LEAST * self.sent / window;
                if !n.is_multiple_of(every) {
                    self.losses.acknowledge(sent + rtt, sent, PACKET, (rtt, false));
                } else if self.losses.lose(sent + rtt, sent, PACKET) {
                    self.signs += 1;
                }
            }
            self.signs - before
        }
    }

    #[test]
    fn a_link_that_loses_one_in_a_hundred_is_not_congested() {
        for window in [10, 100, 5000] {
            assert_eq!(Sender::new().send(100_000, window, 100, LEAST), 0);
            assert_eq!(Sender::new().send(100_000, window, 40, LEAST + LEAST / 8), 0, "a little late");
        }
    }

    #[test]
    fn one_that_loses_more_is_as_often_as_its_answers_show() {
        let signs = Sender::new().send(100_000, 1000, 10, LEAST);
        assert!((33..=100).contains(&signs), "{signs} in 100 round trips");
    }

    #[test]
    fn a_loss_behind_a_queue_counts_once_a_round_trip() {
        let queued = LEAST * 3 / 2;
        assert_eq!(Sender::new().send(10_000, 100, 1000, queued), 10);
        let signs = Sender::new().send(10_000, 100, 10, queued);
        assert!((50..=100).contains(&signs), "{signs} in 100 round trips");
    }

    #[test]
    fn a_way_that_became_longer_is_known_by_its_first_packets() {
        let mut sender = Sender::new();
        assert_eq!(sender.send(10_000, 100, 100, LEAST), 0);
        assert!(sender.send(10_000, 100, 100, LEAST * 2) > 20, "it may be a queue");
        for _ in 0..3 {
            let sent = sender.begun + LEAST * 300;
            sender.losses.acknowledge(sent + LEAST * 2, sent, PACKET, (LEAST * 2, true));
            sender.begun += LEAST * 4;
        }
        assert_eq!(sender.send(10_000, 100, 100, LEAST * 2), 0);
    }

    #[test]
    fn a_burst_is_answered_and_forgotten() {
        let mut sender = Sender::new();
        assert_eq!(sender.send(100, 100, 1, LEAST), 1);
        assert_eq!(sender.send(10_000, 100, 100, LEAST), 0);
    }

    #[test]
    fn what_says_nothing_is_counted_in_packets_of_the_way() {
        let (now, makes) = (Instant::now(), Arc::new(Makes::new(6500)));
        let lost = |mtu: u16, packets: u64| {
            let mut bearing = makes.clone().build(now, 1200);
            let first = bearing.window();
            bearing.on_mtu_update(mtu);
            (0..packets).for_each(|_| bearing.on_congestion_event(now, now, false, u64::from(mtu)));
            bearing.window() < first
        };
        for mtu in [1200, 1452, 6500] {
            assert!(!lost(mtu, FEW) && lost(mtu, FEW + 1), "{mtu}");
        }
    }

    #[test]
    fn what_a_router_says_counts() {
        let (now, makes) = (Instant::now(), Arc::new(Makes::new(1452)));
        let mut bearing = makes.build(now, 1452);
        let first = bearing.window();
        bearing.on_congestion_event(now, now, false, 1452);
        assert_eq!(bearing.window(), first, "one packet says nothing");
        bearing.on_congestion_event(now, now, false, 0);
        assert!(bearing.window() < first);
    }
}
