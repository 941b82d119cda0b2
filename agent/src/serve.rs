//! What runs over a tunnel: inner connections for the SSH server, and the daemon's words on the control stream.

mod carry;
mod left;
mod parting;
mod strands;
#[cfg(test)]
mod tests;

use crate::{
    farewell::farewell,
    keys::Keys,
    limits::{
        GOODBYE_TIMEOUT, MAX_BUFFERED, MAX_CONNECTIONS, MAX_CONNECTIONS_OF_USER, MAX_FAREWELLS, MAX_OPENINGS, MAX_PATIENCE,
        OPEN_TIMEOUT, PLACE_TIMEOUT, RETIRED, SETTLING,
    },
    ssh::{Peer, Server},
    upstream::Upstream,
};
use carry::Held;
use drawbridge_shared::{
    id::UserId,
    native::{
        control,
        crowd::{Crowd, Seated},
        identity::PublicIdentity,
        places::{Place, Places},
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
use left::Left;
use parting::Keep;
pub(crate) use parting::Parting;
use std::{pin::pin, sync::Arc};
pub(crate) use strands::Host;
use strands::Strands;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

/// Serves every tunnel of this agent; cheap to clone.
#[derive(Clone)]
pub(crate) struct Service {
    inner: Inner,
    keys: Keys,
    /// Of which one daemon has half: a bad one leaves the others theirs.
    openings: Places<PublicIdentity>,
    /// The same.
    connections: Places<PublicIdentity>,
    /// By daemon too: whose a connection is, each only says.
    crowd: Crowd<(PublicIdentity, UserId)>,
    farewells: Arc<Semaphore>,
    strands: Strands<Held>,
    left: Left,
    budget: Budget,
    tasks: TaskTracker,
    end: CancellationToken,
    /// One token a connection.
    sessions: TaskTracker,
    leaving: CancellationToken,
}

/// What is taken of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// New connections, and those that go on.
    All,
    /// Only those that go on.
    Resumes,
}

/// Who takes inner connections.
#[derive(Clone)]
pub(crate) enum Inner {
    /// The SSH server in this process.
    Own(Server<Keys>),
    /// An sshd beside it.
    Upstream(Upstream),
}

impl Service {
    /// Hands connections to `inner`; `tasks` owns them, `end` ends them.
    pub(crate) fn new(inner: Inner, keys: Keys, tasks: TaskTracker, end: CancellationToken) -> Self {
        let [openings, connections] = [MAX_OPENINGS, MAX_CONNECTIONS].map(Places::new);
        let (farewells, left) = (Arc::new(Semaphore::new(MAX_FAREWELLS)), Left::default());
        let crowd = Crowd::of(MAX_CONNECTIONS_OF_USER);
        let (strands, budget) = (Strands::default(), Budget::of_servers(MAX_BUFFERED));
        let (sessions, leaving) = (TaskTracker::new(), CancellationToken::new());
        Self { inner, keys, openings, connections, crowd, farewells, strands, left, budget, tasks, end, sessions, leaving }
    }

    /// Tells every daemon, now and with every tunnel to come, that nothing new is taken: another process takes it.
    pub(crate) fn leave(&self) {
        self.leaving.cancel();
    }

    /// Whether another process takes what is new.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Waits until the last connection has ended, and none is on its way any more.
    pub(crate) async fn idle(&self) {
        time::sleep(RETIRED).await;
        self.sessions.close();
        self.sessions.wait().await;
    }

    /// Ends the waits for other processes of the daemon, where `host` is the only one.
    pub(crate) fn alone(&self, host: Host) {
        self.strands.orphan(host);
    }

    /// Serves `tunnel` to `host` until it ends, the daemon dismisses it, or `stop`. Dismissed, its connections live on to
    /// their own end, and the tunnel with them.
    pub(crate) async fn run(
        &self,
        host: Host,
        tunnel: Tunnel,
        control: Stream,
        stop: &CancellationToken,
        retire: &CancellationToken,
    ) -> Parting {
        let (mut talk, mut hints) = (Talk::new(&tunnel, control), self.keys.hints());
        let connections = TaskTracker::new();
        let mut left = false;
        loop {
            tokio::select! {
                accepted = tunnel.accept() => match accepted {
                    Ok(stream) => self.take(host, stream, &connections, Takes::All),
                    Err(fault) => return Parting::Broke(fault.to_string()),
                },
                heard = talk.next() => match Self::heed(heard, &mut hints, stop) {
                    None => {}
                    Some((parting, keep)) => {
                        self.see_off(host, tunnel, talk, connections, keep);
                        return parting;
                    }
                },
                () = hints.heed() => {}
                () = self.leaving.cancelled(), if !left => {
                    left = true;
                    if let Err(fault) = talk.say(&Frame::Drain) {
                        return Parting::Broke(fault.to_string());
                    }
                }
                () = retire.cancelled() => {
                    // Or this one would get what is new where the other one fails. One that is stuck breaks by itself.
                    let _ = talk.say(&Frame::Drain);
                    self.see_off(host, tunnel, talk, connections, Keep::retired());
                    return Parting::Broke("another tunnel took over".into());
                }
                () = stop.cancelled() => {
                    let goodbye = Frame::Goodbye { reason: Reason::Stopping, words: "the agent stops".into() };
                    // Best effort: the daemon also sees the tunnel close.
                    let _ = talk.say(&goodbye);
                    let _ = talk.finish(GOODBYE_TIMEOUT).await;
                    self.see_off(host, tunnel, talk, connections, Keep::done());
                    return Parting::Broke("the agent stops".into());
                }
            }
        }
    }

    /// Only accepts; all else happens in the stream's own task. `legs` holds the tunnel for as long as any of them runs.
    fn take(&self, host: Host, (mut reader, writer): Stream, legs: &TaskTracker, takes: Takes) {
        // The daemon tries again where a stream is reset, and has far fewer open.
        let Some(place) = self.openings.take(host.identity) else { return };
        let (service, tunnel) = (self.clone(), legs.token());
        self.tasks.spawn(async move {
            let opening = time::timeout(OPEN_TIMEOUT, control::read_opening(&mut reader)).await;
            drop(place);
            let held = Held { leg: Leg::new(reader, writer), tunnel };
            match opening {
                Ok(Ok(Opening::New(open))) if takes == Takes::All => service.connection(host, open, held).await,
                Ok(Ok(Opening::New(_))) => debug!("a new connection over a tunnel that was left long ago"),
                Ok(Ok(Opening::Resume(resume))) => service.resume(host.identity, &resume, held).await,
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

    async fn connection(&self, host: Host, open: Open, held: Held) {
        let (trace, user, key) = (&open.trace_id, &open.user, &open.fingerprint);
        info!(%trace, %user, %key, client = %open.client, "connection");
        let seated = self.crowd.seat(vec![(host.identity, open.user.clone())]);
        let Some(seat) = self.strands.enter(host, open.ticket.clone()) else {
            return warn!(%trace, "a connection is one too many, or was opened twice");
        };
        let _session = self.sessions.token();
        let (reader, writer, driver) = resume::strand(&self.budget);
        let carried = pin!(carry::carry(driver, held, &seat, open.patience, &self.end, trace));
        let attended = pin!(self.attend(host.identity, &open, seated, tokio::io::join(reader, writer)));
        // A daemon that never confirms the end holds nothing for ever.
        resume::see_out(attended, carried, open.patience.min(MAX_PATIENCE) + SETTLING).await;
        info!(%trace, "connection ended");
    }

    /// One too many is told so; where even that is too much, it is reset.
    async fn attend(
        &self,
        daemon: PublicIdentity,
        open: &Open,
        seated: Option<Seated<(PublicIdentity, UserId)>>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) {
        let place = if seated.is_some() { self.place(daemon).await } else { None };
        if place.is_some() {
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
    async fn place(&self, daemon: PublicIdentity) -> Option<Place<PublicIdentity>> {
        let free = self.connections.take(daemon);
        let among = self.connections.is_used_up_by(&daemon).then_some(daemon);
        if free.is_some() || !self.strands.evict(among) {
            return free;
        }
        time::timeout(PLACE_TIMEOUT, self.connections.wait(daemon)).await.ok()?
    }
}
