//! Takes agents in, over QUIC and WebSocket: knock, handshake, registration, and the control stream until the end.

mod handshake;
mod lobby;
mod ports;
mod retry;
mod rivals;

pub(crate) use ports::Ports;
pub use ports::PortsFault;

use crate::{
    admission::Source,
    jammed::Jammed,
    limits::{ACCEPT_PAUSE, KNOCK, MAX_KNOCKS, MAX_TUNNEL_HANDSHAKES, MAX_TUNNELS, PARTED, SOCKET_HANDSHAKE, TUNNEL_HANDSHAKE},
    link::Link,
    metrics::Metrics,
    registry::{Registered, Registration, Registry},
    snapshot::Snapshots,
    witness::Digest,
};
use drawbridge_shared::{
    id::WorkspaceId,
    native::{
        clock,
        control::{self, ControlFault},
        crowd::Crowd,
        identity::PublicIdentity,
        places::{Place, Places},
        quic,
        slot::Slot,
        talk::Talk,
        tunnel::{Stream, Transport, Tunnel},
        websocket,
    },
    tunnel::{
        frame::{Frame, Reason},
        instance::Instance,
    },
};
use futures_util::FutureExt;
use handshake::{Refusal, Welcomed};
use lobby::{Lobby, Silent};
use rand::RngExt;
use rivals::Rivals;
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error, info, warn};

/// The agents' doors.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    ports: Ports,
    identity: PublicIdentity,
    /// This process, of those of its state folder.
    instance: Instance,
    slot: Arc<Slot>,
    snapshots: Snapshots,
    registry: Registry<Link>,
    metrics: Metrics,
    tokens: Tokens,
    handshakes: Doors,
    lobbies: Lobbies,
    /// Places to wait at the door of QUIC, where a knock is not open yet.
    knocks: Places<Source>,
    /// From where there are tunnels over WebSocket.
    known: Crowd<Source>,
    refused: Refused,
    rivals: Rivals,
}

/// Who was refused before it had proved anything: strangers may call without end, and few lines of the log tell of them.
#[derive(Clone, Debug, Default)]
struct Refused(Arc<Digest>);

impl Refused {
    fn tell(&self, workspace: &WorkspaceId, peer: SocketAddr, (reason, words): (Reason, &str)) {
        debug!(%workspace, %peer, reason = words, "refused before it had proved anything");
        if let Some(numbers) = self.0.note(reason.label(), std::time::Instant::now()) {
            warn!(%workspace, %peer, reason = words, %numbers, "agents were refused that had proved nothing; this is the last of them");
        }
    }
}

/// What a listener heeds, and says.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    /// Fires when nothing new is to begin.
    pub(crate) stop: CancellationToken,
    /// Fires when a door fell shut, and with it the other one.
    pub(crate) fallen: CancellationToken,
}

/// Where callers over TCP wait who have said nothing yet, each with places of its own.
#[derive(Clone, Debug, Default)]
struct Lobbies {
    strangers: Lobby,
    known: Lobby,
}

/// One count each: who floods one leaves the others open.
#[derive(Clone, Debug)]
struct Doors {
    quic: Places<Source>,
    websocket: Places<Source>,
    /// Over TCP too, from where tunnels are in: these need sockets, whoever else calls.
    known: Places<Source>,
}

impl Listener {
    /// Behind `ports`, which show `identity`.
    pub(crate) fn new(
        (ports, identity): (Ports, PublicIdentity),
        slot: Arc<Slot>,
        snapshots: Snapshots,
        registry: Registry<Link>,
        metrics: Metrics,
        tokens: Tokens,
    ) -> Self {
        let instance = Instance(rand::rng().random());
        let places = || Places::new(MAX_TUNNEL_HANDSHAKES);
        let handshakes = Doors { quic: places(), websocket: places(), known: places() };
        let (knocks, lobbies, known) = (Places::new(MAX_KNOCKS), Lobbies::default(), Crowd::of(MAX_TUNNELS));
        let (refused, rivals) = (Refused::default(), Rivals::default());
        Self {
            ports,
            identity,
            instance,
            slot,
            snapshots,
            registry,
            metrics,
            tokens,
            handshakes,
            lobbies,
            knocks,
            known,
            refused,
            rivals,
        }
    }

    /// Takes agents in until `end`; their tunnels live on in tasks of their own. While the daemon drains, its tunnels over WebSocket still
    /// need sockets, and agents are told to go elsewhere unless somebody here waits for them.
    pub(crate) async fn run(self, end: CancellationToken) {
        let tasks = TaskTracker::new();
        let doors = async { tokio::join!(self.answer_all(&tasks), self.open_all(&tasks)) };
        end.run_until_cancelled(doors).await;
    }

    /// Who knocks over QUIC, whatever the other door does. Its end is the daemon's: what runs goes on over the other meanwhile.
    async fn answer_all(&self, tasks: &TaskTracker) {
        while let Some(knock) = self.ports.quic.accept().await {
            self.answer(knock, tasks);
        }
        if !self.tokens.stop.is_cancelled() {
            error!("the agents' QUIC door fell shut, which no daemon can do without: it stops, and is to be started again");
            self.tokens.fallen.cancel();
            self.tokens.stop.cancel();
        }
    }

    /// Who knocks over TCP.
    async fn open_all(&self, tasks: &TaskTracker) -> Infallible {
        let mut jammed = Jammed::new("agents");
        loop {
            match self.ports.websocket.accept().await {
                Ok(knock) => self.open(knock, tasks),
                Err(fault) => {
                    jammed.tell(&fault);
                    time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Only accepts; all else happens in the knocker's own task.
    fn answer(&self, knock: quic::Knock, tasks: &TaskTracker) {
        let from = Source::from(knock.peer().ip());
        if !knock.validated() && self.handshakes.quic.are_scarce(&from) {
            return knock.retry();
        }
        match self.knocks.take(from) {
            Some(waits) if self.registry.tunnels() < MAX_TUNNELS => drop(tasks.spawn(self.clone().receive(knock, waits))),
            _ => knock.refuse(),
        }
    }

    async fn receive(self, knock: quic::Knock, waits: Place<Source>) {
        let place = self.handshakes.quic.wait(knock.peer().ip().into());
        let Ok(Some(place)) = time::timeout(KNOCK, place).await else { return knock.refuse() };
        drop(waits);
        let tunnel = async { Ok(Some(knock.admit().await?)) };
        self.admit(Box::pin(tunnel), place).await;
    }

    /// The same of the TCP door, which also takes the sockets of tunnels that are in.
    fn open(&self, knock: websocket::Knock, tasks: &TaskTracker) {
        let lobby = if self.knows(knock.peer().ip().into()) { &self.lobbies.known } else { &self.lobbies.strangers };
        tasks.spawn(self.clone().hear(knock, lobby.enter()));
    }

    async fn hear(self, knock: websocket::Knock, silent: Silent) {
        let heard = async {
            tokio::select! {
                // Who has spoken is not silent, even if nobody has come to hear it.
                biased;
                spoken = knock.speaks() => spoken.is_ok(),
                () = silent.displaced.cancelled() => false,
            }
        };
        let Ok(true) = time::timeout(SOCKET_HANDSHAKE, heard).await else { return };
        drop(silent);
        // One too many is closed at once, before anything is read from it: an agent comes back as its own back-off says.
        let Some(place) = self.handshake(knock.peer().ip().into()) else { return };
        let tunnel = async {
            let socket = time::timeout(SOCKET_HANDSHAKE, knock.admit()).await.map_err(io::Error::from)?;
            socket.map_err(|fault| io::Error::other(fault).into())
        };
        self.admit(Box::pin(tunnel), place).await;
    }

    /// A place over TCP.
    fn handshake(&self, from: Source) -> Option<Place<Source>> {
        let Doors { websocket, known, .. } = &self.handshakes;
        if self.knows(from) { known.take(from) } else { websocket.take(from) }
    }

    /// Whether tunnels are in from there that need sockets.
    fn knows(&self, from: Source) -> bool {
        self.known.holds(&from)
    }

    /// `tunnel` is a data socket where there is none.
    async fn admit(&self, tunnel: impl Future<Output = Result<Option<Tunnel>, ControlFault>>, place: Place<Source>) {
        let shaken = async {
            match tunnel.await? {
                Some(tunnel) => self.shake(tunnel).await.map(Some),
                None => Ok(None),
            }
        };
        // Its kilobytes are not to stay with the tunnel's task, nor those of `tunnel`: both are boxed.
        let shaken = Box::pin(time::timeout(TUNNEL_HANDSHAKE, shaken)).await;
        drop(place);
        match shaken {
            Ok(Ok(Some((tunnel, control, welcomed)))) => self.serve(tunnel, control, welcomed).await,
            Ok(Ok(None)) => {}
            Ok(Err(fault)) => debug!(%fault, "an agent did not come in"),
            Err(_) => debug!("an agent took too long to come in"),
        }
    }

    async fn shake(&self, tunnel: Tunnel) -> Result<(Tunnel, Stream, Welcomed), ControlFault> {
        let mut control = tunnel.accept().await?;
        let shaken = handshake::run(&tunnel, &mut control, self.identity, &self.snapshots).await;
        match shaken.and_then(|welcomed| self.place(welcomed)) {
            Ok(welcomed) => Ok((tunnel, control, welcomed)),
            Err(Refusal::Broken(fault)) => {
                tunnel.misbehaved("the handshake broke");
                Err(fault)
            }
            Err(Refusal::Words { workspace, reason, words, proven }) => {
                let peer = tunnel.peer();
                if proven {
                    warn!(%workspace, %peer, reason = words, "an agent is refused");
                } else {
                    self.refused.tell(&workspace, peer, (reason, words));
                }
                handshake::refuse(control, reason, words, self.retry_after()).await;
                Err(ControlFault::OutOfTurn)
            }
        }
    }

    /// Whether there is a place for an agent that proved itself.
    fn place(&self, welcomed: Welcomed) -> Result<Welcomed, Refusal> {
        let workspace = &welcomed.seat.workspace;
        let no = |reason, words| Err(Refusal::Words { workspace: workspace.clone(), reason, words, proven: true });
        if self.tokens.stop.is_cancelled() && !self.registry.is_awaited(workspace) {
            return no(Reason::Draining, "this daemon is about to stop and takes nothing new: its successor does, or another");
        }
        if self.registry.tunnels() >= MAX_TUNNELS {
            return no(Reason::Busy, "this daemon has all the tunnels that it can hold");
        }
        Ok(welcomed)
    }

    fn retry_after(&self) -> Duration {
        let Doors { quic, websocket, known } = &self.handshakes;
        let waiting = [quic, websocket, known].map(Places::taken);
        retry::after(waiting.into_iter().sum(), rand::rng().random())
    }

    /// An agent that crashed is here until its silence is noticed, and the next one comes at once; one that takes over from another says
    /// so. Whatever else looks like this is a key in two places.
    fn contested(&self, workspace: &WorkspaceId, (peer, before): (SocketAddr, SocketAddr)) {
        self.metrics.rivals.inc();
        if self.rivals.are_news(workspace, std::time::Instant::now()) {
            warn!(
                %workspace, %peer, %before,
                "two agents say each that they are the only one of this workspace: the one before has crashed just now, or, if this comes \
                 again, its state folder was copied and somebody else may serve it: README, Security model, says what to do"
            );
        }
    }

    /// Whether nobody comes back for what other processes have opened. One that drains may have opened some over tunnels of its
    /// successor's, which is gone by now, and comes back for these itself.
    fn is_alone(&self) -> bool {
        self.slot.is_alone() && !self.tokens.stop.is_cancelled()
    }

    async fn serve(&self, tunnel: Tunnel, mut control: Stream, welcomed: Welcomed) {
        let Welcomed { seat, key, agent } = welcomed;
        let workspace = seat.workspace.clone();
        let (link, frames) = Link::new(tunnel.clone(), seat.instance, key);
        let _counted = self.metrics.tunnel(tunnel.transport());
        let by_sockets = tunnel.transport() == Transport::WebSocket;
        let _known = by_sockets.then(|| self.known.seat(vec![tunnel.peer().ip().into()]));
        let Registered { registration, evicted, displaced, rival } = self.registry.register(seat, link.clone());
        rival.iter().for_each(|rival| self.contested(&workspace, (tunnel.peer(), rival.peer())));
        // Once more, now that whoever hears of a change finds it: the key may have gone between the proof and here.
        link.stays(self.snapshots.current().agent_key(&workspace));
        if self.tokens.stop.is_cancelled() {
            // It came for what waits here, or between the signal and the word to all.
            link.drain();
        }
        for old in evicted {
            old.dismiss(Reason::Superseded, "newer tunnels of this workspace took over");
        }
        displaced.iter().for_each(Link::end);
        let generation = registration.generation();
        info!(%workspace, generation, peer = %tunnel.peer(), transport = %tunnel.transport(), %agent, "agent connected");
        let welcome = Frame::Welcome { generation, instance: self.instance, alone: self.is_alone() };
        let welcomed = control::write(&mut control.1, &welcome).await;
        let mut talk = Talk::new(&tunnel, control);
        let reason = match welcomed {
            Ok(()) => converse(&tunnel, &mut talk, frames, &registration).await,
            Err(fault) => fault.to_string(),
        };
        let parts = tunnel.closed().now_or_never().is_none();
        let _parting = parts.then(|| {
            registration.part().iter().for_each(Link::end);
            registration
        });
        self.registry.left(&workspace, clock::now());
        info!(%workspace, generation, %reason, "agent gone");
        // Whoever says goodbye still serves its streams to their end, and closes then.
        part(&tunnel, &mut talk).await;
        tunnel.close("the tunnel is over");
    }
}

/// The control stream after Welcome, until the tunnel ends. Returns why it ended.
async fn converse(
    tunnel: &Tunnel,
    talk: &mut Talk,
    mut ours: mpsc::Receiver<Box<Frame>>,
    registration: &Registration<Link>,
) -> String {
    loop {
        tokio::select! {
            fault = tunnel.closed() => return fault.to_string(),
            heard = talk.next() => match heard {
                Ok(Frame::Drain) => registration.retire(),
                heard => return ended(tunnel, heard),
            },
            Some(frame) = ours.recv() => {
                let last = matches!(*frame, Frame::Goodbye { .. });
                if let Err(fault) = talk.say(&frame) {
                    return ended(tunnel, Err(fault));
                }
                if last {
                    return part(tunnel, talk).await;
                }
            }
        }
    }
}

/// After a goodbye the agent serves its streams to their end and closes; its silence closes for it, and ours where it does not.
async fn part(tunnel: &Tunnel, talk: &mut Talk) -> String {
    let idle = idle(tunnel.streams());
    tokio::pin!(idle);
    loop {
        tokio::select! {
            fault = tunnel.closed() => return fault.to_string(),
            () = &mut idle => {
                tunnel.close("nothing runs here any more");
                return "it was left open with nothing on it".into();
            }
            heard = talk.next() => match heard {
                // It was on its way.
                Ok(Frame::Drain) => {}
                heard => return ended(tunnel, heard),
            },
        }
    }
}

/// Comes once a tunnel of so many `streams` has had none for [`PARTED`].
async fn idle(mut streams: watch::Receiver<usize>) {
    while streams.wait_for(|open| *open == 0).await.is_ok() {
        let Ok(Ok(_)) = time::timeout(PARTED, streams.wait_for(|open| *open > 0)).await else { return };
    }
}

fn ended(tunnel: &Tunnel, heard: Result<Frame, ControlFault>) -> String {
    match heard {
        Ok(Frame::Goodbye { words, .. }) => format!("it said goodbye: {words}"),
        Ok(_) => {
            tunnel.misbehaved("a frame out of turn");
            "it sent a frame out of turn".into()
        }
        Err(fault) => {
            tunnel.misbehaved(&fault.to_string());
            fault.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_that_was_left_stays_while_anything_runs_there_and_a_moment_longer() {
        let (streams, begun) = (watch::Sender::new(1), Instant::now());
        let runs = async {
            for (seconds, open) in [(3600, 0), (9, 1), (3600, 0)] {
                time::sleep(Duration::from_secs(seconds)).await;
                streams.send_replace(open);
            }
        };
        tokio::join!(idle(streams.subscribe()), runs);
        assert_eq!(begun.elapsed().as_secs(), 2 * 3600 + 9 + PARTED.as_secs());
    }
}
