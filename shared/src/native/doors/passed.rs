//! Sockets that the service manager has opened (sd_listen_fds(3)): each is the door whose port it has.

use listenfd::ListenFd;
use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};
use tracing::warn;

/// Those that are left.
#[derive(Debug, Default)]
pub struct Passed {
    streams: Vec<TcpListener>,
    datagrams: Vec<UdpSocket>,
}

impl Passed {
    /// What this process was started with. To be asked once, before there are threads: the environment is changed.
    pub fn from_env() -> Self {
        let mut sockets = ListenFd::from_env();
        let mut passed = Self::default();
        for at in 0..sockets.len() {
            // What is of the one kind is no fault of the other.
            if let Ok(Some(stream)) = sockets.take_tcp_listener(at) {
                passed.streams.push(stream);
            } else if let Ok(Some(datagram)) = sockets.take_udp_socket(at) {
                passed.datagrams.push(datagram);
            }
        }
        passed
    }

    /// Who is left, when all doors are open, was meant for one that is elsewhere.
    pub fn close(self) {
        let streams = self.streams.iter().map(TcpListener::local_addr);
        for address in streams.chain(self.datagrams.iter().map(UdpSocket::local_addr)).flatten() {
            warn!(%address, "a socket that was passed is at none of the doors' ports, and is closed");
        }
    }

    /// The one for connections to `address`.
    pub(super) fn stream(&mut self, address: SocketAddr) -> io::Result<Option<TcpListener>> {
        let at = self.streams.iter().position(|socket| is_at(socket.local_addr(), address));
        let socket = at.map(|at| self.streams.swap_remove(at));
        socket.as_ref().map_or(Ok(()), |socket| socket.set_nonblocking(true))?;
        Ok(socket)
    }

    /// The one for packets to `address`.
    pub(super) fn datagram(&mut self, address: SocketAddr) -> io::Result<Option<UdpSocket>> {
        let at = self.datagrams.iter().position(|socket| is_at(socket.local_addr(), address));
        let socket = at.map(|at| self.datagrams.swap_remove(at));
        socket.as_ref().map_or(Ok(()), |socket| socket.set_nonblocking(true))?;
        Ok(socket)
    }
}

/// The service manager's unit decides at which of the machine's addresses.
fn is_at(socket: io::Result<SocketAddr>, address: SocketAddr) -> bool {
    socket.is_ok_and(|socket| socket.port() == address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_door_gets_the_one_of_its_port_and_kind() {
        let one = TcpListener::bind("127.0.0.1:0").unwrap();
        let two = TcpListener::bind("127.0.0.1:0").unwrap();
        let both = UdpSocket::bind(two.local_addr().unwrap()).unwrap();
        let [first, second] = [&one, &two].map(|socket| SocketAddr::from(([0; 16], socket.local_addr().unwrap().port())));
        let mut passed = Passed { streams: vec![one, two], datagrams: vec![both] };
        assert!(passed.datagram(first).unwrap().is_none());
        assert_eq!(passed.stream(second).unwrap().unwrap().local_addr().unwrap().port(), second.port());
        assert!(passed.stream(second).unwrap().is_none());
        assert!(passed.datagram(second).unwrap().is_some() && passed.stream(first).unwrap().is_some());
        assert!(passed.stream("127.0.0.1:0".parse().unwrap()).unwrap().is_none());
    }
}
