//! The open channels of one connection: what each may do, and what it has sent that is not consumed.

use super::{
    departure::Departure,
    flow::{Flow, Keyboard},
    limits,
    program::Process,
    pty::Terminal,
    session::{Refused, Session},
};
use bytes::Bytes;
use drawbridge_shared::native::{
    backlog::{
        Inlet, Outlet, backlog,
        brake::Brake,
        inflow::{Inflow, Overrun},
    },
    reserve::Reserve,
    ssh::leftovers::Leftovers,
};
use russh::{Channel, ChannelId, ChannelWriteHalf, server::Msg};
use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::{Arc, Weak},
    time::Instant,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The table; only the connection's handler touches it.
#[derive(Debug)]
pub(super) struct Channels {
    inflow: Inflow<ChannelId>,
    brake: Brake,
    keyboard: Keyboard,
    open: HashMap<ChannelId, Open>,
    forwards: HashMap<ChannelId, Forward>,
    leftovers: Leftovers,
    connection: CancellationToken,
    dismissed: CancellationToken,
}

/// What a channel's task gets of the client's end.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) data: Outlet,
    /// Of what is sent to it.
    pub(super) flow: Flow,
    /// Fires when the channel or its connection is gone; what was sent before may still be held in `data`.
    pub(super) closed: CancellationToken,
    /// For the table: kept until both directions have ended, however early one of them does.
    pub(super) carried: Arc<()>,
    /// To be told when it is closed by us.
    pub(super) leftovers: Leftovers,
}

/// One channel that only carries bytes. It has ended when nobody carries it any more: that the client's direction has
/// ended, and its back-log is gone, is only half of it.
#[derive(Debug)]
struct Forward {
    inlet: Inlet,
    flow: Flow,
    carried: Weak<()>,
    _closes: DropGuard,
}

/// One session channel. Taking it out of the table closes its task.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) session: Session,
    stage: Stage,
    inlet: Inlet,
    flow: Flow,
    departure: Departure,
    _goes: DropGuard,
}

#[derive(Debug)]
enum Stage {
    /// It collects what its program will need.
    Preparing(Box<Parts>),
    /// Its task owns the program.
    Running(Weak<Process>),
}

/// What a channel gives to its program.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) stdin: Outlet,
    pub(super) flow: Flow,
    pub(super) channel: ChannelWriteHalf<Msg>,
    pub(super) terminal: Option<(Terminal, OwnedFd)>,
    /// Among all connections' sessions: as long as the program is, however long the channel is in the table.
    pub(super) place: OwnedSemaphorePermit,
}

impl Channels {
    /// No channel; all that are opened end with `connection`, which `dismissed` fires before where it is us who end it, and send
    /// beside `keyboard`; what they hold counts in `reserve`.
    pub(super) fn new(
        (connection, dismissed): (CancellationToken, CancellationToken),
        keyboard: Keyboard,
        reserve: &Reserve,
    ) -> Self {
        let inflow = Inflow::within(reserve, limits::INFLOW);
        let (open, forwards, leftovers) = (HashMap::new(), HashMap::new(), Leftovers::new(limits::LEFTOVERS));
        Self { brake: inflow.brake(), keyboard, inflow, open, forwards, leftovers, connection, dismissed }
    }

    /// What holds the connection's stream back while a channel stalls.
    pub(super) fn brake(&self) -> Brake {
        self.brake.clone()
    }

    /// Whether one more fits. Channels that we closed first leave the table here, if their client has not closed them yet.
    pub(super) fn has_room(&mut self) -> bool {
        let Self { inflow, open, forwards, leftovers, .. } = self;
        let mut stays = |id: &ChannelId, has_ended: bool| {
            if has_ended {
                inflow.closed(id);
            }
            !has_ended
        };
        open.retain(|id, channel| {
            let has_ended = channel.has_ended();
            if has_ended {
                leftovers.note(*id);
            }
            stays(id, has_ended)
        });
        forwards.retain(|id, channel| stays(id, channel.carried.strong_count() == 0));
        open.len() + forwards.len() < limits::CHANNELS && leftovers.have_room()
    }

    /// One that did not fit is closed: it counts until its client has closed it too.
    pub(super) fn turn_away(&self, id: ChannelId) {
        self.leftovers.note(id);
    }

    /// Takes a channel in that only carries bytes. Its read half has to be dropped too.
    pub(super) fn carry(&mut self, id: ChannelId) -> Inbound {
        self.inflow.opened(id);
        let (inlet, data) = backlog(self.inflow.meter());
        let (closed, carried) = (self.connection.child_token(), Arc::new(()));
        let flow = self.keyboard.beside();
        let carries = Arc::downgrade(&carried);
        let forward = Forward { inlet, flow: flow.clone(), carried: carries, _closes: closed.clone().drop_guard() };
        self.forwards.insert(id, forward);
        Inbound { data, flow, closed, carried, leftovers: self.leftovers.clone() }
    }

    /// Whether the table holds a channel of that number.
    pub(super) fn holds(&self, id: ChannelId) -> bool {
        self.inlet(id).is_some()
    }

    /// Takes a session channel in, at `place` among all connections' sessions. Its read half is dropped: russh would fill that queue and then wait for it.
    pub(super) fn insert(&mut self, channel: Channel<Msg>, place: OwnedSemaphorePermit) {
        let id = channel.id();
        let (_, channel) = channel.split();
        self.inflow.opened(id);
        let (inlet, stdin) = backlog(self.inflow.meter());
        let gone = self.connection.child_token();
        let flow = self.keyboard.beside();
        let stage = Stage::Preparing(Box::new(Parts { stdin, flow: flow.clone(), channel, terminal: None, place }));
        let _goes = gone.clone().drop_guard();
        let (session, departure) = (Session::default(), Departure::new(gone, self.dismissed.clone()));
        self.open.insert(id, Open { session, stage, inlet, flow, departure, _goes });
    }

    /// The channel, if it is open.
    pub(super) fn get(&mut self, id: ChannelId) -> Option<&mut Open> {
        self.open.get_mut(&id)
    }

    /// Data arrived for a program's standard input, or for a socket.
    pub(super) fn received(&mut self, id: ChannelId, data: Bytes) -> Result<(), Overrun> {
        let now = Instant::now();
        self.inflow.received(&id, data.len(), now)?;
        if let Some((inlet, flow)) = self.ends(id) {
            flow.heard(data.len(), now);
            inlet.push(data);
        }
        Ok(())
    }

    /// Data arrived that nobody reads.
    pub(super) fn ignored(&mut self, id: ChannelId, data: &[u8]) -> Result<(), Overrun> {
        self.inflow.received(&id, data.len(), Instant::now())
    }

    /// russh refilled the channel's window; returns its next target.
    pub(super) fn refilled(&mut self, id: ChannelId, target: u32) -> u32 {
        self.inflow.hurry(self.keyboard.is_in_use(Instant::now()));
        let next = self.inflow.refilled(&id, target);
        if self.inlet(id).is_some_and(|inlet| self.inflow.is_stalled(inlet.held(), target)) {
            self.brake.pull();
        }
        next
    }

    /// The client made room for what is sent to it, of which `left` bytes are.
    pub(super) fn granted(&mut self, id: ChannelId, left: u32) {
        if let Some((_, flow)) = self.ends(id) {
            flow.granted(left, Instant::now());
        }
    }

    /// The client sends no more on this channel.
    pub(super) fn finished(&mut self, id: ChannelId) {
        if let Some(inlet) = self.inlet(id) {
            inlet.finish();
        }
    }

    /// The client closed the channel. What it sent before is still for its program, unless so much is held that others are held back:
    /// who opens, fills and closes channels would have any amount held.
    pub(super) fn close(&mut self, id: ChannelId) {
        self.inflow.closed(&id);
        let has_room = self.inflow.meter().held() <= limits::INFLOW.high;
        self.open.remove(&id).iter().filter(|_| has_room).for_each(Open::close);
        self.forwards.remove(&id);
        self.leftovers.forget(id);
    }

    fn inlet(&self, id: ChannelId) -> Option<&Inlet> {
        self.ends(id).map(|(inlet, _)| inlet)
    }

    fn ends(&self, id: ChannelId) -> Option<(&Inlet, &Flow)> {
        let session = || self.open.get(&id).map(|channel| (&channel.inlet, &channel.flow));
        let forward = || self.forwards.get(&id).map(|channel| (&channel.inlet, &channel.flow));
        session().or_else(forward)
    }
}

impl Open {
    /// Tells when the client is gone.
    pub(super) fn departure(&self) -> Departure {
        self.departure.clone()
    }

    /// The client closes it, having sent all it had to send. A terminal is hung up with its channel.
    fn close(&self) {
        if self.with_terminal(|_| ()).is_none() {
            self.inlet.finish();
            self.departure.closes();
        }
    }

    /// The running program, if there is one.
    pub(super) fn process(&self) -> Option<Arc<Process>> {
        match &self.stage {
            Stage::Preparing(_) => None,
            Stage::Running(process) => process.upgrade(),
        }
    }

    /// Puts `terminal` by for the program.
    pub(super) fn give_terminal(&mut self, terminal: (Terminal, OwnedFd)) -> Result<(), Refused> {
        match &mut self.stage {
            Stage::Preparing(parts) => parts.terminal = Some(terminal),
            Stage::Running(_) => return Err(Refused::Running),
        }
        Ok(())
    }

    /// The terminal, before or while the program runs.
    pub(super) fn with_terminal<T>(&self, use_it: impl FnOnce(&Terminal) -> T) -> Option<T> {
        match &self.stage {
            Stage::Preparing(parts) => parts.terminal.as_ref().map(|(terminal, _)| use_it(terminal)),
            Stage::Running(process) => process.upgrade()?.terminal.as_ref().map(use_it),
        }
    }

    /// What the program gets; once.
    pub(super) fn take_parts(&mut self) -> Option<Parts> {
        match std::mem::replace(&mut self.stage, Stage::Running(Weak::new())) {
            Stage::Preparing(parts) => Some(*parts),
            running @ Stage::Running(_) => {
                self.stage = running;
                None
            }
        }
    }

    /// The program that got the parts.
    pub(super) fn runs(&mut self, process: &Arc<Process>) {
        self.stage = Stage::Running(Arc::downgrade(process));
    }

    fn has_ended(&self) -> bool {
        matches!(&self.stage, Stage::Running(process) if process.strong_count() == 0)
    }
}
