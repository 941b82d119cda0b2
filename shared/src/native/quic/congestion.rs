//! Cubic that does not take every lost packet for congestion. Radio loses some while nothing queues anywhere, and Cubic alone
//! makes kilobytes a second of a fast link then: one lost packet in a hundred at 100 ms leaves it a dozen packets in flight.
//!
//! A loss counts where something queues, which shows in the round trip, or where more is lost than a link loses by itself: the
//! two percent that BBR's second version bears (draft-cardwell-iccrg-bbr-congestion-control-02, `BBRLossThresh`).

use quinn_proto::{
    RttEstimator,
    congestion::{Controller, ControllerFactory, Cubic, CubicConfig},
};
use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

/// Of so many bytes a link may lose one.
const BORNE: u64 = 50;
/// Bytes of a few packets, which say nothing.
const FEW: u64 = 3 * 1452;
/// Bytes after which what was before counts half.
const SAMPLE: u64 = 4 << 20;
/// Round trips this much above the least say that something queues: a quarter, and what a busy machine adds.
const QUEUES: u32 = 4;
const BUSY: Duration = Duration::from_millis(2);

/// Makes them.
#[derive(Debug, Default)]
pub(super) struct Makes(Arc<CubicConfig>);

#[derive(Clone)]
struct Bearing {
    cubic: Cubic,
    losses: Losses,
}

/// What was lost lately, of what was sent.
#[derive(Clone, Copy, Debug, Default)]
struct Losses {
    acknowledged: u64,
    lost: u64,
    queues: bool,
}

impl Losses {
    fn acknowledge(&mut self, bytes: u64, now: Duration, least: Duration) {
        self.acknowledged += bytes;
        self.queues = now > least + least / QUEUES + BUSY;
        if self.acknowledged + self.lost > SAMPLE {
            self.acknowledged /= 2;
            self.lost /= 2;
        }
    }

    /// Whether that these `bytes` were lost is a sign of congestion. What was answered once counts no more: after a burst each
    /// single loss would, and the window shrink to nothing.
    fn lose(&mut self, bytes: u64) -> bool {
        self.lost += bytes;
        let congested = self.queues || self.lost > FEW.max((self.acknowledged + self.lost) / BORNE);
        if congested {
            (self.acknowledged, self.lost) = (0, 0);
        }
        congested
    }
}

impl ControllerFactory for Makes {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Bearing { cubic: Cubic::new(self.0.clone(), now, current_mtu), losses: Losses::default() })
    }
}

impl Controller for Bearing {
    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.losses.acknowledge(bytes, rtt.get(), rtt.min());
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        // None lost: a router said so.
        let told = lost_bytes == 0 || is_persistent_congestion;
        if self.losses.lose(lost_bytes) || told {
            self.cubic.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
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

    /// Of `packets`, each `every`th is lost, at that round trip. Returns how many losses were taken for congestion.
    fn signs(packets: u64, every: u64, rtt: Duration) -> usize {
        let mut losses = Losses::default();
        let mut lose = |n: u64| {
            let lost = n.is_multiple_of(every);
            if !lost {
                losses.acknowledge(PACKET, rtt, LEAST);
            }
            lost && losses.lose(PACKET)
        };
        (1..=packets).filter(|n| lose(*n)).count()
    }

    #[test]
    fn a_link_that_loses_one_in_a_hundred_is_not_congested() {
        assert_eq!(signs(100_000, 100, LEAST), 0);
        assert_eq!(signs(100_000, 60, LEAST + LEAST / 8), 0);
    }

    #[test]
    fn one_that_loses_more_is() {
        assert!(signs(10_000, 20, LEAST) > 100);
        assert!(signs(200, 10, LEAST) >= 4, "early too");
    }

    #[test]
    fn a_loss_behind_a_queue_counts() {
        assert_eq!(signs(10_000, 1000, LEAST * 3 / 2), 10);
    }

    #[test]
    fn a_burst_is_answered_and_forgotten() {
        let mut losses = Losses::default();
        assert!((0..100).any(|_| losses.lose(PACKET)));
        let mut lose = |n: u64| {
            losses.acknowledge(PACKET, LEAST, LEAST);
            n.is_multiple_of(100) && losses.lose(PACKET)
        };
        assert_eq!((1..=10_000).filter(|n| lose(*n)).count(), 0);
    }
}
