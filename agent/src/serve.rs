//! What runs over a tunnel: inner connections for the SSH server, and the daemon's words on the control stream.

use crate::{
    farewell::farewell,
    keys::Keys,
    limits::{GOODBYE_TIMEOUT, MAX_CONNECTIONS, MAX_FAREWELLS, OPEN_TIMEOUT, RETIRED},
    ssh::{Peer, Server},
    upstream::Upstream,
};
use drawbridge_shared::{
    native::{
        control::{self, ControlFault},
        talk::Talk,
        tunnel::{Stream, Tunnel},
    },
    tunnel::frame::{Frame, Reason},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

/// Serves every tunnel of this agent; cheap to clone.
#[derive(Clone)]
pub(crate) struct Service {
    inner: Inner,
    keys: Keys,
    connections: Arc<Semaphore>,
    farewells: Arc<Semaphore>,
    tasks: TaskTracker,
    end: CancellationToken,
}

/// Who takes inner connections.
#[derive(Clone)]
pub(crate) enum Inner {
    /// The SSH server in this process.
    Own(Server<Keys>),
    /// An sshd beside it.
    Upstream(Upstream),
}

/// How a tunnel ended.
#[derive(Debug)]
pub(crate) enum Parting {
    /// The daemon said why.
    Dismissed {
        /// For our decision.
        reason: Reason,
        /// For people.
        words: String,
    },
    /// It did not.
    Broke(String),
}

impl Service {
    /// Hands connections to `inner`; `tasks` owns them, `end` ends them.
    pub(crate) fn new(inner: Inner, keys: Keys, tasks: TaskTracker, end: CancellationToken) -> Self {
        let [connections, farewells] = [MAX_CONNECTIONS, MAX_FAREWELLS].map(|places| Arc::new(Semaphore::new(places)));
        Self { inner, keys, connections, farewells, tasks, end }
    }

    /// Serves `tunnel` until it ends, the daemon dismisses it, or `stop`. Dismissed, its connections live on to their
    /// own end, and the tunnel with them.
    pub(crate) async fn run(
        &self,
        tunnel: Tunnel,
        control: Stream,
        stop: &CancellationToken,
        retire: &CancellationToken,
    ) -> Parting {
        let mut talk = Talk::new(&tunnel, control);
        let connections = TaskTracker::new();
        loop {
            tokio::select! {
                accepted = tunnel.accept() => match accepted {
                    Ok(stream) => self.take(stream, &connections),
                    Err(fault) => return Parting::Broke(fault.to_string()),
                },
                heard = talk.next() => match self.heed(heard) {
                    None => {}
                    Some(parting) => {
                        self.see_off(tunnel, talk, connections, Duration::ZERO);
                        return parting;
                    }
                },
                () = retire.cancelled() => {
                    self.see_off(tunnel, talk, connections, RETIRED);
                    return Parting::Broke("another tunnel took over".into());
                }
                () = stop.cancelled() => {
                    let goodbye = Frame::Goodbye { reason: Reason::Stopping, words: "the agent stops".into() };
                    // Best effort: the daemon also sees the tunnel close.
                    let _ = talk.say(&goodbye);
                    let _ = talk.finish(GOODBYE_TIMEOUT).await;
                    self.see_off(tunnel, talk, connections, Duration::ZERO);
                    return Parting::Broke("the agent stops".into());
                }
            }
        }
    }

    /// Only accepts; all else happens in the connection's own task. One too many is told so; where even that is too
    /// much, it is reset.
    fn take(&self, stream: Stream, connections: &TaskTracker) {
        let service = self.clone();
        if let Ok(place) = self.connections.clone().try_acquire_owned() {
            self.tasks.spawn(connections.track_future(async move {
                service.connection(stream).await;
                drop(place);
            }));
        } else if let Ok(place) = self.farewells.clone().try_acquire_owned() {
            warn!("too many connections; one is turned away");
            self.tasks.spawn(connections.track_future(async move {
                let words = "too many connections to this workspace: close some and try again";
                farewell(tokio::io::join(stream.0, stream.1), words, &service.end).await;
                drop(place);
            }));
        }
    }

    async fn connection(&self, (mut reader, writer): Stream) {
        match time::timeout(OPEN_TIMEOUT, control::read_open(&mut reader)).await {
            Ok(Ok(open)) => {
                let (trace, user, key) = (&open.trace_id, &open.user, &open.fingerprint);
                info!(%trace, %user, %key, client = %open.client, "connection");
                let stream = tokio::io::join(reader, writer);
                match &self.inner {
                    Inner::Own(ssh) => ssh.serve(stream, Peer::new(open.client), self.end.child_token()).await,
                    Inner::Upstream(upstream) => upstream.serve(stream, &self.end).await,
                }
                info!(%trace, "connection ended");
            }
            Ok(Err(fault)) => debug!(%fault, "a stream without a header"),
            Err(_) => debug!("a stream that does not say what for"),
        }
    }

    fn heed(&self, heard: Result<Frame, ControlFault>) -> Option<Parting> {
        match heard {
            Ok(Frame::KeysChanged { .. }) => {
                self.keys.hint();
                None
            }
            Ok(Frame::Drain) => Some(Parting::Dismissed { reason: Reason::Draining, words: "the daemon drains".into() }),
            Ok(Frame::Goodbye { reason, words }) => Some(Parting::Dismissed { reason, words }),
            Ok(_) => Some(Parting::Broke(ControlFault::OutOfTurn.to_string())),
            Err(fault) => Some(Parting::Broke(fault.to_string())),
        }
    }

    /// Keeps `tunnel` until its last connection has ended, and for `least`.
    fn see_off(&self, tunnel: Tunnel, mut talk: Talk, connections: TaskTracker, least: Duration) {
        connections.close();
        let service = self.clone();
        self.tasks.spawn(async move {
            let done = async {
                time::sleep(least).await;
                connections.wait().await;
            };
            let late = async {
                while let Ok(stream) = tunnel.accept().await {
                    service.take(stream, &connections);
                }
            };
            // What the daemon still says changes nothing; that it still gives signs of life does.
            let dead = async { while talk.next().await.is_ok() {} };
            let words = tokio::select! {
                () = done => "all connections have ended",
                () = late => "the tunnel ended",
                () = dead => "the control stream broke",
            };
            tunnel.close(words);
        });
    }
}
