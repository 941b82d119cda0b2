//! The daemon: a regional jump host that verifies signed key snapshots and bridges users to their workspaces' agents.

pub mod admission;
pub mod audit;
pub mod authorize;
pub mod bridge;
pub mod cli;
pub mod config;
pub mod denial;
pub mod descriptors;
pub mod keyset;
pub mod link;
pub mod registry;
pub mod snapshot;

mod admin;
mod certify;
mod chores;
mod doors;
mod drain;
mod enlisted;
mod herald;
mod jammed;
mod jump;
mod limits;
mod listener;
mod metrics;
mod passage;
mod used;
mod witness;

use admin::Admin;
use admission::Admission;
use audit::Trail;
use chores::Chores;
use config::Config;
use doors::Doors;
pub use doors::Listening;
pub use drain::Spans;
use drawbridge_shared::native::{
    doors::{Opener, Passed, Turn},
    edge_client::{EdgeClient, EdgeFault},
    host_certificate::Renewal,
    identity::{Identity, PublicIdentity},
    memory,
    reserve::Reserve,
    signals::Tokens,
    slot::{Slot, SlotFault},
    state_dir::{StateDir, StateFault},
    trust::Trust,
};
use jump::{Face, Hall, Jump};
use limits::{BUFFERED_PART, MIN_BUFFERED};
use link::Link;
pub use listener::PortsFault;
use listener::{Listener, Ports};
use metrics::{Exhibition, Metrics};
use passage::Passage;
use registry::Registry;
use snapshot::{Keeper, Pace, Store};
use std::{net::SocketAddr, path::Path, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use witness::Witness;

/// File of the state folder that holds the daemon's identity.
const IDENTITY: &str = "identity";

/// A daemon that owns its sockets and has not begun.
pub struct Daemon {
    jump: Jump,
    users: TcpListener,
    agents: Ports,
    registry: Registry<Link>,
    chores: Chores,
    state: StateDir,
    slot: Arc<Slot>,
    listening: Listening,
    spans: Spans,
    tokens: Tokens,
    fallen: CancellationToken,
}

/// A daemon stopped that was not told to, and is to be started again.
#[derive(Debug, thiserror::Error)]
#[error("the agents' QUIC door fell shut, and nobody can serve without it")]
pub struct Fallen;

/// A daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindFault {
    /// Its folder.
    #[error(transparent)]
    State(#[from] StateFault),
    /// Its place there.
    #[error(transparent)]
    Slot(#[from] SlotFault),
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

/// The identity in the state folder at `path`, made there on first use.
pub fn identity(path: &Path) -> Result<PublicIdentity, StateFault> {
    Ok(StateDir::open(path)?.identity(IDENTITY)?.public())
}

impl Daemon {
    /// Opens all that a daemon needs, and takes the doors that were `passed`; nothing is served yet.
    pub async fn bind(config: Config, passed: Passed, tokens: Tokens) -> Result<Self, BindFault> {
        let state = StateDir::open(&config.edge.state_dir)?;
        let slot = Arc::new(Slot::claim(&state, config.take_over)?);
        let identity = own_identity(&state)?;
        let metrics = Metrics::default();
        let (trail, scribe) =
            config.audit.map(|place| Trail::start(place, &metrics)).transpose().map_err(BindFault::Audit)?.unzip();
        let witness = Witness::new(metrics.clone(), trail.unwrap_or_default());
        let edge = EdgeClient::new(config.edge.url, config.edge.token)?.rereading(config.edge.token_file);
        let trust = Trust::open(config.edge.trust, &state);
        let (keeper, snapshots) =
            Keeper::open(edge.clone(), trust, Store::open(&state)?, Pace { poll: config.poll, grace: config.grace });
        // After what was saved is loaded: whoever comes in from now on need not wait for that.
        let opener = Opener { turn: Turn::of(&slot), passed };
        let doors = Doors::open(&config.doors, &identity, opener)?;
        let listening = doors.listening()?;
        let Doors { users, agents, operators } = doors;
        let registry = Registry::default();
        let passage = Passage::new(state.clone(), slot.clone());
        let (names, spans) = ((identity.public(), config.domains), (config.grace, config.resume));
        let reserve = Reserve::of(memory::for_buffers(BUFFERED_PART, MIN_BUFFERED));
        let hall = Hall::new((snapshots.clone(), registry.clone()), names, spans, witness, passage.clone(), reserve, &tokens);
        let stop = tokens.stop.clone();
        let exhibition = Arc::new(Exhibition::new(&metrics, snapshots.clone()));
        let admin = Admin {
            exhibition,
            snapshots: snapshots.clone(),
            identity: identity.public(),
            grace: config.grace,
            stop: stop.clone(),
        };
        let ports = (agents.clone(), identity.public());
        let fallen = CancellationToken::new();
        let heeded = listener::Tokens { stop: stop.clone(), fallen: fallen.clone() };
        let listener = Listener::new(ports, slot.clone(), snapshots.clone(), registry.clone(), metrics, heeded);
        let renewal = Renewal::open(edge.clone(), certify::PATH, identity.public(), state.clone());
        let mut chores = Chores::default();
        let end = chores.end();
        chores.add(enlisted::run(snapshots.watch(), identity.public(), end.clone()));
        let face = Face::new(identity, renewal.held().cloned());
        chores.add(passage.serve(registry.clone(), end.clone()));
        chores.add(used::report(hall.used.clone(), edge, end.clone()));
        let jump = Jump::new(hall, &face, Admission::new(config.admission));
        chores.add(certify::run(renewal, face, snapshots.watch(), stop));
        chores.add(herald::run(snapshots, registry.clone(), end.clone()));
        chores.add(keeper.run(end.clone()));
        chores.add(listener.run(end.clone()));
        scribe.into_iter().for_each(|scribe| chores.add(scribe.run(end.clone())));
        operators.into_iter().for_each(|door| chores.add(admin.clone().run(door, end.clone())));
        Ok(Self { jump, users, agents, registry, chores, state, slot, listening, spans: config.spans, tokens, fallen })
    }

    /// Where it listens.
    pub const fn listening(&self) -> Listening {
        self.listening
    }

    /// Serves until told to stop, then until its sessions have ended or were ended. Whose place it takes is told so.
    pub async fn run(self) -> Result<(), Fallen> {
        let Self { jump, users, agents, registry, chores, state, slot, listening, spans, tokens, fallen } = self;
        let (chores, sessions) = (chores.begin(), jump.tasks());
        let door = chores.spawn(jump.run(users, slot.clone()));
        listening.announce(&state);
        info!(ssh = %listening.ssh, tunnel = %listening.tunnel, "serving");
        take_over(&slot);
        tokens.stop.cancelled().await;
        drain::drain((door, &sessions), &registry, &slot, (&tokens, spans)).await;
        drain::farewell(&registry, &agents).await;
        chores.finish().await;
        listening.withdraw(&state);
        info!("stopped");
        if fallen.is_cancelled() { Err(Fallen) } else { Ok(()) }
    }
}

/// The one in the state folder. One that has to be made while a daemon starts is news to the edge, and to whoever lost the other.
fn own_identity(state: &StateDir) -> Result<Identity, StateFault> {
    let made = !state.path(IDENTITY).exists();
    let identity = state.identity(IDENTITY)?;
    if made {
        let line = identity.public().to_line();
        warn!(identity = line, "the state folder had no identity: a new one was made, and has to be registered");
    }
    Ok(identity)
}

/// Has the process end that was here first: doors are open now, and what is new comes here.
fn take_over(slot: &Slot) {
    let Some(elder) = slot.other().filter(|_| slot.has_elder()) else { return };
    match slot.ask_other() {
        Ok(true) => info!(elder, "took over: it serves its sessions to their end"),
        Ok(false) => info!(elder, "took over from a process that has just ended"),
        Err(fault) => warn!(elder, %fault, "cannot tell the process that was here first: send it SIGTERM"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use cli::{Cli, Command};
    use drawbridge_shared::{
        native::identity::Identity,
        token::{Scope, Token},
    };
    use tokio::{io::AsyncReadExt, net::TcpStream};

    fn config(folder: &Path) -> Config {
        std::fs::write(folder.join("trust"), Identity::from_seed(&[1; 32]).public().to_line()).unwrap();
        let at = |name| folder.join(name).display().to_string();
        let doors = ["--listen-ssh", "127.0.0.1:0", "--listen-tunnel", "127.0.0.1:0", "--edge", "http://127.0.0.1:1"];
        let files = ["--trust", &at("trust"), "--state-dir", &at("state")];
        let cli = Cli::parse_from(["drawbridge-daemon", "run"].into_iter().chain(doors).chain(files));
        let Command::Run(raw) = cli.command else { panic!("not what was asked") };
        raw.check(Some(Token::mint(Scope::Daemon, &[1; 32]).expose().into())).unwrap()
    }

    /// A folder in the file's place fails every write, and root's too.
    #[tokio::test]
    async fn a_daemon_that_cannot_say_where_it_listens_serves() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(&root.path().join("state")).unwrap();
        std::fs::create_dir(state.path("listening.json")).unwrap();
        let tokens = Tokens::default();
        let daemon = Daemon::bind(config(root.path()), Passed::default(), tokens.clone()).await.unwrap();
        let door = daemon.listening().ssh;
        let user = async {
            let mut greeting = [0; 8];
            TcpStream::connect(door).await.unwrap().read_exact(&mut greeting).await.unwrap();
            tokens.stop.cancel();
            tokens.end.cancel();
            greeting
        };
        let (ran, greeting) = tokio::join!(daemon.run(), user);
        ran.unwrap();
        assert_eq!(&greeting, b"SSH-2.0-");
    }

    /// quinn's own task, which serves the socket, ends with the runtime that it was started on.
    #[test]
    fn a_daemon_whose_quic_door_falls_shut_stops_and_says_so() {
        let root = tempfile::tempdir().unwrap();
        let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (first, second) = (runtime(), runtime());
        let binding = Daemon::bind(config(root.path()), Passed::default(), Tokens::default());
        let daemon = first.block_on(binding).unwrap();
        drop(first);
        let ran = second.block_on(async { tokio::time::timeout(std::time::Duration::from_secs(30), daemon.run()).await });
        assert!(matches!(ran, Ok(Err(Fallen))), "{ran:?}");
    }
}
