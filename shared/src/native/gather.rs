//! Reading ahead with a buffer as large as what comes, and none while nothing does: most connections wait, most of the time.

use bytes::{Buf, BufMut, BytesMut};
use std::{
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Room for what comes after a silence: an SSH packet or some, not more than a page.
const LEAST: usize = 4 << 10;
/// Room below which a buffer that has some is not filled up: such a read would cost more than it brings.
const REST: usize = 2 << 10;
/// A read that fills its room asks for so many times as much next.
const GROWS: usize = 4;

/// How much to read at once: grows while reads fill their room, shrinks while they do not.
#[derive(Clone, Copy, Debug)]
pub struct Appetite {
    room: usize,
    most: usize,
}

impl Appetite {
    /// Never for more than `most` bytes.
    pub const fn up_to(most: usize) -> Self {
        Self { room: LEAST, most }
    }

    /// Reads from `stream` into `buffer`, once; 0 at the end. An empty buffer is given back before a wait.
    pub fn poll(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        if buffer.capacity() - buffer.len() < REST {
            buffer.reserve(self.room);
        }
        let room = self.room.min(buffer.capacity() - buffer.len());
        let read = pin!(stream.read_buf(&mut buffer.limit(room))).poll(cx);
        if let Poll::Ready(Ok(read)) = read {
            self.fed(read, room);
        }
        if read.is_pending() && buffer.is_empty() {
            *buffer = BytesMut::new();
        }
        read
    }

    /// `read` bytes came where there was `room`.
    fn fed(&mut self, read: usize, room: usize) {
        if read == room {
            self.room = (self.room * GROWS).min(self.most);
        } else if read < self.room / GROWS {
            self.room = (self.room / 2).max(LEAST);
        }
    }
}

/// `S`, for a reader that asks for little at a time. What is written passes through.
#[derive(Debug)]
pub struct Gather<S> {
    stream: S,
    held: BytesMut,
    appetite: Appetite,
    brought: u64,
}

impl<S> Gather<S> {
    /// Reads at most `most` bytes of `stream` at once.
    pub fn up_to(most: usize, stream: S) -> Self {
        Self { stream, held: BytesMut::new(), appetite: Appetite::up_to(most), brought: 0 }
    }

    /// Bytes that have come so far.
    pub const fn brought(&self) -> u64 {
        self.brought
    }

    /// What is read from.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, wanted: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, held, appetite, brought } = self.get_mut();
        if held.is_empty() {
            *brought += ready!(appetite.poll(stream, cx, held))? as u64;
        }
        let part = held.len().min(wanted.remaining());
        wanted.put_slice(held.get(..part).unwrap_or_default());
        held.advance(part);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;
    use tokio::io::{AsyncWriteExt, duplex};

    const MOST: usize = 64 << 10;

    #[tokio::test]
    async fn all_comes_in_order_however_little_is_asked_for() {
        let (near, mut far) = duplex(10_000);
        let sent: Vec<u8> = (0..1_000_000u32).map(|n| (n / 7) as u8).collect();
        let (mut gather, mut received) = (Gather::up_to(MOST, near), Vec::new());
        let reads = async {
            for asked in (1..).map(|n| n * 37 % 5000) {
                let mut part = vec![0; asked];
                match gather.read(&mut part).await.unwrap() {
                    0 => break,
                    n => received.extend_from_slice(&part[..n]),
                }
            }
        };
        let writes = async {
            far.write_all(&sent).await.unwrap();
            drop(far);
        };
        tokio::join!(reads, writes);
        assert!(received == sent);
    }

    #[tokio::test]
    async fn bulk_is_read_in_large_parts_and_silence_holds_nothing() {
        let (near, mut far) = duplex(1 << 20);
        let mut gather = Gather::up_to(MOST, near);
        far.write_all(&[7; 500_000]).await.unwrap();
        let mut large = 0;
        for _ in 0..500_000 / 100 {
            let mut part = [0; 100];
            gather.read_exact(&mut part).await.unwrap();
            large = large.max(gather.held.len() + 100);
        }
        assert!((MOST..MOST + 100).contains(&large), "{large}");
        let (mut part, mut cx) = ([0; 100], Context::from_waker(Waker::noop()));
        assert!(Pin::new(&mut gather).poll_read(&mut cx, &mut ReadBuf::new(&mut part)).is_pending());
        assert_eq!(gather.held.capacity(), 0);
    }

    #[test]
    fn an_appetite_follows_what_comes() {
        let mut appetite = Appetite::up_to(MOST);
        let mut rooms = |read: &[usize]| {
            read.iter().for_each(|read| appetite.fed(*read, appetite.room));
            appetite.room
        };
        assert_eq!(rooms(&[100, 2000]), LEAST);
        assert_eq!(rooms(&[LEAST, 4 * LEAST, 16 * LEAST, 16 * LEAST]), MOST);
        assert_eq!(rooms(&[MOST / 2]), MOST);
        assert_eq!(rooms(&[100]), MOST / 2);
        assert_eq!(rooms(&[100; 20]), LEAST);
    }
}
