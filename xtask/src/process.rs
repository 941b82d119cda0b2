//! Child processes with an end: each in its own group, its output in a log, none left behind.

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Between two looks at what is awaited.
const LOOK: Duration = Duration::from_millis(20);
/// A process that ignores its signal is killed after this long.
const PATIENCE: Duration = Duration::from_secs(8);
/// Lines of a log that are shown when its process fails.
const TAIL: usize = 15;

/// Variables that lead to a proxy: all that runs here is on this machine.
const PROXIES: [&str; 6] = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "https_proxy", "http_proxy"];

/// For the one who interrupts.
static LIVE: Mutex<Live> = Mutex::new(Live { groups: Vec::new(), over: false });

/// What runs now.
struct Live {
    /// Groups, and how each is asked to end.
    groups: Vec<(Pid, Signal)>,
    /// Nothing else starts any more.
    over: bool,
}

/// A running child; dropping it stops it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    group: Pid,
    ask: Signal,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in a group of its own, its output in `log`; `ask` is the signal that ends it in order.
    pub fn start(name: &str, command: &mut Command, log: &Path, ask: Signal) -> Result<Self> {
        let output = File::options().append(true).create(true).open(log)?;
        command.process_group(0).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        go_directly(command);
        // Held until it is listed: whoever ends all finds it, or it does not start.
        let mut live = live();
        ensure!(!live.over, "{name} is not started: everything is being stopped");
        let child = command.spawn().with_context(|| format!("cannot start {name}: {command:?}"))?;
        let group = Pid::from_child(&child);
        live.groups.push((group, ask));
        Ok(Self { name: name.into(), child, group, ask, log: log.into() })
    }

    /// Its process id, which is its group's too.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends `signal` to the group.
    pub fn signal(&self, signal: Signal) {
        // A group that is gone has ended as well as one could ask.
        let _ = kill_process_group(self.group, signal);
    }

    /// Asks it to end, insists after a while, and waits until it is gone.
    pub fn stop(&mut self) {
        self.signal(self.ask);
        let asked = Instant::now();
        while self.ended().is_none() && asked.elapsed() < PATIENCE {
            thread::sleep(LOOK);
        }
        self.kill();
    }

    /// Ends it, and whatever it started, without asking.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        live().groups.retain(|(group, _)| *group != self.group);
    }

    /// Waits for `ready`, for `patience` at most, and fails with the log's last lines when the process ends first.
    pub fn until<T>(&mut self, what: &str, patience: Duration, mut ready: impl FnMut() -> Option<T>) -> Result<T> {
        let begun = Instant::now();
        loop {
            if let Some(value) = ready() {
                return Ok(value);
            }
            if let Some(status) = self.ended() {
                bail!("{} ended ({status}) before {what}; its last words:\n{}", self.name, self.tail());
            }
            if begun.elapsed() > patience {
                bail!("{} did not get to {what} within {} s; its last words:\n{}", self.name, patience.as_secs(), self.tail());
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits until it has ended by itself, for `patience` at most.
    pub fn end(&mut self, patience: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            thread::sleep(LOOK);
        }
        bail!("{} did not end within {} s; its last words:\n{}", self.name, patience.as_secs(), self.tail())
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Keeps the machine's proxies from `command`, but not one that it was given.
fn go_directly(command: &mut Command) {
    let given: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
    for name in PROXIES.iter().filter(|name| !given.iter().any(|given| given == **name)) {
        command.env_remove(name);
    }
}

/// Ends every process that was started here, and has none start after it: asks all, then insists.
pub fn end_all() {
    let groups = last();
    for (group, ask) in &groups {
        let _ = kill_process_group(*group, *ask);
    }
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE && groups.iter().any(|(group, _)| alive(*group)) {
        thread::sleep(LOOK);
    }
    for (group, _) in groups {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// All groups there are, and ever will be.
fn last() -> Vec<(Pid, Signal)> {
    let mut live = live();
    live.over = true;
    std::mem::take(&mut live.groups)
}

fn alive(group: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", group.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, state)| !state.trim_start().starts_with('Z'))
}

fn live() -> MutexGuard<'static, Live> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}
