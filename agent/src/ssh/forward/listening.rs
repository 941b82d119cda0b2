//! What comes to a listening socket in the workspace becomes a channel to the client.

use super::{
    Crew,
    lane::Lane,
    socket::{Listener, Socket},
};
use crate::ssh::limits;
use russh::{
    Channel, Error,
    server::{Handle, Msg},
};
use std::sync::Arc;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The channels that a listener opens.
#[derive(Debug)]
pub(super) enum Entrance {
    /// `forwarded-tcpip`, with the address as the client asked for it: by that it knows its own request.
    Tcp { address: String, port: u16 },
    /// `forwarded-streamlocal@openssh.com`.
    Unix { path: String },
    /// `auth-agent@openssh.com`.
    Agent,
}

/// A place in the workspace where somebody listens for the client; closed when dropped.
#[derive(Debug)]
pub(super) struct Listening {
    stop: DropGuard,
    loops: Vec<JoinHandle<()>>,
}

impl Listening {
    /// Takes in what comes to `listeners` until it is closed or the connection ends.
    pub(super) fn start(listeners: Vec<Listener>, entrance: Entrance, crew: &Crew, handle: &Handle) -> Self {
        let stop = crew.connection.child_token();
        let entrance = Arc::new(entrance);
        let take = |listener| {
            let taking = take_in(listener, entrance.clone(), crew.clone(), handle.clone(), stop.clone());
            crew.tasks.spawn(taking)
        };
        let loops = listeners.into_iter().map(take).collect();
        Self { stop: stop.drop_guard(), loops }
    }

    /// Closes it; afterwards its place is free. What came through it lives on.
    pub(super) async fn close(self) {
        drop(self.stop);
        for taking in self.loops {
            // Its end is all that is asked for.
            let _ = taking.await;
        }
    }
}

/// Only accepts: all else happens in each one's own task. While as many as may wait are waiting, the kernel keeps the rest.
async fn take_in(listener: Listener, entrance: Arc<Entrance>, crew: Crew, handle: Handle, stop: CancellationToken) {
    let waiting = Arc::new(Semaphore::new(entrance.waiting()));
    let taking = async {
        while let Ok(turn) = waiting.clone().acquire_owned().await {
            match listener.accept().await {
                Ok(socket) => drop(crew.tasks.spawn(bring(socket, entrance.clone(), crew.clone(), handle.clone(), turn))),
                Err(fault) => {
                    tracing::warn!(%fault, "a forwarded connection cannot be taken");
                    sleep(limits::ACCEPT_PAUSE).await;
                }
            }
        }
    };
    stop.run_until_cancelled(taking).await;
    listener.leave().await;
}

async fn bring(socket: Socket, entrance: Arc<Entrance>, crew: Crew, handle: Handle, turn: OwnedSemaphorePermit) {
    let Ok(_seat) = crew.seats.clone().try_acquire_owned() else {
        return tracing::warn!("too many forwarded connections: one to the client is turned away");
    };
    let brought = async {
        if let Some(lane) = lane(&socket, &entrance, &crew, &handle).await {
            let _turn = entrance.keep(turn);
            socket.carry(lane).await;
        }
    };
    // Given up before the client's answer, russh would take a refusal for a fault and end the connection.
    crew.connection.run_until_cancelled(brought).await;
}

async fn lane(socket: &Socket, entrance: &Entrance, crew: &Crew, handle: &Handle) -> Option<Lane> {
    let wish = crew.arrivals.wish();
    match entrance.open(socket, handle).await {
        Ok(channel) => {
            let id = channel.id();
            // The read half goes at once: russh would fill its queue, and then wait for it.
            let (_, outbound) = channel.split();
            Some(Lane { inbound: wish.fetch(id).await?, outbound })
        }
        Err(fault) => {
            tracing::debug!(%fault, "the client takes no forwarded connection");
            None
        }
    }
}

impl Entrance {
    /// How many may be on their way in at a time.
    fn waiting(&self) -> usize {
        match self {
            Self::Tcp { .. } | Self::Unix { .. } => limits::WAITING,
            Self::Agent => limits::AGENT_CONNECTIONS,
        }
    }

    /// An agent's visitors keep their turns to the end, so that their number is bounded; others' make room.
    fn keep(&self, turn: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        matches!(self, Self::Agent).then_some(turn)
    }

    async fn open(&self, socket: &Socket, handle: &Handle) -> Result<Channel<Msg>, Error> {
        match self {
            Self::Tcp { address, port } => {
                let (from, from_port) = socket.peer().map_or(Default::default(), |peer| (peer.ip().to_string(), peer.port()));
                handle.channel_open_forwarded_tcpip(address, (*port).into(), from, from_port.into()).await
            }
            Self::Unix { path } => handle.channel_open_forwarded_streamlocal(path).await,
            Self::Agent => handle.channel_open_agent().await,
        }
    }
}
