//! One channel and one socket, bytes both ways: each direction ends by itself, as in sshd.

use crate::ssh::{channels::Inbound, flow::Flow, limits};
use bytes::BytesMut;
use drawbridge_shared::native::backlog::Outlet;
use russh::{ChannelWriteHalf, server::Msg};
use std::{future::pending, io, pin::pin};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_buf, sink},
    select,
};
use tokio_util::sync::CancellationToken;

/// A channel's two halves.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) inbound: Inbound,
    pub(super) outbound: ChannelWriteHalf<Msg>,
}

/// The client's end, and how much may be under way to it.
type Outbound<'a> = (&'a ChannelWriteHalf<Msg>, &'a Flow);

/// How the client's direction ended, and what is left of its data.
enum Up {
    /// With an end of file, which was passed on.
    Finished,
    /// Without one: the client closed the channel.
    Broken,
    /// The socket takes no more.
    Deaf(Outlet),
}

/// How the socket's direction ended.
enum Down {
    /// With an end of file, which was passed on, or at the client's wish. What it has sent may still be on its way.
    Finished,
    /// With a reset.
    Broken,
}

impl Lane {
    /// Carries until both directions have ended, then closes the channel unless the client does.
    pub(super) async fn carry<R, W>(self, (reader, writer): (R, W))
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let Self { inbound: Inbound { data, flow, closed, carried, leftovers }, outbound } = self;
        cross(data, (&outbound, &flow), &closed, reader, writer).await;
        leftovers.close(&outbound, &closed).await;
        drop(carried);
    }
}

/// Returns when there is nothing more to carry, or nobody to carry it to.
async fn cross<R, W>(data: Outlet, outbound: Outbound<'_>, closed: &CancellationToken, reader: R, writer: W)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut up = pin!(to_socket(data, writer));
    let mut down = pin!(to_client(reader, outbound, closed));
    select! {
        ended = &mut up => match ended {
            Up::Finished => {
                down.await;
            }
            Up::Broken => {}
            Up::Deaf(rest) => select! {
                _ = down => {}
                () = discard(rest) => {}
            },
        },
        ended = &mut down => match ended {
            Down::Finished => {
                up.await;
            }
            Down::Broken => {}
        },
    }
}

/// The client's data and its end of file.
async fn to_socket(mut data: Outlet, mut writer: impl AsyncWrite + Unpin) -> Up {
    loop {
        let Ok(held) = data.fill_buf().await else { return Up::Broken };
        if held.is_empty() {
            // A socket that is gone by now tells the other direction.
            let _ = writer.shutdown().await;
            return Up::Finished;
        }
        match writer.write(held).await {
            Ok(written) => data.consume(written),
            Err(_) => return Up::Deaf(data),
        }
    }
}

/// Takes what the client sends to a socket that takes no more; ends when the client closes the channel.
async fn discard(mut data: Outlet) {
    if copy_buf(&mut data, &mut sink()).await.is_ok() {
        pending().await
    }
}

/// The socket's data and its end of file.
async fn to_client(reader: impl AsyncRead + Unpin, outbound: Outbound<'_>, closed: &CancellationToken) -> Down {
    match closed.run_until_cancelled(send_all(reader, outbound)).await {
        Some(Ok(())) | None => Down::Finished,
        Some(Err(_)) => Down::Broken,
    }
}

async fn send_all(mut reader: impl AsyncRead + Unpin, (outbound, flow): Outbound<'_>) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        if buffer.capacity() < limits::OUTPUT_ROOM {
            buffer.reserve(limits::OUTPUT_READ);
        }
        if reader.read_buf(&mut buffer).await? == 0 {
            return outbound.eof().await.map_err(io::Error::other);
        }
        flow.pass(buffer.len()).await;
        outbound.data_bytes(buffer.split().freeze()).await.map_err(io::Error::other)?;
    }
}
