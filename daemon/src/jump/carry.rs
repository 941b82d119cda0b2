//! One channel's way: decided, opened through the tunnel, bridged, and told about in the log.

mod journey;

use super::{Hall, places::Place, presence};
use crate::{
    authorize::Gate,
    bridge::{self, Sink, Source, Tally},
    denial::Denial,
    limits::{FIRST_WORD, LAST_WORDS, OPEN_TIMEOUT, OPEN_TRIES, OUTLIVED, PARTING, PASSAGE_PAUSE, SETTLING},
    passage,
    witness::{Crossing, Ending, Who},
};
use bytes::Bytes;
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::{UserId, WorkspaceId},
    native::{
        backlog::Outlet,
        clock,
        resume::{self, Budget, StrandReader, StrandWriter},
        ssh::leftovers::Leftovers,
    },
    revocation::Stay,
    target,
    tunnel::{instance::Instance, open::Open},
};
use journey::{Arrival, Start};
use russh::{
    ChannelOpenFailure, ChannelWriteHalf,
    server::{ChannelOpenHandle, Msg},
};
use std::{
    future::{self, Future},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};
use tokio::time;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Who asks for what.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) key: Fingerprint,
    pub(super) peer: SocketAddr,
    pub(super) trace_id: String,
    pub(super) host: String,
    pub(super) port: u32,
    /// Bytes that this outer connection's channels keep for their agents.
    pub(super) budget: Budget,
}

/// The client's end of a channel that is asked for.
pub(super) struct Channel {
    pub(super) inbound: Outlet,
    pub(super) outbound: ChannelWriteHalf<Msg>,
    pub(super) reply: ChannelOpenHandle,
    /// Fires when the client has closed it.
    pub(super) closed: CancellationToken,
    /// Counts those of the connection that we had to close first.
    pub(super) leftovers: Leftovers,
}

/// A channel's two halves towards an agent that has spoken, and what moves them.
struct Reached {
    user: UserId,
    workspace: WorkspaceId,
    halves: (FromAgent, ToAgent),
    travel: Travel,
}

/// Moves a strand for as long as it lives.
type Travel = Pin<Box<dyn Future<Output = Arrival> + Send>>;

/// A strand whose agent has not spoken yet. Dropping it has the agent told that nobody is there any more.
struct Begun {
    tasks: TaskTracker,
    parts: Option<(StrandReader, StrandWriter, Travel)>,
}

/// Why an agent does not speak.
enum Mute {
    /// Its tunnel or its process is no more: the next one may be on its way.
    Gone,
    /// It ends the stream, or says nothing.
    Silent,
}

impl Request {
    fn who(&self) -> Who<'_> {
        Who { trace: &self.trace_id, peer: self.peer, key: Some(self.key) }
    }

    fn open(&self, user: &UserId, patience: Duration) -> Open {
        Open {
            user: user.clone(),
            fingerprint: self.key,
            client: self.peer,
            trace_id: self.trace_id.clone(),
            ticket: journey::ticket(),
            patience,
        }
    }
}

/// Serves one channel until it ends or `cut` fires; then its agent still learns how it ended. It keeps its `_place` until then.
pub(super) async fn run(hall: Arc<Hall>, request: Request, channel: Channel, _place: Place, cut: CancellationToken) {
    // Boxed: what it takes is not to stay as long as the channel does.
    let Some(reached) = cut.run_until_cancelled(Box::pin(reach(&hall, &request))).await else { return };
    match reached {
        Ok(Reached { user, workspace, halves, travel }) => {
            hall.used.note(&user, request.key, clock::now());
            let crossing = hall.witness.opened(request.who(), &user, &workspace);
            let over = CancellationToken::new();
            let served = pin!(serve(&hall, &request, (user, workspace), (channel, halves), crossing, (cut, &over)));
            let travelled = pin!(async {
                let _arrival = travel.await;
                over.cancel();
            });
            // Its agent has so long to confirm that it heard, over its next tunnel where need be.
            resume::see_out(served, travelled, hall.patience + SETTLING).await;
        }
        Err(denial) => {
            hall.witness.refused(request.who(), &denial);
            let failure = ChannelOpenFailure::Other { code: denial.code(), reason: denial.to_string() };
            channel.reply.reject(failure).await;
        }
    }
}

async fn serve(
    hall: &Hall,
    request: &Request,
    (user, workspace): (UserId, WorkspaceId),
    (channel, halves): (Channel, (FromAgent, ToAgent)),
    mut crossing: Crossing,
    (cut, over): (CancellationToken, &CancellationToken),
) {
    let Channel { inbound, outbound, reply, closed, leftovers } = channel;
    reply.accept().await;
    let mut revoked = None;
    let denied = async {
        let stays = |gate: Gate<'_>| gate.stays_inside(&request.key, &user, &workspace);
        revoked = Some(hall.until_revoked(stays).await);
        time::sleep(parting(hall.gate(|gate| gate.stays(&request.key)))).await;
    };
    let ends = (denied, over.cancelled());
    let crossed = cross((inbound, outbound), halves, &mut crossing.tally, ends, (&leftovers, &closed));
    let ending = tokio::select! {
        ending = crossed => ending,
        () = cut.cancelled() => if hall.end.is_cancelled() { Ending::Denied(Denial::Stopping) } else { Ending::Left },
    };
    crossing.closed(&revoked.map_or(ending, |revocation| Ending::Denied(Denial::Revoked(revocation))));
}

/// How long a channel is left open whose user may no longer be here, by whether their connection `stays`. A key that is nobody's any
/// more ends the whole connection, which can say why: closing here would outrun it. It may be somebody's again before the connection
/// has heard, and then only the channel ends.
fn parting(stays: Stay) -> Duration {
    if stays.is_ok() { PARTING } else { OUTLIVED }
}

/// A strand to the workspace's agent, which has spoken: an SSH server does so first, so that waiting for it costs the client nothing,
/// and an agent that has died unnoticed is no connection that hangs. Where that comes out, the next one may be on its way.
async fn reach(hall: &Arc<Hall>, request: &Request) -> Result<Reached, Denial> {
    let workspace = target::parse(&request.host, request.port, &hall.domains).map_err(Denial::Target)?;
    let user = enter(hall, request, &workspace).await?;
    for _ in 0..OPEN_TRIES {
        let start = start(hall, &workspace).await?;
        let process = (start.instance, start.seen);
        let open = request.open(&user, hall.patience);
        let begun = time::timeout(OPEN_TIMEOUT, journey::begin(hall.clone(), workspace.clone(), start, open, &request.budget));
        let Ok(Ok(((reader, writer), (journey, way)))) = begun.await else { continue };
        let begun = Begun { tasks: hall.tasks.clone(), parts: Some((reader, writer, Box::pin(journey.travel(way)))) };
        match begun.heard(outlived(hall, &workspace, process)).await {
            Ok((halves, travel)) => return Ok(Reached { user, workspace, halves, travel }),
            Err(Mute::Gone) => {}
            Err(Mute::Silent) => break,
        }
    }
    Err(Denial::Unresponsive(workspace))
}

impl Begun {
    /// Waits for the agent's first bytes, unless it is `outlived`.
    async fn heard(mut self, outlived: impl Future<Output = ()>) -> Result<((FromAgent, ToAgent), Travel), Mute> {
        let Some((reader, _, travel)) = &mut self.parts else { return Err(Mute::Gone) };
        let first = tokio::select! {
            biased;
            first = reader.chunk() => first.ok().flatten().ok_or(Mute::Silent)?,
            arrival = travel => {
                self.parts = None;
                return Err(if matches!(arrival, Arrival::Unheard) { Mute::Gone } else { Mute::Silent });
            }
            () = outlived => return Err(Mute::Gone),
            () = time::sleep(FIRST_WORD) => return Err(Mute::Silent),
        };
        let (reader, writer, travel) = self.parts.take().ok_or(Mute::Gone)?;
        Ok(((FromAgent { first: Some(first), reader }, ToAgent(writer)), travel))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let Some((reader, writer, travel)) = self.parts.take() else { return };
        drop((reader, writer));
        self.tasks.spawn(time::timeout(LAST_WORDS, travel));
    }
}

/// Waits until another process has taken the place of `instance`, whose tunnel still seems to be there.
async fn outlived(hall: &Hall, workspace: &WorkspaceId, (instance, seen): (Instance, u64)) {
    let mut newest = hall.registry.watch();
    while !hall.registry.outlived(workspace, instance, seen) {
        if newest.changed().await.is_err() {
            future::pending().await
        }
    }
}

/// A stream to the workspace's agent. While this daemon leaves, the agent may be on its way to the successor, and then our
/// tunnel has none left: whichever gives one first.
async fn start(hall: &Hall, workspace: &WorkspaceId) -> Result<Start, Denial> {
    tokio::select! {
        biased;
        passed = passed(hall, workspace), if hall.stop.is_cancelled() => Ok(passed),
        own = own(hall, workspace) => own,
    }
}

/// One that breaks meanwhile is none: the next one may be on its way.
async fn own(hall: &Hall, workspace: &WorkspaceId) -> Result<Start, Denial> {
    for _ in 0..OPEN_TRIES {
        let seen = *hall.registry.watch().borrow();
        let link = presence::expect(hall, workspace).await?;
        match time::timeout(OPEN_TIMEOUT, link.open()).await {
            Ok(Ok(halves)) => return Ok(Start { instance: link.instance(), halves: passage::own(halves), seen }),
            Ok(Err(_)) => time::sleep(PASSAGE_PAUSE).await,
            Err(_) => break,
        }
    }
    Err(Denial::Unresponsive(workspace.clone()))
}

/// Over the successor's tunnels, as soon as the agent has come there.
async fn passed(hall: &Hall, workspace: &WorkspaceId) -> Start {
    let seen = *hall.registry.watch().borrow();
    loop {
        if let Ok((instance, halves)) = hall.passage.open(workspace, None).await {
            return Start { instance, halves, seen };
        }
        time::sleep(PASSAGE_PAUSE).await;
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

/// Bytes both ways until both ends are done, or the user may no longer be here; then the channel is closed. Once the client has closed
/// it, what it had sent goes on for a bounded time, and the agent hears that nobody listens soon after that, or once it says much: nobody
/// else may do anything about it then.
async fn cross(
    (inbound, outbound): (Outlet, ChannelWriteHalf<Msg>),
    (from_agent, mut to_agent): (FromAgent, ToAgent),
    tally: &mut Tally,
    (denied, over): (impl Future<Output = ()>, impl Future<Output = ()>),
    (leftovers, closed): (&Leftovers, &CancellationToken),
) -> Ending {
    let (mut from_client, mut to_client) = (FromClient { outlet: inbound, is_gone: false }, ToClient(&outbound));
    let until = (closed.cancelled(), over);
    let crossed = bridge::bridge((&mut from_client, &mut to_client), (from_agent, &mut to_agent), tally, until);
    let crossed = tokio::select! {
        crossed = crossed => Some(crossed),
        () = denied => None,
        () = async { closed.cancelled().await; time::sleep(SETTLING).await } => None,
    };
    let ending = match crossed {
        Some(Ok(())) => Ending::Finished,
        Some(Err(_)) if !from_client.is_gone => Ending::Broken,
        _ => Ending::Left,
    };
    // While its data has a taker the connection's table holds the channel, and does not take it for closed by the client.
    leftovers.close(&outbound, closed).await;
    ending
}

struct FromClient {
    outlet: Outlet,
    /// It broke off, which is how clients go: nothing is broken.
    is_gone: bool,
}

struct ToClient<'a>(&'a ChannelWriteHalf<Msg>);
struct ToAgent(StrandWriter);

struct FromAgent {
    /// What it began with.
    first: Option<Bytes>,
    reader: StrandReader,
}

impl Source for FromClient {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let chunk = self.outlet.chunk().await;
        self.is_gone = chunk.is_err();
        chunk
    }
}

impl Source for FromAgent {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.reader.chunk().await,
        }
    }
}

impl Sink for ToClient<'_> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::revocation::Revocation;
    use tokio::sync::oneshot;

    fn begun(tasks: &TaskTracker, travel: impl Future<Output = Arrival> + Send + 'static) -> (Begun, resume::Driver) {
        let (reader, writer, driver) = resume::strand(&Budget::new(1 << 20));
        (Begun { tasks: tasks.clone(), parts: Some((reader, writer, Box::pin(travel))) }, driver)
    }

    #[tokio::test]
    async fn an_agent_that_nobody_waits_for_any_more_is_told_so() {
        let (tasks, (told, hears)) = (TaskTracker::new(), oneshot::channel());
        let (begun, _driver) = begun(&tasks, async move { told.send(()).map_or(Arrival::Over, |()| Arrival::Unheard) });
        // As when the client goes.
        let waits = begun.heard(future::pending());
        drop(waits);
        hears.await.unwrap();
        tasks.close();
        tasks.wait().await;
    }

    #[test]
    fn a_channel_ends_even_if_its_connection_does_not() {
        assert_eq!(parting(Ok(None)), PARTING);
        let removed = parting(Err(Revocation::Removed));
        assert!(removed > PARTING && removed < Duration::from_secs(1), "{removed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_became_of_an_agent_that_says_nothing_decides_what_comes_next() {
        let tasks = TaskTracker::new();
        let (lost, _driver) = begun(&tasks, future::ready(Arrival::Unheard));
        assert!(matches!(lost.heard(future::pending()).await, Err(Mute::Gone)));
        let (over, _driver) = begun(&tasks, future::ready(Arrival::Over));
        assert!(matches!(over.heard(future::pending()).await, Err(Mute::Silent)));
        let (replaced, _driver) = begun(&tasks, future::pending());
        assert!(matches!(replaced.heard(future::ready(())).await, Err(Mute::Gone)));
        let (silent, _driver) = begun(&tasks, future::pending());
        assert!(matches!(silent.heard(future::pending()).await, Err(Mute::Silent)));
        tasks.close();
        tasks.wait().await;
    }
}
