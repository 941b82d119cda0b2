//! How much a connection's channels may still send us: russh's receive windows mirrored, and the next refill chosen.
//!
//! russh refills a channel's window when data arrives, not when it is consumed, up to one target for all channels of
//! the connection; `Handler::adjust_window` reports a refill and sets the target of the *next* one. So the only brake
//! is a tiny target while too much is held. It must not be 0 (ignored) nor 1 (no refill ever again, and so no more
//! calls that could set it back): 2 lets a byte pair through a round trip, which is what brings the channel back.

use super::{
    Meter,
    brake::Brake,
    stretch::{Probe, Stretch},
};
use crate::native::reserve::Reserve;
use std::{collections::HashMap, hash::Hash, time::Instant};

/// The refill that holds a channel back and yet lets it recover.
const TRICKLE: u32 = 2;
/// While somebody types, a refill is this part of the first window: what is under way is ahead of the next keystroke.
const HURRIED: u32 = 4;

/// The bounds of one connection's inbound data, all in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Largest piece of data taken at once: russh's `Config::maximum_packet_size`, which it tells clients and does not enforce.
    pub packet: u32,
    /// A channel's window when it is opened, and as long as distance asks for no more: russh's `Config::window_size`.
    pub first_window: u32,
    /// A channel's largest window, once the peer had to wait for each, and while there is room.
    pub window: u32,
    /// Windows granted to all channels together beyond which refills fall back to `first_window`.
    pub granted: u64,
    /// Held bytes at which refills become a trickle.
    pub high: usize,
    /// Held bytes at which they are full again.
    pub low: usize,
}

/// One connection's receive windows; `K` is what tells its channels apart.
#[derive(Debug)]
pub struct Inflow<K> {
    bounds: Bounds,
    meter: Meter,
    windows: HashMap<K, Window>,
    granted: u64,
    choked: bool,
    hurried: bool,
    stretch: Stretch,
}

/// The peer sent more than it may (RFC 4254 section 5.2), and russh passed it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overrun {
    /// In all.
    #[error("the peer sent more than the channel's window allows")]
    Window,
    /// At once.
    #[error("the peer sent a piece of data that is larger than the channel's packets may be")]
    Packet,
}

#[derive(Debug)]
struct Window {
    left: u32,
    refill: Option<u32>,
    /// Of its last refill.
    probe: Option<Probe>,
}

impl Bounds {
    /// Held bytes at which refills become a trickle while all connections together hold too much: one channel that stalls does not
    /// stop the others, as large as its window may have become.
    const fn least(&self) -> usize {
        self.window as usize + self.first_window as usize
    }
}

impl<K: Eq + Hash> Inflow<K> {
    /// No channel yet.
    pub fn new(bounds: Bounds) -> Self {
        Self::counted(bounds, Meter::default())
    }

    /// The same of a connection whose held bytes count in `reserve` too. While that is full it keeps to what two channels may always
    /// send, and the others go on.
    pub fn within(reserve: &Reserve, bounds: Bounds) -> Self {
        Self::counted(bounds, Meter::within(reserve))
    }

    fn counted(bounds: Bounds, meter: Meter) -> Self {
        let stretch = Stretch::new(bounds.first_window, bounds.window);
        Self { bounds, meter, windows: HashMap::new(), granted: 0, choked: false, hurried: false, stretch }
    }

    /// Where this connection's back-logs count what they hold.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Holds back the refills of stalled channels while too much is held.
    pub fn brake(&self) -> Brake {
        Brake::new(self.meter.clone(), (self.bounds.low, self.bounds.least()))
    }

    /// Whether a channel of which `held` bytes are held was just refilled with no more than a trickle, and will be again:
    /// its refill may be held back.
    pub fn is_stalled(&self, held: usize, refill: u32) -> bool {
        self.choked && refill == TRICKLE && held >= self.bounds.first_window as usize
    }

    /// A channel was opened with the first window.
    pub fn opened(&mut self, channel: K) {
        self.closed(&channel);
        self.granted += u64::from(self.bounds.first_window);
        self.windows.insert(channel, Window { left: self.bounds.first_window, refill: None, probe: None });
    }

    /// A channel is gone.
    pub fn closed(&mut self, channel: &K) {
        if let Some(window) = self.windows.remove(channel) {
            self.granted -= u64::from(window.left);
        }
    }

    /// Whether somebody types beside what comes in: refills are smaller then, where distance asks for no larger ones.
    pub fn hurry(&mut self, hurried: bool) {
        self.hurried = hurried;
    }

    /// `Handler::adjust_window`: the window was refilled to `target`, ahead of the data that caused it. Returns the next target.
    pub fn refilled(&mut self, channel: &K, target: u32) -> u32 {
        if let Some(window) = self.windows.get_mut(channel) {
            window.refill = Some(target);
        }
        self.next_target()
    }

    /// `Handler::data`: `length` bytes arrived for `channel`.
    pub fn received(&mut self, channel: &K, length: usize, now: Instant) -> Result<(), Overrun> {
        let length = u32::try_from(length).ok().filter(|length| *length <= self.bounds.packet).ok_or(Overrun::Packet)?;
        let Some(window) = self.windows.get_mut(channel) else {
            return Ok(());
        };
        let before = window.left;
        let left = before.checked_sub(length).ok_or(Overrun::Window)?;
        self.stretch.received(&mut window.probe, length, now);
        window.left = match window.refill.take() {
            Some(refill) => {
                // Who is held back waits for other reasons.
                window.probe = window.probe.take().or((refill > TRICKLE).then(|| Probe::new(left, now)));
                refill
            }
            None => left,
        };
        self.granted = (self.granted + u64::from(window.left)).saturating_sub(u64::from(before));
        Ok(())
    }

    fn next_target(&mut self) -> u32 {
        let mark = if self.choked { self.bounds.low } else { self.bounds.high };
        let pressed = self.meter.is_pressed();
        self.choked = self.meter.held() >= self.meter.mark(mark, self.bounds.least());
        match self.choked {
            true => TRICKLE,
            false if pressed || self.granted > self.bounds.granted => self.bounds.first_window,
            false if self.hurried && self.stretch.window() == self.bounds.first_window => self.bounds.first_window / HURRIED,
            false => self.stretch.window(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::backlog::{Inlet, Outlet, backlog};
    use tokio::io::AsyncReadExt;

    const BOUNDS: Bounds = Bounds { packet: 100, first_window: 100, window: 400, granted: 1000, high: 1000, low: 200 };

    /// russh's side of the bargain, as in `Encrypted::adjust_window_size`, and a peer that sends all it may.
    struct Connection {
        inflow: Inflow<u8>,
        target: u32,
        channels: HashMap<u8, (u32, Inlet)>,
        now: Instant,
    }

    impl Connection {
        fn new() -> Self {
            let (target, now) = (BOUNDS.first_window, Instant::now());
            Self { inflow: Inflow::new(BOUNDS), target, channels: HashMap::new(), now }
        }

        fn open(&mut self, channel: u8) -> Outlet {
            let (inlet, outlet) = backlog(self.inflow.meter());
            self.inflow.opened(channel);
            self.channels.insert(channel, (BOUNDS.first_window, inlet));
            outlet
        }

        fn send(&mut self, channel: u8, length: u32) {
            let (window, inlet) = self.channels.get_mut(&channel).unwrap();
            *window -= length;
            if *window < self.target / 2 {
                *window = self.target;
                self.target = self.inflow.refilled(&channel, self.target);
            }
            self.inflow.received(&channel, length as usize, self.now).unwrap();
            inlet.push(vec![7; length as usize].into());
            assert_eq!(self.inflow.windows[&channel].left, *window);
        }

        /// Packets of at most 60 bytes, as many as the windows allow, up to `packets`.
        fn pour(&mut self, channel: u8, packets: usize) {
            for _ in 0..packets {
                let may = self.channels[&channel].0.min(60);
                self.send(channel, may);
            }
        }
    }

    #[tokio::test]
    async fn while_others_hold_too_much_little_is_held_and_who_is_served_goes_on() {
        const MUCH: usize = 8 << 20;
        let bounds = Bounds { first_window: 1 << 20, window: 2 << 20, low: 1 << 30, high: 1 << 30, ..BOUNDS };
        let reserve = Reserve::of(MUCH);
        let [mut stalls, mut served] = [0, 1].map(|_| Inflow::<u8>::within(&reserve, bounds));
        stalls.opened(1);
        served.opened(1);
        let (inlet, _outlet) = backlog(stalls.meter());
        inlet.push(vec![7; bounds.least()].into());
        let targets =
            |stalls: &mut Inflow<u8>, served: &mut Inflow<u8>| [stalls, served].map(|inflow| inflow.refilled(&1, 1 << 20));
        assert!(!targets(&mut stalls, &mut served).contains(&TRICKLE), "there is room");
        let others = Meter::within(&reserve);
        others.add(MUCH);
        assert_eq!(targets(&mut stalls, &mut served), [TRICKLE, bounds.first_window]);
        others.sub(MUCH);
        assert!(!targets(&mut stalls, &mut served).contains(&TRICKLE), "there is room again");
    }

    #[tokio::test]
    async fn a_stalled_channel_is_held_near_the_mark_and_recovers() {
        let mut connection = Connection::new();
        let mut outlet = connection.open(1);
        connection.pour(1, 1000);
        let held = connection.inflow.meter().held();
        assert!((BOUNDS.high..BOUNDS.high + 2 * BOUNDS.window as usize + 2000).contains(&held), "{held}");
        assert_eq!(connection.target, TRICKLE);

        outlet.read_exact(&mut vec![0; held]).await.unwrap();
        connection.pour(1, 2);
        assert_eq!(connection.target, BOUNDS.first_window);
        connection.pour(1, 2);
        assert!(connection.channels[&1].0 > 0);
    }

    #[test]
    fn windows_grow_for_a_peer_that_waits_for_them() {
        let mut connection = Connection::new();
        let _outlet = connection.open(1);
        connection.send(1, 60);
        assert_eq!((connection.target, connection.channels[&1].0), (BOUNDS.first_window, BOUNDS.first_window));
        connection.send(1, 40);
        connection.now += std::time::Duration::from_millis(50);
        connection.send(1, 10);
        connection.send(1, 1);
        assert_eq!(connection.target, 2 * BOUNDS.first_window);
    }

    #[test]
    fn little_comes_ahead_of_who_types_but_over_distance() {
        let mut inflow = Inflow::<u8>::new(BOUNDS);
        inflow.opened(1);
        inflow.hurry(true);
        assert_eq!(inflow.refilled(&1, BOUNDS.first_window), BOUNDS.first_window / HURRIED);
        inflow.stretch = Stretch::new(BOUNDS.window, BOUNDS.window);
        assert_eq!(inflow.refilled(&1, BOUNDS.first_window), BOUNDS.window);
        inflow.hurry(false);
        inflow.stretch = Stretch::new(BOUNDS.first_window, BOUNDS.window);
        assert_eq!(inflow.refilled(&1, BOUNDS.first_window), BOUNDS.first_window);
    }

    #[test]
    fn the_choke_holds_until_the_low_mark() {
        let mut inflow = Inflow::<u8>::new(BOUNDS);
        inflow.opened(1);
        let free = BOUNDS.first_window;
        let steps = [(999, free), (1000, TRICKLE), (201, TRICKLE), (199, free), (999, free)];
        for (held, target) in steps {
            inflow.meter.sub(inflow.meter.held());
            inflow.meter.add(held);
            assert_eq!(inflow.refilled(&1, 2), target, "{held}");
        }
    }

    #[test]
    fn only_a_channel_that_holds_much_is_stalled() {
        let mut inflow = Inflow::<u8>::new(BOUNDS);
        inflow.opened(1);
        assert!(!inflow.is_stalled(5000, TRICKLE), "nothing is choked");
        inflow.meter.add(1000);
        inflow.refilled(&1, BOUNDS.window);
        assert!(inflow.is_stalled(100, TRICKLE));
        assert!(!inflow.is_stalled(99, TRICKLE), "its consumer keeps up");
        assert!(!inflow.is_stalled(100, BOUNDS.window), "it has something to send");
    }

    #[test]
    fn many_open_windows_keep_refills_small() {
        let mut connection = Connection::new();
        connection.inflow.stretch = Stretch::new(BOUNDS.window, BOUNDS.window);
        let outlets: Vec<_> = (0..11).map(|channel| connection.open(channel)).collect();
        connection.pour(0, 2);
        assert_eq!(connection.target, BOUNDS.first_window);
        for channel in 1..11 {
            connection.inflow.closed(&channel);
        }
        connection.pour(0, 2);
        assert_eq!(connection.target, BOUNDS.window);
        assert_eq!(connection.inflow.granted, u64::from(connection.channels[&0].0));
        drop(outlets);
    }

    #[test]
    fn data_beyond_the_window_is_told() {
        let mut inflow = Inflow::<u8>::new(BOUNDS);
        inflow.opened(1);
        let now = Instant::now();
        assert_eq!(inflow.received(&1, 100, now), Ok(()));
        assert_eq!(inflow.received(&1, 1, now), Err(Overrun::Window));
        assert_eq!(inflow.received(&9, 1, now), Ok(()), "a channel already closed here");
        assert_eq!(inflow.received(&9, 101, now), Err(Overrun::Packet));
    }
}
