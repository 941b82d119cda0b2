//! One channel's way: decided, opened through the tunnel, bridged, and told about in the log.

use super::Hall;
use crate::{
    bridge::{self, Sink, Source, Tally},
    denial::Denial,
    limits::{CHUNK, OPEN_TIMEOUT},
};
use bytes::{Bytes, BytesMut};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::{UserId, WorkspaceId},
    native::{
        backlog::Outlet,
        clock,
        tunnel::{Stream, TunnelReader, TunnelWriter},
    },
    target,
    tunnel::open::Open,
};
use russh::{
    ChannelOpenFailure, ChannelWriteHalf,
    server::{ChannelOpenHandle, Msg},
};
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Instant};
use tokio::{io::AsyncReadExt, time};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// Below this much room a new buffer is taken.
const LEAST_ROOM: usize = 8 * 1024;

/// Who asks for what.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) key: Fingerprint,
    pub(super) peer: SocketAddr,
    pub(super) trace_id: String,
    pub(super) host: String,
    pub(super) port: u32,
}

/// The client's end of a channel that is asked for.
pub(super) struct Channel {
    pub(super) inbound: Outlet,
    pub(super) outbound: ChannelWriteHalf<Msg>,
    pub(super) reply: ChannelOpenHandle,
}

/// Serves one channel until it ends or `cut` fires.
pub(super) async fn run(hall: Arc<Hall>, request: Request, channel: Channel, cut: CancellationToken) {
    tokio::select! {
        () = cut.cancelled() => {}
        () = serve(&hall, &request, channel) => {}
    }
}

async fn serve(hall: &Hall, request: &Request, channel: Channel) {
    match reach(hall, request).await {
        Ok((user, workspace, stream)) => {
            info!(trace = %request.trace_id, peer = %request.peer, %user, key = %request.key, %workspace, "open");
            hall.used.note(&user, request.key, clock::now());
            channel.reply.accept().await;
            // A key that is nobody's any more ends the whole connection, which can say why: closing here would outrun it.
            let denied =
                hall.until_denied(|gate| gate.member(&request.key, &workspace).err().filter(|_| gate.holds(&request.key)));
            let (tally, lasted, outcome) = cross(channel.inbound, channel.outbound, stream, denied).await;
            info!(trace = %request.trace_id, up = tally.up, down = tally.down, seconds = lasted.as_secs_f32(), %outcome, "closed");
        }
        Err(denial) => {
            info!(trace = %request.trace_id, peer = %request.peer, key = %request.key, reason = denial.label(), "refused");
            let failure = ChannelOpenFailure::Other { code: denial.code(), reason: denial.to_string() };
            channel.reply.reject(failure).await;
        }
    }
}

/// A stream to the workspace's agent, with its header on the way.
async fn reach(hall: &Hall, request: &Request) -> Result<(UserId, WorkspaceId, Stream), Denial> {
    if hall.stop.is_cancelled() {
        return Err(Denial::Stopping);
    }
    let workspace = target::parse(&request.host, request.port, &hall.domains).map_err(Denial::Target)?;
    let user = enter(hall, request, &workspace).await?;
    let link = hall.registry.active(&workspace).ok_or_else(|| Denial::Offline(workspace.clone()))?;
    let header = Open { user: user.clone(), fingerprint: request.key, client: request.peer, trace_id: request.trace_id.clone() };
    let opened = time::timeout(OPEN_TIMEOUT, async {
        let (reader, mut writer) = link.open().await?;
        writer.send(header.encode().into()).await?;
        Ok::<_, io::Error>((reader, writer))
    });
    match opened.await {
        Ok(Ok(stream)) => Ok((user, workspace, stream)),
        _ => Err(Denial::Unresponsive(workspace)),
    }
}

/// A membership that is news to this daemon is looked up once more before it is refused.
async fn enter(hall: &Hall, request: &Request, workspace: &WorkspaceId) -> Result<UserId, Denial> {
    let decide = || hall.gate(|gate| gate.enter(&request.key, workspace));
    match decide() {
        Err(Denial::NoAccess(_)) => {
            hall.snapshots.refresh().await;
            decide()
        }
        decided => decided,
    }
}

/// Bytes both ways until both ends are done, or the user may no longer be here.
async fn cross(
    inbound: Outlet,
    outbound: ChannelWriteHalf<Msg>,
    (reader, writer): Stream,
    denied: impl Future<Output = Denial>,
) -> (Tally, time::Duration, String) {
    let begun = Instant::now();
    let mut tally = Tally::default();
    let (mut from_client, mut to_client) = (FromClient(inbound), ToClient(outbound));
    let (mut from_agent, mut to_agent) = (FromAgent { reader, buffer: BytesMut::new() }, ToAgent(writer));
    let crossed = bridge::bridge((&mut from_client, &mut to_client), (&mut from_agent, &mut to_agent), &mut tally);
    let outcome = tokio::select! {
        crossed = crossed => crossed.map_or_else(|fault| fault.to_string(), |()| "ended by both".into()),
        denial = denied => denial.label().into(),
    };
    // Fails only when the client has closed it, or is gone.
    let _ = to_client.0.close().await;
    (tally, begun.elapsed(), outcome)
}

struct FromClient(Outlet);
struct ToClient(ChannelWriteHalf<Msg>);
struct ToAgent(TunnelWriter);
struct FromAgent {
    reader: TunnelReader,
    buffer: BytesMut,
}

impl Source for FromClient {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.0.chunk().await
    }
}

impl Source for FromAgent {
    /// QUIC hands over a packet at a time; reading gathers those that have arrived.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.buffer.capacity() < LEAST_ROOM {
            self.buffer.reserve(CHUNK);
        }
        let read = self.reader.read_buf(&mut self.buffer).await?;
        Ok((read > 0).then(|| self.buffer.split().freeze()))
    }
}

impl Sink for ToClient {
    async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        self.0.data_bytes(bytes).await.map_err(io::Error::other)
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.0.eof().await.map_err(io::Error::other)
    }
}

impl Sink for ToAgent {
    async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        self.0.send(bytes).await
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.0.finish();
        Ok(())
    }
}
