//! The agent: dials out of a workspace to its daemons and is the workspace's SSH server.

pub mod cli;
pub mod config;
pub mod enrol;
pub mod homes;
pub mod init;
pub mod keys;
pub mod ssh;
pub mod status;

mod certify;
pub mod dialer;
mod farewell;
mod fleet;
mod handover;
mod limits;
mod lines;
mod newest;
mod refused;
mod serve;
pub mod upstream;

use config::{Config, Service as Kind};
use dialer::{Dialer, Entries};
use drawbridge_shared::native::{
    edge_client::{EdgeClient, EdgeFault},
    host_certificate::Renewal,
    identity::Identity,
    signals::Tokens,
    slot::{Slot, SlotFault},
    state_dir::{StateDir, StateFault},
    trust::Trust,
};
use drawbridge_shared::tunnel::instance::Instance;
use enrol::{EnrolFault, Enrolment};
use keys::{Keeper, Keys, Pace};
use limits::STOP_GRACE;
use rand::RngExt;
use serve::{Inner, Service};
use ssh::{Executable, Server};
use status::Board;
use std::sync::Arc;
use tokio::time;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

/// File of the state folder that holds the workspace key.
const WORKSPACE_KEY: &str = "workspace_key";

/// The agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AgentFault {
    /// Its folder.
    #[error(transparent)]
    State(#[from] StateFault),
    /// Other processes on it.
    #[error(transparent)]
    Slot(#[from] SlotFault),
    /// Its call to the edge.
    #[error(transparent)]
    Edge(#[from] EdgeFault),
    /// Its enrolment.
    #[error(transparent)]
    Enrol(#[from] EnrolFault),
}

/// Serves the workspace until told to stop, or after that until a successor has it alone.
pub async fn run(config: Config, tokens: Tokens) -> Result<(), AgentFault> {
    let stop = tokens.stop.clone();
    let ran = serve(config, tokens).await;
    // By now the slot is free: who has a better token need not wait for this one.
    if let Err(AgentFault::Enrol(fault)) = &ran {
        refused::pause(fault, &stop).await;
    }
    ran
}

async fn serve(config: Config, tokens: Tokens) -> Result<(), AgentFault> {
    let state = StateDir::open(&config.edge.state_dir)?;
    let slot = Arc::new(Slot::claim(&state, config.take_over)?);
    let key = state.identity(WORKSPACE_KEY)?;
    let edge = EdgeClient::by(config.edge.url, config.edge.token, &config.routes.proxies)?.rereading(config.edge.token_file);
    let mut trust = Trust::open(config.edge.trust, &state);
    let mut enrolment = Enrolment::new(edge.clone(), state.clone(), trust.roots(), &key);
    let enrolled = tokio::select! {
        enrolled = enrolment.begin() => enrolled?,
        () = tokens.stop.cancelled() => return Ok(()),
    };
    let pace = Pace { poll: config.poll, grace: config.grace };
    let (keeper, keys) = Keeper::open(edge.clone(), trust, enrolled.workspace.clone(), state.clone(), pace);
    let mut renewal = Renewal::open(edge, certify::PATH, key.public(), state.clone());
    enrolled.host_certificate.iter().for_each(|certificate| renewal.offer(certificate));
    let board = Board::new(enrolled.workspace.clone(), state, &slot);
    let (tasks, loops) = (TaskTracker::new(), TaskTracker::new());
    let (stop, end) = (CancellationToken::new(), CancellationToken::new());
    let inner = inner(config.service, &key, &keys, renewal, &loops, &stop);
    let service = Service::new(inner, keys.clone(), tasks.clone(), end.clone());
    let dialer = Dialer {
        workspace: enrolled.workspace,
        instance: Instance(rand::rng().random()),
        slot: slot.clone(),
        key,
        service: service.clone(),
        entries: Entries::on(board.clone()),
        routes: config.routes,
    };
    loops.spawn(board.clone().keep_written(stop.clone()));
    loops.spawn(keeper.saving(stop.clone()));
    loops.spawn(keeper.run(board.clone(), stop.clone()));
    loops.spawn(fleet::run(dialer, board.clone(), keys.watch(), stop.clone()));
    loops.spawn(handover::take_over(slot.clone(), board.clone(), stop.clone()));
    let over = tokio::select! {
        () = handover::until_over(&slot, &service, &board, config.handover, &tokens) => Ok(()),
        fault = enrolment.refused(&tokens.stop) => Err(fault.into()),
    };
    info!("stopping");
    stop.cancel();
    loops.close();
    // A disk that does not answer is not waited for.
    let _ = time::timeout(STOP_GRACE, loops.wait()).await;
    end.cancel();
    tasks.close();
    // Sessions that outlast their hang-up were killed by then; what is left is only words that nobody hears.
    let _ = time::timeout(STOP_GRACE, tasks.wait()).await;
    over
}

/// Who takes connections. Where that is us, a task in `loops` keeps us certified until `stop`.
fn inner(kind: Kind, key: &Identity, keys: &Keys, renewal: Renewal, loops: &TaskTracker, stop: &CancellationToken) -> Inner {
    match kind {
        Kind::Own { accounts, env, alive, forwarding } => {
            let ssh = Server::new(key.ssh(), accounts, alive, keys.clone()).with_env(env).with_forwarding(forwarding);
            let ssh = with_agent(ssh);
            renewal.held().into_iter().for_each(|held| ssh.certify(held.clone()));
            loops.spawn(certify::run(renewal, ssh.clone(), keys.watch(), stop.clone()));
            Inner::Own(ssh)
        }
        // That sshd's host key is its own: there is nothing to certify.
        Kind::Upstream(upstream) => Inner::Upstream(upstream),
    }
}

/// Without `/proc` there is nothing to start for SFTP and start-up scripts; all else works.
fn with_agent(ssh: Server<Keys>) -> Server<Keys> {
    match Executable::running() {
        Ok(agent) => ssh.with_agent(agent),
        Err(fault) => {
            warn!(%fault, "this program cannot be opened in /proc: there is no SFTP, and ~/.ssh/rc is not run");
            ssh
        }
    }
}
