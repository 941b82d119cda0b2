//! The writing half of a socket: small writes are gathered into one message until they are flushed.

use super::Socket;
use crate::tunnel::MAX_MESSAGE;
use bytes::{Bytes, BytesMut};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;
use tokio_util::sync::WaitForCancellationFutureOwned;

/// Bytes up to our end. Dropped before that, it breaks the socket.
#[derive(Debug)]
pub(in crate::native) struct Writer {
    socket: Arc<Socket>,
    gathered: BytesMut,
    finished: bool,
    cutting: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Writer {
    pub(super) fn new(socket: Arc<Socket>) -> Self {
        let cutting = Box::pin(socket.cut.clone().cancelled_owned());
        Self { socket, gathered: BytesMut::new(), finished: false, cutting }
    }

    /// Sends `bytes`, uncopied up to tungstenite's own buffer, and waits until they have left.
    pub(in crate::native) async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        self.line_up(bytes).await?;
        poll_fn(|cx| self.poll_all(cx)).await
    }

    /// The same of all that is in `wire`: what is short leaves in one write with what follows it.
    pub(in crate::native) async fn send_all(&mut self, wire: &mut Vec<Bytes>) -> io::Result<()> {
        for bytes in wire.drain(..) {
            self.line_up(bytes).await?;
        }
        poll_fn(|cx| self.poll_all(cx)).await
    }

    async fn line_up(&mut self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            poll_fn(|cx| self.poll_part(cx)).await?;
            self.socket.put(bytes.split_to(bytes.len().min(MAX_MESSAGE)))?;
        }
        Ok(())
    }

    /// Says that no more will come.
    pub(in crate::native) fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        // Fails only for a socket that is broken, which is an end too.
        if self.gathered.is_empty() || self.socket.put(self.gathered.split().freeze()).is_ok() {
            self.socket.finish();
        }
    }

    /// Puts what was gathered in line, and waits until there is room for more.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.cutting.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(self.socket.fault()));
        }
        ready!(self.socket.poll_ready(cx))?;
        if !self.gathered.is_empty() {
            self.socket.put(self.gathered.split().freeze())?;
            return self.socket.poll_ready(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Puts what was gathered in line, and waits until all has left.
    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_part(cx))?;
        self.socket.poll_flush(cx)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            self.socket.reset();
        }
    }
}

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.finished || self.gathered.len() >= MAX_MESSAGE || self.cutting.as_mut().poll(cx).is_ready() {
            ready!(self.poll_part(cx))?;
        }
        let taken = bytes.len().min(MAX_MESSAGE - self.gathered.len());
        self.gathered.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_all(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}
