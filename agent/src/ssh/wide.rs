//! A program's pipe: one through which much goes is made wider, so that both ends wake each other less often.

use super::limits::{PIPE, PIPE_AFTER};
use rustix::pipe::fcntl_setpipe_size;
use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Either end of a pipe.
#[derive(Debug)]
pub(super) struct Wide<P> {
    pipe: P,
    /// Bytes until it is made wider; 0 when it was.
    left: usize,
}

impl<P: AsFd> Wide<P> {
    /// As wide as it is until much has gone through it.
    pub(super) const fn once_busy(pipe: P) -> Self {
        Self { pipe, left: PIPE_AFTER }
    }

    fn passed(&mut self, bytes: usize) {
        if self.left > 0 {
            self.left = self.left.saturating_sub(bytes);
            if self.left == 0 {
                // The kernel refuses an account that has many: then it stays as it is.
                let _as_it_is = fcntl_setpipe_size(&self.pipe, PIPE);
            }
        }
    }
}

impl<P: AsyncRead + AsFd + Unpin> AsyncRead for Wide<P> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.pipe).poll_read(cx, buffer))?;
        self.passed(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<P: AsyncWrite + AsFd + Unpin> AsyncWrite for Wide<P> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.pipe).poll_write(cx, bytes))?;
        self.passed(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::fcntl_getpipe_size;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::unix::pipe,
    };

    #[tokio::test]
    async fn a_pipe_is_wide_once_much_has_gone_through_it() {
        let (writer, reader) = pipe::pipe().unwrap();
        let (mut writer, mut reader) = (Wide::once_busy(writer), reader);
        let width = |end: &Wide<pipe::Sender>| fcntl_getpipe_size(&end.pipe).unwrap();
        let before = width(&writer);
        let mut part = vec![7; 4096];
        for passed in (0..PIPE_AFTER).step_by(part.len()) {
            assert_eq!(width(&writer), before, "{passed}");
            writer.write_all(&part).await.unwrap();
            reader.read_exact(&mut part).await.unwrap();
        }
        assert_eq!(width(&writer), PIPE);
    }

    #[tokio::test]
    async fn the_reading_end_counts_too() {
        let (mut writer, reader) = pipe::pipe().unwrap();
        let mut reader = Wide::once_busy(reader);
        let part = vec![7; 4096];
        for _ in 0..PIPE_AFTER / part.len() {
            writer.write_all(&part).await.unwrap();
            reader.read_exact(&mut vec![0; part.len()]).await.unwrap();
        }
        assert_eq!(fcntl_getpipe_size(&writer).unwrap(), PIPE);
    }
}
