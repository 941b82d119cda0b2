//! Tunnels over WebSocket, one socket a stream, with their bounds.

mod caller;
mod carrier;
mod door;
mod life;
mod pool;
mod proxies;
mod request;
mod shelf;
mod socket;
mod tickets;
mod way;

pub(super) use carrier::Carrier;
pub use door::{Door, Knock};
pub use proxies::{Proxies, ProxyFault};
pub(super) use socket::{Reader, Writer};
pub use way::{Proxy, Way};

use super::{gather::Gather, identity::PublicIdentity, long_way, tunnel::Tunnel};
use crate::tunnel::{EXPORTER, EXPORTER_LABEL, MAX_MESSAGE};
use rustix::net::sockopt;
use std::{io, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::WebSocketConfig};

/// A socket as everything here has it.
type Wire = WebSocketStream<TlsStream<Connection>>;
/// What TLS is spoken over: rustls asks for 4 KiB at a time.
type Connection = Gather<TcpStream>;

/// Sockets that a tunnel may have on their way at a time. An agent that is asked for more lets the wish go.
const MAX_DIALS: usize = 256;
/// Streams that may wait to be taken at a time, at either end.
const MAX_SHELF: usize = 1024;
/// A ticket is good for this long; well above a dial's three round trips.
const TICKET_LIFE: Duration = Duration::from_secs(4);
/// Sockets kept ready beyond those that are waited for, once a tunnel is in use: a dial costs three round trips, which no
/// login should wait for. A tunnel that was never used holds none.
const SPARES: usize = 1;
/// From a dial to its socket, TLS and proxy included.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// A stream whose writer has finished may take this long to hear the other side's end.
const LINGER: Duration = Duration::from_secs(5);
/// The last words of a tunnel may take this long to leave.
const FAREWELL: Duration = Duration::from_secs(1);
/// Longest request for a socket, in bytes.
const MAX_REQUEST: usize = 8 * 1024;
/// Header lines of it.
const MAX_HEADERS: usize = 32;
/// Read from the kernel at once.
const CONNECTION_READ: usize = 64 * 1024;
/// Room for what a data socket says next, held while it says nothing. tungstenite makes room for a longer message once it has its header.
const READ_BUFFER: usize = 4 * 1024;
/// The same of a control stream, which is small and idle.
const CONTROL_READ_BUFFER: usize = 1024;
/// Gathered before it is written without a flush.
const WRITE_BUFFER: usize = 16 * 1024;
/// A silent socket is probed after this long: under the 30 s after which hasty NATs forget a flow.
const PROBE_AFTER: Duration = Duration::from_secs(20);
/// Between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// Unanswered probes before a socket is broken.
const PROBES: u32 = 3;

/// No tunnel or socket came about.
#[derive(Debug, thiserror::Error)]
pub enum WebSocketFault {
    /// The way there, proxy included.
    #[error("{0}")]
    Way(io::Error),
    /// The key, or the other side's.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// This side's keys.
    #[error("cannot use the identity for TLS: {0}")]
    Identity(#[from] rustls::Error),
    /// The other side takes no WebSocket, or not this one.
    #[error("no WebSocket: {0}")]
    Refused(Box<tokio_tungstenite::tungstenite::Error>),
    /// The request was none for a socket of ours, and was answered as such.
    #[error("a request for something else: {0}")]
    Request(&'static str),
    /// It took too long.
    #[error("no socket within {} s", DIAL_TIMEOUT.as_secs())]
    Slow,
}

impl From<tokio_tungstenite::tungstenite::Error> for WebSocketFault {
    fn from(fault: tokio_tungstenite::tungstenite::Error) -> Self {
        Self::Refused(Box::new(fault))
    }
}

/// Calls the daemon with `expected` identity by `way`.
pub async fn dial(way: Way, expected: PublicIdentity) -> Result<Tunnel, WebSocketFault> {
    let (caller, wire) = caller::Caller::call(way, expected).await?;
    Ok(Tunnel::dialled(Carrier::dialled(wire, caller)?))
}

fn config(read_buffer: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(read_buffer)
        .write_buffer_size(WRITE_BUFFER)
        // One message in line, what was gathered for the next, and the end.
        .max_write_buffer_size(WRITE_BUFFER + 3 * MAX_MESSAGE)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

/// `stream` for TLS: small writes leave at once, a path that died is noticed, and loss on a long one is borne.
fn tuned(stream: TcpStream) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(&stream, PROBE_EVERY)?;
    sockopt::set_tcp_keepcnt(&stream, PROBES)?;
    // No TCP_USER_TIMEOUT: Linux counts a closed window for it, and a reader may stand still for hours.
    long_way::suit(&stream);
    Ok(Gather::up_to(CONNECTION_READ, stream))
}

fn exporter(stream: &TlsStream<Connection>) -> Result<[u8; EXPORTER], rustls::Error> {
    let material = [0; EXPORTER];
    match stream {
        TlsStream::Client(stream) => stream.get_ref().1.export_keying_material(material, EXPORTER_LABEL, None),
        TlsStream::Server(stream) => stream.get_ref().1.export_keying_material(material, EXPORTER_LABEL, None),
    }
}
