//! An agent that the edge refuses for good: by hand it ends at once, under a supervisor it takes its time.

use crate::harness::{ends, text};
use drawbridge_shared::token::{Scope, Token};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

const REFUSAL: &[u8] = b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// An agent that has been refused once, started by a shell that says `before` and becomes it.
async fn refused(before: &str, dir: &TempDir) -> Child {
    let edge = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.path().join("edge")).status();
    assert!(made.await.unwrap().success());
    let mut agent = Command::new("sh");
    agent.arg("-c").arg(format!("{before} exec \"$@\"")).args(["sh", env!("CARGO_BIN_EXE_drawbridge-agent"), "run", "--edge"]);
    agent.arg(format!("http://{}", edge.local_addr().unwrap())).arg("--trust").arg(dir.path().join("edge.pub"));
    agent.arg("--state-dir").arg(dir.path().join("state")).env_remove("SYSTEMD_EXEC_PID").stderr(Stdio::piped());
    agent.env("DRAWBRIDGE_TOKEN", Token::mint(Scope::Agent, &[1; 32]).expose()).env("NO_PROXY", "127.0.0.1");
    let agent = agent.kill_on_drop(true).spawn().unwrap();
    let (mut call, _) = edge.accept().await.unwrap();
    assert!(call.read(&mut [0; 4096]).await.unwrap() > 0);
    call.write_all(REFUSAL).await.unwrap();
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_told_at_once() {
    let dir = TempDir::new().unwrap();
    let ended = ends(refused("", &dir).await).await;
    let told = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("does not enrol this agent") && !told.contains("only after a while"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_waits_and_may_end_that() {
    let dir = TempDir::new().unwrap();
    let mut agent = refused("SYSTEMD_EXEC_PID=$$ export SYSTEMD_EXEC_PID;", &dir).await;
    let mut lines = BufReader::new(agent.stderr.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().expect("it ended").contains("only after a while") {}
    assert!(agent.try_wait().unwrap().is_none());
    kill_process(Pid::from_raw(agent.id().unwrap().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(ends(agent).await.status.code(), Some(1));
}
