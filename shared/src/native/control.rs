//! Frames over a stream: read whole, bounded before they are allocated.

use crate::tunnel::{
    frame::{self, Frame, FrameFault, LENGTH},
    open::Opening,
    resume::frame::Answer,
};
use bytes::{Buf, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ControlFault {
    /// The stream broke or ended.
    #[error("the tunnel broke: {0}")]
    Io(#[from] io::Error),
    /// The peer does not speak this protocol.
    #[error("the peer broke the tunnel protocol: {0}")]
    Frame(#[from] FrameFault),
    /// The right frame at the wrong time.
    #[error("the peer sent a frame out of turn")]
    OutOfTurn,
    /// No sign of life, though one was asked for.
    #[error("the peer gives no sign of life")]
    Silent,
    /// It takes none of what is said.
    #[error("the peer does not read the control stream")]
    Stuck,
}

/// Reads one control frame.
pub async fn read<R: AsyncRead + Unpin>(stream: &mut R) -> Result<Frame, ControlFault> {
    Ok(Frame::decode(&read_body(stream).await?)?)
}

/// Writes one control frame.
pub async fn write<W: AsyncWrite + Unpin>(stream: &mut W, frame: &Frame) -> io::Result<()> {
    stream.write_all(&frame.encode()).await?;
    stream.flush().await
}

/// Reads the first frame of a stream that is not the control stream.
pub async fn read_opening<R: AsyncRead + Unpin>(stream: &mut R) -> Result<Opening, ControlFault> {
    Ok(Opening::decode(&read_body(stream).await?)?)
}

/// Reads what an agent says to a Resume.
pub async fn read_answer<R: AsyncRead + Unpin>(stream: &mut R) -> Result<Answer, ControlFault> {
    Ok(Answer::decode(&read_body(stream).await?)?)
}

/// Frames as they come, for a loop that waits for other things too: a wait that is given up loses no byte.
#[derive(Debug)]
pub struct Frames<R> {
    stream: R,
    held: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// All further frames of `stream`.
    pub fn new(stream: R) -> Self {
        Self { stream, held: BytesMut::new() }
    }

    /// The next one.
    pub async fn next(&mut self) -> Result<Frame, ControlFault> {
        loop {
            if let Some(body) = self.whole()? {
                return Ok(Frame::decode(&body)?);
            }
            if self.stream.read_buf(&mut self.held).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    fn whole(&mut self) -> Result<Option<BytesMut>, FrameFault> {
        let Some(prefix) = self.held.first_chunk::<LENGTH>() else { return Ok(None) };
        let length = frame::length(*prefix)?;
        if self.held.len() < LENGTH + length {
            return Ok(None);
        }
        self.held.advance(LENGTH);
        Ok(Some(self.held.split_to(length)))
    }
}

async fn read_body<R: AsyncRead + Unpin>(stream: &mut R) -> Result<Vec<u8>, ControlFault> {
    let mut prefix = [0; LENGTH];
    stream.read_exact(&mut prefix).await?;
    let mut body = vec![0; frame::length(prefix)?];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::instance::Instance;

    fn welcome() -> Frame {
        Frame::Welcome { generation: 9, instance: Instance([9; 16]), alone: true }
    }

    #[tokio::test]
    async fn frames_cross_a_stream_in_pieces() {
        let (mut here, mut there) = tokio::io::duplex(3);
        let frame = welcome();
        let (sent, got) = tokio::join!(write(&mut here, &frame), read(&mut there));
        sent.unwrap();
        assert_eq!(got.unwrap(), frame);
    }

    #[tokio::test]
    async fn a_wait_given_up_loses_nothing() {
        let (mut here, there) = tokio::io::duplex(1024);
        let mut frames = Frames::new(there);
        let bytes = [welcome().encode(), Frame::Drain.encode()].concat();
        for byte in &bytes[..bytes.len() - 1] {
            here.write_all(&[*byte]).await.unwrap();
            if let std::task::Poll::Ready(frame) = futures_util::poll!(std::pin::pin!(frames.next())) {
                assert_eq!(frame.unwrap(), welcome());
            }
        }
        here.write_all(&bytes[bytes.len() - 1..]).await.unwrap();
        assert_eq!(frames.next().await.unwrap(), Frame::Drain);
        drop(here);
        assert!(matches!(frames.next().await, Err(ControlFault::Io(_))));
    }

    #[tokio::test]
    async fn a_huge_length_is_refused_unread() {
        let mut bytes: &[u8] = &[0xff; 16];
        assert!(matches!(read(&mut bytes).await, Err(ControlFault::Frame(FrameFault::Length(_)))));
    }
}
