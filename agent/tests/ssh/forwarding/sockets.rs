//! Unix sockets in both directions.

use super::{Peer, connect, exchange, local, rest};
use crate::harness::{Workspace, ends, noise, text, until};
use drawbridge_agent::ssh::ForwardPolicy;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{io::AsyncWriteExt, net::UnixListener};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_in_the_workspace_is_reached() {
    let workspace = Workspace::start().await;
    let listener = UnixListener::bind(workspace.home("there")).unwrap();
    let (_ssh, path) = local(&workspace, workspace.home("there").to_str().unwrap()).await;
    let mut near = connect(&path).await;
    let (far, _) = listener.accept().await.unwrap();
    let data = noise(5 * MIB + 1);
    let (back, ()) = tokio::join!(exchange(&mut near, &data), async {
        let got = exchange(far, b"from the workspace").await;
        assert!(got == data, "{} bytes came", got.len());
    });
    assert_eq!(back, b"from the workspace");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_in_the_workspace_leads_to_the_client() {
    let workspace = Workspace::start().await;
    let echo = Peer::echo().await;
    let (there, forward) = remote(&workspace, "there", &format!("127.0.0.1:{}", echo.port));
    let mut ssh = workspace.ssh(&["-N", "-R", &forward]).arg("ws").spawn().unwrap();
    until("a socket in the workspace", || there.exists()).await;
    assert_eq!(fs::metadata(&there).unwrap().permissions().mode() & 0o7777, 0o600);
    for size in [0, 1, 32_767, 32_768, 32_769, 8 * MIB] {
        let data = noise(size);
        let back = exchange(connect(&there).await, &data).await;
        assert!(back == data, "{} of {size} bytes came back", back.len());
    }
    ssh.kill().await.unwrap();
    until("the socket's end", || !there.exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_socket_is_gone_and_may_come_again() {
    let workspace = Workspace::start().await;
    let echo = Peer::echo().await;
    let _master = workspace.master().await;
    let (there, forward) = remote(&workspace, "there", &format!("127.0.0.1:{}", echo.port));
    for _ in 0..2 {
        assert!(workspace.control("forward", &["-R", &forward]).await.status.success());
        let mut kept = connect(&there).await;
        let cancelled = workspace.control("cancel", &["-R", &forward]).await;
        assert!(cancelled.status.success(), "{}", text(&cancelled.stderr));
        until("the socket's end", || !there.exists()).await;
        // What came through it lives on.
        kept.write_all(b"still").await.unwrap();
        kept.shutdown().await.unwrap();
        assert_eq!(rest(&mut kept).await, b"still");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_replaced_only_by_policy() {
    for (unlink, replaced) in [(false, false), (true, true)] {
        let workspace = Workspace::forwarding(ForwardPolicy { unlink, ..ForwardPolicy::default() }).await;
        let echo = Peer::echo().await;
        let (there, forward) = remote(&workspace, "there", &format!("127.0.0.1:{}", echo.port));
        drop(std::os::unix::net::UnixListener::bind(&there).unwrap());
        let output = workspace.run_with(&["-R", &forward, "-oExitOnForwardFailure=yes"], "true", &[]).await;
        assert_eq!(output.status.success(), replaced, "{}", text(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_cannot_be_are_refused_in_words() {
    let workspace = Workspace::start().await;
    let told = refused_listener(&workspace, "./relative").await;
    assert!(told.contains("a socket's path has to be absolute, and './relative' is not"), "{told}");
    let told = refused_listener(&workspace, workspace.path("no/such/folder").to_str().unwrap()).await;
    assert!(told.contains("No such file or directory"), "{told}");

    let told = refused_connection(&workspace, "./relative").await;
    assert!(told.contains("connect failed: a socket's path has to be absolute"), "{told}");
    let told = refused_connection(&workspace, "/nonexistent").await;
    assert!(told.contains("connect failed: No such file or directory"), "{told}");
}

/// The tests' process stands for an agent that runs as root and serves another account.
#[tokio::test(flavor = "multi_thread")]
async fn an_agents_own_rights_are_not_lent_to_another_account() {
    let workspace = Workspace::with(|account| account.uid += 1).await;
    let listener = UnixListener::bind(workspace.home("there")).unwrap();
    let told = refused_connection(&workspace, workspace.home("there").to_str().unwrap()).await;
    assert!(told.contains("Unix sockets of account 'dev' are not served"), "{told}");
    let told = refused_listener(&workspace, workspace.home("another").to_str().unwrap()).await;
    assert!(told.contains("Unix sockets of account 'dev' are not served"), "{told}");
    assert!(!workspace.home("another").exists());
    drop(listener);
}

fn remote(workspace: &Workspace, name: &str, target: &str) -> (PathBuf, String) {
    let there = workspace.home(name);
    let forward = format!("{}:{target}", there.display());
    (there, forward)
}

/// What `ssh -v` says to `-R` for a socket at `path`.
async fn refused_listener(workspace: &Workspace, path: &str) -> String {
    let options = ["-v", "-R", &format!("{path}:127.0.0.1:9"), "-oExitOnForwardFailure=yes"];
    let output = workspace.run_with(&options, "true", &[]).await;
    assert_eq!(output.status.code(), Some(255));
    text(&output.stderr).to_owned()
}

/// What `ssh` says to a connection through `-L` to a socket at `path`.
async fn refused_connection(workspace: &Workspace, path: &str) -> String {
    let near = workspace.path("near");
    let forward = format!("{}:{path}", near.display());
    let mut command = workspace.ssh(&["-oLogLevel=INFO", "-L", &forward]);
    let mut child = command.args(["ws", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    until("a forwarded socket", || Path::new(&near).exists()).await;
    let mut stream = connect(&near).await;
    assert_eq!(rest(&mut stream).await, b"");
    drop(child.stdin.take());
    let output = ends(child).await;
    fs::remove_file(near).unwrap();
    text(&output.stderr).to_owned()
}
