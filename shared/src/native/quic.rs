//! QUIC end points as the tunnel uses them, with their bounds.

mod carrier;
mod congestion;
mod connection_id;
mod mtu;
mod reset;
#[cfg(test)]
mod tests;

pub(super) use carrier::{Carrier, Reader, Writer};
pub(super) use connection_id::CONNECTION_ID;

use super::{
    identity::{Identity, PublicIdentity},
    tls::{self, SERVER_NAME},
    tunnel::Tunnel,
};
use crate::tunnel::{ALPN, frame::clipped};
use connection_id::Ids;
use quinn::{
    Endpoint, EndpointConfig, IdleTimeout, Incoming, TokioRuntime, TransportConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustix::net::sockopt;
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

/// A peer silent for this long is gone, if `pulse` has not found out before: longer than two of its slow beats. QUIC's
/// own keep-alive is off.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Unread bytes of one stream: the bandwidth-delay product of 1 Gbit/s at 60 ms.
pub const STREAM_WINDOW: u32 = 8 * 1024 * 1024;
/// Unread bytes of one tunnel.
pub const TUNNEL_WINDOW: u32 = 32 * 1024 * 1024;
/// Unacknowledged bytes of one tunnel.
pub const SEND_WINDOW: u64 = 32 * 1024 * 1024;
/// Inner connections of one tunnel at a time.
pub const MAX_STREAMS: u32 = 1024;
/// Of these, how many may be opened beside those that are open, before the agent has taken any: quinn gives each such
/// stream the buffers of one that ended, so that an agent would keep as many of the largest that it ever needed. A daemon
/// that opens more at once waits for a round trip.
const SPARE_STREAMS: u32 = 32;
/// Beside many open ones it is such a part of them: quinn says that more may be opened once that is an eighth of all.
const SPARE_PART: u32 = 4;
/// The control stream is all that an agent opens.
const MAX_AGENT_STREAMS: u32 = 1;
/// Packets that wait in the kernel while our threads do something else, in bytes: 40 ms at 1 Gbit/s. Linux comes with 208 KiB,
/// which one window of one stream overruns, and every packet lost there slows its tunnel down.
const SOCKET_BUFFER: usize = 4 << 20;
/// Between two packets that tell whose connection a process before us had that it is gone (RFC 9000 section 10.3): all agents
/// of a daemon that crashed are told at their next packet. Each answers a larger one.
const RESET_INTERVAL: Duration = Duration::from_micros(100);
/// What a round trip takes as long as none was measured: a first packet is sent again after three of them, then six. RFC 9002
/// section 6.2.2 recommends 333 ms, with which an agent that calls while its daemon restarts is back seconds later; a way that
/// takes longer than this sees a few packets twice.
const FIRST_GUESS: Duration = Duration::from_millis(100);
/// Agents that knock and are not answered yet: more than the daemon lets wait, which turns the others away.
const MAX_INCOMING: usize = 16_384;
/// Bytes of an agent's that are kept until it is answered: its first flight, several times.
const INCOMING: u64 = 16 << 10;
/// And of all together.
const TOTAL_INCOMING: u64 = 32 << 20;

/// No tunnel came about.
#[derive(Debug, thiserror::Error)]
pub enum QuicFault {
    /// The socket.
    #[error("cannot open the UDP socket: {0}")]
    Socket(#[from] io::Error),
    /// The key.
    #[error("cannot use the identity for TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The cipher that QUIC starts with is missing.
    #[error("the TLS library lacks what QUIC starts with: {0}")]
    Initial(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    /// The address.
    #[error("cannot dial: {0}")]
    Dial(#[from] quinn::ConnectError),
    /// A bound of ours.
    #[error("cannot configure QUIC: {0}")]
    Config(#[from] quinn::ConfigError),
    /// The other side, or the way there.
    #[error("{}", told(.0))]
    Connection(#[from] quinn::ConnectionError),
}

/// The daemon's end point.
#[derive(Clone, Debug)]
pub struct Acceptor {
    endpoint: Endpoint,
    config: quinn::ServerConfig,
}

/// An agent that knocks, before any handshake.
#[derive(Debug)]
pub struct Knock {
    incoming: Incoming,
    config: quinn::ServerConfig,
}

impl Acceptor {
    /// Listens on `socket` as `identity`; its connections' ids name `slot`, which of two processes on one number it is.
    pub fn new(socket: UdpSocket, identity: &Identity, slot: u8) -> Result<Self, QuicFault> {
        let tls = QuicServerConfig::try_from(tls::server(identity, ALPN)?)?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
        config.max_incoming(MAX_INCOMING).incoming_buffer_size(INCOMING).incoming_buffer_size_total(TOTAL_INCOMING);
        let mut ends = ends(EndpointConfig::new(reset::key(identity)), mtu::MAX)?;
        ends.min_reset_interval(RESET_INTERVAL).cid_generator(move || Box::new(Ids { slot }));
        widen(&socket);
        let endpoint = Endpoint::new(ends, Some(config.clone()), socket, Arc::new(TokioRuntime))?;
        Ok(Self { endpoint, config })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The next agent; `None` once closed.
    pub async fn accept(&self) -> Option<Knock> {
        let incoming = self.endpoint.accept().await?;
        Some(Knock { incoming, config: self.config.clone() })
    }

    /// Waits until the last words of all tunnels are sent.
    pub async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }
}

impl Knock {
    /// Where it seems to come from.
    pub fn peer(&self) -> SocketAddr {
        self.incoming.remote_address()
    }

    /// Whether the address is known to be the agent's own.
    pub fn validated(&self) -> bool {
        self.incoming.remote_address_validated()
    }

    /// Has the agent prove its address first.
    pub fn retry(self) {
        // Fails only for an address that is validated already; the knock is dropped then, and comes again.
        let _ = self.incoming.retry();
    }

    /// Turns it away at the least cost.
    pub fn refuse(self) {
        self.incoming.refuse();
    }

    /// Lets it in, as far as TLS goes.
    pub async fn admit(mut self) -> io::Result<Tunnel> {
        let bound = mtu::bound(self.incoming.remote_address());
        self.config.transport_config(Arc::new(transport(MAX_AGENT_STREAMS, bound)));
        let connecting = self.incoming.accept_with(Arc::new(self.config)).map_err(broke)?;
        let connection = connecting.await.map_err(broke)?;
        Ok(Tunnel::accepted(Carrier::accepted(connection)))
    }
}

/// Calls the daemon with `expected` identity at `address`.
pub async fn dial(address: SocketAddr, expected: PublicIdentity) -> Result<Tunnel, QuicFault> {
    let socket = wide_port(address)?;
    let packets = mtu::bound(address);
    let endpoint = Endpoint::new(ends(EndpointConfig::default(), packets)?, None, socket, Arc::new(TokioRuntime))?;
    let connecting = endpoint.connect_with(client(expected, packets)?, address, SERVER_NAME)?;
    Ok(Tunnel::dialled(Carrier::dialled(connecting.await?, endpoint)))
}

/// Why a connection ended, in words that the other side may have chosen, clipped.
fn told(fault: &quinn::ConnectionError) -> String {
    clipped(&fault.to_string())
}

fn broke(fault: quinn::ConnectionError) -> io::Error {
    let words = told(&fault);
    io::Error::new(io::Error::from(fault).kind(), words)
}

/// Packets of at most so many bytes arrive: quinn asks for room for 2,048 of them, and uses of it what comes.
fn ends(mut config: EndpointConfig, packets: u16) -> Result<EndpointConfig, QuicFault> {
    config.max_udp_payload_size(packets)?;
    Ok(config)
}

/// A socket that can reach `peer`.
fn any_port(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any)
}

/// The same for a tunnel's packets.
fn wide_port(peer: SocketAddr) -> io::Result<UdpSocket> {
    let socket = any_port(peer)?;
    widen(&socket);
    Ok(socket)
}

/// As far as the kernel lets us (`net.core.rmem_max`); it takes the memory only while packets wait.
fn widen(socket: &UdpSocket) {
    // Smaller buffers work too, and lose more.
    let _smaller = sockopt::set_socket_recv_buffer_size(socket, SOCKET_BUFFER);
    let _smaller = sockopt::set_socket_send_buffer_size(socket, SOCKET_BUFFER);
}

fn client(expected: PublicIdentity, packets: u16) -> Result<quinn::ClientConfig, QuicFault> {
    let tls = QuicClientConfig::try_from(tls::client(expected, ALPN)?)?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport(SPARE_STREAMS, packets)));
    Ok(config)
}

/// How many streams may be open in all, where `open` are: some more than [`MAX_STREAMS`], or the last ones were never announced.
fn streams_beside(open: usize) -> u32 {
    let open = u32::try_from(open).unwrap_or(MAX_STREAMS).min(MAX_STREAMS);
    open + SPARE_STREAMS.max(open / SPARE_PART)
}

/// `streams` is how many the other side may open at a time: idle memory follows it. `packets` is how large ours may become.
fn transport(streams: u32, packets: u16) -> TransportConfig {
    let mut transport = TransportConfig::default();
    let mut discovery = quinn::MtuDiscoveryConfig::default();
    discovery.upper_bound(packets);
    transport
        .max_concurrent_bidi_streams(streams.into())
        .max_concurrent_uni_streams(0_u32.into())
        .datagram_receive_buffer_size(None)
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(TUNNEL_WINDOW.into())
        .send_window(SEND_WINDOW)
        .initial_rtt(FIRST_GUESS)
        .congestion_controller_factory(Arc::new(congestion::Makes::new(packets)))
        .max_idle_timeout(IdleTimeout::try_from(IDLE_TIMEOUT).ok())
        .mtu_discovery_config(Some(discovery));
    transport
}
