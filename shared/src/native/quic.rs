//! QUIC as the tunnel uses it: end points, their bounds, and streams that never end by accident.

use super::{
    identity::{Identity, PublicIdentity},
    tls,
};
use crate::{
    signed::SignedFault,
    tunnel::{CODE_BROKEN, CODE_GOODBYE, CODE_MISBEHAVED, EXPORTER, EXPORTER_LABEL},
};
use bytes::Bytes;
use quinn::{
    Connection, Endpoint, EndpointConfig, IdleTimeout, RecvStream, SendStream, TokioRuntime, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A peer silent for this long is gone.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Sent when idle: three in an idle time-out, and under the 30 s after which common NATs forget a UDP flow.
pub const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// Unread bytes of one stream: the bandwidth-delay product of 1 Gbit/s at 60 ms.
pub const STREAM_WINDOW: u32 = 8 * 1024 * 1024;
/// Unread bytes of one tunnel.
pub const TUNNEL_WINDOW: u32 = 32 * 1024 * 1024;
/// Unacknowledged bytes of one tunnel.
pub const SEND_WINDOW: u64 = 32 * 1024 * 1024;
/// Inner connections of one tunnel at a time.
pub const MAX_STREAMS: u32 = 1024;
/// The control stream is all that an agent opens.
const MAX_AGENT_STREAMS: u32 = 1;
/// Larger packets trigger quinn's black-hole detector on loopback (FACTS.md).
const MAX_MTU: u16 = 1452;

/// QUIC could not be set up.
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
}

/// The daemon's end point.
pub fn listen(address: SocketAddr, identity: &Identity) -> Result<Endpoint, QuicFault> {
    let tls = QuicServerConfig::try_from(tls::server(identity)?)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(transport(MAX_AGENT_STREAMS)));
    let socket = UdpSocket::bind(address)?;
    Ok(Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))?)
}

/// An agent's end point; `address` has port 0 and the family of the daemon's.
pub fn dialer(address: SocketAddr) -> Result<Endpoint, QuicFault> {
    let socket = UdpSocket::bind(address)?;
    Ok(Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))?)
}

/// How an agent calls the daemon with `expected` identity.
pub fn client(expected: PublicIdentity) -> Result<quinn::ClientConfig, QuicFault> {
    let tls = QuicClientConfig::try_from(tls::client(expected)?)?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport(MAX_STREAMS)));
    Ok(config)
}

/// `streams` is how many the other side may open at a time: idle memory follows it.
fn transport(streams: u32) -> TransportConfig {
    let mut transport = TransportConfig::default();
    let mut discovery = quinn::MtuDiscoveryConfig::default();
    discovery.upper_bound(MAX_MTU);
    transport
        .max_concurrent_bidi_streams(streams.into())
        .max_concurrent_uni_streams(0_u32.into())
        .datagram_receive_buffer_size(None)
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(TUNNEL_WINDOW.into())
        .send_window(SEND_WINDOW)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(IdleTimeout::try_from(IDLE_TIMEOUT).ok())
        .mtu_discovery_config(Some(discovery));
    transport
}

/// Keying material that only the two ends of this connection know.
pub fn exporter(connection: &Connection) -> Result<[u8; EXPORTER], SignedFault> {
    let mut material = [0; EXPORTER];
    connection.export_keying_material(&mut material, EXPORTER_LABEL, &[]).map_err(|_| SignedFault::Forged)?;
    Ok(material)
}

/// Ends a connection in order.
pub fn goodbye(connection: &Connection, words: &str) {
    connection.close(CODE_GOODBYE.into(), words.as_bytes());
}

/// Ends a connection whose peer broke the protocol.
pub fn misbehaved(connection: &Connection, words: &str) {
    connection.close(CODE_MISBEHAVED.into(), words.as_bytes());
}

/// The reading half of a stream.
#[derive(Debug)]
pub struct TunnelReader(RecvStream);

/// The writing half of a stream. Dropped before it is shut down it is reset: the other side never takes a broken
/// connection for a finished one.
#[derive(Debug)]
pub struct TunnelWriter {
    stream: SendStream,
    finished: bool,
}

/// Both halves of a stream as one.
pub type TunnelStream = tokio::io::Join<TunnelReader, TunnelWriter>;

/// Wraps a stream as quinn opens and accepts it.
pub fn halves((send, recv): (SendStream, RecvStream)) -> (TunnelReader, TunnelWriter) {
    (TunnelReader(recv), TunnelWriter { stream: send, finished: false })
}

impl TunnelReader {
    /// The next bytes as they arrived, at most `max`, uncopied; `None` at the end.
    pub async fn chunk(&mut self, max: usize) -> io::Result<Option<Bytes>> {
        Ok(self.0.read_chunk(max, true).await?.map(|chunk| chunk.bytes))
    }
}

impl TunnelWriter {
    /// Sends `bytes`, uncopied, as the other side takes them.
    pub async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        Ok(self.stream.write_chunk(bytes).await?)
    }

    /// Says that no more will come.
    pub fn finish(&mut self) {
        self.finished = true;
        // Fails only when the other side stopped reading, which is an end too.
        let _ = self.stream.finish();
    }
}

impl Drop for TunnelWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Fails only when it was reset or stopped already.
            let _ = self.stream.reset(VarInt::from_u32(CODE_BROKEN));
        }
    }
}

impl AsyncRead for TunnelReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.0), cx, buffer)
    }
}

impl AsyncWrite for TunnelWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.stream), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.stream), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}
