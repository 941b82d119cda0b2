//! Takes agents in over QUIC: knock, handshake, registration, and the control stream until the end.

mod handshake;

use crate::{
    limits::{MAX_TUNNEL_HANDSHAKES, MAX_TUNNELS, TUNNEL_HANDSHAKE},
    link::Link,
    metrics::{Metrics, Transport},
    registry::Registry,
    snapshot::Snapshots,
};
use drawbridge_shared::{
    native::{
        control::{self, ControlFault, Frames},
        identity::PublicIdentity,
        quic::{Acceptor, Knock},
        tunnel::{Stream, Tunnel},
    },
    tunnel::frame::{Frame, Reason},
};
use handshake::{Refusal, Welcomed};
use std::sync::Arc;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

/// The agents' door.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    acceptor: Acceptor,
    identity: PublicIdentity,
    snapshots: Snapshots,
    registry: Registry<Link>,
    metrics: Metrics,
    handshakes: Arc<Semaphore>,
}

impl Listener {
    /// Behind `acceptor`, which shows `identity`.
    pub(crate) fn new(
        acceptor: Acceptor,
        identity: PublicIdentity,
        snapshots: Snapshots,
        registry: Registry<Link>,
        metrics: Metrics,
    ) -> Self {
        let handshakes = Arc::new(Semaphore::new(MAX_TUNNEL_HANDSHAKES));
        Self { acceptor, identity, snapshots, registry, metrics, handshakes }
    }

    /// Takes agents in until `stop`; their tunnels live on in `tasks`.
    pub(crate) async fn run(self, tasks: TaskTracker, stop: CancellationToken) {
        loop {
            let knock = tokio::select! {
                () = stop.cancelled() => break,
                knock = self.acceptor.accept() => knock,
            };
            match knock {
                Some(knock) => self.answer(knock, &tasks),
                None => break,
            }
        }
        self.acceptor.refuse_new();
    }

    /// Only accepts; all else happens in the knocker's own task.
    fn answer(&self, knock: Knock, tasks: &TaskTracker) {
        let busy = self.handshakes.available_permits() < MAX_TUNNEL_HANDSHAKES / 2;
        if busy && !knock.validated() {
            return knock.retry();
        }
        match self.handshakes.clone().try_acquire_owned() {
            Ok(permit) if self.registry.tunnels() < MAX_TUNNELS => {
                tasks.spawn(self.clone().admit(knock, permit));
            }
            _ => knock.refuse(),
        }
    }

    async fn admit(self, knock: Knock, permit: OwnedSemaphorePermit) {
        let shaken = time::timeout(TUNNEL_HANDSHAKE, self.shake(knock)).await;
        drop(permit);
        match shaken {
            Ok(Ok((tunnel, control, welcomed))) => self.serve(tunnel, control, welcomed).await,
            Ok(Err(fault)) => debug!(%fault, "an agent did not come in"),
            Err(_) => debug!("an agent took too long to come in"),
        }
    }

    async fn shake(&self, knock: Knock) -> Result<(Tunnel, Stream, Welcomed), ControlFault> {
        let tunnel = knock.admit().await.map_err(std::io::Error::from)?;
        let mut control = tunnel.accept().await.map_err(std::io::Error::from)?;
        match handshake::run(&tunnel, &mut control, self.identity, &self.snapshots).await {
            Ok(welcomed) => Ok((tunnel, control, welcomed)),
            Err(Refusal::Broken(fault)) => {
                tunnel.misbehaved("the handshake broke");
                Err(fault)
            }
            Err(Refusal::Words { workspace, reason, words }) => {
                warn!(%workspace, peer = %tunnel.peer(), ?reason, "an agent is refused");
                handshake::refuse(&tunnel, control, reason, words).await;
                Err(ControlFault::OutOfTurn)
            }
        }
    }

    async fn serve(&self, tunnel: Tunnel, mut control: Stream, welcomed: Welcomed) {
        let Welcomed { seat, agent } = welcomed;
        let workspace = seat.workspace.clone();
        let (link, frames) = Link::new(tunnel.clone(), seat.instance);
        let _counted = self.metrics.tunnel(Transport::Quic);
        let registered = self.registry.register(seat, link);
        for old in registered.evicted {
            old.dismiss(Reason::Superseded, "newer tunnels of this workspace took over");
        }
        let generation = registered.registration.generation();
        info!(%workspace, generation, peer = %tunnel.peer(), %agent, "agent connected");
        let welcome = Frame::Welcome { generation };
        let reason = match control::write(&mut control.1, &welcome).await {
            Ok(()) => converse(&tunnel, control, frames).await,
            Err(fault) => fault.to_string(),
        };
        drop(registered.registration);
        info!(%workspace, generation, %reason, "agent gone");
    }
}

/// The control stream after Welcome, until the tunnel ends. Returns why it ended.
async fn converse(tunnel: &Tunnel, (reader, mut writer): Stream, mut ours: mpsc::Receiver<Frame>) -> String {
    let mut theirs = Frames::new(reader);
    loop {
        tokio::select! {
            fault = tunnel.closed() => return fault.to_string(),
            heard = theirs.next() => return ended(tunnel, heard),
            Some(frame) = ours.recv() => {
                let last = matches!(frame, Frame::Goodbye { .. });
                if control::write(&mut writer, &frame).await.is_err() || last {
                    writer.finish();
                    return part(tunnel).await;
                }
            }
        }
    }
}

/// After our goodbye the agent serves its streams to their end and closes; its silence closes for it.
async fn part(tunnel: &Tunnel) -> String {
    tunnel.closed().await.to_string()
}

fn ended(tunnel: &Tunnel, heard: Result<Frame, ControlFault>) -> String {
    match heard {
        Ok(Frame::Goodbye { words, .. }) => {
            tunnel.close("goodbye");
            format!("it said goodbye: {words}")
        }
        Ok(_) => {
            tunnel.misbehaved("a frame out of turn");
            "it sent a frame out of turn".into()
        }
        Err(fault) => {
            tunnel.misbehaved("the control stream broke");
            fault.to_string()
        }
    }
}
