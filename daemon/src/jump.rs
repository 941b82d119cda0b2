//! The users' door: accepts TCP, ends the outer SSH, and lets each channel out as a bridge to a workspace.

mod carry;
mod desk;
mod greeting;
mod presence;
mod visitor;

use crate::{
    Tokens,
    authorize::Gate,
    denial::Denial,
    limits::{
        ACCEPT_PAUSE, INFLOW, KEEP_ALIVE, KEEP_ALIVE_MAX, LINGER, LOGIN_DEADLINE, MAX_CONNECTIONS, MAX_OFFERS, MAX_PRE_AUTH,
        PARTING, READ_BUFFER,
    },
    link::Link,
    registry::Registry,
    snapshot::Snapshots,
    used::Used,
    witness::{Early, Ending, Who, Witness},
};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::WorkspaceId,
    native::{
        backlog::brake::Braked,
        clock,
        identity::{Identity, PublicIdentity},
        severable::Severable,
        ssh,
        stay::until_revoked,
    },
    revocation::{Revocation, Stay},
};
use russh::{
    Disconnect,
    keys::Certificate,
    server::{self, Config, RunningSession},
};
use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch},
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};
use visitor::Visitor;

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
    /// Who this daemon is.
    pub identity: PublicIdentity,
    /// Domains of this region.
    pub domains: Vec<String>,
    /// Past a snapshot's end.
    pub grace: Duration,
    /// How long a connection waits for another tunnel when its own is gone.
    pub patience: Duration,
    /// Fires when no new channel is to be opened.
    pub stop: CancellationToken,
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
        snapshots: Snapshots,
        registry: Registry<Link>,
        (identity, domains): (PublicIdentity, Vec<String>),
        (grace, patience): (Duration, Duration),
        witness: Witness,
        tokens: &Tokens,
    ) -> Self {
        let Tokens { stop, end } = tokens.clone();
        let (used, tasks) = (Used::default(), TaskTracker::new());
        Self { snapshots, registry, used, witness, identity, domains, grace, patience, stop, tasks, end }
    }
}

/// The jump host.
pub(crate) struct Jump {
    hall: Arc<Hall>,
    config: watch::Receiver<Arc<Config>>,
    connections: Arc<Semaphore>,
    pre_auth: Arc<Semaphore>,
}

impl Jump {
    /// A jump host with the face to show.
    pub(crate) fn new(hall: Hall, face: &Face) -> Self {
        Self {
            hall: Arc::new(hall),
            config: face.config.subscribe(),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            pre_auth: Arc::new(Semaphore::new(MAX_PRE_AUTH)),
        }
    }

    /// Owns all sessions and bridges.
    pub(crate) fn tasks(&self) -> TaskTracker {
        self.hall.tasks.clone()
    }

    /// Accepts until told to stop; the sessions live on in the hall's tasks.
    pub(crate) async fn run(self, listener: TcpListener) {
        let stop = self.hall.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => self.accept(socket, peer),
                    Err(fault) => {
                        warn!(%fault, "cannot accept");
                        time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    /// Only accepts; all else happens in the visitor's own task. One too many is dropped unheard, as sshd does.
    fn accept(&self, socket: TcpStream, peer: SocketAddr) {
        let permits = (self.connections.clone().try_acquire_owned(), self.pre_auth.clone().try_acquire_owned());
        let (Ok(connection), Ok(pre_auth)) = permits else {
            return self.hall.witness.dropped(peer, Early::Crowded);
        };
        let session = session(self.hall.clone(), self.config.borrow().clone(), socket, peer, pre_auth);
        self.hall.tasks.spawn(async move {
            session.await;
            drop(connection);
        });
    }
}

/// What whoever connects next sees of the daemon: its host key, and its certificate once there is one.
#[derive(Debug)]
pub(crate) struct Face {
    identity: Identity,
    config: watch::Sender<Arc<Config>>,
}

impl Face {
    /// Whose host key is `identity`.
    pub(crate) fn new(identity: Identity, certificate: Option<Certificate>) -> Self {
        let config = watch::Sender::new(Arc::new(config(&identity, certificate)));
        Self { identity, config }
    }

    /// Shows `certificate` from now on.
    pub(crate) fn show(&self, certificate: Certificate) {
        self.config.send_replace(Arc::new(config(&self.identity, Some(certificate))));
    }
}

fn config(identity: &Identity, certificate: Option<Certificate>) -> Config {
    Config {
        certificates: certificate.into_iter().collect(),
        window_size: INFLOW.first_window,
        maximum_packet_size: INFLOW.packet,
        // Data is taken in the handler; this queue only sees a channel's events.
        channel_buffer_size: 1,
        max_auth_attempts: MAX_OFFERS,
        keepalive_interval: Some(KEEP_ALIVE),
        keepalive_max: KEEP_ALIVE_MAX,
        ..ssh::config(identity.ssh())
    }
}

/// One outer connection from its first byte to its last.
async fn session(hall: Arc<Hall>, config: Arc<Config>, socket: TcpStream, peer: SocketAddr, pre_auth: OwnedSemaphorePermit) {
    if let Err(fault) = socket.set_nodelay(true) {
        return debug!(%peer, %fault, "gone at once");
    }
    let cut = CancellationToken::new();
    // Whatever ends this function ends the connection and its bridges.
    let _cut = cut.clone().drop_guard();
    let end = hall.end.clone();
    let (prove, proven) = oneshot::channel();
    let visitor = Visitor::new(hall.clone(), peer, cut.child_token(), prove);
    let trace = visitor.trace_id().to_owned();
    let stream = Braked::new(Severable::new(socket, cut).parting_within(LINGER), visitor.brake());
    let stream = BufReader::with_capacity(READ_BUFFER, stream);
    let login = time::timeout(LOGIN_DEADLINE, login(server::run_stream(config, stream, visitor), proven));
    let session = tokio::select! {
        () = end.cancelled() => return,
        login = login => login,
    };
    drop(pre_auth);
    match session {
        Ok(Ok((session, key))) => {
            let seen = hall.witness.logged_in(Who { trace: &trace, peer, key: Some(key) });
            let ending = live(session, &hall, key).await;
            seen.ended(&ending);
        }
        Ok(Err(fault)) => {
            debug!(%peer, %fault, "no login");
            hall.witness.dropped(peer, Early::Gone);
        }
        Err(_) => hall.witness.dropped(peer, Early::Slow),
    }
}

/// The session and its key, once that is proven.
async fn login<F>(
    start: F,
    proven: oneshot::Receiver<Fingerprint>,
) -> Result<(RunningSession<Visitor>, Fingerprint), russh::Error>
where
    F: Future<Output = Result<RunningSession<Visitor>, russh::Error>>,
{
    let mut session = start.await?;
    tokio::select! {
        Ok(key) = proven => Ok((session, key)),
        ended = &mut session => ended.and(Err(russh::Error::Disconnect)),
    }
}

/// Until the client ends it, the daemon stops, or its key is revoked.
async fn live(mut session: RunningSession<Visitor>, hall: &Hall, key: Fingerprint) -> Ending {
    let revoked = hall.until_revoked(|gate| gate.stays(&key));
    let denial = tokio::select! {
        ended = &mut session => return over(&ended),
        () = hall.end.cancelled() => Denial::Stopping,
        revocation = revoked => {
            // Agents that know it too are telling the user why, through here.
            if time::timeout(PARTING, &mut session).await.is_ok() {
                return Ending::Denied(Denial::Revoked(revocation));
            }
            Denial::Revoked(revocation)
        }
    };
    if let Err(fault) = dismiss(session, &denial).await {
        debug!(%fault, "a session ended badly");
    }
    Ending::Denied(denial)
}

/// A client that says goodbye, or only closes, is done.
fn over(ended: &Result<(), russh::Error>) -> Ending {
    match ended {
        Ok(()) | Err(russh::Error::Disconnect | russh::Error::HUP) => Ending::Finished,
        Err(fault) => {
            debug!(%fault, "a session broke");
            Ending::Broken
        }
    }
}

/// Says why, and leaves the client a moment to hear it.
async fn dismiss(session: RunningSession<Visitor>, denial: &Denial) -> Result<(), russh::Error> {
    let handle = session.handle();
    let parted = time::timeout(LINGER, async {
        handle.disconnect(Disconnect::ByApplication, denial.to_string(), String::new()).await?;
        session.await
    });
    parted.await.unwrap_or(Ok(()))
}
