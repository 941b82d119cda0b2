//! The users' door: accepts TCP, ends the outer SSH, and lets each channel out as a bridge to a workspace.

mod carry;
mod desk;
mod greeting;
mod outer;
mod places;
mod presence;
mod visitor;

use crate::{
    admission::Admission,
    authorize::Gate,
    denial::Denial,
    jammed::Jammed,
    limits::{
        ACCEPT_PAUSE, CALLERS_UNDERWAY, INFLOW, KEEP_ALIVE, MAX_CARRIED, MAX_CONNECTIONS, MAX_CONNECTIONS_OF_USER, MAX_OFFERS,
        MAX_SIGNATURES,
    },
    link::Link,
    passage::Passage,
    registry::Registry,
    snapshot::Snapshots,
    used::Used,
    witness::{Early, Who, Witness},
};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::WorkspaceId,
    native::{
        clock,
        crowd::{Crowd, Seated},
        identity::{Identity, PublicIdentity},
        reserve::Reserve,
        signals::Tokens,
        slot::Slot,
        ssh::{self, steer::Offer},
        stay::until_revoked,
    },
    revocation::{Revocation, Stay},
    snapshot::key_shard::UserHash,
};
use outer::Caller;
use places::{Place, Places};
use rand::RngExt;
use russh::{keys::Certificate, server::Config};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

/// What every visitor's session needs to know.
#[derive(Debug)]
pub(crate) struct Hall {
    /// Whose keys are known.
    pub snapshots: Snapshots,
    /// Which workspaces are connected.
    pub registry: Registry<Link>,
    /// When which keys were used.
    pub used: Used,
    /// Sees what happens here.
    pub witness: Witness,
    /// Whose connections there are.
    crowd: Crowd<UserHash>,
    /// Of their channels to workspaces.
    places: Places,
    /// Who this daemon is.
    pub identity: PublicIdentity,
    /// Domains of this region.
    pub domains: Vec<String>,
    /// Past a snapshot's end.
    pub grace: Duration,
    /// How long a connection waits for another tunnel when its own is gone.
    pub patience: Duration,
    /// To the agents that went to this daemon's successor.
    pub passage: Passage,
    /// Bytes of all connections that are on their way.
    reserve: Reserve,
    /// Fires when nobody new is to be let in.
    pub stop: CancellationToken,
    /// When agents began to come.
    pub born: time::Instant,
    /// Owns all sessions and bridges.
    pub tasks: TaskTracker,
    /// Fires when all of them are to end now.
    pub end: CancellationToken,
}

impl Hall {
    /// Decides by the newest view.
    fn gate<T>(&self, decide: impl FnOnce(Gate<'_>) -> T) -> T {
        decide(Gate { keys: &self.snapshots.current(), now: clock::now(), grace: self.grace })
    }

    /// A place for one more connection of the users who hold `key`; `None` where they have too many.
    fn seat(&self, key: &Fingerprint) -> Option<Seated<UserHash>> {
        self.crowd.seat(self.snapshots.current().users(key, clock::now()).collect())
    }

    /// The same for a channel to a workspace, or why there is none.
    fn place(&self, key: &Fingerprint) -> Result<Place, Denial> {
        self.places.take(self.snapshots.current().users(key, clock::now()).collect())
    }

    /// The tunnel that new streams of `workspace` go through, or why there is none: for its members only.
    fn link(&self, workspace: &WorkspaceId) -> Result<Link, Denial> {
        presence::reach(&self.registry, &self.snapshots.current(), &self.identity, workspace)
    }

    /// What the holder of `key` is greeted with.
    fn greeting(&self, key: &Fingerprint) -> String {
        let keys = self.snapshots.current();
        let users: Vec<_> = keys.users(key, clock::now()).collect();
        let trouble = |workspace: &WorkspaceId| presence::reach(&self.registry, &keys, &self.identity, workspace).err();
        let host = self.domains.first().map_or("<this host>", String::as_str);
        greeting::text(host, &keys.memberships(&users), trouble)
    }

    /// Comes to an end when what lives may not stay, and says why.
    async fn until_revoked(&self, mut decide: impl FnMut(Gate<'_>) -> Stay) -> Revocation {
        until_revoked(self.snapshots.watch(), |keys| decide(Gate { keys, now: clock::now(), grace: self.grace })).await
    }

    /// Of one daemon, which ends as `tokens` say.
    pub(crate) fn new(
        (snapshots, registry): (Snapshots, Registry<Link>),
        (identity, domains): (PublicIdentity, Vec<String>),
        (grace, patience): (Duration, Duration),
        witness: Witness,
        passage: Passage,
        reserve: Reserve,
        tokens: &Tokens,
    ) -> Self {
        let Tokens { stop, end } = tokens.clone();
        let (used, tasks, born) = (Used::default(), TaskTracker::new(), time::Instant::now());
        let (crowd, places) = (Crowd::of(MAX_CONNECTIONS_OF_USER), Places::new(MAX_CARRIED));
        Self {
            snapshots,
            registry,
            used,
            witness,
            crowd,
            places,
            identity,
            domains,
            grace,
            patience,
            passage,
            reserve,
            stop,
            born,
            tasks,
            end,
        }
    }
}

/// The jump host.
pub(crate) struct Jump {
    hall: Arc<Hall>,
    config: watch::Receiver<Offer>,
    connections: Arc<Semaphore>,
    admission: Admission,
}

impl Jump {
    /// A jump host with the face to show, to whom `admission` lets in.
    pub(crate) fn new(hall: Hall, face: &Face, admission: Admission) -> Self {
        Self {
            hall: Arc::new(hall),
            config: face.config.subscribe(),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            admission,
        }
    }

    /// Owns all sessions and bridges.
    pub(crate) fn tasks(&self) -> TaskTracker {
        self.hall.tasks.clone()
    }

    /// Accepts until told to stop, and then those who had called by then; the sessions live on in the hall's tasks.
    pub(crate) async fn run(self, listener: TcpListener, slot: Arc<Slot>) {
        let Hall { stop, end, .. } = &*self.hall;
        stop.run_until_cancelled(self.accept_all(&listener)).await;
        if slot.successor().is_some() {
            let underway = time::timeout(CALLERS_UNDERWAY, self.accept_all(&listener));
            end.run_until_cancelled(underway).await;
        }
        if let Err(fault) = self.accept_waiting(listener) {
            warn!(%fault, "cannot accept those who wait");
        }
    }

    async fn accept_all(&self, listener: &TcpListener) -> Infallible {
        let mut jammed = Jammed::new("users");
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => self.accept(socket, peer),
                Err(fault) => {
                    jammed.tell(&fault);
                    time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Whoever waits when a listener is closed is reset: nobody is left waiting.
    fn accept_waiting(&self, listener: TcpListener) -> io::Result<()> {
        // Not what tokio last heard of it, but what is.
        let listener = listener.into_std()?;
        for _ in 0..MAX_CONNECTIONS {
            match listener.accept() {
                Ok((socket, peer)) => {
                    socket.set_nonblocking(true)?;
                    self.accept(TcpStream::from_std(socket)?, peer);
                }
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Only accepts; all else happens in the visitor's own task.
    fn accept(&self, socket: TcpStream, peer: SocketAddr) {
        match self.admit(peer) {
            Ok((caller, permit)) => {
                let offer = self.config.borrow().clone();
                self.hall.tasks.spawn(outer::run(self.hall.clone(), offer, socket, caller, permit));
            }
            Err(early) => {
                outer::turn_away(&socket, early);
                self.hall.witness.dropped(Who { trace: "", peer, key: None }, early);
            }
        }
    }

    fn admit(&self, peer: SocketAddr) -> Result<(Caller, OwnedSemaphorePermit), Early> {
        let permit = self.connections.clone().try_acquire_owned().map_err(|_| Early::Full)?;
        let mut place = self.admission.knock(rand::rng().random())?;
        let by_balancer = self.admission.is_balancer(peer.ip());
        if !by_balancer {
            place.belongs_to(peer.ip(), Instant::now())?;
        }
        Ok((Caller { peer, by_balancer, place }, permit))
    }
}

/// What whoever connects next sees of the daemon: its host key, and its certificate once there is one.
#[derive(Debug)]
pub(crate) struct Face {
    identity: Identity,
    config: watch::Sender<Offer>,
}

impl Face {
    /// Whose host key is `identity`.
    pub(crate) fn new(identity: Identity, certificate: Option<Certificate>) -> Self {
        let config = watch::Sender::new(offer(&identity, certificate.as_ref()));
        Self { identity, config }
    }

    /// Shows `certificate` from now on.
    pub(crate) fn show(&self, certificate: Certificate) {
        self.config.send_replace(offer(&self.identity, Some(&certificate)));
    }
}

fn offer(identity: &Identity, certificate: Option<&Certificate>) -> Offer {
    Offer::new(|| config(identity, certificate))
}

fn config(identity: &Identity, certificate: Option<&Certificate>) -> Config {
    Config {
        certificates: certificate.cloned().into_iter().collect(),
        window_size: INFLOW.first_window,
        maximum_packet_size: INFLOW.packet,
        // Data is taken in the handler; this queue only sees a channel's events.
        channel_buffer_size: 1,
        // A client's first question is which ways there are; then come the refused, signed or not.
        max_auth_attempts: 1 + MAX_OFFERS + MAX_SIGNATURES,
        keepalive_interval: Some(KEEP_ALIVE),
        // Some clients never answer (SSH.NET), and are there: their kernels acknowledge what they were asked, or `UNACKNOWLEDGED` ends it.
        keepalive_max: 0,
        ..ssh::config(identity.ssh())
    }
}
