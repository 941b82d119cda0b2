//! One outer connection's state, and what is decided by it.

mod handler;
mod tries;

pub(super) use tries::Standing;

use super::{
    Hall,
    carry::{self, Request},
    desk::{Answer, Desk},
    places::Place,
};
use crate::{
    denial::Denial,
    limits::{INFLOW, MAX_BUFFERED, MAX_CHANNELS, MAX_LEFTOVERS},
    witness::Who,
};
use drawbridge_shared::{
    fingerprint::Fingerprint,
    native::{
        backlog::{self, Inlet, brake::Brake, inflow::Inflow},
        resume::Budget,
        ssh::leftovers::Leftovers,
    },
};
use russh::{
    Channel, ChannelId, ChannelOpenFailure, Error,
    server::{Auth, ChannelOpenHandle, Msg, Session},
};
use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Instant};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tries::Tries;

/// A connection's state.
pub(super) struct Visitor {
    hall: Arc<Hall>,
    peer: SocketAddr,
    trace_id: String,
    key: Option<Fingerprint>,
    refreshed: bool,
    tries: Tries,
    cut: CancellationToken,
    brake: Brake,
    inflow: Inflow<ChannelId>,
    budget: Budget,
    inlets: HashMap<ChannelId, (Inlet, DropGuard)>,
    leftovers: Leftovers,
    desk: Desk,
    /// The client has said that it opens no more.
    sessions_over: bool,
}

impl Visitor {
    /// Comes from `peer` and is called `trace_id` in logs and trail; `cut` ends its bridges. Also how far it has come.
    pub(super) fn new(
        hall: Arc<Hall>,
        (peer, trace_id): (SocketAddr, String),
        cut: CancellationToken,
    ) -> (Self, watch::Receiver<Standing>) {
        let inflow = Inflow::within(&hall.reserve, INFLOW);
        let budget = Budget::within(&hall.reserve, MAX_BUFFERED);
        let (tries, standing) = Tries::new();
        let visitor = Self {
            brake: inflow.brake(),
            hall,
            peer,
            trace_id,
            key: None,
            refreshed: false,
            tries,
            cut,
            inflow,
            budget,
            inlets: HashMap::new(),
            leftovers: Leftovers::new(MAX_LEFTOVERS),
            desk: Desk::default(),
            sessions_over: false,
        };
        (visitor, standing)
    }

    fn who(&self) -> Who<'_> {
        Who { trace: &self.trace_id, peer: self.peer, key: self.key }
    }

    /// What holds the connection's stream back while a channel stalls.
    pub(super) fn brake(&self) -> Brake {
        self.brake.clone()
    }

    /// Whether `key` may log in. One that is news to this daemon is looked up once more, once a connection.
    async fn knows(&mut self, key: &Fingerprint) -> Result<(), Denial> {
        let known = self.gate_knows(key);
        if known.is_ok() || std::mem::replace(&mut self.refreshed, true) {
            return known;
        }
        self.hall.snapshots.refresh().await;
        self.gate_knows(key)
    }

    /// One answer to all that is refused before a login: what was wrong shows in nothing.
    fn turn_down(&self) -> Auth {
        self.tries.refuse();
        Auth::reject()
    }

    fn gate_knows(&self, key: &Fingerprint) -> Result<(), Denial> {
        self.hall.gate(|gate| gate.knows(key))
    }

    /// A place among the channels of all connections, for one more of this.
    fn place(&mut self, key: &Fingerprint) -> Result<Place, Denial> {
        if self.has_room() { self.hall.place(key) } else { Err(Denial::Channels) }
    }

    fn admit(&mut self, channel: Channel<Msg>, reply: ChannelOpenHandle, place: Place, request: (Fingerprint, &str, u32)) {
        let (key, host, port) = request;
        let id = channel.id();
        self.inflow.opened(id);
        let (inlet, inbound) = backlog::backlog(self.inflow.meter());
        let closed = self.cut.child_token();
        self.inlets.insert(id, (inlet, closed.clone().drop_guard()));
        let (_, outbound) = channel.split();
        let request = Request {
            key,
            peer: self.peer,
            trace_id: self.trace_id.clone(),
            host: host.into(),
            port,
            budget: self.budget.clone(),
        };
        let channel = carry::Channel { inbound, outbound, reply, closed, leftovers: self.leftovers.clone() };
        let carried = carry::run(self.hall.clone(), request, channel, place, self.cut.clone());
        self.hall.tasks.spawn(carried);
    }

    /// Forgets channels that were refused, or whose bridge has ended and whose client has not closed them yet.
    fn sweep(&mut self) {
        let inflow = &mut self.inflow;
        self.inlets.retain(|id, (inlet, _)| {
            let lives = !inlet.is_abandoned();
            if !lives {
                inflow.closed(id);
            }
            lives
        });
    }

    /// Counts what came against the channel's window, which russh does not enforce.
    fn count(&mut self, channel: ChannelId, data: &[u8]) -> Result<(), Error> {
        self.inflow.received(&channel, data.len(), Instant::now()).map_err(|_| Error::Inconsistent)
    }

    /// Whether one more channel may be open.
    fn has_room(&mut self) -> bool {
        self.sweep();
        self.inlets.len() + self.desk.len() < MAX_CHANNELS && self.leftovers.have_room()
    }

    /// Answers the one request of a session channel.
    fn answer(&mut self, channel: ChannelId, answer: impl FnOnce(&Self) -> Answer, session: &mut Session) -> Result<(), Error> {
        let Some(guest) = self.desk.call(channel) else { return session.channel_failure(channel) };
        self.inflow.closed(&channel);
        session.channel_success(channel)?;
        let (answer, cut) = (guest.answer(answer(self)), self.cut.clone());
        self.hall.tasks.spawn(async move { cut.run_until_cancelled(answer).await });
        Ok(())
    }

    /// What a jump host does not do, said where a client shows it.
    fn not_served(&self, what: &'static str) -> Answer {
        Answer::Refusal(format!("{}\n", self.turned_down(what)))
    }

    /// The same of a request whose refusal has no place for words: a debug message, as sshd's (`ssh -v` shows it).
    fn not_served_aside(&self, what: &'static str, session: &mut Session) -> Result<(), Error> {
        session.debug(false, &self.turned_down(what).to_string(), "")
    }

    fn turned_down(&self, what: &'static str) -> Denial {
        let denial = Denial::NotServed(what);
        self.hall.witness.refused(self.who(), &denial);
        denial
    }

    async fn refuse(&self, reply: ChannelOpenHandle, denial: Denial) -> Result<(), Error> {
        self.hall.witness.refused(self.who(), &denial);
        reply.reject(ChannelOpenFailure::Other { code: denial.code(), reason: denial.to_string() }).await;
        Ok(())
    }
}
