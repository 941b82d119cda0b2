//! The daemon: a regional jump host that verifies signed key snapshots and bridges users to their workspaces' agents.

pub mod admission;
pub mod audit;
pub mod authorize;
pub mod bridge;
pub mod config;
pub mod denial;
pub mod keyset;
pub mod link;
pub mod registry;
pub mod snapshot;

mod admin;
mod certify;
mod herald;
mod jump;
mod limits;
mod listener;
mod metrics;
mod used;
mod witness;

use admin::Admin;
use admission::Admission;
use audit::{Scribe, Trail};
use config::Config;
use drawbridge_shared::native::{
    edge_client::{EdgeClient, EdgeFault},
    host_certificate::Renewal,
    identity::PublicIdentity,
    state_dir::{StateDir, StateFault},
    trust::Trust,
};
use drawbridge_shared::tunnel::frame::Reason;
use jump::{Face, Hall, Jump};
use limits::FAREWELL;
use link::Link;
pub use listener::PortsFault;
use listener::{Listener, Ports};
use metrics::{Exhibition, Metrics};
use registry::Registry;
use serde::Serialize;
use snapshot::{Keeper, Pace, Snapshots, Store};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;
use used::Used;
use witness::Witness;

/// File of the state folder that holds the daemon's identity.
const IDENTITY: &str = "identity";
/// File of the state folder that says where the daemon listens while it runs.
const LISTENING: &str = "listening.json";

/// A daemon that owns its sockets and has not begun.
pub struct Daemon {
    edge: EdgeClient,
    renewal: Renewal,
    face: Face,
    used: Used,
    jump: Jump,
    door: TcpListener,
    listener: Listener,
    ports: Ports,
    keeper: Keeper,
    snapshots: Snapshots,
    registry: Registry<Link>,
    state: StateDir,
    listening: Listening,
    drain: Duration,
    tokens: Tokens,
    scribe: Option<Scribe>,
    admin: Option<(Admin, TcpListener)>,
}

/// Where a daemon listens.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Listening {
    /// Users, by SSH.
    pub ssh: SocketAddr,
    /// Agents, by QUIC (UDP) and WebSocket (TCP).
    pub tunnel: SocketAddr,
    /// Operators, by HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<SocketAddr>,
}

/// A daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindFault {
    /// Its folder.
    #[error(transparent)]
    State(#[from] StateFault),
    /// Its call to the edge.
    #[error(transparent)]
    Edge(#[from] EdgeFault),
    /// The users' door.
    #[error("cannot listen for SSH on {0}: {1}")]
    Ssh(SocketAddr, std::io::Error),
    /// The agents' door.
    #[error("cannot listen for agents on {0}: {1}")]
    Tunnel(SocketAddr, PortsFault),
    /// The operators' door.
    #[error("cannot listen for operators on {0}: {1}")]
    Admin(SocketAddr, std::io::Error),
    /// The audit trail.
    #[error("cannot write the audit trail: {0}")]
    Audit(std::io::Error),
    /// A socket without an address.
    #[error("cannot tell where it listens: {0}")]
    Address(#[from] std::io::Error),
}

/// How a daemon is told to end.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Fires when nothing new is to begin.
    pub stop: CancellationToken,
    /// Fires when what runs is to end now.
    pub end: CancellationToken,
}

/// The identity in the state folder at `path`, made there on first use.
pub fn identity(path: &Path) -> Result<PublicIdentity, StateFault> {
    Ok(StateDir::open(path)?.identity(IDENTITY)?.public())
}

impl Daemon {
    /// Opens all that a daemon needs; nothing is served yet.
    pub async fn bind(config: Config, tokens: Tokens) -> Result<Self, BindFault> {
        let state = StateDir::open(&config.edge.state_dir)?;
        let identity = state.identity(IDENTITY)?;
        let door = TcpListener::bind(config.listen_ssh).await.map_err(|fault| BindFault::Ssh(config.listen_ssh, fault))?;
        let ports = Ports::bind(config.listen_tunnel, &identity).await;
        let ports = ports.map_err(|fault| BindFault::Tunnel(config.listen_tunnel, fault))?;
        let admin_door = admin::bind(config.admin).await?;
        let admin_at = admin_door.as_ref().map(TcpListener::local_addr).transpose()?;
        let listening = Listening { ssh: door.local_addr()?, tunnel: ports.local_addr()?, admin: admin_at };
        let metrics = Metrics::default();
        let (trail, scribe) =
            config.audit.map(|place| Trail::start(place, &metrics)).transpose().map_err(BindFault::Audit)?.unzip();
        let witness = Witness::new(metrics.clone(), trail.unwrap_or_default());
        let edge = EdgeClient::new(config.edge.url, config.edge.token)?;
        let trust = Trust::open(config.edge.trust, &state);
        let (keeper, snapshots) =
            Keeper::open(edge.clone(), trust, Store::open(&state)?, Pace { poll: config.poll, grace: config.grace });
        let registry = Registry::default();
        let exhibition = Arc::new(Exhibition::new(&metrics, snapshots.clone()));
        let admin = Admin { exhibition, snapshots: snapshots.clone(), grace: config.grace, stop: tokens.stop.clone() };
        let listener = Listener::new(ports.clone(), identity.public(), snapshots.clone(), registry.clone(), metrics);
        let (names, spans) = ((identity.public(), config.domains), (config.grace, config.resume));
        let hall = Hall::new(snapshots.clone(), registry.clone(), names, spans, witness, &tokens);
        let used = hall.used.clone();
        let renewal = Renewal::open(edge.clone(), certify::PATH, identity.public(), state.clone());
        let face = Face::new(identity, renewal.held().cloned());
        let jump = Jump::new(hall, &face, Admission::new(config.admission));
        Ok(Self {
            edge,
            renewal,
            face,
            used,
            jump,
            door,
            listener,
            ports,
            keeper,
            snapshots,
            registry,
            state,
            listening,
            drain: config.drain,
            tokens,
            scribe,
            admin: admin_door.map(|door| (admin, door)),
        })
    }

    /// Where it listens.
    pub const fn listening(&self) -> Listening {
        self.listening
    }

    /// Serves until told to stop, then until its sessions have ended or were ended.
    pub async fn run(self) -> Result<(), StateFault> {
        let Self {
            edge,
            renewal,
            face,
            used,
            jump,
            door,
            listener,
            ports,
            keeper,
            snapshots,
            registry,
            state,
            listening,
            drain,
            tokens,
            scribe,
            admin,
        } = self;
        let (loops, tunnels) = (TaskTracker::new(), TaskTracker::new());
        let sessions = jump.tasks();
        let kept = CancellationToken::new();
        loops.spawn(certify::run(renewal, face, snapshots.watch(), tokens.stop.clone()));
        loops.spawn(used::report(used, edge, kept.clone()));
        loops.spawn(herald::run(snapshots, registry.clone(), tokens.stop.clone()));
        loops.spawn(keeper.run(kept.clone()));
        loops.spawn(listener.run(tunnels.clone(), tokens.stop.clone(), kept.clone()));
        loops.spawn(jump.run(door));
        scribe.into_iter().for_each(|scribe| drop(loops.spawn(scribe.run(kept.clone()))));
        admin.into_iter().for_each(|(admin, door)| drop(loops.spawn(admin.run(door, kept.clone()))));
        announce(&state, &listening)?;
        info!(ssh = %listening.ssh, tunnel = %listening.tunnel, "serving");
        tokens.stop.cancelled().await;
        info!(sessions = sessions.len(), "stopping");
        drained(&sessions, &tokens, drain).await;
        farewell(&registry, &ports).await;
        kept.cancel();
        loops.close();
        loops.wait().await;
        withdraw(&state);
        info!("stopped");
        Ok(())
    }
}

/// Waits for the sessions to end: by themselves, at the end of their time, or when they are ended.
async fn drained(sessions: &TaskTracker, tokens: &Tokens, drain: Duration) {
    sessions.close();
    tokio::select! {
        () = sessions.wait() => return,
        () = tokens.end.cancelled() => {}
        () = time::sleep(drain) => tokens.end.cancel(),
    }
    sessions.wait().await;
}

/// Sends every agent away, and waits a bounded time until they know.
async fn farewell(registry: &Registry<Link>, ports: &Ports) {
    for (_, link) in registry.all() {
        link.dismiss(Reason::Stopping, "the daemon stops");
    }
    // Agents close when they have heard; those that do not are gone already.
    let _ = time::timeout(FAREWELL, ports.wait_idle()).await;
}

fn announce(state: &StateDir, listening: &Listening) -> Result<(), StateFault> {
    let text = serde_json::to_vec(listening).unwrap_or_default();
    state.write(LISTENING, &text)
}

/// Best effort: a file that stays says where a daemon was.
fn withdraw(state: &StateDir) {
    let _ = std::fs::remove_file(state.path(LISTENING));
}
