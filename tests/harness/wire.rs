//! A long wire within one machine: every packet of the kernel's own TCP, and of UDP, takes its time and may be lost.
//!
//! It is a TUN device whose packets come back, with both addresses changed as if the other end had sent them: who calls
//! [`FAR`] reaches what listens at [`HERE`]. Unlike a relay it ends nobody's TCP, so that the kernel itself has to repair it.

use anyhow::{Context, Result, ensure};
use std::{
    net::Ipv4Addr,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tappers::{DeviceState, Interface, linux::Tun};

/// Where servers listen that are to be reached over the wire.
pub const HERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
/// What clients call instead.
pub const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 4);

const DEVICE: &str = "drawbridge0";
/// Clients call from 10.77.0.1, and servers see 10.77.0.2. Both pairs have the same sum, and so have the packets' checksums.
/// The congestion control is what most machines come with.
const LAY: &str = "
ip address add 10.77.0.1/24 dev drawbridge0
ip address add 10.77.0.3/32 dev drawbridge0
ip link set drawbridge0 txqueuelen 16384
ip route replace 10.77.0.0/24 dev drawbridge0 src 10.77.0.1 congctl cubic
";
/// Packets on the wire at a time; at 1,500 bytes that is 300 MiB/s for 150 ms. What comes beyond is lost, as on a full router.
const ROOM: usize = 32_768;
/// Longest packet, in bytes.
const PACKET: usize = 65_535;
/// Where an IPv4 header has the last bytes of its two addresses.
const LAST_BYTES: [usize; 2] = [15, 19];

/// The wire. Dropping it takes it away.
#[derive(Debug)]
pub struct Wire {
    nature: Arc<Mutex<Nature>>,
    ends: Vec<JoinHandle<()>>,
}

/// What it does to packets, in either direction.
#[derive(Clone, Copy, Debug, Default)]
struct Nature {
    delay: Duration,
    loss: f64,
}

/// A packet and when it arrives.
type Sent = (Instant, Vec<u8>);

impl Wire {
    /// Lays it in this process's network, which has to be its own: takes root.
    pub fn lay() -> Result<Self> {
        let name = Interface::new(DEVICE).context("no name for a device")?;
        let device = Arc::new(Tun::create_named(name).context("cannot make a TUN device")?);
        device.set_state(DeviceState::Up)?;
        let laid = Command::new("sh").args(["-euc", LAY]).output().context("sh does not start")?;
        ensure!(laid.status.success(), "cannot lay a wire: {}", String::from_utf8_lossy(&laid.stderr));
        let (nature, (put, take)) = (Arc::<Mutex<Nature>>::default(), sync_channel(ROOM));
        let (source, sink, seen) = (device.clone(), device, nature.clone());
        let enters = thread::Builder::new().name("wire-in".into()).spawn(move || enter(&source, &put, &seen))?;
        let leaves = thread::Builder::new().name("wire-out".into()).spawn(move || leave(&sink, &take))?;
        Ok(Self { nature, ends: vec![enters, leaves] })
    }

    /// Has every packet from now on take `delay`, and loses `loss` of them, of 1.
    pub fn be(&self, delay: Duration, loss: f64) {
        *self.nature.lock().unwrap_or_else(PoisonError::into_inner) = Nature { delay, loss };
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Without its device the first end ends, and without that the second.
        let gone = Command::new("ip").args(["link", "delete", DEVICE]).status();
        if gone.is_ok_and(|status| status.success()) {
            self.ends.drain(..).for_each(|end| drop(end.join()));
        }
    }
}

/// Takes packets from the kernel until the device is gone.
fn enter(device: &Tun, wire: &SyncSender<Sent>, nature: &Mutex<Nature>) {
    let mut buffer = vec![0; PACKET];
    while let Ok(length) = device.recv(&mut buffer) {
        let now = *nature.lock().unwrap_or_else(PoisonError::into_inner);
        if rand::random::<f64>() < now.loss {
            continue;
        }
        if let Some(packet) = buffer.get(..length).and_then(turned) {
            let _ = wire.try_send((Instant::now() + now.delay, packet));
        }
    }
}

/// Gives them back in their time.
fn leave(device: &Tun, wire: &Receiver<Sent>) {
    while let Ok((due, packet)) = wire.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A packet that cannot be delivered is lost, as packets are.
        let _ = device.send(&packet);
    }
}

/// `packet` as the other end sees it; `None` if it is not IPv4 between our four addresses.
fn turned(packet: &[u8]) -> Option<Vec<u8>> {
    let mut packet = packet.to_vec();
    if packet.first()? >> 4 != 4 {
        return None;
    }
    for at in LAST_BYTES {
        let last = packet.get_mut(at)?;
        *last = match *last {
            1 => 2,
            2 => 1,
            3 => 4,
            4 => 3,
            _ => return None,
        };
    }
    Some(packet)
}
