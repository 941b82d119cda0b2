//! A stream that can be cut from outside: whoever owns the token ends whatever task reads it.
//!
//! russh runs each session in a task of its own that no handle aborts; cutting its stream does. One task reads and
//! writes it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// `S` until the token fires, then an error. Dropped before that it ends in order: what was written last, such as why there is no
/// connection, is heard.
pub struct Severable<S: AsyncWrite + Unpin> {
    stream: S,
    cut: CancellationToken,
    cutting: Pin<Box<WaitForCancellationFutureOwned>>,
    parting: Option<Duration>,
    parted: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncWrite + Unpin> Severable<S> {
    /// Cut by `cut`.
    pub fn new(stream: S, cut: CancellationToken) -> Self {
        let cutting = Box::pin(cut.clone().cancelled_owned());
        Self { stream, cut, cutting, parting: None, parted: None }
    }

    /// The same, which counts as ended by the other side too that long after we have ended it: russh waits for that without
    /// a bound, and a client that said goodbye would hold its place for as long as it likes.
    #[must_use]
    pub fn parting_within(mut self, bound: Duration) -> Self {
        self.parting = Some(bound);
        self
    }

    fn severed(&self) -> io::Result<()> {
        if self.cut.is_cancelled() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl<S: AsyncWrite + Unpin> Drop for Severable<S> {
    fn drop(&mut self) {
        if !self.cut.is_cancelled() {
            // Nobody waits for it any more.
            let _ = Pin::new(&mut self.stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Severable<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.cutting.as_mut().poll(cx).is_ready() {
            return Poll::Ready(self.severed());
        }
        if self.parted.as_mut().is_some_and(|parted| parted.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Severable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.severed()?;
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending if self.cutting.as_mut().poll(cx).is_ready() => {
                Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
            }
            other => other,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.severed()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.parted.is_none() {
            self.parted = self.parting.map(|bound| Box::pin(sleep(bound)));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_cut_wakes_a_waiting_reader_and_a_waiting_writer() {
        let (near, _far) = tokio::io::duplex(1);
        let cut = CancellationToken::new();
        let (mut reader, mut writer) = tokio::io::split(Severable::new(near, cut.clone()));
        let mut byte = [0];
        let read = reader.read(&mut byte);
        let (read, ()) = tokio::join!(read, async { cut.cancel() });
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(writer.write_all(b"ab").await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
    #[tokio::test(start_paused = true)]
    async fn a_stream_that_we_ended_is_read_no_longer_than_its_bound() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut stream = Severable::new(near, CancellationToken::new()).parting_within(Duration::from_secs(5));
        stream.shutdown().await.unwrap();
        far.write_all(b"late").await.unwrap();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"late");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_we_have_not_ended_is_read_for_ever() {
        let (near, _far) = tokio::io::duplex(8);
        let mut stream = Severable::new(near, CancellationToken::new()).parting_within(Duration::from_secs(5));
        assert!(tokio::time::timeout(Duration::from_secs(3600), stream.read_u8()).await.is_err());
    }
}
