//! The agent as a container's first process: in a PID namespace of its own, which takes root.

use crate::harness::{children, ends, line_in, lives, state, until};
use drawbridge_shared::token::{Scope, Token};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::{Child, Command};

const APART: [&str; 4] = ["--pid", "--fork", "--mount-proc", "--kill-child"];

/// An agent that asks an edge which is not there to enrol it, and its namespace; gone when dropped.
struct Container {
    dir: TempDir,
    outside: Child,
    /// The number of its first process, as it is outside.
    first: String,
}

impl Container {
    /// `None` where there are no namespaces to be had.
    async fn start() -> Option<Self> {
        let tried = Command::new("unshare").args(APART).arg("true").stderr(Stdio::null()).status().await;
        if !tried.is_ok_and(|status| status.success()) {
            eprintln!("no PID namespace may be made: there is no first process to be");
            return None;
        }
        let dir = TempDir::new().unwrap();
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.path().join("edge")).status();
        assert!(made.await.unwrap().success());
        let mut agent = Command::new("unshare");
        agent.args(APART).arg(env!("CARGO_BIN_EXE_drawbridge-agent")).args(["run", "--edge", "https://127.0.0.1:1"]);
        agent.arg("--trust").arg(dir.path().join("edge.pub")).arg("--state-dir").arg(dir.path().join("state"));
        agent.env("DRAWBRIDGE_TOKEN", Token::mint(Scope::Agent, &[1; 32]).expose()).stderr(Stdio::null());
        let outside = agent.kill_on_drop(true).spawn().unwrap();
        line_in(&dir.path().join("state/slot.0")).await;
        let first = children(&outside.id().unwrap().to_string()).remove(0);
        Some(Self { dir, outside, first })
    }

    /// Has a shell in there run `line`.
    async fn run(&self, line: &str) {
        let mut shell = Command::new("nsenter");
        shell.args(["--target", &self.first, "--pid", "--mount", "sh", "-c", line]);
        let _may_end_with_it = shell.status().await.unwrap();
    }

    /// What it ends with.
    async fn code(self) -> Option<i32> {
        ends(self.outside).await.status.code()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_its_parent_is_reaped() {
    let Some(container) = Container::start().await else { return };
    let before = children(&container.first);
    container.run("(sleep 2 & sleep 2 &)").await;
    let orphans: Vec<_> = children(&container.first).into_iter().filter(|child| !before.contains(child)).collect();
    assert!(!orphans.is_empty(), "they ended before they were seen");
    until("their end", || orphans.iter().all(|orphan| state(orphan).is_none())).await;
    assert_eq!(children(&container.first), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_go_through_and_the_status_comes_back() {
    for (signal, code) in [("TERM", 0), ("INT", 0), ("HUP", 0), ("QUIT", 131)] {
        let Some(container) = Container::start().await else { return };
        let agent = children(&container.first).remove(0);
        assert!(Command::new("kill").args(["-s", signal, &container.first]).status().await.unwrap().success());
        assert_eq!(container.code().await, Some(code), "{signal}");
        assert!(!lives(&agent), "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_finds_the_agent_and_not_the_first_process() {
    let Some(container) = Container::start().await else { return };
    let slot = line_in(&container.dir.path().join("state/slot.0")).await;
    let pid = slot.lines().next().unwrap();
    assert_ne!(pid, "1");
    container.run(&format!("kill -TERM {pid}")).await;
    assert_eq!(container.code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_cannot_do_is_told_as_ever() {
    if Container::start().await.is_none() {
        return;
    }
    let run = |mut command: Command| async move { command.args(["run", "--edge", "nowhere"]).output().await.unwrap() };
    let mut apart = Command::new("unshare");
    apart.args(APART).arg(env!("CARGO_BIN_EXE_drawbridge-agent"));
    let (apart, alone) = (run(apart).await, run(Command::new(env!("CARGO_BIN_EXE_drawbridge-agent"))).await);
    assert_eq!((apart.status.code(), apart.stderr), (Some(2), alone.stderr));
}
