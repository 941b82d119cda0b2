//! A bad network on loopback: UDP and TCP through one port, with the faults that a test switches on and off.
//!
//! Address changes are for UDP alone, and what is lost is all or nothing: the kernel repairs TCP below a relay in user space. Where
//! single packets are to be lost, there is `wire`.

mod line;
mod tcp;
mod udp;

use crate::aside::{Aside, runtime};
use anyhow::{Context, Result};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::watch,
};

/// Port numbers tried until one is free for both.
const TRIES: usize = 32;

/// A relay to one address. Dropping it ends every flow.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    faults: watch::Sender<Faults>,
    _runs: Aside,
}

/// What is wrong with the network now.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Faults {
    udp: bool,
    tcp: bool,
    stalled: bool,
    delay: Duration,
    /// Flows of an earlier count are dead.
    cuts: u64,
    /// UDP flows of an earlier count go on from another port.
    bindings: u64,
    /// UDP flows that were silent for longer are forgotten.
    memory: Option<Duration>,
}

impl Relay {
    /// Passes everything on to `target`, faultlessly at first.
    pub fn start(target: SocketAddr) -> Result<Self> {
        let sound = Faults { udp: true, tcp: true, stalled: false, delay: Duration::ZERO, cuts: 0, bindings: 0, memory: None };
        let (faults, watch) = watch::channel(sound);
        let runtime = runtime()?;
        let (socket, listener) = runtime.block_on(bind())?;
        let address = socket.local_addr()?;
        let runs = Aside::start("relay", runtime, |stop| async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = udp::relay(socket, target, watch.clone()) => {}
                () = tcp::relay(listener, target, watch) => {}
            }
        })?;
        Ok(Self { address, faults, _runs: runs })
    }

    /// Where to call instead of the target.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether UDP passes; otherwise it is swallowed.
    pub fn udp(&self, passes: bool) {
        self.faults.send_modify(|faults| faults.udp = passes);
    }

    /// Whether TCP passes; otherwise bytes wait and connections are not made.
    pub fn tcp(&self, passes: bool) {
        self.faults.send_modify(|faults| faults.tcp = passes);
    }

    /// Whether nothing moves at all: UDP is swallowed, TCP waits.
    pub fn stall(&self, stalled: bool) {
        self.faults.send_modify(|faults| faults.stalled = stalled);
    }

    /// How long everything takes, one way.
    pub fn delay(&self, delay: Duration) {
        self.faults.send_modify(|faults| faults.delay = delay);
    }

    /// Ends what flows now: TCP is reset; what comes from a UDP client known so far is swallowed for good.
    pub fn cut(&self) {
        self.faults.send_modify(|faults| faults.cuts += 1);
    }

    /// Forgets UDP flows that were silent for longer, as a NAT does: what the target sends then is lost, and the client's next
    /// packet goes on from a new port.
    pub fn forget_after(&self, silence: Option<Duration>) {
        self.faults.send_modify(|faults| faults.memory = silence);
    }

    /// Lets UDP flows go on from new ports, as when an address changes or a NAT forgets.
    pub fn rebind(&self) {
        self.faults.send_modify(|faults| faults.bindings += 1);
    }
}

async fn bind() -> Result<(UdpSocket, TcpListener)> {
    for _ in 0..TRIES {
        let socket = udp::socket().await?;
        if let Ok(listener) = TcpListener::bind(socket.local_addr()?).await {
            return Ok((socket, listener));
        }
    }
    None.context("no port is free in both UDP and TCP")
}
