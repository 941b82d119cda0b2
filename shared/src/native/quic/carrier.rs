//! A tunnel over one QUIC connection: its streams are QUIC's.

use super::{broke, streams_beside, wide_port};
use crate::tunnel::{CODE_BROKEN, EXPORTER, EXPORTER_LABEL};
use bytes::Bytes;
use quinn::{Connection, Endpoint, RecvStream, SendStream, VarInt};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::debug;

/// Signs of life go before all other streams' bytes.
const URGENT: i32 = 1;

/// The connection; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::native) struct Carrier {
    connection: Connection,
    /// The agent's own socket, which serves this tunnel alone.
    endpoint: Option<Endpoint>,
}

impl Carrier {
    /// The agent's end.
    pub(super) const fn dialled(connection: Connection, endpoint: Endpoint) -> Self {
        Self { connection, endpoint: Some(endpoint) }
    }

    /// The daemon's end.
    pub(super) const fn accepted(connection: Connection) -> Self {
        Self { connection, endpoint: None }
    }

    /// Goes on from another port: a NAT that has forgotten the old one takes it for a new flow, and the daemon validates
    /// the address as that of an agent that moved (RFC 9000 section 9).
    pub(in crate::native) fn reroute(&self) {
        let Some(endpoint) = &self.endpoint else { return };
        let rebound = wide_port(self.peer()).and_then(|socket| endpoint.rebind(socket));
        debug!(peer = %self.peer(), ?rebound, "no sign of life: trying another port");
    }

    pub(in crate::native) async fn open(&self) -> io::Result<(Reader, Writer)> {
        let (send, recv) = self.connection.open_bi().await.map_err(broke)?;
        Ok((Reader(recv), Writer::new(send)))
    }

    pub(in crate::native) async fn accept(&self) -> io::Result<(Reader, Writer)> {
        let (send, recv) = self.connection.accept_bi().await.map_err(broke)?;
        Ok((Reader(recv), Writer::new(send)))
    }

    /// The other side may open some streams beside the `open` ones.
    pub(in crate::native) fn allow_beside(&self, open: usize) {
        self.connection.set_max_concurrent_bi_streams(streams_beside(open).into());
    }

    pub(in crate::native) fn exporter(&self) -> io::Result<[u8; EXPORTER]> {
        let mut material = [0; EXPORTER];
        let exported = self.connection.export_keying_material(&mut material, EXPORTER_LABEL, &[]);
        exported.map(|()| material).map_err(|_| io::Error::other("TLS exports no keying material"))
    }

    pub(in crate::native) fn peer(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    pub(in crate::native) async fn closed(&self) -> io::Error {
        broke(self.connection.closed().await)
    }

    pub(in crate::native) fn close(&self, code: u32, words: &str) {
        self.connection.close(code.into(), words.as_bytes());
    }

    /// Grows with every packet that arrives.
    pub(in crate::native) fn received(&self) -> u64 {
        self.connection.stats().udp_rx.datagrams
    }
}

/// The reading half of a stream.
#[derive(Debug)]
pub(in crate::native) struct Reader(RecvStream);

/// The writing half of a stream; reset where it is dropped unfinished.
#[derive(Debug)]
pub(in crate::native) struct Writer {
    stream: SendStream,
    finished: bool,
}

impl Writer {
    const fn new(stream: SendStream) -> Self {
        Self { stream, finished: false }
    }

    pub(in crate::native) async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        Ok(self.stream.write_chunk(bytes).await?)
    }

    pub(in crate::native) async fn send_all(&mut self, wire: &mut Vec<Bytes>) -> io::Result<()> {
        self.stream.write_all_chunks(wire).await?;
        wire.clear();
        Ok(())
    }

    pub(in crate::native) fn finish(&mut self) {
        self.finished = true;
        // Fails only when the other side stopped reading, which is an end too.
        let _ = self.stream.finish();
    }

    /// What is written here overtakes other streams.
    pub(in crate::native) fn hurry(&self) {
        // Fails only for a stream that is over.
        let _ = self.stream.set_priority(URGENT);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            // Fails only when it was reset or stopped already.
            let _ = self.stream.reset(VarInt::from_u32(CODE_BROKEN));
        }
    }
}

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.0), cx, buffer)
    }
}

impl AsyncWrite for Writer {
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
