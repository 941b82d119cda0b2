//! The handler's part in programs: a session channel's terminal, its program, and what that is told.

use super::Connection;
use crate::ssh::{
    group::Group,
    program::{self, Job, Process},
    pty::Terminal,
    session::{Program, Refused},
    signal,
    sink::Sink,
};
use russh::{ChannelId, Pty, Sig, server::Session as Wire};
use rustix::termios::Winsize;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl<A> Connection<A> {
    /// Makes a terminal, for the program that will run.
    pub(super) fn terminal(&mut self, id: ChannelId, term: &str, size: Winsize, modes: &[(Pty, u32)]) -> Result<(), Refused> {
        let open = self.channels.get(id).ok_or(Refused::Closed)?;
        open.session.may_have_terminal(term)?;
        let made = Terminal::open(&self.account, size, modes).map_err(|fault| {
            tracing::warn!(%fault, "no pseudo-terminal");
            Refused::NoTerminal
        })?;
        open.give_terminal(made)?;
        open.session.has_terminal(term);
        Ok(())
    }

    /// Starts the channel's one program.
    pub(super) fn start(&mut self, id: ChannelId, program: Program, wire: &Wire) -> Result<(), Refused> {
        let open = self.channels.get(id).ok_or(Refused::Closed)?;
        let mut launch = open.session.start(program)?;
        launch.env.extend(self.forwards.variables().map(|(name, value)| (name, value.into_bytes())));
        let parts = open.take_parts().ok_or(Refused::Running)?;
        let (terminal, slave) = parts.terminal.unzip();
        let process = Arc::new(Process { group: Group::new(), terminal, unheard: CancellationToken::new() });
        open.runs(&process);
        self.tasks.spawn(program::run(Job {
            account: self.account.clone(),
            notices: self.server.notices.clone(),
            startup: self.server.startup.clone(),
            lookout: self.server.lookout.clone(),
            agent: self.server.agent.clone(),
            peer: self.peer,
            launch,
            process,
            slave,
            stdin: parts.stdin,
            sink: Sink::new(parts.channel, parts.flow, wire),
            departure: open.departure(),
            place: parts.place,
        }));
        Ok(())
    }

    /// The client's window has another size.
    pub(super) fn resize(&mut self, id: ChannelId, size: Winsize) -> Result<(), Refused> {
        let open = self.channels.get(id).ok_or(Refused::Closed)?;
        open.session.may_resize()?;
        open.with_terminal(|terminal| terminal.resize(size)).ok_or(Refused::NoTerminal)?.map_err(|_| Refused::NoTerminal)
    }

    /// The client sends a signal.
    pub(super) fn deliver(&mut self, id: ChannelId, sig: &Sig) -> Result<(), Refused> {
        let open = self.channels.get(id).ok_or(Refused::Closed)?;
        open.session.may_signal()?;
        let signal = signal::from_client(sig).ok_or(Refused::NoSuchSignal)?;
        let delivered = open.process().is_some_and(|process| process.group.signal(signal));
        delivered.then_some(()).ok_or(Refused::NotRunning)
    }

    /// The client reads no further: a program that goes on writing is told so, by SIGPIPE, or waits where it has a terminal.
    pub(super) fn takes_no_more(&mut self, id: ChannelId) {
        if let Some(process) = self.channels.get(id).and_then(|open| open.process()) {
            process.unheard.cancel();
        }
    }
}
