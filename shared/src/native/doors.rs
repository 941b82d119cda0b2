//! Sockets that the daemon of a state folder and its successor hold at the same time, on one number: what is new goes to the
//! newer, and QUIC's packets to the process that they are for.
//!
//! `SO_REUSEPORT` lets any process of the same user join: who can do that can also stop the daemon. Of such sockets the
//! kernel keeps a list in the order in which they began to listen; what leaves is replaced by the last, so that of two one is
//! at 0, and with it the process that was there first (`reuseport_add_sock`, `reuseport_detach_sock`).

mod passed;
mod steering;

pub use passed::Passed;

use super::slot::Slot;
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt},
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsFd,
    sync::Once,
};
use tokio::net::{TcpListener, TcpSocket};
use tracing::warn;

/// Connections that wait to be accepted: mio's own figure.
const BACKLOG: u32 = 1024;

/// Most packets that can have come between two system calls.
const MISLED: u32 = 1 << 16;

/// Which of two processes opens a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The one that was here first, with its slot's number.
    First(u8),
    /// The one that takes its place, with its own slot's number.
    Second(u8),
}

impl Turn {
    /// That of the holder of `slot`.
    pub fn of(slot: &Slot) -> Self {
        if slot.has_elder() { Self::Second(slot.number()) } else { Self::First(slot.number()) }
    }

    /// Our own slot.
    pub const fn slot(self) -> u8 {
        match self {
            Self::First(slot) | Self::Second(slot) => slot,
        }
    }

    /// The first does without; who takes its place would take its packets too.
    fn steered(self, done: io::Result<()>) -> io::Result<()> {
        const NOT_HERE: &str = "this kernel cannot choose between two processes on one port (SO_ATTACH_REUSEPORT_CBPF)";
        match (done, self) {
            (Ok(()), _) => Ok(()),
            (Err(fault), Self::First(_)) => {
                warn!(%fault, "{NOT_HERE}: an upgrade will need a stop");
                Ok(())
            }
            (Err(fault), Self::Second(_)) => {
                Err(io::Error::new(fault.kind(), format!("{NOT_HERE}: {fault}; stop the old process first")))
            }
        }
    }

    /// The first may hold a socket that nobody can join.
    fn alone(self) -> io::Result<()> {
        const NOT_SHARED: &str =
            "the socket that was passed cannot be shared: its unit lacks ReusePort=yes; stop the old process first";
        match self {
            Self::First(_) => Ok(()),
            Self::Second(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, NOT_SHARED)),
        }
    }

    /// Forgets what came to a second process before packets were steered: some may be the first's, and whoever reads them tells
    /// their senders that nobody knows them (stateless reset). All else is sent again.
    fn empty(self, socket: &UdpSocket) {
        let taken = |_: &u32| !matches!(socket.recv_from(&mut [0]), Err(fault) if fault.kind() == io::ErrorKind::WouldBlock);
        if matches!(self, Self::Second(_)) {
            (0..MISLED).take_while(taken).for_each(drop);
        }
    }

    /// The slot of the process that was here first.
    const fn elder(self) -> u8 {
        match self {
            Self::First(slot) => slot,
            Self::Second(slot) => 1 - slot,
        }
    }
}

/// Opens doors: takes those that were passed, and makes the others.
#[derive(Debug)]
pub struct Opener {
    /// Ours.
    pub turn: Turn,
    /// What the service manager has opened.
    pub passed: Passed,
}

impl Opener {
    /// Listens at `address` for connections, each of which goes to the newer process. Fails for the first where anybody else
    /// listens there.
    pub fn stream(&mut self, address: SocketAddr) -> io::Result<TcpListener> {
        match self.passed.stream(address)? {
            Some(passed) if is_shared(&passed)? => {
                self.turn.steered(steering::connections(&passed))?;
                TcpListener::from_std(passed)
            }
            Some(passed) => self.turn.alone().and_then(|()| TcpListener::from_std(passed)),
            None => with_what_there_is(address, |address| stream(address, self.turn)),
        }
    }

    /// A socket at `address` whose QUIC packets go to the process whose slot their connection id names, and those of new
    /// connections to the newer. The TCP port of the same number is to be asked for first: a lone socket joins strangers here.
    pub fn datagram(&mut self, address: SocketAddr) -> io::Result<UdpSocket> {
        match self.passed.datagram(address)? {
            Some(passed) if is_shared(&passed)? => {
                self.turn.steered(steering::packets(&passed, self.turn.elder()))?;
                self.turn.empty(&passed);
                Ok(passed)
            }
            Some(passed) => self.turn.alone().map(|()| passed),
            None => with_what_there_is(address, |address| datagram(address, self.turn)),
        }
    }
}

/// Opens `address`. Of a machine without IPv6 (`ipv6.disable=1`), "all its addresses" are those of IPv4.
fn with_what_there_is<T>(address: SocketAddr, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    static TOLD: Once = Once::new();
    match open(address) {
        Err(fault) if Errno::from_io_error(&fault) == Some(Errno::AFNOSUPPORT) && address.ip() == Ipv6Addr::UNSPECIFIED => {
            TOLD.call_once(|| warn!("this machine has no IPv6: what was to be listened for on [::] is on 0.0.0.0"));
            open((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        opened => opened,
    }
}

/// A unit with `ReusePort=yes` passes such a socket.
fn is_shared(socket: &impl AsFd) -> io::Result<bool> {
    Ok(sockopt::socket_reuseport(socket)?)
}

fn stream(address: SocketAddr, turn: Turn) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    if matches!(turn, Turn::Second(_)) {
        socket.set_reuseport(true)?;
        socket.bind(address)?;
    } else {
        // In this order the kernel neither lets us join a stranger nor gives us a stranger's number for port 0.
        socket.bind(address)?;
        socket.set_reuseport(true)?;
    }
    let listener = socket.listen(BACKLOG)?;
    turn.steered(steering::connections(&listener))?;
    Ok(listener)
}

fn datagram(address: SocketAddr, turn: Turn) -> io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &address)?;
    turn.steered(steering::packets(&socket, turn.elder()))?;
    let socket = socket.into();
    turn.empty(&socket);
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::{net::TcpStream, time::timeout};

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    async fn called(listener: &TcpListener, caller: &TcpStream) {
        let accepted = timeout(Duration::from_secs(5), listener.accept()).await;
        assert_eq!(accepted.expect("the other one was called").unwrap().1, caller.local_addr().unwrap());
    }

    #[tokio::test]
    async fn the_newer_is_called_and_the_older_still_serves_who_called_it() {
        let first = stream(ANY, Turn::First(0)).unwrap();
        let address = first.local_addr().unwrap();
        let early = TcpStream::connect(address).await.unwrap();
        let second = stream(address, Turn::Second(1)).unwrap();
        for _ in 0..16 {
            called(&second, &TcpStream::connect(address).await.unwrap()).await;
        }
        called(&first, &early).await;
        drop(first);
        for _ in 0..16 {
            called(&second, &TcpStream::connect(address).await.unwrap()).await;
        }
        let third = stream(address, Turn::Second(0)).unwrap();
        for _ in 0..16 {
            called(&third, &TcpStream::connect(address).await.unwrap()).await;
        }
        drop(third);
        called(&second, &TcpStream::connect(address).await.unwrap()).await;
    }

    #[test]
    fn without_ipv6_all_addresses_are_those_of_ipv4() {
        let open = |address: SocketAddr| if address.is_ipv6() { Err(Errno::AFNOSUPPORT.into()) } else { Ok(address) };
        assert_eq!(with_what_there_is("[::]:443".parse().unwrap(), open).unwrap().to_string(), "0.0.0.0:443");
        assert!(with_what_there_is("[::1]:443".parse().unwrap(), open).is_err(), "who names one address means that");
        let taken = |_| Err::<(), _>(Errno::ADDRINUSE.into());
        let fault = with_what_there_is("[::]:443".parse().unwrap(), taken).unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn who_takes_nobodys_place_joins_nobody() {
        let first = stream(ANY, Turn::First(0)).unwrap();
        let fault = stream(first.local_addr().unwrap(), Turn::First(0)).unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::AddrInUse);
    }
}
