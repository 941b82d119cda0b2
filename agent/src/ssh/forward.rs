//! All that one connection forwards: what it may, what it listens for, and how much of it there is.

mod arrivals;
mod bind;
mod denied;
mod lane;
mod listening;
mod policy;
mod resolve;
mod socket;
mod unix;

pub(super) use arrivals::Unasked;
pub(super) use denied::Denied;
pub use policy::{Directions, ForwardPolicy, GatewayPorts, Unknown};
pub(super) use resolve::Resolver;

use super::{account::Account, channels::Inbound, limits};
use arrivals::Arrivals;
use lane::Lane;
use listening::{Entrance, Listening};
use russh::{
    ChannelId, ChannelOpenFailure, ChannelWriteHalf,
    server::{ChannelOpenHandle, Handle, Msg},
};
use socket::{Listener, Socket};
use std::{collections::HashMap, path::PathBuf, sync::Arc};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// One connection's forwards; only its handler touches it.
#[derive(Debug)]
pub(super) struct Forwards {
    policy: ForwardPolicy,
    /// In whose name; nobody's before the login.
    account: Option<Arc<Account>>,
    crew: Crew,
    listening: HashMap<Place, Listening>,
    agent: Option<Agent>,
}

/// What the tasks of one connection's forwards share.
#[derive(Clone, Debug)]
struct Crew {
    resolver: Resolver,
    arrivals: Arrivals<ChannelId, Inbound>,
    tasks: TaskTracker,
    connection: CancellationToken,
    seats: Arc<Semaphore>,
    connecting: Arc<Semaphore>,
}

/// Where the client asked us to listen, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Tcp(String, u16),
    Unix(String),
}

/// The one agent socket of a connection.
#[derive(Debug)]
struct Agent {
    path: String,
    _listening: Listening,
}

/// A connection that the client may have made for it.
#[derive(Debug)]
pub(super) struct Errand {
    target: Target,
    seat: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Target {
    Tcp(String, u16),
    Unix(Arc<Account>, PathBuf),
}

impl Forwards {
    /// Nothing yet; `tasks` owns what comes, `connection` ends it.
    pub(super) fn new(policy: ForwardPolicy, resolver: Resolver, tasks: TaskTracker, connection: CancellationToken) -> Self {
        let seats = Arc::new(Semaphore::new(limits::FORWARDS));
        let connecting = Arc::new(Semaphore::new(limits::CONNECTING));
        let crew = Crew { resolver, arrivals: Arrivals::default(), tasks, connection, seats, connecting };
        Self { policy, account: None, crew, listening: HashMap::new(), agent: None }
    }

    /// From now on `account` is who asks.
    pub(super) fn log_in(&mut self, account: Arc<Account>) {
        self.account = Some(account);
    }

    /// `direct-tcpip` to `host`, as the workspace sees it (RFC 4254 section 7.2).
    pub(super) fn to_host(&self, host: &str, port: u32) -> Result<Errand, Denied> {
        self.account()?;
        self.policy.tcp_to_workspace()?;
        if host.len() > limits::HOST_NAME {
            return Err(Denied::HostName);
        }
        self.errand(Target::Tcp(host.to_owned(), narrow(port)?))
    }

    /// `direct-streamlocal@openssh.com` (OpenSSH's PROTOCOL, section 2.4).
    pub(super) fn to_socket(&self, path: &str) -> Result<Errand, Denied> {
        let account = self.account()?;
        self.policy.sockets_to_workspace()?;
        unix::trusted(account)?;
        self.errand(Target::Unix(account.clone(), unix::path(path)?))
    }

    /// Makes the connection and answers the client; then carries.
    pub(super) fn run(&self, errand: Errand, inbound: Inbound, outbound: ChannelWriteHalf<Msg>, reply: ChannelOpenHandle) {
        let crew = self.crew.clone();
        let Errand { target, seat } = errand;
        self.crew.tasks.spawn(async move {
            let connection = crew.connection.clone();
            connection.run_until_cancelled(serve(crew, target, Lane { inbound, outbound }, reply)).await;
            drop(seat);
        });
    }

    /// `tcpip-forward` (RFC 4254 section 7.1): the port listened on.
    pub(super) fn listen_on_port(&mut self, address: &str, port: u32, handle: &Handle) -> Result<u16, Denied> {
        let account = self.account()?;
        self.policy.tcp_from_workspace()?;
        self.may_listen()?;
        if address.len() > limits::HOST_NAME {
            return Err(Denied::HostName);
        }
        let port = narrow(port)?;
        bind::permitted(account, port)?;
        let (bound, port) = bind::tcp(&bind::addresses(self.policy.gateway, address)?, port)?;
        let listeners = bound.into_iter().map(|one| Ok(Listener::Tcp(TcpListener::from_std(one)?)));
        let listeners = listeners.collect::<Result<_, Denied>>()?;
        let entrance = Entrance::Tcp { address: address.to_owned(), port };
        let listening = Listening::start(listeners, entrance, &self.crew, handle);
        self.listening.insert(Place::Tcp(address.to_owned(), port), listening);
        Ok(port)
    }

    /// `streamlocal-forward@openssh.com`.
    pub(super) async fn listen_on_socket(&mut self, path: &str, handle: &Handle) -> Result<(), Denied> {
        let account = self.account()?;
        self.policy.sockets_from_workspace()?;
        self.may_listen()?;
        let (listener, claim) = unix::listener(account, &unix::path(path)?, self.policy.unlink).await?;
        let entrance = Entrance::Unix { path: path.to_owned() };
        let listening = Listening::start(vec![Listener::Unix { listener, claim }], entrance, &self.crew, handle);
        self.listening.insert(Place::Unix(path.to_owned()), listening);
        Ok(())
    }

    /// `cancel-tcpip-forward`: whether there was one. Its port is free afterwards.
    pub(super) async fn leave_port(&mut self, address: &str, port: u32) -> bool {
        match u16::try_from(port) {
            Ok(port) => self.leave(&Place::Tcp(address.to_owned(), port)).await,
            Err(_) => false,
        }
    }

    /// `cancel-streamlocal-forward@openssh.com`.
    pub(super) async fn leave_socket(&mut self, path: &str) -> bool {
        self.leave(&Place::Unix(path.to_owned())).await
    }

    /// `auth-agent-req@openssh.com`: one socket a connection, however often it is asked for.
    pub(super) fn forward_agent(&mut self, handle: &Handle) -> Result<(), Denied> {
        let account = self.account()?;
        self.policy.agent()?;
        if self.agent.is_none() {
            let (listener, nook, path) = unix::agent(account)?;
            let listeners = vec![Listener::Agent { listener, nook }];
            let listening = Listening::start(listeners, Entrance::Agent, &self.crew, handle);
            self.agent = Some(Agent { path: path.to_string_lossy().into_owned(), _listening: listening });
        }
        Ok(())
    }

    /// `SSH_AUTH_SOCK` for sessions that start now.
    pub(super) fn variables(&self) -> Option<(String, String)> {
        self.agent.as_ref().map(|agent| ("SSH_AUTH_SOCK".to_owned(), agent.path.clone()))
    }

    /// The client confirmed a channel that we opened; `None` where it does not fit.
    pub(super) fn confirmed(&self, id: ChannelId, inbound: Option<Inbound>) -> Result<(), Unasked> {
        self.crew.arrivals.confirmed(id, inbound)
    }

    fn account(&self) -> Result<&Arc<Account>, Denied> {
        self.account.as_ref().ok_or(Denied::Login)
    }

    fn errand(&self, target: Target) -> Result<Errand, Denied> {
        let seat = self.crew.seats.clone().try_acquire_owned().map_err(|_| Denied::Crowded)?;
        Ok(Errand { target, seat })
    }

    fn may_listen(&self) -> Result<(), Denied> {
        (self.listening.len() < limits::LISTENERS).then_some(()).ok_or(Denied::Listeners)
    }

    async fn leave(&mut self, place: &Place) -> bool {
        match self.listening.remove(place) {
            Some(listening) => {
                listening.close().await;
                true
            }
            None => false,
        }
    }
}

async fn serve(crew: Crew, target: Target, lane: Lane, reply: ChannelOpenHandle) {
    match reach(&crew, &target).await {
        Ok(socket) => {
            reply.accept().await;
            socket.carry(lane).await;
        }
        Err(denied) => {
            tracing::debug!(%denied, "a forwarded connection failed");
            reply.reject(ChannelOpenFailure::Other { code: denied.code(), reason: denied.to_string() }).await;
        }
    }
}

async fn reach(crew: &Crew, target: &Target) -> Result<Socket, Denied> {
    // Never closed, so that every one of them gets its turn.
    let _turn = crew.connecting.acquire().await;
    match target {
        Target::Tcp(host, port) => Ok(Socket::Tcp(crew.resolver.connect(host, *port).await?)),
        Target::Unix(account, path) => Ok(Socket::Unix(unix::connect(account, path).await?)),
    }
}

fn narrow(port: u32) -> Result<u16, Denied> {
    u16::try_from(port).map_err(|_| Denied::Port(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwards(policy: ForwardPolicy) -> Forwards {
        Forwards::new(policy, Resolver::default(), TaskTracker::new(), CancellationToken::new())
    }

    fn logged_in(policy: ForwardPolicy) -> Forwards {
        let mut forwards = forwards(policy);
        forwards.log_in(Arc::new(Account::current()));
        forwards
    }

    #[test]
    fn nobody_forwards_before_the_login() {
        let forwards = forwards(ForwardPolicy::default());
        assert_eq!(forwards.to_host("localhost", 22).unwrap_err(), Denied::Login);
        assert_eq!(forwards.to_socket("/run/x").unwrap_err(), Denied::Login);
    }

    #[test]
    fn what_cannot_be_a_target_is_refused() {
        let forwards = logged_in(ForwardPolicy::default());
        assert!(forwards.to_host(&"x".repeat(255), 65_535).is_ok());
        assert_eq!(forwards.to_host(&"x".repeat(256), 22).unwrap_err(), Denied::HostName);
        assert_eq!(forwards.to_host("localhost", 65_536).unwrap_err(), Denied::Port(65_536));
        assert_eq!(forwards.to_socket("x").unwrap_err(), Denied::Relative("x".into()));
    }

    #[test]
    fn connections_are_counted_until_their_last_byte() {
        let forwards = logged_in(ForwardPolicy::default());
        let mut errands: Vec<_> = (0..limits::FORWARDS).map(|_| forwards.to_host("localhost", 22).unwrap()).collect();
        assert_eq!(forwards.to_host("localhost", 22).unwrap_err(), Denied::Crowded);
        assert_eq!(forwards.to_socket("/run/x").unwrap_err(), Denied::Crowded);
        errands.pop();
        assert!(forwards.to_socket("/run/x").is_ok());
    }

    #[test]
    fn each_kind_asks_its_own_switch() {
        let tcp = logged_in(ForwardPolicy { tcp: Directions::No, ..ForwardPolicy::default() });
        assert_eq!(tcp.to_host("localhost", 22).unwrap_err(), Denied::TcpLocal(Directions::No));
        assert!(tcp.to_socket("/run/x").is_ok());
        let sockets = logged_in(ForwardPolicy { stream_local: Directions::Remote, ..ForwardPolicy::default() });
        assert_eq!(sockets.to_socket("/run/x").unwrap_err(), Denied::StreamLocal(Directions::Remote));
        assert!(sockets.to_host("localhost", 22).is_ok());
    }
}
