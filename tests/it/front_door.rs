//! `cargo xtask dev` as a newcomer and as a script use it.

use crate::{Run::Shared, Test};
use anyhow::{Context, Result, ensure};
use e2e::{SOON, Stack, within};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

pub(crate) const TESTS: &[Test] = &[
    ("front_door::dev_runs_a_command_and_exits_with_its_status", Shared(runs)),
    ("front_door::ctrl_c_stops_everything", Shared(ctrl_c)),
];

fn dev(dir: &Path) -> Command {
    let mut dev = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    dev.current_dir(xtask::root()).args(["xtask", "dev", "--dir"]).arg(dir).stdin(Stdio::null());
    dev
}

fn runs(_: &Stack) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("stack");
    let done = dev(&dir).args(["--run", "echo $((6*7)); exit 3"]).output()?;
    ensure!(done.status.code() == Some(3) && done.stdout == b"42\n", "{done:?}");
    nothing_left(&dir)
}

fn ctrl_c(_: &Stack) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("stack");
    let mut child = dev(&dir).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let ssh =
        lines.find_map(|line| line.ok().filter(|line| line.trim().starts_with("ssh -F "))).context("no ssh line to paste")?;
    let pasted = Command::new("sh").arg("-c").arg(format!("{} echo pasted", ssh.trim())).stdin(Stdio::null()).output()?;
    ensure!(pasted.stdout == b"pasted\n", "{ssh}: {pasted:?}");
    let stack: Value = serde_json::from_str(&fs::read_to_string(dir.join("stack.json"))?)?;
    ensure!(stack["users"][0]["id"] == "alice" && stack["workspaces"][1]["agent"]["pid"].is_u64(), "{stack}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)?;
    let status = child.wait()?;
    ensure!(status.success(), "{status}");
    nothing_left(&dir)
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
