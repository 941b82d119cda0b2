//! What becomes of programs when the client goes, the server stops, or they are sent to the background.

use crate::harness::{Workspace, ends, line_in, lives, no_zombie_stays, text, until};
use std::{fs, process::Stdio};

const WAIT: &str = "echo $$ > pid; while :; do sleep 0.05; done";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_client_hangs_its_program_up() {
    let workspace = Workspace::start().await;
    let line = format!("trap 'echo hup > told; exit' HUP; {WAIT}");
    let mut child = workspace.ssh(&[]).arg("ws").arg(&line).spawn().unwrap();
    let pid = line_in(&workspace.home("pid")).await;
    child.kill().await.unwrap();
    assert_eq!(line_in(&workspace.home("told")).await, "hup");
    until("the program's end", || !lives(&pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_client_hangs_its_terminal_up() {
    let workspace = Workspace::start().await;
    let mut child = workspace.ssh(&["-tt"]).arg("ws").arg("echo $$ > pid; exec sleep 600").spawn().unwrap();
    let pid = line_in(&workspace.home("pid")).await;
    child.kill().await.unwrap();
    until("the program's end", || !lives(&pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_catches_the_hangup_is_killed_after_a_grace() {
    let workspace = Workspace::start().await;
    let mut child = workspace.ssh(&[]).arg("ws").arg(format!("trap : HUP; {WAIT}")).spawn().unwrap();
    let pid = line_in(&workspace.home("pid")).await;
    child.kill().await.unwrap();
    until("the program's end", || !lives(&pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nohup_and_setsid_outlive_their_session() {
    let workspace = Workspace::start().await;
    let line = "nohup sleep 600 >/dev/null 2>&1 & echo $! > a; setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $! > b; wait";
    let mut child = workspace.ssh(&[]).arg("ws").arg(format!("echo $$ > pid; {line}")).spawn().unwrap();
    let [pid, a, b] =
        [line_in(&workspace.home("pid")).await, line_in(&workspace.home("a")).await, line_in(&workspace.home("b")).await];
    // `nohup` must have changed into `sleep`, and `setsid` must have left the group.
    until("sleep", || {
        [&a, &b].iter().all(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n"))
    })
    .await;
    child.kill().await.unwrap();
    until("the shell's end", || !lives(&pid)).await;
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert!(lives(&a) && lives(&b), "after the grace");
    std::process::Command::new("kill").args(["-9", &a, &b]).status().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_program_without_pipes_lets_the_session_end() {
    let workspace = Workspace::start().await;
    let output = workspace.run("nohup sleep 600 </dev/null >/dev/null 2>&1 & echo $!").await;
    let pid = text(&output.stdout).trim().to_owned();
    assert!(output.status.success() && lives(&pid));
    std::process::Command::new("kill").args(["-9", &pid]).status().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_says_so_and_hangs_programs_up() {
    let workspace = Workspace::start().await;
    let child = workspace.ssh(&[]).arg("ws").arg(WAIT).stdin(Stdio::null()).spawn().unwrap();
    let pid = line_in(&workspace.home("pid")).await;
    workspace.stop().await;
    assert!(!lives(&pid));
    let output = ends(child).await;
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("the workspace's agent is stopping"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_as_a_zombie() {
    let workspace = Workspace::start().await;
    for line in ["true", "kill -9 $$", "sleep 0.2 &", "exec sleep 0"] {
        workspace.run(line).await;
        workspace.run_with(&["-tt"], line, &[]).await;
    }
    let mut child = workspace.ssh(&[]).arg("ws").arg(WAIT).spawn().unwrap();
    line_in(&workspace.home("pid")).await;
    child.kill().await.unwrap();
    workspace.stop().await;
    no_zombie_stays().await;
}
