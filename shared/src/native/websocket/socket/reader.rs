//! The reading half of a socket: messages become bytes again.

use super::{Heard, Socket};
use bytes::{Buf, Bytes};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// Bytes up to the other side's end; anything else in its place is an error.
#[derive(Debug)]
pub(in crate::native) struct Reader {
    socket: Arc<Socket>,
    held: Bytes,
    cutting: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Reader {
    pub(super) fn new(socket: Arc<Socket>, held: Bytes) -> Self {
        let cutting = Box::pin(socket.cut.clone().cancelled_owned());
        Self { socket, held, cutting }
    }
}

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() && !self.socket.lock().ended {
            if self.cutting.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(self.socket.fault()));
            }
            match ready!(self.socket.poll_heard(cx))? {
                Heard::Bytes(bytes) => self.held = bytes,
                Heard::End => {}
            }
        }
        let taken = self.held.len().min(buffer.remaining());
        buffer.put_slice(&self.held[..taken]);
        self.held.advance(taken);
        Poll::Ready(Ok(()))
    }
}
