//! When a connection's first key exchange is done on the server's side: from then on a client may be waiting for a person, who
//! looks at a host key, types a passphrase or touches a security key.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

/// `SSH_MSG_NEWKEYS` (RFC 4253 section 7.3).
const NEWKEYS: u8 = 21;
/// A packet's length and that of its padding (RFC 4253 section 6); the message's number follows.
const BEFORE_NUMBER: usize = 5;

/// `S`, as a server writes to it from its identification line on.
#[derive(Debug)]
pub struct Exchanging<S> {
    stream: S,
    written: Written,
    done: CancellationToken,
}

impl<S> Exchanging<S> {
    /// Fires `done` with the server's first NEWKEYS.
    pub const fn new(stream: S, done: CancellationToken) -> Self {
        Self { stream, written: Written::Identification, done }
    }
}

/// How far the server has come. All of it is in the clear until NEWKEYS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// Within its identification line.
    Identification,
    /// Within a packet's first bytes, so many of which are these.
    Head([u8; BEFORE_NUMBER], usize),
    /// Within a packet, of which so much is missing.
    Packet(usize),
    /// NEWKEYS.
    Done,
}

impl Written {
    /// One byte more.
    fn then(self, byte: u8) -> Self {
        match self {
            Self::Identification if byte == b'\n' => Self::Head([0; BEFORE_NUMBER], 0),
            Self::Head(_, BEFORE_NUMBER) if byte == NEWKEYS => Self::Done,
            Self::Head([a, b, c, d, _], BEFORE_NUMBER) => {
                Self::within((u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(1))
            }
            Self::Head(mut head, at) => {
                if let Some(place) = head.get_mut(at) {
                    *place = byte;
                }
                Self::Head(head, at + 1)
            }
            Self::Packet(missing) => Self::within(missing),
            Self::Identification | Self::Done => self,
        }
    }

    /// A packet of which `missing` bytes were missing before this one.
    const fn within(missing: usize) -> Self {
        match missing.saturating_sub(1) {
            0 => Self::Head([0; BEFORE_NUMBER], 0),
            missing => Self::Packet(missing),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Exchanging<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        if self.written != Written::Done {
            let said = bytes.get(..written).unwrap_or_default();
            self.written = said.iter().fold(self.written, |written, byte| written.then(*byte));
            if self.written == Written::Done {
                self.done.cancel();
            }
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Exchanging<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt, sink};

    fn packet(number: u8, rest: usize) -> Vec<u8> {
        let length = (2 + rest) as u32;
        [&length.to_be_bytes()[..], &[4, number], &vec![NEWKEYS; rest]].concat()
    }

    #[tokio::test]
    async fn only_the_message_itself_ends_the_exchange_however_it_is_cut() {
        let said = [&b"SSH-2.0-Drawbridge\r\n"[..], &packet(20, 900), &packet(31, 0), &packet(31, 400)].concat();
        for piece in [1, 2, 5, 7, 64, said.len()] {
            let done = CancellationToken::new();
            let mut stream = Exchanging::new(sink(), done.clone());
            for bytes in said.chunks(piece) {
                stream.write_all(bytes).await.unwrap();
            }
            assert!(!done.is_cancelled());
            for bytes in packet(NEWKEYS, 10).chunks(piece) {
                stream.write_all(bytes).await.unwrap();
            }
            assert!(done.is_cancelled());
            stream.write_all(&[0xff; 100]).await.unwrap();
        }
    }
}
