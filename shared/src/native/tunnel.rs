//! One tunnel and its streams, whatever carries them; a stream never ends by accident.

use crate::tunnel::{CODE_BROKEN, CODE_GOODBYE, CODE_MISBEHAVED, EXPORTER, EXPORTER_LABEL};
use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A tunnel; cheap to clone, ends when it is closed or its last clone is dropped.
#[derive(Clone, Debug)]
pub struct Tunnel(Connection);

/// One stream of a tunnel.
pub type Stream = (TunnelReader, TunnelWriter);

impl Tunnel {
    pub(super) const fn new(connection: Connection) -> Self {
        Self(connection)
    }

    /// Opens a stream. Waits while the other side allows no more.
    pub async fn open(&self) -> Result<Stream, ConnectionError> {
        self.0.open_bi().await.map(halves)
    }

    /// The next stream that the other side opens.
    pub async fn accept(&self) -> Result<Stream, ConnectionError> {
        self.0.accept_bi().await.map(halves)
    }

    /// Keying material that only the two ends of this tunnel know.
    pub fn exporter(&self) -> io::Result<[u8; EXPORTER]> {
        let mut material = [0; EXPORTER];
        let exported = self.0.export_keying_material(&mut material, EXPORTER_LABEL, &[]);
        exported.map(|()| material).map_err(|_| io::Error::other("TLS exports no keying material"))
    }

    /// The other side's address.
    pub fn peer(&self) -> SocketAddr {
        self.0.remote_address()
    }

    /// Waits for its end, whoever ends it.
    pub async fn closed(&self) -> ConnectionError {
        self.0.closed().await
    }

    /// Ends it in order.
    pub fn close(&self, words: &str) {
        self.0.close(CODE_GOODBYE.into(), words.as_bytes());
    }

    /// Ends it because the other side broke the protocol.
    pub fn misbehaved(&self, words: &str) {
        self.0.close(CODE_MISBEHAVED.into(), words.as_bytes());
    }
}

fn halves((send, recv): (SendStream, RecvStream)) -> Stream {
    (TunnelReader(recv), TunnelWriter { stream: send, finished: false })
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
