//! The agents' doors as sockets: UDP for QUIC and TCP for WebSocket, on one number.

use drawbridge_shared::native::{
    doors::Opener,
    identity::Identity,
    quic::{Acceptor, QuicFault},
    websocket::{Door, WebSocketFault},
};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
};
use tokio::net::TcpListener;

/// Free pairs that are tried where any number will do: somebody else may hold the other half of one.
const TRIES: usize = 64;

/// Both doors; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    pub(super) quic: Acceptor,
    pub(super) websocket: Door,
}

/// The doors cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum PortsFault {
    /// A socket.
    #[error("cannot open the sockets: {0}")]
    Socket(#[from] io::Error),
    /// QUIC.
    #[error(transparent)]
    Quic(#[from] QuicFault),
    /// WebSocket.
    #[error(transparent)]
    WebSocket(#[from] WebSocketFault),
}

impl Ports {
    /// Has `opener` open both at `address`, as `identity`. Port 0 stands for any number that is
    /// free for both.
    pub(crate) fn bind(address: SocketAddr, identity: &Identity, opener: &mut Opener) -> Result<Self, PortsFault> {
        let (udp, tcp) = pair(address, opener)?;
        Ok(Self { quic: Acceptor::new(udp, identity, opener.turn.slot())?, websocket: Door::new(tcp, identity)? })
    }

    /// Where both listen.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.quic.local_addr()
    }

    /// Waits until the last words of all tunnels are sent.
    pub(crate) async fn wait_idle(&self) {
        tokio::join!(self.quic.wait_idle(), self.websocket.wait_idle());
    }
}

fn pair(address: SocketAddr, opener: &mut Opener) -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = both(address, opener);
    for _ in 1..TRIES {
        match last {
            Err(fault) if address.port() == 0 && fault.kind() == io::ErrorKind::AddrInUse => last = both(address, opener),
            done => return done,
        }
    }
    last
}

/// TCP first, which tells whether somebody else is there.
fn both(address: SocketAddr, opener: &mut Opener) -> io::Result<(UdpSocket, TcpListener)> {
    let tcp = opener.stream(address)?;
    Ok((opener.datagram(tcp.local_addr()?)?, tcp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::native::doors::{Passed, Turn};

    #[tokio::test]
    async fn both_doors_have_one_number() {
        let mut opener = Opener { turn: Turn::First(0), passed: Passed::default() };
        let (udp, tcp) = pair("127.0.0.1:0".parse().unwrap(), &mut opener).unwrap();
        assert_eq!(udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let taken = pair(udp.local_addr().unwrap(), &mut opener).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }
}
