//! A session's process group: signals to it while it is ours, and its end when the client has gone.

use super::{
    limits,
    lookout::{Lookout, ignores_hangup},
};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::{
    process::Child,
    time::{Instant, sleep, timeout},
};

/// Where signals for one session's program go.
#[derive(Debug)]
pub(super) struct Group(Mutex<State>);

#[derive(Debug)]
enum State {
    /// The program is about to start; it gets these first.
    Early(Vec<Signal>),
    /// Its leader runs, or has not been reaped: the number is ours.
    Led(Pid),
    /// The number may be somebody else's by now.
    Gone,
}

impl Group {
    /// No program yet.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State::Early(Vec::new())))
    }

    /// `child` leads the group.
    pub(super) fn led_by(&self, child: &Child) {
        let Some(leader) = pid(child) else { return };
        if let State::Early(signals) = std::mem::replace(&mut *self.lock(), State::Led(leader)) {
            for signal in signals {
                let _gone = kill_process_group(leader, signal);
            }
        }
    }

    /// The leader was or is about to be reaped.
    pub(super) fn gone(&self) {
        *self.lock() = State::Gone;
    }

    /// Delivers `signal`; false if there is nothing to deliver it to.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        match &mut *self.lock() {
            State::Early(signals) if signals.len() < limits::EARLY_SIGNALS => {
                signals.push(signal);
                true
            }
            State::Led(leader) => kill_process_group(*leader, signal).is_ok(),
            State::Early(_) | State::Gone => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends what `child` leads: SIGHUP, and after a grace SIGKILL for whoever did not choose to ignore SIGHUP, so that
/// what runs under nohup lives on, as does what left the group (setsid, tmux). Until then the leader is not reaped,
/// and so the group's number cannot become another's.
pub(super) async fn hang_up(child: &Child, lookout: &Lookout) {
    let Some(leader) = pid(child) else { return };
    let watch = lookout.watch(leader);
    let _gone = kill_process_group(leader, Signal::HUP);
    // A stopped job would never see it.
    let _gone = kill_process_group(leader, Signal::CONT);
    let deadline = Instant::now() + limits::HANGUP_GRACE;
    while !watch.mortals().await.is_empty() {
        if Instant::now() >= deadline {
            return watch.kill().await;
        }
        sleep(limits::HANGUP_LOOK).await;
    }
}

/// Waits a moment for the end of a leader that was hung up. One that ignores SIGHUP lives on, and so does one that we may not kill
/// (`sudo`) until it writes to somebody; tokio reaps it when it ends, as it does with every dropped child.
pub(super) async fn reap(mut child: Child) {
    let Some(leader) = pid(&child) else { return };
    if has_ended(leader) || !ignores_hangup(leader) {
        let _late = timeout(limits::REAP, child.wait()).await;
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id()?.cast_signed())
}

fn has_ended(leader: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    !matches!(waitid(WaitId::Pid(leader), look), Ok(None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::{
        account::{Account, Assumed},
        call::Call,
        identity::Identity,
        lookout::group_of,
        session::Program,
        spawn::spawn,
    };
    use rustix::process::kill_process;
    use tokio::io::{AsyncBufReadExt, BufReader};

    /// A child that has said "ready".
    async fn child(line: &str) -> Child {
        let account =
            Account { name: "dev".into(), uid: 0, gid: 0, home: "/".into(), shell: "/bin/bash".into(), tty: None, assumed: None };
        let call = Call::of(&account, &Program::Command(line.into()));
        let path = vec![("PATH".into(), "/usr/bin:/bin".into())];
        let mut child = spawn(&account, call, path, None).unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).await.unwrap();
        assert_eq!(said, "ready\n");
        child
    }

    async fn over(child: Child) {
        hang_up(&child, &Lookout::default()).await;
        reap(child).await;
    }

    #[tokio::test]
    async fn sleepers_die_at_once_and_are_reaped() {
        let child = child("sleep 600 & echo ready; wait").await;
        let leader = pid(&child).unwrap();
        let start = Instant::now();
        over(child).await;
        assert!(start.elapsed() < limits::HANGUP_GRACE);
        assert!(group_of(leader).is_none() && has_ended(leader));
    }

    #[tokio::test]
    async fn who_catches_the_hangup_is_killed_after_the_grace() {
        let child = child("trap : HUP; echo ready; while :; do read -t 1; done").await;
        let leader = pid(&child).unwrap();
        tokio::time::pause();
        hang_up(&child, &Lookout::default()).await;
        // Who is killed ends in the kernel's time.
        tokio::time::resume();
        reap(child).await;
        assert_eq!(group_of(leader), None);
    }

    #[tokio::test]
    async fn who_ignores_the_hangup_lives_on() {
        let child = child("trap '' HUP; echo ready; exec sleep 600").await;
        let leader = pid(&child).unwrap();
        over(child).await;
        assert_eq!(group_of(leader), Some(leader));
        kill_process(leader, Signal::KILL).unwrap();
    }

    /// As under `sudo`: this thread gives up root, and what it started has it.
    #[test]
    fn who_may_not_be_killed_is_not_waited_for() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let hang_up = move || {
            runtime.block_on(async {
                let child = child("echo ready; exec sleep 600").await;
                let leader = pid(&child).unwrap();
                let nobody = Account { uid: 65534, gid: 65534, assumed: Some(Assumed::default()), ..Account::current() };
                Identity::of(&nobody).unwrap().take_on().unwrap();
                tokio::time::pause();
                over(child).await;
                leader
            })
        };
        let leader = std::thread::spawn(hang_up).join().unwrap();
        assert_eq!(group_of(leader), Some(leader), "it was killed all the same");
        kill_process(leader, Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn early_signals_wait_for_the_program() {
        let group = Group::new();
        assert!(group.signal(Signal::TERM));
        let mut child = child("echo ready; exec sleep 600").await;
        group.led_by(&child);
        let status = child.wait().await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
        group.gone();
        assert!(!group.signal(Signal::TERM));
    }
}
