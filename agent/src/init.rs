//! What a machine's first process owes to the others, where the agent is a container's: it reaps those whose parents have ended.
//!
//! The agent itself runs as a child of it then, since whoever waits for everybody takes the ends of programs from those who wait for
//! one. Signals go through to the agent, and the container ends as it does.

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};
use std::{
    env,
    future::poll_fn,
    io,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
    task::Poll,
};
use tokio::{
    runtime::Builder,
    select,
    signal::unix::{self, SignalKind, signal},
};

/// What the agent is told, or would end by, if it were not behind this process.
const PASSED: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];
/// What a shell adds to a signal's number, for the status of who ended by it.
const SIGNALLED: i32 = 128;

/// Whether this process is the first of its container, or of a machine.
pub fn is_first() -> bool {
    getpid() == Pid::INIT
}

/// Runs this program once more, with the same arguments, until it ends; what with. An error where it does not start.
pub fn run() -> io::Result<ExitCode> {
    Builder::new_current_thread().enable_io().build()?.block_on(async {
        let mut ears = Ears::open()?;
        let agent = start()?;
        loop {
            if let Some(status) = reap(agent) {
                return Ok(code(status));
            }
            if let Some(signal) = ears.hear().await {
                // Not reaped yet: the number is the agent's.
                let _ending = kill_process(agent, signal);
            }
        }
    })
}

/// The agent, in a process group of its own: a terminal's Ctrl-C comes to it once, through us.
fn start() -> io::Result<Pid> {
    let mut agent = Command::new(env::current_exe()?);
    Ok(Pid::from_child(&agent.args(env::args_os().skip(1)).process_group(0).spawn()?))
}

/// All that have ended, and how `agent` did if it is among them.
fn reap(agent: Pid) -> Option<WaitStatus> {
    while let Ok(Some((ended, status))) = wait(WaitOptions::NOHANG) {
        if ended == agent {
            return Some(status);
        }
    }
    None
}

/// As a shell tells it.
fn code(status: WaitStatus) -> ExitCode {
    let signalled = || status.terminating_signal().map(|signal| SIGNALLED + signal);
    let code = status.exit_status().or_else(signalled).and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// What is listened for.
struct Ears {
    ended: unix::Signal,
    passed: Vec<(Signal, unix::Signal)>,
}

impl Ears {
    fn open() -> io::Result<Self> {
        let of = |wanted: Signal| Ok((wanted, signal(SignalKind::from_raw(wanted.as_raw()))?));
        Ok(Self { ended: signal(SignalKind::child())?, passed: PASSED.map(of).into_iter().collect::<io::Result<_>>()? })
    }

    /// The next signal to be passed on, or `None` where somebody has ended.
    async fn hear(&mut self) -> Option<Signal> {
        let Self { ended, passed } = self;
        let told = poll_fn(|context| {
            let told = passed.iter_mut().find_map(|(signal, ear)| ear.poll_recv(context).is_ready().then_some(*signal));
            told.map_or(Poll::Pending, Poll::Ready)
        });
        select! {
            _ = ended.recv() => None,
            signal = told => Some(signal),
        }
    }
}
