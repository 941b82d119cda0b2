//! A stream to an agent, over our own tunnel or through another process: one type for the strands that ride on it.

use bytes::Bytes;
use drawbridge_shared::native::{
    resume::LegWriter,
    tunnel::{Stream, TunnelReader, TunnelWriter},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What comes from the agent.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// Over our tunnel.
    Own(TunnelReader),
    /// Over another process' tunnel.
    Passed(OwnedReadHalf),
}

/// What goes to the agent.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Over our tunnel.
    Own(TunnelWriter),
    /// Over another process' tunnel, until it is finished.
    Passed(Option<OwnedWriteHalf>),
}

/// Both of an own stream.
pub(crate) fn own((reader, writer): Stream) -> (Incoming, Outgoing) {
    (Incoming::Own(reader), Outgoing::Own(writer))
}

/// Both of one that another process gave.
pub(super) fn halves(stream: UnixStream) -> (Incoming, Outgoing) {
    let (reader, writer) = stream.into_split();
    (Incoming::Passed(reader), Outgoing::Passed(Some(writer)))
}

impl AsyncRead for Incoming {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Own(reader) => Pin::new(reader).poll_read(cx, buffer),
            Self::Passed(reader) => Pin::new(reader).poll_read(cx, buffer),
        }
    }
}

impl LegWriter for Outgoing {
    async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        match self {
            Self::Own(writer) => writer.send(bytes).await,
            Self::Passed(Some(writer)) => writer.write_all(&bytes).await,
            Self::Passed(None) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    async fn send_all(&mut self, wire: &mut Vec<Bytes>) -> io::Result<()> {
        if let Self::Own(writer) = self {
            return writer.send_all(wire).await;
        }
        for bytes in wire.drain(..) {
            self.send(bytes).await?;
        }
        Ok(())
    }

    fn finish(&mut self) {
        match self {
            Self::Own(writer) => writer.finish(),
            // Dropped, it shuts its direction down.
            Self::Passed(writer) => drop(writer.take()),
        }
    }
}
