//! One tunnel and its streams, whatever carries them; a stream never ends by accident.

mod load;
#[cfg(test)]
mod tests;

use super::{quic, websocket};
use crate::tunnel::{CODE_GOODBYE, CODE_MISBEHAVED, EXPORTER, ticket::Ticket};
use bytes::Bytes;
use load::{Load, Place};
use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};

/// A tunnel; cheap to clone, ends when it is closed or its last clone and stream are dropped.
#[derive(Clone, Debug)]
pub struct Tunnel {
    carrier: Carrier,
    side: Side,
    load: Load,
}

/// One stream of a tunnel.
pub type Stream = (TunnelReader, TunnelWriter);

/// What carries a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// UDP.
    Quic,
    /// TLS over TCP, through a proxy where it has to be.
    WebSocket,
}

impl Transport {
    /// Its name in logs, metrics and the agent's status.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::WebSocket => "websocket",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[derive(Clone, Debug)]
enum Carrier {
    Quic(quic::Carrier),
    WebSocket(websocket::Carrier),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Opens the control stream, accepts all others.
    Agent,
    /// The other way round.
    Daemon,
}

impl From<quic::Carrier> for Carrier {
    fn from(carrier: quic::Carrier) -> Self {
        Self::Quic(carrier)
    }
}

impl From<websocket::Carrier> for Carrier {
    fn from(carrier: websocket::Carrier) -> Self {
        Self::WebSocket(carrier)
    }
}

#[allow(private_bounds, reason = "only the carriers' own modules make tunnels")]
impl Tunnel {
    /// The agent's end.
    pub(super) fn dialled(carrier: impl Into<Carrier>) -> Self {
        Self { carrier: carrier.into(), side: Side::Agent, load: Load::default() }
    }

    /// The daemon's end.
    pub(super) fn accepted(carrier: impl Into<Carrier>) -> Self {
        Self { carrier: carrier.into(), side: Side::Daemon, load: Load::default() }
    }
}

impl Tunnel {
    /// Opens a stream: the agent the control stream, the daemon any other. Waits while the other side allows no more.
    pub async fn open(&self) -> io::Result<Stream> {
        // Counted from the wish on: a tunnel that gives no stream is to be found dead soon.
        let place = self.place(Side::Daemon);
        let halves = match &self.carrier {
            Carrier::Quic(carrier) => quic(carrier.open().await?),
            Carrier::WebSocket(carrier) => websocket(carrier.open().await?),
        };
        Ok(stream(halves, place))
    }

    /// The next stream that the other side opens.
    pub async fn accept(&self) -> io::Result<Stream> {
        let halves = match &self.carrier {
            Carrier::Quic(carrier) => quic(carrier.accept().await?),
            Carrier::WebSocket(carrier) => websocket(carrier.accept().await?),
        };
        let place = self.place(Side::Agent);
        if let (Carrier::Quic(carrier), Some(_)) = (&self.carrier, &place) {
            carrier.allow_beside(self.load.open());
        }
        Ok(stream(halves, place))
    }

    /// Keying material that only the two ends of this tunnel know.
    pub fn exporter(&self) -> io::Result<[u8; EXPORTER]> {
        match &self.carrier {
            Carrier::Quic(carrier) => carrier.exporter(),
            Carrier::WebSocket(carrier) => Ok(carrier.exporter()),
        }
    }

    /// The other side's address, or the proxy's that stands in between.
    pub fn peer(&self) -> SocketAddr {
        match &self.carrier {
            Carrier::Quic(carrier) => carrier.peer(),
            Carrier::WebSocket(carrier) => carrier.peer(),
        }
    }

    /// What carries it.
    pub const fn transport(&self) -> Transport {
        match &self.carrier {
            Carrier::Quic(_) => Transport::Quic,
            Carrier::WebSocket(_) => Transport::WebSocket,
        }
    }

    /// Waits for its end, whoever ends it.
    pub async fn closed(&self) -> io::Error {
        match &self.carrier {
            Carrier::Quic(carrier) => carrier.closed().await,
            Carrier::WebSocket(carrier) => carrier.closed().await,
        }
    }

    /// Ends it in order.
    pub fn close(&self, words: &str) {
        self.end(CODE_GOODBYE, words);
    }

    /// Ends it because the other side broke the protocol.
    pub fn misbehaved(&self, words: &str) {
        self.end(CODE_MISBEHAVED, words);
    }

    /// How many streams are open beside the control stream, as it changes.
    pub fn streams(&self) -> watch::Receiver<usize> {
        self.load.watch()
    }

    fn end(&self, code: u32, words: &str) {
        match &self.carrier {
            Carrier::Quic(carrier) => carrier.close(code, words),
            Carrier::WebSocket(carrier) => carrier.close(code, words),
        }
    }

    /// Grows with all that arrives.
    pub(super) fn received(&self) -> u64 {
        match &self.carrier {
            Carrier::Quic(carrier) => carrier.received(),
            Carrier::WebSocket(carrier) => carrier.received(),
        }
    }

    /// Tries another way to the other side, where there may be one.
    pub(super) fn reroute(&self) {
        if let Carrier::Quic(carrier) = &self.carrier {
            carrier.reroute();
        }
    }

    /// The next ticket that the agent is to hear of. Never, where a tunnel needs none.
    pub(super) async fn asked(&self) -> Ticket {
        match &self.carrier {
            Carrier::Quic(_) => std::future::pending().await,
            Carrier::WebSocket(carrier) => carrier.asked().await,
        }
    }

    /// The daemon asks for one more data socket; says whether that makes sense here.
    pub(super) fn dial(&self, ticket: Ticket) -> bool {
        match &self.carrier {
            Carrier::Quic(_) => false,
            Carrier::WebSocket(carrier) => carrier.dial(ticket),
        }
    }

    fn place(&self, counting: Side) -> Option<Arc<Place>> {
        (self.side == counting).then(|| Arc::new(self.load.enter()))
    }
}

fn quic((reader, writer): (quic::Reader, quic::Writer)) -> (ReaderOf, WriterOf) {
    (ReaderOf::Quic(reader), WriterOf::Quic(writer))
}

fn websocket((reader, writer): (websocket::Reader, websocket::Writer)) -> (ReaderOf, WriterOf) {
    (ReaderOf::WebSocket(reader), WriterOf::WebSocket(writer))
}

/// One without a place is the control stream, which overtakes the others.
fn stream((reader, writer): (ReaderOf, WriterOf), place: Option<Arc<Place>>) -> Stream {
    if let (None, WriterOf::Quic(writer)) = (&place, &writer) {
        writer.hurry();
    }
    (TunnelReader { half: reader, _place: place.clone() }, TunnelWriter { half: writer, _place: place })
}

/// The reading half of a stream.
#[derive(Debug)]
pub struct TunnelReader {
    half: ReaderOf,
    _place: Option<Arc<Place>>,
}

/// The writing half of a stream: what is written leaves with the next flush. Dropped before it is shut down it is reset:
/// the other side never takes a broken connection for a finished one.
#[derive(Debug)]
pub struct TunnelWriter {
    half: WriterOf,
    _place: Option<Arc<Place>>,
}

#[derive(Debug)]
enum ReaderOf {
    Quic(quic::Reader),
    WebSocket(websocket::Reader),
}

#[derive(Debug)]
enum WriterOf {
    Quic(quic::Writer),
    WebSocket(websocket::Writer),
}

impl TunnelWriter {
    /// Sends `bytes`, as the other side takes them, and flushes.
    pub async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        match &mut self.half {
            WriterOf::Quic(writer) => writer.send(bytes).await,
            WriterOf::WebSocket(writer) => writer.send(bytes).await,
        }
    }

    /// The same of all that is in `wire`, with one flush; nothing is left in it.
    pub async fn send_all(&mut self, wire: &mut Vec<Bytes>) -> io::Result<()> {
        match &mut self.half {
            WriterOf::Quic(writer) => writer.send_all(wire).await,
            WriterOf::WebSocket(writer) => writer.send_all(wire).await,
        }
    }

    /// Says that no more will come.
    pub fn finish(&mut self) {
        match &mut self.half {
            WriterOf::Quic(writer) => writer.finish(),
            WriterOf::WebSocket(writer) => writer.finish(),
        }
    }
}

impl AsyncRead for TunnelReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.half {
            ReaderOf::Quic(reader) => Pin::new(reader).poll_read(cx, buffer),
            ReaderOf::WebSocket(reader) => Pin::new(reader).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for TunnelWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.half {
            WriterOf::Quic(writer) => Pin::new(writer).poll_write(cx, bytes),
            WriterOf::WebSocket(writer) => Pin::new(writer).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.half {
            WriterOf::Quic(writer) => Pin::new(writer).poll_flush(cx),
            WriterOf::WebSocket(writer) => Pin::new(writer).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.half {
            WriterOf::Quic(writer) => Pin::new(writer).poll_shutdown(cx),
            WriterOf::WebSocket(writer) => Pin::new(writer).poll_shutdown(cx),
        }
    }
}
