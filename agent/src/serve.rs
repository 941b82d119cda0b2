//! What runs over a tunnel: inner connections for the SSH server, and the daemon's words on the control stream.

mod carry;
mod strands;
#[cfg(test)]
mod tests;

use crate::{
    farewell::farewell,
    keys::Keys,
    limits::{GOODBYE_TIMEOUT, MAX_BUFFERED, MAX_CONNECTIONS, MAX_FAREWELLS, MAX_OPENINGS, OPEN_TIMEOUT, PLACE_TIMEOUT, RETIRED},
    ssh::{Peer, Server},
    upstream::Upstream,
};
use carry::Held;
use drawbridge_shared::{
    native::{
        control::{self, ControlFault},
        identity::PublicIdentity,
        resume::{self, Budget, Leg},
        talk::Talk,
        tunnel::{Stream, Tunnel},
    },
    tunnel::{
        frame::{Frame, Reason},
        open::{Open, Opening},
        resume::frame::{Answer, Resume},
    },
};
use std::{sync::Arc, time::Duration};
use strands::Strands;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

/// Serves every tunnel of this agent; cheap to clone.
#[derive(Clone)]
pub(crate) struct Service {
    inner: Inner,
    keys: Keys,
    openings: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    farewells: Arc<Semaphore>,
    strands: Strands<Held>,
    budget: Budget,
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
        let places = [MAX_OPENINGS, MAX_CONNECTIONS, MAX_FAREWELLS];
        let [openings, connections, farewells] = places.map(|places| Arc::new(Semaphore::new(places)));
        let (strands, budget) = (Strands::default(), Budget::new(MAX_BUFFERED));
        Self { inner, keys, openings, connections, farewells, strands, budget, tasks, end }
    }

    /// Serves `tunnel` to `daemon` until it ends, the daemon dismisses it, or `stop`. Dismissed, its connections live on to
    /// their own end, and the tunnel with them.
    pub(crate) async fn run(
        &self,
        daemon: PublicIdentity,
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
                    Ok(stream) => self.take(daemon, stream, &connections),
                    Err(fault) => return Parting::Broke(fault.to_string()),
                },
                heard = talk.next() => match self.heed(heard) {
                    None => {}
                    Some((parting, least)) => {
                        self.see_off(daemon, tunnel, talk, connections, least);
                        return parting;
                    }
                },
                () = retire.cancelled() => {
                    self.see_off(daemon, tunnel, talk, connections, RETIRED);
                    return Parting::Broke("another tunnel took over".into());
                }
                () = stop.cancelled() => {
                    let goodbye = Frame::Goodbye { reason: Reason::Stopping, words: "the agent stops".into() };
                    // Best effort: the daemon also sees the tunnel close.
                    let _ = talk.say(&goodbye);
                    let _ = talk.finish(GOODBYE_TIMEOUT).await;
                    self.see_off(daemon, tunnel, talk, connections, Duration::ZERO);
                    return Parting::Broke("the agent stops".into());
                }
            }
        }
    }

    /// Only accepts; all else happens in the stream's own task. `legs` holds the tunnel for as long as any of them runs.
    fn take(&self, daemon: PublicIdentity, (mut reader, writer): Stream, legs: &TaskTracker) {
        // The daemon tries again where a stream is reset, and has far fewer open.
        let Ok(place) = self.openings.clone().try_acquire_owned() else { return };
        let (service, tunnel) = (self.clone(), legs.token());
        self.tasks.spawn(async move {
            let opening = time::timeout(OPEN_TIMEOUT, control::read_opening(&mut reader)).await;
            drop(place);
            let held = Held { leg: Leg::new(reader, writer), tunnel };
            match opening {
                Ok(Ok(Opening::New(open))) => service.connection(daemon, open, held).await,
                Ok(Ok(Opening::Resume(resume))) => service.resume(daemon, &resume, held).await,
                Ok(Err(fault)) => debug!(%fault, "a stream without a header"),
                Err(_) => debug!("a stream that does not say what for"),
            }
        });
    }

    /// One that is not to be told why: whoever asks has no business here, or is late.
    async fn resume(&self, daemon: PublicIdentity, resume: &Resume, held: Held) {
        let Err(mut refused) = self.strands.resume(daemon, resume, held) else { return };
        info!(strand = %resume.id, "a connection is not resumed");
        let gone = Answer::Gone { words: "the agent has no such connection any more".into() };
        let writer = refused.leg.writer();
        if time::timeout(OPEN_TIMEOUT, writer.send(gone.encode().into())).await.is_ok() {
            writer.finish();
        }
    }

    async fn connection(&self, daemon: PublicIdentity, open: Open, held: Held) {
        let (trace, user, key) = (&open.trace_id, &open.user, &open.fingerprint);
        info!(%trace, %user, %key, client = %open.client, "connection");
        let Some(seat) = self.strands.enter(daemon, open.ticket.clone()) else {
            return warn!(%trace, "a connection is one too many, or was opened twice");
        };
        let (reader, writer, driver) = resume::strand(&self.budget);
        let carried = carry::carry(driver, held, &seat, open.patience, &self.end, trace);
        tokio::join!(carried, self.attend(&open, tokio::io::join(reader, writer)));
        info!(%trace, "connection ended");
    }

    /// One too many is told so; where even that is too much, it is reset.
    async fn attend(&self, open: &Open, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        if let Some(_place) = self.place().await {
            match &self.inner {
                Inner::Own(ssh) => ssh.serve(stream, Peer::new(open.client), self.end.child_token()).await,
                Inner::Upstream(upstream) => upstream.serve(stream, &self.end).await,
            }
        } else if let Ok(_place) = self.farewells.try_acquire() {
            warn!("too many connections; one is turned away");
            let words = "too many connections to this workspace: close some and try again";
            farewell(stream, words, &self.end).await;
        }
    }

    /// A place among the connections. One that waits for its daemon makes room for one that has it.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let free = self.connections.clone().try_acquire_owned().ok();
        if free.is_some() || !self.strands.evict() {
            return free;
        }
        time::timeout(PLACE_TIMEOUT, self.connections.clone().acquire_owned()).await.ok()?.ok()
    }

    /// How the tunnel is left, and how long it is kept at least, where it is.
    fn heed(&self, heard: Result<Frame, ControlFault>) -> Option<(Parting, Duration)> {
        let (parting, least) = match heard {
            Ok(Frame::KeysChanged { .. }) => {
                self.keys.hint();
                return None;
            }
            Ok(Frame::Drain) => (Parting::Dismissed { reason: Reason::Draining, words: "the daemon drains".into() }, RETIRED),
            Ok(Frame::Goodbye { reason, words }) => (Parting::Dismissed { reason, words }, Duration::ZERO),
            Ok(_) => (Parting::Broke(ControlFault::OutOfTurn.to_string()), Duration::ZERO),
            Err(fault) => (Parting::Broke(fault.to_string()), Duration::ZERO),
        };
        Some((parting, least))
    }

    /// Keeps `tunnel` until its last connection has ended, and for `least` or until the daemon's goodbye.
    fn see_off(&self, daemon: PublicIdentity, tunnel: Tunnel, mut talk: Talk, connections: TaskTracker, least: Duration) {
        connections.close();
        let service = self.clone();
        self.tasks.spawn(async move {
            let goodbye = CancellationToken::new();
            let done = async {
                // Either way nothing new is on its way any more.
                let _ = time::timeout(least, goodbye.cancelled()).await;
                connections.wait().await;
            };
            let late = async {
                while let Ok(stream) = tunnel.accept().await {
                    service.take(daemon, stream, &connections);
                }
            };
            let words = tokio::select! {
                () = done => "all connections have ended",
                () = late => "the tunnel ended",
                () = service.listen(&mut talk, &goodbye) => "the control stream broke",
            };
            tunnel.close(words);
        });
    }

    /// What the daemon still says of a tunnel that is seen off: that keys changed, that it goes, that it lives.
    async fn listen(&self, talk: &mut Talk, goodbye: &CancellationToken) {
        while let Ok(frame) = talk.next().await {
            match frame {
                Frame::KeysChanged { .. } => self.keys.hint(),
                Frame::Goodbye { .. } => goodbye.cancel(),
                _ => {}
            }
        }
    }
}
