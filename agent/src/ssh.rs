//! The workspace's SSH server: one inner connection at a time, publickey only, programs run as the agent's account.

mod account;
mod auth;
mod channels;
mod config;
mod env;
mod environment;
mod executable;
mod group;
mod handler;
mod limits;
mod modes;
mod program;
mod pty;
mod session;
pub mod sftp;
mod signal;
mod sink;
mod spawn;

pub use account::Account;
pub use env::EnvPolicy;
pub use executable::Executable;

use channels::Channels;
use config::Settings;
use drawbridge_shared::{fingerprint::Fingerprint, id::UserId, native::severable::Severable};
use handler::Connection;
use russh::{
    Disconnect,
    keys::{Certificate, PrivateKey},
    server,
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader},
    select,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The port that sessions believe they were reached on.
const PORT: u16 = 22;

/// Serves inner SSH connections; cheap to clone.
#[derive(Clone)]
pub struct Server<A> {
    config: Settings,
    account: Arc<Account>,
    env: Arc<EnvPolicy>,
    sftp: Option<Executable>,
    authorizer: A,
}

/// Who knows which keys may log in.
pub trait Authorize: Clone + Send + Sync + 'static {
    /// Whose key this is in this workspace, by the verified authorized-keys document; `None` refuses. It is asked for
    /// offered keys too, before any signature, and given up after ten seconds.
    fn authorize(&self, key: &Fingerprint) -> impl Future<Output = Option<UserId>> + Send;
}

/// The other end of a connection, as it is shown to programs; nothing is decided by it.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The user's address.
    pub client: SocketAddr,
    /// The address that was reached.
    pub server: SocketAddr,
}

impl Peer {
    /// `client`, having reached port 22 of this machine.
    pub fn new(client: SocketAddr) -> Self {
        let local: IpAddr = match client.ip().to_canonical() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        Self { client, server: SocketAddr::new(local, PORT) }
    }
}

impl<A: Authorize> Server<A> {
    /// A server that proves itself with `host_key` and runs programs as `account`.
    pub fn new(host_key: PrivateKey, account: Account, authorizer: A) -> Self {
        Self { config: Settings::new(host_key), account: Arc::new(account), env: Arc::default(), sftp: None, authorizer }
    }

    /// The same server with another policy for clients' variables.
    pub fn with_env(self, policy: EnvPolicy) -> Self {
        Self { env: Arc::new(policy), ..self }
    }

    /// The same server with SFTP, which `agent` serves as a program of the account.
    pub fn with_sftp(self, agent: Executable) -> Self {
        Self { sftp: Some(agent), ..self }
    }

    /// Shows `certificate` beside the host key to whoever connects next.
    pub fn certify(&self, certificate: Certificate) {
        self.config.certify(certificate);
    }

    /// Serves one connection until it ends or `cancel` fires, and its programs until they are hung up.
    pub async fn serve<S>(&self, stream: S, peer: Peer, cancel: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (severed, ended, verified) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let _sever = severed.clone().drop_guard();
        let _end = ended.clone().drop_guard();
        let tasks = TaskTracker::new();
        let connection = Connection {
            server: self.clone(),
            peer,
            channels: Channels::new(ended.clone()),
            tasks: tasks.clone(),
            verified: verified.clone(),
            denied: None,
        };
        let stream = BufReader::with_capacity(limits::READ_BUFFER, Severable::new(stream, severed.clone()));
        select! {
            () = self.converse(stream, connection, &cancel) => {}
            () = deadline(&verified) => tracing::info!(client = %peer.client, "login took too long"),
        }
        severed.cancel();
        ended.cancel();
        tasks.close();
        tasks.wait().await;
    }

    async fn converse<S>(&self, stream: S, connection: Connection<A>, cancel: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let client = connection.peer.client;
        let started = select! {
            started = server::run_stream(self.config.current(), stream, connection) => started,
            () = cancel.cancelled() => return,
        };
        let mut running = match started {
            Ok(running) => running,
            Err(fault) => return tracing::debug!(%client, %fault, "no SSH client"),
        };
        let handle = running.handle();
        let result = select! {
            result = &mut running => result,
            () = cancel.cancelled() => {
                let words = "the workspace's agent is stopping".to_owned();
                let goodbye = async {
                    let _gone = handle.disconnect(Disconnect::ByApplication, words, String::new()).await;
                    running.await
                };
                timeout(limits::DISCONNECT_GRACE, goodbye).await.unwrap_or(Ok(()))
            }
        };
        match result {
            Ok(()) => tracing::debug!(%client, "connection ended"),
            Err(fault) => tracing::debug!(%client, %fault, "connection broke"),
        }
    }
}

/// Comes to an end if nobody logs in; never after a login.
async fn deadline(verified: &CancellationToken) {
    select! {
        () = sleep(limits::LOGIN_DEADLINE) => {}
        () = verified.cancelled() => std::future::pending().await,
    }
}
