//! The workspace's SSH server: one inner connection at a time, publickey only, programs run as the account of the login.

mod account;
mod accounts;
mod aside;
mod auth;
mod call;
mod channels;
mod config;
mod departure;
mod env;
mod environment;
mod executable;
mod flow;
mod forward;
mod group;
mod handler;
mod identity;
mod inherited;
mod limits;
mod lookout;
mod modes;
mod notices;
mod program;
mod pty;
mod session;
pub mod sftp;
mod signal;
mod sink;
mod spawn;
pub mod startup;
mod wide;

pub use account::{Account, Assumed};
pub use accounts::{Accounts, Admitted, Book};
pub use env::EnvPolicy;
pub use executable::Executable;
pub use forward::{Directions, ForwardPolicy, GatewayPorts, Unknown};

use auth::Login;
use channels::Channels;
use config::Settings;
use drawbridge_shared::{
    fingerprint::Fingerprint,
    id::UserId,
    native::{backlog::brake::Braked, gather::Gather, memory, reserve::Reserve, severable::Severable},
    revocation::Revocation,
};
use flow::Keyboard;
use forward::{Forwards, Resolver};
use handler::Connection;
use lookout::Lookout;
use notices::Notices;
use russh::{
    Disconnect,
    keys::{Certificate, PrivateKey},
    server,
};
use startup::Startup;
use std::{
    future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    select,
    sync::{Semaphore, oneshot},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The port that sessions believe they were reached on.
const PORT: u16 = 22;

/// Serves inner SSH connections; cheap to clone.
#[derive(Clone)]
pub struct Server<A> {
    config: Settings,
    accounts: Arc<Accounts>,
    env: Arc<EnvPolicy>,
    notices: Arc<Notices>,
    startup: Arc<Startup>,
    /// Of all connections: they share its looks.
    lookout: Arc<Lookout>,
    /// Places for session channels, over all connections.
    sessions: Arc<Semaphore>,
    agent: Option<Executable>,
    forwarding: ForwardPolicy,
    resolver: Resolver,
    /// Of all connections: they share the tunnel.
    keyboard: Keyboard,
    /// What all connections' clients have sent that their programs have not taken.
    reserve: Reserve,
    authorizer: A,
}

/// When a silent client is asked for a sign of life, and given up.
#[derive(Clone, Copy, Debug)]
pub struct Alive {
    /// Silence before it is asked; `None` never asks.
    pub interval: Option<Duration>,
    /// Unanswered questions after which it is gone; 0 never gives it up.
    pub unanswered: usize,
}

impl Default for Alive {
    /// Nobody is given up for silence: laptops sleep, some clients never answer (SSH.NET), and a session ends with its way here. The
    /// questions keep that known to the machines between.
    fn default() -> Self {
        Self { interval: Some(Duration::from_secs(60)), unanswered: 0 }
    }
}

/// Who knows which keys may log in.
pub trait Authorize: Clone + Send + Sync + 'static {
    /// Whose key this is in this workspace, by the verified authorized-keys document that is held now; `None` refuses. It is
    /// asked for offered keys too, before any signature.
    fn knows(&self, key: &Fingerprint) -> Option<UserId>;

    /// Has a newer document fetched, where there is one: for the first key of a connection that is news. Given up after ten seconds.
    fn refresh(&self) -> impl Future<Output = ()> + Send;

    /// Comes to an end when whoever came in with that key, as `user`, may no longer stay, and says why.
    fn revoked(&self, key: &Fingerprint, user: &UserId) -> impl Future<Output = Revocation> + Send;
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
    /// A server that proves itself with `host_key` and runs programs as one of `accounts`.
    pub fn new(host_key: PrivateKey, accounts: impl Into<Accounts>, alive: Alive, authorizer: A) -> Self {
        let config = Settings::new(host_key, alive);
        let root = Path::new("/");
        let sessions = Arc::new(Semaphore::new(limits::SESSIONS));
        Self {
            config,
            accounts: Arc::new(accounts.into()),
            env: Arc::default(),
            notices: Arc::new(Notices::below(root)),
            startup: Arc::new(Startup::below(root)),
            lookout: Arc::default(),
            sessions,
            agent: None,
            forwarding: ForwardPolicy::default(),
            resolver: Resolver::default(),
            keyboard: Keyboard::default(),
            reserve: Reserve::of(memory::for_buffers(limits::HELD_PART, limits::MIN_HELD)),
            authorizer,
        }
    }

    /// The same server with the machine's files (`etc/motd`, `etc/nologin`, `run/motd.dynamic`, `etc/ssh/sshrc`) from below
    /// `root`.
    pub fn with_files_below(self, root: &Path) -> Self {
        Self { notices: Arc::new(Notices::below(root)), startup: Arc::new(Startup::below(root)), ..self }
    }

    /// The same server with another policy for clients' variables.
    pub fn with_env(self, policy: EnvPolicy) -> Self {
        Self { env: Arc::new(policy), ..self }
    }

    /// The same server with what `agent` does as a program of the account: SFTP, and start-up scripts.
    pub fn with_agent(self, agent: Executable) -> Self {
        Self { agent: Some(agent), ..self }
    }

    /// Shows `certificate` beside the host key to whoever connects next.
    pub fn certify(&self, certificate: Certificate) {
        self.config.certify(certificate);
    }

    /// The same server with another policy for what is forwarded.
    pub fn with_forwarding(self, policy: ForwardPolicy) -> Self {
        Self { forwarding: policy, ..self }
    }

    /// Serves one connection until it ends or `cancel` fires, and its programs until they are hung up.
    pub async fn serve<S>(&self, stream: S, peer: Peer, cancel: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (severed, ended, verified) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let dismissed = CancellationToken::new();
        let _sever = severed.clone().drop_guard();
        let _end = ended.clone().drop_guard();
        let (grant, granted) = oneshot::channel();
        let tasks = TaskTracker::new();
        let channels = Channels::new((ended.clone(), dismissed.clone()), self.keyboard.clone(), &self.reserve);
        let stream = Severable::new(stream, severed.clone()).parting_within(limits::DISCONNECT_GRACE);
        let stream = Braked::new(stream, channels.brake());
        let connection = Connection {
            server: self.clone(),
            peer,
            account: self.accounts.own().clone(),
            channels,
            forwards: self.forwards(&tasks, &ended),
            tasks: tasks.clone(),
            verified: verified.clone(),
            refreshed: false,
            grant: Some(grant),
            login: None,
            denied: None,
            sessions_over: false,
        };
        let stream = Gather::up_to(limits::READ_BUFFER, stream);
        select! {
            () = self.converse(stream, connection, granted, &cancel, &dismissed) => {}
            () = deadline(&verified) => tracing::info!(client = %peer.client, "login took too long"),
        }
        severed.cancel();
        ended.cancel();
        tasks.close();
        select! {
            () = tasks.wait() => {}
            () = cancel.cancelled() => {
                dismissed.cancel();
                tasks.wait().await;
            }
        }
    }

    fn forwards(&self, tasks: &TaskTracker, ended: &CancellationToken) -> Forwards {
        Forwards::new(self.forwarding, self.resolver.clone(), tasks.clone(), ended.clone())
    }

    async fn converse<S>(
        &self,
        stream: S,
        connection: Connection<A>,
        granted: oneshot::Receiver<Login>,
        cancel: &CancellationToken,
        dismissed: &CancellationToken,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let client = connection.peer.client;
        let offer = self.config.current();
        let start = async {
            let (config, stream) = offer.greet(stream).await?;
            server::run_stream(config, stream, connection).await
        };
        let started = select! {
            started = start => started,
            () = cancel.cancelled() => return,
        };
        let mut running = match started {
            Ok(running) => running,
            Err(fault) => return tracing::debug!(%client, %fault, "no SSH client"),
        };
        let words = select! {
            result = &mut running => return over(client, &result),
            () = cancel.cancelled() => "the workspace's agent is stopping".to_owned(),
            revocation = self.revoked(granted, client) => revocation.to_string(),
        };
        dismissed.cancel();
        let handle = running.handle();
        let goodbye = async {
            let _gone = handle.disconnect(Disconnect::ByApplication, words, String::new()).await;
            running.await
        };
        over(client, &timeout(limits::DISCONNECT_GRACE, goodbye).await.unwrap_or(Ok(())));
    }

    /// Never where nobody logs in.
    async fn revoked(&self, granted: oneshot::Receiver<Login>, client: SocketAddr) -> Revocation {
        let Ok(Login { user, key }) = granted.await else { return future::pending().await };
        let revocation = self.authorizer.revoked(&key, &user).await;
        tracing::info!(%user, %key, %client, reason = revocation.label(), "revoked");
        revocation
    }
}

fn over(client: SocketAddr, result: &Result<(), russh::Error>) {
    match result {
        Ok(()) => tracing::debug!(%client, "connection ended"),
        Err(fault) => tracing::debug!(%client, %fault, "connection broke"),
    }
}

/// Comes to an end if nobody logs in; never after a login.
async fn deadline(verified: &CancellationToken) {
    select! {
        () = sleep(limits::LOGIN_DEADLINE) => {}
        () = verified.cancelled() => future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_shared::native::ssh::{self, steer::Offer};
    use russh::{Limits, keys::Algorithm, keys::key::safe_rng};
    use std::{process::Stdio, time::Instant};
    use tempfile::TempDir;
    use tokio::{
        io::AsyncWriteExt,
        net::TcpListener,
        process::{Child, Command},
        task::JoinSet,
    };

    /// Lets every key in.
    #[derive(Clone)]
    struct Open;

    impl Authorize for Open {
        fn knows(&self, _: &Fingerprint) -> Option<UserId> {
            "alice".parse().ok()
        }

        async fn refresh(&self) {}

        async fn revoked(&self, _: &Fingerprint, _: &UserId) -> Revocation {
            future::pending().await
        }
    }

    /// A server that changes keys after those limits.
    fn changing(limits: Limits) -> Server<Open> {
        let host = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
        let account = Account { shell: "/bin/sh".into(), ..Account::current() };
        let server = Server::new(host.clone(), account, Alive::default(), Open);
        let config = || server::Config { limits: limits.clone(), ..config::config(&host, Alive::default(), None) };
        server.config.current.send_replace(Offer::new(config));
        server
    }

    /// That server on a port of its own, for one connection.
    async fn serving(server: Server<Open>) -> (u16, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (stream, client) = listener.accept().await.unwrap();
            server.serve(stream, Peer::new(client), CancellationToken::new()).await;
        });
        (port, tasks)
    }

    fn ours() -> Limits {
        ssh::config(PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap()).limits
    }

    /// The real `ssh` with `options`, which runs `command` there.
    async fn ssh(port: u16, options: &[&str], command: &str) -> (Child, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().await;
        assert!(made.unwrap().success());
        let mut ssh = Command::new("ssh");
        ssh.args(["-v", "-F", "none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-p", &port.to_string(), "-i"]).arg(&key).args(options);
        ssh.args(["user@127.0.0.1", command]).kill_on_drop(true);
        (ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(), folder)
    }

    /// What came back, once it has ended, and how often keys were changed.
    async fn outcome(child: Child) -> (Vec<u8>, usize) {
        let output = timeout(Duration::from_secs(60), child.wait_with_output()).await.expect("ssh came to no end").unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        (output.stdout, told.matches("SSH2_MSG_NEWKEYS received").count() - 1)
    }

    /// At least 64 MiB, and as many as `lasts` takes, go there and back with a client of those `options`. Returns how often
    /// keys were changed.
    async fn echo(options: &[&str], lasts: Duration) -> usize {
        let (port, _serving) = serving(changing(ours())).await;
        let (mut child, _folder) = ssh(port, options, "cat").await;
        let piece: Vec<u8> = (0..1 << 20).map(|n| (n / 7) as u8).collect();
        let mut input = child.stdin.take().unwrap();
        let sent = async {
            let begun = Instant::now();
            let mut pieces = 0;
            while pieces < 64 || begun.elapsed() < lasts {
                input.write_all(&piece).await.unwrap();
                pieces += 1;
            }
            drop(input);
            pieces
        };
        let (pieces, (back, changes)) = tokio::join!(sent, outcome(child));
        assert!(back == piece.repeat(pieces), "{} of {} MiB came back", back.len() >> 20, pieces);
        changes
    }

    /// Where all may hold little together, one that sends to a program that takes nothing holds what its windows may have become.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_no_program_takes_is_held_within_what_all_may_hold() {
        let server = Server { reserve: Reserve::of(1 << 20), ..changing(ours()) };
        let reserve = server.reserve.clone();
        let (port, _serving) = serving(server).await;
        let (mut child, _folder) = ssh(port, &[], "sleep 1000").await;
        let (mut input, piece) = (child.stdin.take().unwrap(), vec![0; 1 << 20]);
        let floods = async { while input.write_all(&piece).await.is_ok() {} };
        assert!(timeout(Duration::from_secs(5), floods).await.is_err(), "ssh ended");
        let (held, least) = (reserve.used(), limits::INFLOW.window as usize + limits::INFLOW.first_window as usize);
        assert!((1 << 20..=2 * least).contains(&held), "{held} bytes are held");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_changes_keys_by_bytes_in_mid_transfer() {
        let often = echo(&["-o", "RekeyLimit=1M"], Duration::ZERO).await;
        assert!(often >= 20, "{often} changes");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_changes_keys_by_time_in_mid_transfer() {
        let often = echo(&["-o", "RekeyLimit=default 1"], Duration::from_millis(2500)).await;
        assert!(often >= 1, "{often} changes");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn stock_clients_change_keys_before_we_would() {
        assert_eq!(echo(&[], Duration::ZERO).await, 0);
        assert!(ours().rekey_read_limit > 1 << 30);
    }

    /// Nothing of the client's is under way in bulk: see `native::ssh` on the other direction.
    #[tokio::test(flavor = "multi_thread")]
    async fn we_change_keys_in_mid_download() {
        for limits in
            [Limits { rekey_write_limit: 1 << 20, ..ours() }, Limits { rekey_time_limit: Duration::from_millis(50), ..ours() }]
        {
            let (port, _serving) = serving(changing(limits)).await;
            let (child, _folder) = ssh(port, &[], "head -c 67108864 /dev/zero").await;
            let (output, changes) = outcome(child).await;
            assert!(output.len() == 64 << 20 && output.iter().all(|byte| *byte == 0) && changes >= 1, "{changes} changes");
        }
    }
}
