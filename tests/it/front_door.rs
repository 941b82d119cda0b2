//! `cargo xtask dev` as a newcomer and as a script use it.

use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use e2e::{SOON, Stack, within};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

pub(crate) const TESTS: &[Test] = &[
    ("front_door::dev_runs_a_command_and_exits_with_its_status", Shared(runs)),
    ("front_door::ctrl_c_stops_everything", Shared(ctrl_c)),
    ("front_door::a_terminal_that_hangs_up_stops_everything", Shared(hung_up)),
    ("front_door::a_folder_that_is_no_stacks_is_not_emptied", Shared(mistyped)),
    ("front_door::a_path_that_ssh_cannot_bear_is_refused", Shared(odd)),
    ("front_door::what_a_killed_one_left_running_ends_with_the_next", Shared(killed)),
];

fn dev(dir: &Path) -> Command {
    let mut dev = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    dev.current_dir(xtask::root()).args(["xtask", "dev", "--dir"]).arg(dir).stdin(Stdio::null());
    dev
}

fn runs(_: &Stack) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("stack");
    // A machine behind a proxy has these set for all: here nothing answers there.
    let proxies = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "http_proxy"].map(|name| (name, "http://127.0.0.1:1"));
    let done = dev(&dir).envs(proxies).args(["--run", "echo $((6*7)); exit 3"]).output()?;
    ensure!(done.status.code() == Some(3) && done.stdout == b"42\n", "{done:?}");
    nothing_left(&dir)
}

fn ctrl_c(_: &Stack) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("stack");
    let mut up = Up::start(&dir, Stdio::null())?;
    let pasted = Command::new("sh").arg("-c").arg(format!("{} echo pasted", up.ssh)).stdin(Stdio::null()).output()?;
    ensure!(pasted.stdout == b"pasted\n", "{}: {pasted:?}", up.ssh);
    let stack: Value = serde_json::from_str(&fs::read_to_string(dir.join("stack.json"))?)?;
    ensure!(stack["users"][0]["id"] == "alice" && stack["workspaces"][1]["agent"]["pid"].is_u64(), "{stack}");
    up.signal(Signal::INT)?;
    let status = up.ended()?;
    ensure!(status.success(), "{status}");
    nothing_left(&dir)
}

fn hung_up(_: &Stack) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("stack");
    let mut up = Up::start(&dir, Stdio::piped())?;
    drop(up.child.stderr.take());
    up.signal(Signal::HUP)?;
    let status = up.ended()?;
    ensure!(status.success(), "{status}");
    nothing_left(&dir)
}

fn mistyped(_: &Stack) -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("diary"), "dear")?;
    let refused = dev(folder.path()).output()?;
    let told = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && told.contains("is no stack's folder and not empty"), "{refused:?}");
    ensure!(fs::read(folder.path().join("diary"))? == b"dear", "it was emptied");
    Ok(())
}

fn odd(_: &Stack) -> Result<()> {
    let folder = tempfile::tempdir()?;
    for name in ["a b", "50%", "it's"] {
        let refused = dev(&folder.path().join(name)).output()?;
        let told = String::from_utf8_lossy(&refused.stderr);
        ensure!(!refused.status.success() && told.contains("ssh -J cannot bear the path"), "{refused:?}");
    }
    Ok(())
}

fn killed(_: &Stack) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("stack");
    let mut up = Up::start(&dir, Stdio::null())?;
    up.signal(Signal::KILL)?;
    up.ended()?;
    let done = dev(&dir).args(["--run", "true"]).output()?;
    ensure!(done.status.success(), "{done:?}");
    nothing_left(&dir)
}

/// A `dev` that says it is up; killed when dropped.
struct Up {
    child: Child,
    /// The line to paste.
    ssh: String,
    /// Read on: it may say more.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Up {
    fn start(dir: &Path, stderr: Stdio) -> Result<Self> {
        let mut child = dev(dir).stdout(Stdio::piped()).stderr(stderr).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let ssh = lines.find_map(|line| line.ok().filter(|line| line.trim().starts_with("ssh -F ")));
        let ssh = ssh.context("no ssh line to paste")?.trim().to_owned();
        Ok(Self { child, ssh, _lines: lines })
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    fn ended(&mut self) -> Result<ExitStatus> {
        let mut ended = None;
        within(SOON, "its end", || {
            ended = self.child.try_wait()?;
            Ok(ended.is_some())
        })?;
        ended.context("it has not ended")
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Fails only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No process mentions the stack's folder, and no file says that one runs.
fn nothing_left(dir: &Path) -> Result<()> {
    ensure!(!dir.join("stack.json").exists(), "stack.json is still there");
    let name = dir.to_string_lossy().into_owned();
    within(SOON, "every process of the stack is gone", || Ok(!command_lines()?.iter().any(|line| line.contains(&name))))
}

fn command_lines() -> Result<Vec<String>> {
    let processes = fs::read_dir("/proc")?.flatten();
    Ok(processes
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect())
}
