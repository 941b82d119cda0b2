//! A bad network on loopback: UDP and TCP through one port, with the faults that a test switches on and off.
//!
//! Loss and address changes are for UDP alone: the kernel repairs TCP below a relay in user space.

mod line;
mod tcp;
mod udp;

use anyhow::{Context, Result};
use std::{net::SocketAddr, thread, time::Duration};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

/// Port numbers tried until one is free for both.
const TRIES: usize = 32;

/// A relay to one address. Dropping it ends every flow.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    faults: watch::Sender<Faults>,
    stop: CancellationToken,
    runs: Option<thread::JoinHandle<()>>,
}

/// What is wrong with the network now.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Faults {
    udp: bool,
    tcp: bool,
    stalled: bool,
    delay: Duration,
    loss: f64,
    /// Flows of an earlier count are dead.
    cuts: u64,
    /// UDP flows of an earlier count go on from another port.
    bindings: u64,
}

impl Relay {
    /// Passes everything on to `target`, faultlessly at first.
    pub fn start(target: SocketAddr) -> Result<Self> {
        let sound = Faults { udp: true, tcp: true, stalled: false, delay: Duration::ZERO, loss: 0.0, cuts: 0, bindings: 0 };
        let (faults, watch) = watch::channel(sound);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (socket, listener) = runtime.block_on(bind())?;
        let address = socket.local_addr()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serve = async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = udp::relay(socket, target, watch.clone()) => {}
                () = tcp::relay(listener, target, watch) => {}
            }
        };
        let runs = thread::Builder::new().name("relay".into()).spawn(move || runtime.block_on(serve))?;
        Ok(Self { address, faults, stop, runs: Some(runs) })
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

    /// Which part of the UDP packets is lost, from 0 to 1.
    pub fn loss(&self, part: f64) {
        self.faults.send_modify(|faults| faults.loss = part);
    }

    /// Ends what flows now: TCP is reset; what comes from a UDP client known so far is swallowed for good.
    pub fn cut(&self) {
        self.faults.send_modify(|faults| faults.cuts += 1);
    }

    /// Lets UDP flows go on from new ports, as when an address changes or a NAT forgets.
    pub fn rebind(&self) {
        self.faults.send_modify(|faults| faults.bindings += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runs) = self.runs.take() {
            // It panics only where a test would have failed already.
            let _ = runs.join();
        }
    }
}

async fn bind() -> Result<(UdpSocket, TcpListener)> {
    for _ in 0..TRIES {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        if let Ok(listener) = TcpListener::bind(socket.local_addr()?).await {
            return Ok((socket, listener));
        }
    }
    None.context("no port is free in both UDP and TCP")
}
